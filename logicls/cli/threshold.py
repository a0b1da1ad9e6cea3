"""The command that says when a person looks: threshold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from logicls.cli import report as cli_report
from logicls.errors import DataError, Problem, did_you_mean

if TYPE_CHECKING:
    from logicls.constraints.spec.models import Spec
    from logicls.predict.uncertainty.thresholds import Thresholds

console = Console()


def threshold(
    bundle: Annotated[Path, typer.Argument(help="What `logicls train` wrote.")],
    verdicts_dir: Annotated[Path, typer.Argument(help="What `logicls predict` wrote with it.")],
    truth: Annotated[
        Path | None, typer.Option("--truth", help="truth.csv of these photos: thresholds are chosen on them.")
    ] = None,
    escape: Annotated[
        float | None,
        typer.Option(min=0.0001, max=0.5, help="Share of broken photos that may pass; by severity if left out."),
    ] = None,
    overkill: Annotated[
        float | None,
        typer.Option(min=0.0001, max=0.5, help="Share of good photos that may fail; by severity if left out."),
    ] = None,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of what is promised.")] = 0.95,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="RULE=LOW:HIGH, for one rule; may be given again.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Thresholds to read and write; those of the bundle if left out.")
    ] = None,
) -> None:
    """Choose when a person looks, settle verdicts anew without predicting again, and draw their page again."""
    from logicls.constraints.spec.loader import load_spec
    from logicls.predict.folder.runner import settle_folder
    from logicls.predict.uncertainty.thresholds import FILE, Thresholds, read_thresholds, write_thresholds

    if truth is None and (escape is not None or overkill is not None):
        advice = "Give --truth, or set thresholds by --set."
        raise DataError(Problem("LC624", "targets can be met only where the truth is known.", advice=advice))
    spec, place = load_spec(bundle / "spec.yaml"), file or bundle / FILE
    known = [constraint.id for constraint in spec.constraints]
    if truth is not None:
        found = _chosen(spec, verdicts_dir, truth, escape, overkill, confidence=confidence)
    else:
        found = read_thresholds(place, known=known) if place.exists() else Thresholds()
    for given in set_ or ():
        found = _changed(found, given, known)
    _same_spec(verdicts_dir, spec)
    if truth is not None or set_:
        write_thresholds(place, found)
    outcomes = settle_folder(verdicts_dir, found, violations=spec.violations)
    for name in known:
        limit = found.of(name)
        console.print(
            Text(f"{name}: {limit.low:.3g} to {limit.high:.3g}; {limit.promise or 'nothing promised'}"), soft_wrap=True
        )
    told = ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items()))
    console.print(f"thresholds {found.id}: {told}", soft_wrap=True)
    if cli_report.page_of(verdicts_dir).exists():
        _draw_again(spec, bundle, verdicts_dir, truth)


def _draw_again(spec: Spec, bundle: Path, folder: Path, truth: Path | None) -> None:
    """The page shows what the verdicts are now."""
    from logicls.predict.folder.replay import origin_of

    cli_report.write_files(spec, origin_of(folder, bundle=bundle).photos, folder, truth=truth)
    console.print(str(cli_report.page_of(folder)), soft_wrap=True)


def _chosen(
    spec: Spec, folder: Path, truth: Path, escape: float | None, overkill: float | None, *, confidence: float
) -> Thresholds:
    """By the photos of the truth."""
    from logicls.evaluation import read_truth
    from logicls.predict.folder.runner import LINES, read_verdicts
    from logicls.predict.uncertainty.risk_control import TARGETS, cases_of, choose

    given = {key: value for key, value in (("escape", escape), ("overkill", overkill)) if value is not None}
    targets = {severity: replace(target, **given) for severity, target in TARGETS.items()}
    known = read_truth(truth)
    cases = cases_of(spec, read_verdicts(folder / LINES), known)
    if not cases:
        advice = "Verdicts of before probabilities were worked out have none: predict again."
        raise DataError(Problem("LC623", "no verdict with probabilities is of a photo of the truth.", str(folder),
                                advice=advice))  # fmt: skip
    return choose(spec, cases, targets, confidence=confidence, origin=f"{len(known)} photos of {truth.name}")


def _same_spec(folder: Path, spec: Spec) -> None:
    from logicls.predict.folder.runner import LINES, read_verdicts

    first = next(read_verdicts(folder / LINES), None)
    if first is not None and first.spec != spec.hash:
        message = "the verdicts are of another spec than the bundle's."
        raise DataError(Problem("LC625", message, str(folder), advice="Name the bundle that they were made with."))


def _changed(found: Thresholds, given: str, known: list[str]) -> Thresholds:
    name, _, shares = given.partition("=")
    low, _, high = shares.partition(":")
    try:
        limits = float(low), float(high)
    except ValueError:
        limits = -1.0, -1.0
    if name not in known or not 0 <= limits[0] <= limits[1] <= 1:
        advice = did_you_mean(name, known) if name not in known else "Write RULE=LOW:HIGH, two shares of 1 in order."
        raise DataError(Problem("LC626", f'"{given}" sets no thresholds.', advice=advice))
    return found.changed(name, *limits)
