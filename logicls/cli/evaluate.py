"""The commands that measure: eval, study."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from logicls.cli import train as cli_train
from logicls.errors import DataError, Problem

if TYPE_CHECKING:
    from logicls.constraints.spec.models import Spec
    from logicls.data.coco import Dataset
    from logicls.evaluation import EvaluationMetrics
    from logicls.evaluation.agreement.decisions import Decision
    from logicls.evaluation.agreement.repeatability import RepeatOptions
    from logicls.evaluation.agreement.statistics import AgreementStudy
    from logicls.evaluation.faithfulness import Faithfulness, TrialSample
    from logicls.evaluation.mvtec_loco_scores import LocoMetrics
    from logicls.records import Outcome

console = Console()
OUT = Annotated[Path, typer.Option("--out", help="Folder to write to.")]
JSON = Annotated[bool, typer.Option("--json", help="For scripts.")]
DEFAULT_TRIALS = 200
"""Trials of each test of faithfulness, where nothing else is asked for."""


def evaluate(
    verdicts_dir: Annotated[Path, typer.Argument(help="What `logicls predict` wrote.")],
    truth: Annotated[Path, typer.Option("--truth", help="truth.csv, or a product's folder of MVTec LOCO AD.")],
    out: OUT,
    faithfulness: Annotated[
        bool, typer.Option("--faithful", help="Try whether the cited boxes are what answers rest on.")
    ] = False,
    bundle: Annotated[Path | None, typer.Option(help="With --faithful: what predicted the verdicts.")] = None,
    images: Annotated[Path | None, typer.Option(help="With --faithful: the folder that was predicted.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="With --faithful: annotated photos of good products, for edits.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help=f"With --faithful: trials of each test; {DEFAULT_TRIALS} if left out.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="With --faithful: draws the sample; 0 if left out.")] = None,
    as_json: JSON = False,
) -> None:
    """Hold verdicts against the truth."""
    from logicls.evaluation.faithfulness import TrialSample

    _check_options(
        faithfulness, {"--bundle": bundle, "--images": images, "--data": data, "--sample": sample, "--seed": seed}
    )
    board, loco = _score(verdicts_dir, truth)
    faithfulness_result = None
    if bundle and images:
        faithfulness_result = _measure_faithfulness(
            verdicts_dir, bundle, images, data, TrialSample(sample or DEFAULT_TRIALS, seed or 0), is_quiet=as_json
        )
    metrics = _write_metrics(out, board, loco, faithfulness_result)
    if as_json:
        print(json.dumps(metrics))
        return
    _print(board, loco, faithfulness_result)
    console.print(str(out / "metrics.json"), soft_wrap=True)


def write_scoreboard(verdicts_dir: Path, truth: Path, out: Path) -> EvaluationMetrics:
    """Hold verdicts against truth.csv, and write metrics.json."""
    board, _ = _score(verdicts_dir, truth)
    _write_metrics(out, board, None, None)
    return board


def _check_options(faithfulness: bool, options: dict[str, object]) -> None:
    """No option does nothing, and none is missing. Raises `DataError` (LC655)."""
    present = [name for name, value in options.items() if value is not None]
    if faithfulness:
        missing = [name for name in ("--bundle", "--images") if name not in present]
        problems = [
            Problem("LC655", f"--faithful needs {name}.", advice="The photos are looked at again.") for name in missing
        ]
    else:
        problems = [Problem("LC655", f"{name} does nothing without --faithful.") for name in present]
    if problems:
        raise DataError(problems)


def _score(verdicts_dir: Path, truth: Path) -> tuple[EvaluationMetrics, LocoMetrics | None]:
    from logicls.evaluation import read_truth, compute_metrics
    from logicls.predict.folder.runner import read_verdicts

    verdicts = read_verdicts(verdicts_dir / "verdicts.jsonl")
    if not truth.is_dir():
        return compute_metrics(verdicts, read_truth(truth)), None
    from logicls.evaluation.mvtec_loco import read_loco
    from logicls.evaluation.mvtec_loco_scores import match_verdicts, rule_truth, compute_loco_metrics

    product = read_loco(truth)
    matched, others = match_verdicts(verdicts, product)
    rule_truth = rule_truth(product, matched)
    board = compute_metrics([verdict for verdict in matched.values() if verdict.photo in rule_truth], rule_truth)
    return board, compute_loco_metrics(product, matched, ignored_verdicts=len(others))


def _measure_faithfulness(
    verdicts_dir: Path, bundle: Path, images: Path, data: Path | None, sample: TrialSample, *, is_quiet: bool
) -> Faithfulness:
    """Look at a sample again. Where it is `quiet`, progress goes to standard error."""
    from logicls.evaluation.faithfulness import measure_faithfulness
    from logicls.predict.folder.runner import read_verdicts
    from logicls.predict.readers.factory import make_reader
    from logicls.predict.self_test import open_bundle
    from logicls.report.progress import show_progress

    cli_train.silence_progress_bars()
    opened = open_bundle(bundle)
    dataset = _read_matching_dataset(data, opened.spec) if data else None
    progress_console = Console(stderr=True) if is_quiet else console
    with show_progress("faithful", sample.size * (2 if dataset else 1), progress_console) as counter:
        verdicts = read_verdicts(verdicts_dir / "verdicts.jsonl")
        return measure_faithfulness(
            make_reader(opened), verdicts, images, sample, data=dataset, on_progress=counter.add
        )


def _read_matching_dataset(data: Path, spec: Spec) -> Dataset:
    """Annotated photos that fit the spec. Raises `DataError`."""
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


def _print(board: EvaluationMetrics, loco: LocoMetrics | None, faithfulness_result: Faithfulness | None) -> None:
    from logicls.report.console import print_faithfulness, print_loco, print_scoreboard

    print_scoreboard(board, console)
    if loco:
        print_loco(loco, console)
    if faithfulness_result:
        print_faithfulness(faithfulness_result, console)


def study(
    bundle: Annotated[Path, typer.Argument(help="What `logicls train` wrote.")],
    images: Annotated[Path, typer.Argument(help="Folder of photos.")],
    truth: Annotated[Path, typer.Option("--truth", help="truth.csv: image,violations.")],
    out: OUT,
    inspectors: Annotated[
        Path | None, typer.Option(help="Decisions of people, a CSV file: photo,inspector,trial,decision.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Times that the bundle decides on each photo.")] = 3,
    strength: Annotated[
        float, typer.Option(min=0, max=1, help="How much the photo varies; 1: as much as in training.")
    ] = 0.5,
    seed: Annotated[int, typer.Option(help="The same seed varies photos alike.")] = 0,
    as_json: JSON = False,
) -> None:
    """Attribute agreement: the bundle decides on photos several times, beside people, against the truth."""
    from logicls.evaluation import read_truth
    from logicls.evaluation.agreement.decisions import read_decisions, write_decisions
    from logicls.evaluation.agreement.repeatability import RepeatOptions, check_photos
    from logicls.evaluation.agreement.statistics import analyze_agreement as figures
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
    result = figures(decisions, standard)
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
    """The bundle's decisions; those that an earlier run has left in `out` are gone on from."""
    from logicls.evaluation.agreement.repeatability import repeat_decisions, make_retake
    from logicls.evaluation.agreement.storage import open_decision_log
    from logicls.io.resources import resource_path
    from logicls.predict.decision import load_decision_model
    from logicls.predict.readers.factory import make_reader
    from logicls.predict.self_test import open_bundle
    from logicls.report.progress import show_progress
    from logicls.synth.settings import load_augmentation_settings

    cli_train.silence_progress_bars()
    opened = open_bundle(bundle)
    again = make_retake(opened.spec, load_augmentation_settings(resource_path("synth/augment.yaml")), strength)
    manifest = {
        "bundle": opened.id, "thresholds": load_decision_model(opened).thresholds.id, "photos": str(images.resolve()),
        "strength": strength, "seed": repeats.seed,
    }  # fmt: skip
    total = len(photos) * repeats.trials
    with (
        open_decision_log(out / "decisions.jsonl", manifest) as finished,
        show_progress("study", total, console) as counter,
    ):
        return tuple(
            repeat_decisions(make_reader(opened), photos, images, again, repeats, log=finished, on_progress=counter.add)
        )


def _write_study(out: Path, result: AgreementStudy, settings: Mapping[str, object]) -> dict[str, object]:
    from logicls.evaluation.agreement.storage import study_to_json
    from logicls.io.atomic import write_text

    board = {**study_to_json(result), **settings}
    write_text(out / "study.json", json.dumps(board, indent=1))
    return board
