"""The command that says when a person looks: threshold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from logicls.cli import report as cli_report
from logicls.errors import DataError, Problem, suggest_name

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
    from logicls.predict.folder.runner import rethreshold_folder
    from logicls.predict.uncertainty.thresholds import THRESHOLDS_FILE, Thresholds, read_thresholds, write_thresholds

    if truth is None and (escape is not None or overkill is not None):
        advice = "Give --truth, or set thresholds by --set."
        raise DataError(Problem("LC624", "targets can be met only where the truth is known.", advice=advice))
    spec, path = load_spec(bundle / "spec.yaml"), file or bundle / THRESHOLDS_FILE
    rule_ids = [constraint.id for constraint in spec.constraints]
    if truth is not None:
        thresholds = _choose_thresholds(spec, verdicts_dir, truth, escape, overkill, confidence=confidence)
    else:
        thresholds = read_thresholds(path, constraints=rule_ids) if path.exists() else Thresholds()
    for setting in set_ or ():
        thresholds = _set_limits(thresholds, setting, rule_ids)
    _check_same_spec(verdicts_dir, spec)
    if truth is not None or set_:
        write_thresholds(path, thresholds)
    outcomes = rethreshold_folder(verdicts_dir, thresholds, violations=spec.violations)
    for name in rule_ids:
        limit = thresholds.for_rule(name)
        console.print(
            Text(f"{name}: {limit.low:.3g} to {limit.high:.3g}; {limit.guarantee or 'nothing promised'}"),
            soft_wrap=True,
        )
    counts = ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items()))
    console.print(f"thresholds {thresholds.id}: {counts}", soft_wrap=True)
    if cli_report.report_path(verdicts_dir).exists():
        _update_report(spec, bundle, verdicts_dir, truth)


def _update_report(spec: Spec, bundle: Path, folder: Path, truth: Path | None) -> None:
    """The page shows what the verdicts are now."""
    from logicls.predict.folder.replay import find_origin

    cli_report.write_files(spec, find_origin(folder, bundle=bundle).photos, folder, truth=truth)
    console.print(str(cli_report.report_path(folder)), soft_wrap=True)


def _choose_thresholds(
    spec: Spec, folder: Path, truth: Path, escape: float | None, overkill: float | None, *, confidence: float
) -> Thresholds:
    """By the photos of the truth."""
    from logicls.evaluation import read_truth
    from logicls.predict.folder.runner import VERDICTS_FILE, read_verdicts
    from logicls.predict.uncertainty.risk_control import RISK_TARGETS, collect_labelled_rules, choose_thresholds

    options = {key: value for key, value in (("escape", escape), ("overkill", overkill)) if value is not None}
    targets = {severity: replace(target, **options) for severity, target in RISK_TARGETS.items()}
    truth_table = read_truth(truth)
    cases = collect_labelled_rules(spec, read_verdicts(folder / VERDICTS_FILE), truth_table)
    if not cases:
        advice = "Verdicts of before probabilities were worked out have none: predict again."
        raise DataError(Problem("LC623", "no verdict with probabilities is of a photo of the truth.", str(folder),
                                advice=advice))  # fmt: skip
    return choose_thresholds(
        spec, cases, targets, confidence=confidence, origin=f"{len(truth_table)} photos of {truth.name}"
    )


def _check_same_spec(folder: Path, spec: Spec) -> None:
    from logicls.predict.folder.runner import VERDICTS_FILE, read_verdicts

    verdict = next(read_verdicts(folder / VERDICTS_FILE), None)
    if verdict is not None and verdict.spec != spec.hash:
        message = "the verdicts are of another spec than the bundle's."
        raise DataError(Problem("LC625", message, str(folder), advice="Name the bundle that they were made with."))


def _set_limits(thresholds: Thresholds, setting: str, rule_ids: list[str]) -> Thresholds:
    name, _, values = setting.partition("=")
    low, _, high = values.partition(":")
    try:
        limits = float(low), float(high)
    except ValueError:
        limits = -1.0, -1.0
    if name not in rule_ids or not 0 <= limits[0] <= limits[1] <= 1:
        advice = (
            suggest_name(name, rule_ids) if name not in rule_ids else "Write RULE=LOW:HIGH, two shares of 1 in order."
        )
        raise DataError(Problem("LC626", f'"{setting}" sets no thresholds.', advice=advice))
    return thresholds.override(name, *limits)
