"""Command `threshold`: choose the review thresholds of each rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from logicls.cli.options import BUNDLE_ARGUMENT, VERDICTS_ARGUMENT, print_line
from logicls.cli.report import report_path, write_files
from logicls.errors import DataError, Problem, count_text, suggest_name

if TYPE_CHECKING:
    from logicls.constraints.spec.models import Spec
    from logicls.predict.uncertainty.thresholds import Thresholds

ESCAPE = Annotated[
    float | None,
    typer.Option(
        min=0.0001,
        max=0.5,
        help="Target escape rate: share of defective photos that may pass. Default: by severity.",
    ),
]
OVERKILL = Annotated[
    float | None,
    typer.Option(
        min=0.0001,
        max=0.5,
        help="Target overkill rate: share of good photos that may fail. Default: by severity.",
    ),
]
SETTINGS = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Set the thresholds of one rule as RULE=LOW:HIGH: pass below LOW, fail above HIGH; repeatable.",
    ),
]


def threshold(
    bundle: BUNDLE_ARGUMENT,
    verdicts_dir: VERDICTS_ARGUMENT,
    truth: Annotated[
        Path | None,
        typer.Option("--truth", help="Ground truth of these photos, a CSV file: choose thresholds that meet targets."),
    ] = None,
    escape: ESCAPE = None,
    overkill: OVERKILL = None,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Confidence level of the guarantee for both rates.")
    ] = 0.95,
    set_: SETTINGS = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Thresholds file to read and write. Default: the bundle's.")
    ] = None,
) -> None:
    """Choose the thresholds between pass, review and fail, and apply them to verdicts without a new inspection."""
    from logicls.constraints.checker.spec_changes import SPEC_FILE, find_trained_spec
    from logicls.constraints.spec.loader import load_spec
    from logicls.predict.decision import read_adapted_thresholds
    from logicls.predict.folder.runner import rethreshold_folder
    from logicls.predict.uncertainty.thresholds import THRESHOLDS_FILE, write_thresholds

    if truth is None and (escape is not None or overkill is not None):
        advice = "Add --truth, or set thresholds with --set."
        raise DataError(Problem("LC624", "target rates require the ground truth.", advice=advice))
    spec, trained_spec = load_spec(bundle / SPEC_FILE), load_spec(find_trained_spec(bundle))
    path = file or bundle / THRESHOLDS_FILE
    rule_ids = [constraint.id for constraint in spec.constraints]
    if truth is not None:
        thresholds = _choose_thresholds(spec, verdicts_dir, truth, escape, overkill, confidence=confidence)
    else:
        thresholds = read_adapted_thresholds(path, trained_spec, spec)
    for setting in set_ or ():
        thresholds = _set_limits(thresholds, setting, rule_ids)
    _check_same_spec(verdicts_dir, spec)
    thresholds = replace(thresholds, spec="" if spec.hash == trained_spec.hash else spec.hash)
    if truth is not None or set_:
        write_thresholds(path, thresholds)
    outcomes = rethreshold_folder(verdicts_dir, thresholds, violations=spec.violations)
    for rule in rule_ids:
        limits = thresholds.for_rule(rule)
        band = f"pass below {limits.low:.3g}, fail above {limits.high:.3g}"
        print_line(f"{rule}: {band}; {limits.guarantee or 'no guarantee'}")
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(outcomes.items()))
    print_line(f"thresholds {thresholds.id}: {counts}")
    if report_path(verdicts_dir).exists():
        _update_report(spec, bundle, verdicts_dir, truth)


def _update_report(spec: Spec, bundle: Path, folder: Path, truth: Path | None) -> None:
    """Create the report page again from the changed verdicts."""
    from logicls.predict.folder.replay import find_origin

    write_files(spec, find_origin(folder, bundle=bundle).photos, folder, truth=truth)
    print_line(str(report_path(folder)))


def _choose_thresholds(
    spec: Spec, folder: Path, truth: Path, escape: float | None, overkill: float | None, *, confidence: float
) -> Thresholds:
    """Choose thresholds that meet the target rates on photos with ground truth. Raises `DataError` (LC623)."""
    from logicls.evaluation import read_truth
    from logicls.predict.folder.runner import VERDICTS_FILE
    from logicls.predict.serialization import read_verdicts
    from logicls.predict.uncertainty.risk_control import RISK_TARGETS, choose_thresholds, collect_labelled_rules

    rates = {"escape_rate": escape, "overkill_rate": overkill}
    changes = {name: rate for name, rate in rates.items() if rate is not None}
    targets = {severity: replace(target, **changes) for severity, target in RISK_TARGETS.items()}
    table = read_truth(truth)
    cases = collect_labelled_rules(spec, read_verdicts(folder / VERDICTS_FILE), table)
    if not cases:
        message = "no verdict with probabilities belongs to a photo in the ground truth."
        advice = "Pass the ground truth of these photos; predict again if the verdicts contain no probabilities."
        raise DataError(Problem("LC623", message, str(folder), advice=advice))
    origin = f"{count_text(len(table), 'photo')} of {truth.name}"
    return choose_thresholds(spec, cases, targets, confidence=confidence, origin=origin)


def _check_same_spec(folder: Path, spec: Spec) -> None:
    """Check that the verdicts belong to the spec. Raises `DataError` (LC625)."""
    from logicls.predict.folder.runner import VERDICTS_FILE
    from logicls.predict.serialization import read_verdicts

    verdict = next(read_verdicts(folder / VERDICTS_FILE), None)
    if verdict is not None and verdict.spec != spec.hash:
        message = "the verdicts were made with another spec than the bundle's."
        advice = "Pass the bundle that made the verdicts, with the rules that they were judged by."
        raise DataError(Problem("LC625", message, str(folder), advice=advice))


def _set_limits(thresholds: Thresholds, setting: str, rule_ids: list[str]) -> Thresholds:
    """Return thresholds with the setting RULE=LOW:HIGH. Raises `DataError` (LC626)."""
    rule, _, values = setting.partition("=")
    low, _, high = values.partition(":")
    try:
        limits = float(low), float(high)
    except ValueError:
        limits = -1.0, -1.0
    if rule not in rule_ids or not 0 <= limits[0] <= limits[1] <= 1:
        syntax = "Write RULE=LOW:HIGH with two probabilities from 0 to 1, the lower one first."
        advice = suggest_name(rule, rule_ids) if rule not in rule_ids else syntax
        raise DataError(Problem("LC626", f'"{setting}" is not a valid threshold setting.', advice=advice))
    return thresholds.override(rule, *limits)
