"""Commands about rules that change without training: `judge`, `limits`, `bundle update`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from logicls.cli.environment import silence_progress_bars
from logicls.cli.options import BATCH, BUNDLE, BUNDLE_ARGUMENT, OUT, VERDICTS_ARGUMENT, console, print_line
from logicls.errors import DataError, Problem, count_text, relative_path, suggest_name

if TYPE_CHECKING:
    from logicls.constraints.checker.spec_changes import SpecChanges
    from logicls.predict.uncertainty.thresholds import Thresholds
    from logicls.records import Verdict

SPEC_OPTION = Annotated[Path, typer.Option("--spec", help="Spec with the new rules, a YAML file.")]

bundle_app = typer.Typer(help="Change the rules of a bundle.", no_args_is_help=True)


def judge(verdicts_dir: VERDICTS_ARGUMENT, spec: SPEC_OPTION, out: OUT, bundle: BUNDLE = None) -> None:
    """Judge stored answers by other rules: new verdicts without the model and without the photos.

    Exit code 1 if any photo does not pass.
    """
    from logicls.predict.folder.judge import judge_folder

    result = judge_folder(verdicts_dir, spec, out, bundle=bundle)
    print_changes(result.changes, result.model.thresholds)
    for (before, after), count in sorted(result.changed.items()):
        print_line(f"{count_text(count, 'photo')}: {before} before, {after} now")
    if result.second_looks[False]:
        photos = count_text(result.second_looks[False], "photo")
        print_line(f"note: {photos} without a second look need a review now; `logicls predict` would look again")
    print_line(", ".join(f"{count:,} {name}" for name, count in sorted(result.outcomes.items())) or "no photos")
    print_line(f"{out}; for the page: logicls report {out}")
    raise typer.Exit(0 if set(result.outcomes) <= {"pass"} else 1)


@bundle_app.command()
def update(
    bundle: BUNDLE_ARGUMENT,
    spec: SPEC_OPTION,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write a new bundle. Default: change the bundle in place.")
    ] = None,
) -> None:
    """Give a bundle other rules, if they need no question that the model was not trained to answer.

    The spec that the model was trained with stays in the bundle as trained_spec.yaml.
    """
    from logicls.constraints.checker.spec_changes import find_trained_spec
    from logicls.constraints.spec.loader import load_spec
    from logicls.models.bundle import update_bundle
    from logicls.predict.decision import read_adapted_thresholds
    from logicls.predict.uncertainty.thresholds import THRESHOLDS_FILE

    target = out or bundle
    changes = update_bundle(bundle, spec, target)
    trained, judged = load_spec(find_trained_spec(target)), load_spec(target / "spec.yaml")
    print_changes(changes, read_adapted_thresholds(target / THRESHOLDS_FILE, trained, judged))
    print_line(f"{target}: trained with spec {trained.hash}, judges by spec {judged.hash}")


def limits(
    bundle: BUNDLE_ARGUMENT,
    photos: Annotated[
        Path,
        typer.Argument(metavar="PHOTOS", help="Folder of photos of good products, or of the verdicts on such photos."),
    ],
    coverage: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="Share of the good photos that shall meet each rule's limits.")
    ] = 0.99,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Confidence that it is at least this.")] = 0.95,
    rules: Annotated[
        list[str] | None, typer.Option("--rule", help="Propose limits of this rule only; repeatable. Default: all.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the bundle's spec with the proposed limits to this file.")
    ] = None,
    batch: BATCH = 16,
) -> None:
    """Propose limits for rules with numbers from what the model reads on photos of good products.

    A proposal is a tolerance interval: it contains the given share of good photos with the given confidence.
    """
    from logicls.constraints.spec.loader import load_spec_file
    from logicls.constraints.spec.yaml_reader import read_text
    from logicls.evaluation.limits import collect_readings, propose_limits, write_limits
    from logicls.io.atomic import write_text
    from logicls.report.console import print_limits

    spec = load_spec_file(bundle / "spec.yaml")
    ids = [constraint.id for constraint in spec.spec.constraints]
    unknown = [name for name in rules or () if name not in ids]
    if unknown:
        raise DataError(
            [Problem("LC636", f'there is no rule "{name}".', advice=suggest_name(name, ids)) for name in unknown]
        )
    readings = collect_readings(spec.spec, _read_good_photos(bundle, photos, batch))
    readings = [one for one in readings if not rules or one.constraint in rules]
    if not readings:
        advice = "Limits are proposed for rules that compare readings with a number, on photos of good products."
        raise DataError(Problem("LC636", "no photo has a reading for a limit.", relative_path(photos), advice=advice))
    proposals = propose_limits(readings, coverage=coverage, confidence=confidence)
    print_limits(proposals, coverage, confidence, console)
    if out is not None:
        write_text(out, write_limits(read_text(bundle / "spec.yaml"), spec, proposals))
        load_spec_file(out)
        print_line(f"{out}; to use it: logicls bundle update {bundle} --spec {out}")


def _read_good_photos(bundle: Path, photos: Path, batch: int) -> Iterator[Verdict]:
    """Yield the verdicts on photos: those in a folder of verdicts, or new ones."""
    from logicls.predict.serialization import read_verdicts

    if (photos / "verdicts.jsonl").exists():
        yield from read_verdicts(photos / "verdicts.jsonl")
        return
    from logicls.predict.folder.runner import inspect_with_reader
    from logicls.predict.input.listing import list_photos
    from logicls.predict.readers import make_reader
    from logicls.predict.self_test import open_bundle
    from logicls.report.progress import show_progress

    silence_progress_bars()
    names = list(list_photos(photos))
    inspect = inspect_with_reader(make_reader(open_bundle(bundle)), photos, batch, 0)
    with show_progress("limits", len(names), console) as counter:
        for verdicts in inspect(names):
            yield from verdicts
            counter.add(len(verdicts))


def print_changes(changes: SpecChanges, thresholds: Thresholds) -> None:
    """Print how the rules differ from those that the model was trained with, and which thresholds they have."""
    for rule in changes.rules:
        limits = thresholds.for_rule(rule.constraint)
        notes = []
        if not rule.trained:
            notes.append("new")
        elif rule.trained != rule.constraint:
            notes.append(f"new name of {rule.trained}")
        if rule.trained and not rule.is_same_rule:
            notes.append("other limits or conditions than in training")
        if rule.trained and not rule.is_same_severity:
            notes.append("another severity")
        if notes:
            source = "as before" if rule.trained and rule.is_same_severity else "the defaults of its severity"
            stated = "" if rule.is_same_rule else "; its answers alone count, the stated verdict does not"
            band = f"pass below {limits.low:.3g}, fail above {limits.high:.3g}, {source}"
            print_line(f"{rule.constraint}: {', '.join(notes)}; {band}{stated}")
    for name in changes.removed:
        print_line(f"{name}: removed")
