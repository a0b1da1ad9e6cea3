"""Commands `eval` and `study`: scores against the ground truth, and attribute agreement studies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from logicls.cli.environment import silence_progress_bars
from logicls.cli.options import (
    AS_JSON,
    BUNDLE_ARGUMENT,
    IMAGES_ARGUMENT,
    OUT,
    TRUTH,
    VERDICTS_ARGUMENT,
    console,
    print_line,
)
from logicls.errors import DataError, Problem

if TYPE_CHECKING:
    from logicls.constraints.spec.models import Spec
    from logicls.data.coco import Dataset
    from logicls.evaluation import EvaluationMetrics
    from logicls.evaluation.agreement.decisions import Decision
    from logicls.evaluation.agreement.repeatability import RepeatOptions
    from logicls.evaluation.agreement.statistics import AgreementStudy
    from logicls.evaluation.evidence import Faithfulness, TrialSample
    from logicls.evaluation.mvtec_loco_scores import LocoMetrics
    from logicls.records import Outcome

DEFAULT_TRIALS = 200
"""Default number of trials per faithfulness test."""
FAITHFULNESS = "Faithfulness"
"""Panel of the help."""


def evaluate(
    verdicts_dir: VERDICTS_ARGUMENT,
    truth: Annotated[
        Path, typer.Option("--truth", help="Ground truth: a CSV file image,violations, or a folder of MVTec LOCO AD.")
    ],
    out: OUT,
    faithfulness: Annotated[
        bool,
        typer.Option(
            "--faithfulness", rich_help_panel=FAITHFULNESS,
            help="Also test whether answers depend on the boxes they cite.",
        ),
    ] = False,
    bundle: Annotated[
        Path | None, typer.Option(rich_help_panel=FAITHFULNESS, help="Bundle that made the verdicts.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(rich_help_panel=FAITHFULNESS, help="Folder of the predicted photos.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(rich_help_panel=FAITHFULNESS, help="Annotated photos of good products, for the edit test."),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(min=1, rich_help_panel=FAITHFULNESS, help=f"Trials per test. Default: {DEFAULT_TRIALS}."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(rich_help_panel=FAITHFULNESS, help="Random seed of the sample. Default: 0.")
    ] = None,
    as_json: AS_JSON = False,
) -> None:  # fmt: skip
    """Score verdicts against the ground truth: escape rate, overkill rate, review rate, F1, AUROC, calibration."""
    from logicls.evaluation.evidence import TrialSample

    _check_options(
        faithfulness, {"--bundle": bundle, "--images": images, "--data": data, "--sample": sample, "--seed": seed}
    )
    board, loco = _score(verdicts_dir, truth)
    result = None
    if bundle and images:
        result = _measure_faithfulness(
            verdicts_dir, bundle, images, data, TrialSample(sample or DEFAULT_TRIALS, seed or 0), is_quiet=as_json
        )
    metrics = _write_metrics(out, board, loco, result)
    if as_json:
        print(json.dumps(metrics))
        return
    _print_scores(board, loco, result)
    print_line(str(out / "metrics.json"))


def write_scoreboard(verdicts_dir: Path, truth: Path, out: Path) -> EvaluationMetrics:
    """Score verdicts against truth.csv, and write metrics.json."""
    board, _ = _score(verdicts_dir, truth)
    _write_metrics(out, board, None, None)
    return board


def _check_options(faithfulness: bool, options: dict[str, object]) -> None:
    """Check that the options of the faithfulness tests are complete, or absent. Raises `DataError` (LC655)."""
    present = [name for name, value in options.items() if value is not None]
    if faithfulness:
        missing = [name for name in ("--bundle", "--images") if name not in present]
        advice = "The tests predict the photos again."
        problems = [Problem("LC655", f"--faithfulness requires {name}.", advice=advice) for name in missing]
    else:
        problems = [Problem("LC655", f"{name} has no effect without --faithfulness.") for name in present]
    if problems:
        raise DataError(problems)


def _score(verdicts_dir: Path, truth: Path) -> tuple[EvaluationMetrics, LocoMetrics | None]:
    from logicls.evaluation import compute_metrics, read_truth
    from logicls.predict.serialization import read_verdicts

    verdicts = read_verdicts(verdicts_dir / "verdicts.jsonl")
    if not truth.is_dir():
        return compute_metrics(verdicts, read_truth(truth)), None
    from logicls.evaluation.mvtec_loco import read_loco
    from logicls.evaluation.mvtec_loco_scores import compute_loco_metrics, match_verdicts, rule_truth

    product = read_loco(truth)
    matched, others = match_verdicts(verdicts, product)
    table = rule_truth(product, matched)
    board = compute_metrics([verdict for verdict in matched.values() if verdict.photo in table], table)
    return board, compute_loco_metrics(product, matched, ignored_verdicts=len(others))


def _measure_faithfulness(
    verdicts_dir: Path, bundle: Path, images: Path, data: Path | None, sample: TrialSample, *, is_quiet: bool
) -> Faithfulness:
    """Predict a sample again for the faithfulness tests. If `is_quiet`, progress goes to standard error."""
    from logicls.evaluation.faithfulness import measure_faithfulness
    from logicls.predict.readers import make_reader
    from logicls.predict.self_test import open_bundle
    from logicls.predict.serialization import read_verdicts
    from logicls.report.progress import show_progress

    silence_progress_bars()
    opened = open_bundle(bundle)
    dataset = _read_matching_dataset(data, opened.spec) if data else None
    progress_console = Console(stderr=True) if is_quiet else console
    with show_progress("faithfulness", sample.size * (2 if dataset else 1), progress_console) as counter:
        verdicts = read_verdicts(verdicts_dir / "verdicts.jsonl")
        return measure_faithfulness(
            make_reader(opened), verdicts, images, sample, data=dataset, on_progress=counter.add
        )


def _read_matching_dataset(data: Path, spec: Spec) -> Dataset:
    """Read annotated photos that match the spec. Raises `DataError`."""
    from logicls.data.coco import read_dataset_for
    from logicls.data.dataset_lint import check_against_spec

    dataset = read_dataset_for(spec, data)
    problems = check_against_spec(dataset, spec.components)
    if problems:
        raise DataError(problems)
    return dataset


def _write_metrics(
    out: Path, board: EvaluationMetrics, loco: LocoMetrics | None, faithfulness_result: Faithfulness | None
) -> dict[str, object]:
    from logicls.io.atomic import write_text

    metrics = board.to_json()
    metrics |= {"loco": loco.to_json()} if loco else {}
    metrics |= {"faithful": faithfulness_result.to_json()} if faithfulness_result else {}
    write_text(out / "metrics.json", json.dumps(metrics, indent=1))
    return metrics


def _print_scores(board: EvaluationMetrics, loco: LocoMetrics | None, faithfulness_result: Faithfulness | None) -> None:
    from logicls.report.console import print_faithfulness, print_loco, print_scoreboard

    print_scoreboard(board, console)
    if loco:
        print_loco(loco, console)
    if faithfulness_result:
        print_faithfulness(faithfulness_result, console)


def study(
    bundle: BUNDLE_ARGUMENT,
    images: IMAGES_ARGUMENT,
    truth: TRUTH,
    out: OUT,
    inspectors: Annotated[
        Path | None, typer.Option(help="Decisions of human inspectors, a CSV file photo,inspector,trial,decision.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Decisions of the bundle per photo.")] = 3,
    strength: Annotated[
        float,
        typer.Option(min=0, max=1, help="Strength of the photo variations between trials; 1: as in training."),
    ] = 0.5,
    seed: Annotated[int, typer.Option(help="Random seed of the variations.")] = 0,
    as_json: AS_JSON = False,
) -> None:
    """Run an attribute agreement study (AIAG MSA): repeated decisions of the bundle, compared with inspectors."""
    from logicls.evaluation import read_truth
    from logicls.evaluation.agreement.decisions import read_decisions, write_decisions
    from logicls.evaluation.agreement.repeatability import RepeatOptions, check_photos
    from logicls.evaluation.agreement.statistics import analyze_agreement
    from logicls.report.console import print_study

    true_violations = read_truth(truth)
    human_decisions = read_decisions(inspectors, true_violations) if inspectors else ()
    check_photos(tuple(true_violations), images)
    progress_console = Console(stderr=True) if as_json else console
    repeats = RepeatOptions(trials, seed)
    decisions = (
        *_repeat_decisions(
            bundle, images, tuple(true_violations), strength, repeats, out=out, console=progress_console
        ),
        *human_decisions,
    )
    standard: dict[str, Outcome] = {photo: "fail" if names else "pass" for photo, names in true_violations.items()}
    result = analyze_agreement(decisions, standard)
    write_decisions(decisions, standard, out / "study.csv")
    board = _write_study(out, result, {"seed": seed, "strength": strength})
    if as_json:
        print(json.dumps(board))
        return
    print_study(result, console)
    console.print(str(out / "study.json"), soft_wrap=True)


def _repeat_decisions(
    bundle: Path,
    images: Path,
    photos: tuple[str, ...],
    strength: float,
    repeats: RepeatOptions,
    *,
    out: Path,
    console: Console,
) -> tuple[Decision, ...]:
    """Return the bundle's decisions; decisions of an interrupted run in `out` are reused."""
    from logicls.evaluation.agreement.repeatability import make_variation, open_decision_log, repeat_decisions
    from logicls.io.resources import resource_path
    from logicls.predict.decision import load_decision_model
    from logicls.predict.readers import make_reader
    from logicls.predict.self_test import open_bundle
    from logicls.report.progress import show_progress
    from logicls.synth.settings import load_augmentation_settings

    silence_progress_bars()
    opened = open_bundle(bundle)
    variation = make_variation(opened.spec, load_augmentation_settings(resource_path("synth/augment.yaml")), strength)
    manifest = {
        "bundle": opened.id, "thresholds": load_decision_model(opened).thresholds.id, "photos": str(images.resolve()),
        "strength": strength, "seed": repeats.seed,
    }  # fmt: skip
    total = len(photos) * repeats.trials
    with (
        open_decision_log(out / "decisions.jsonl", manifest) as log,
        show_progress("study", total, console) as counter,
    ):
        reader = make_reader(opened)
        return tuple(repeat_decisions(reader, photos, images, variation, repeats, log=log, on_progress=counter.add))


def _write_study(out: Path, result: AgreementStudy, settings: Mapping[str, object]) -> dict[str, object]:
    from logicls.evaluation.agreement.repeatability import study_to_json
    from logicls.io.atomic import write_text

    board = {**study_to_json(result), **settings}
    write_text(out / "study.json", json.dumps(board, indent=1))
    return board
