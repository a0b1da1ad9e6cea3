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
    from logicls.evaluation import Scoreboard
    from logicls.evaluation.agreement.decisions import Decision
    from logicls.evaluation.agreement.repeatability import Repeats
    from logicls.evaluation.agreement.statistics import Study
    from logicls.evaluation.faithfulness import Faithfulness, Sample
    from logicls.evaluation.mvtec_loco_scores import LocoScore
    from logicls.records import Outcome

console = Console()
OUT = Annotated[Path, typer.Option("--out", help="Folder to write to.")]
JSON = Annotated[bool, typer.Option("--json", help="For scripts.")]
SAMPLE = 200
"""Trials of each test of faithfulness, where nothing else is asked for."""


def evaluate(
    verdicts_dir: Annotated[Path, typer.Argument(help="What `logicls predict` wrote.")],
    truth: Annotated[Path, typer.Option("--truth", help="truth.csv, or a product's folder of MVTec LOCO AD.")],
    out: OUT,
    faithful: Annotated[
        bool, typer.Option("--faithful", help="Try whether the cited boxes are what answers rest on.")
    ] = False,
    bundle: Annotated[Path | None, typer.Option(help="With --faithful: what predicted the verdicts.")] = None,
    images: Annotated[Path | None, typer.Option(help="With --faithful: the folder that was predicted.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="With --faithful: annotated photos of good products, for edits.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help=f"With --faithful: trials of each test; {SAMPLE} if left out.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="With --faithful: draws the sample; 0 if left out.")] = None,
    as_json: JSON = False,
) -> None:
    """Hold verdicts against the truth."""
    from logicls.evaluation.faithfulness import Sample

    _check_options(
        faithful, {"--bundle": bundle, "--images": images, "--data": data, "--sample": sample, "--seed": seed}
    )
    board, loco = _scored(verdicts_dir, truth)
    tried = None
    if bundle and images:
        tried = _tried(verdicts_dir, bundle, images, data, Sample(sample or SAMPLE, seed or 0), quiet=as_json)
    metrics = _write(out, board, loco, tried)
    if as_json:
        print(json.dumps(metrics))
        return
    _print(board, loco, tried)
    console.print(str(out / "metrics.json"), soft_wrap=True)


def scored(verdicts_dir: Path, truth: Path, out: Path) -> Scoreboard:
    """Hold verdicts against truth.csv, and write metrics.json."""
    board, _ = _scored(verdicts_dir, truth)
    _write(out, board, None, None)
    return board


def _check_options(faithful: bool, given: dict[str, object]) -> None:
    """No option does nothing, and none is missing. Raises `DataError` (LC655)."""
    named = [name for name, value in given.items() if value is not None]
    if faithful:
        missing = [name for name in ("--bundle", "--images") if name not in named]
        problems = [
            Problem("LC655", f"--faithful needs {name}.", advice="The photos are looked at again.") for name in missing
        ]
    else:
        problems = [Problem("LC655", f"{name} does nothing without --faithful.") for name in named]
    if problems:
        raise DataError(problems)


def _scored(verdicts_dir: Path, truth: Path) -> tuple[Scoreboard, LocoScore | None]:
    from logicls.evaluation import read_truth, score
    from logicls.predict.folder.runner import read_verdicts

    verdicts = read_verdicts(verdicts_dir / "verdicts.jsonl")
    if not truth.is_dir():
        return score(verdicts, read_truth(truth)), None
    from logicls.evaluation.mvtec_loco import read_loco
    from logicls.evaluation.mvtec_loco_scores import place, rules_truth, score_loco

    product = read_loco(truth)
    placed, others = place(verdicts, product)
    told = rules_truth(product, placed)
    board = score([verdict for verdict in placed.values() if verdict.photo in told], told)
    return board, score_loco(product, placed, left_out=len(others))


def _tried(
    verdicts_dir: Path, bundle: Path, images: Path, data: Path | None, sample: Sample, *, quiet: bool
) -> Faithfulness:
    """Look at a sample again. Where it is `quiet`, progress goes to standard error."""
    from logicls.evaluation.faithfulness import faithfulness
    from logicls.predict.folder.runner import read_verdicts
    from logicls.predict.readers.protocol import reader_of
    from logicls.predict.self_test import open_bundle
    from logicls.report.progress import counting

    cli_train.quiet_libraries()
    opened = open_bundle(bundle)
    dataset = _dataset(data, opened.spec) if data else None
    shown = Console(stderr=True) if quiet else console
    with counting("faithful", sample.size * (2 if dataset else 1), shown) as counter:
        verdicts = read_verdicts(verdicts_dir / "verdicts.jsonl")
        return faithfulness(reader_of(opened), verdicts, images, sample, data=dataset, done=counter.add)


def _dataset(data: Path, spec: Spec) -> Dataset:
    """Annotated photos that fit the spec. Raises `DataError`."""
    from logicls.data.coco import read_for
    from logicls.data.dataset_lint import misfits

    dataset = read_for(spec, data)
    found = misfits(dataset, spec.components)
    if found:
        raise DataError(found)
    return dataset


def _write(out: Path, board: Scoreboard, loco: LocoScore | None, tried: Faithfulness | None) -> dict[str, object]:
    from logicls.io.jsonl import write_text

    metrics = board.to_json()
    metrics |= {"loco": loco.to_json()} if loco else {}
    metrics |= {"faithful": tried.to_json()} if tried else {}
    write_text(out / "metrics.json", json.dumps(metrics, indent=1))
    return metrics


def _print(board: Scoreboard, loco: LocoScore | None, tried: Faithfulness | None) -> None:
    from logicls.report.console import print_faithful, print_loco, print_scoreboard

    print_scoreboard(board, console)
    if loco:
        print_loco(loco, console)
    if tried:
        print_faithful(tried, console)


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
    from logicls.evaluation.agreement.repeatability import Repeats, check_photos
    from logicls.evaluation.agreement.statistics import study as figures
    from logicls.report.console import print_study

    true = read_truth(truth)
    people = read_decisions(inspectors, true) if inspectors else ()
    check_photos(tuple(true), images)
    quiet = Console(stderr=True) if as_json else console
    repeats = Repeats(trials, seed)
    decisions = (*_repeated(bundle, images, tuple(true), strength, repeats, out=out, shown=quiet), *people)
    standard: dict[str, Outcome] = {photo: "fail" if names else "pass" for photo, names in true.items()}
    found = figures(decisions, standard)
    write_decisions(decisions, standard, out / "study.csv")
    board = _write_study(out, found, {"seed": seed, "strength": strength})
    if as_json:
        print(json.dumps(board))
        return
    print_study(found, console)
    console.print(str(out / "study.json"), soft_wrap=True)


def _repeated(
    bundle: Path, images: Path, photos: tuple[str, ...], strength: float, repeats: Repeats, *, out: Path, shown: Console
) -> tuple[Decision, ...]:
    """The bundle's decisions; those that an earlier run has left in `out` are gone on from."""
    from logicls.evaluation.agreement.repeatability import decide_again, retake
    from logicls.evaluation.agreement.storage import kept
    from logicls.io.resources import share
    from logicls.predict.decision import grounds_of
    from logicls.predict.readers.protocol import reader_of
    from logicls.predict.self_test import open_bundle
    from logicls.report.progress import counting
    from logicls.synth.augmentation import read_strength

    cli_train.quiet_libraries()
    opened = open_bundle(bundle)
    again = retake(opened.spec, read_strength(share("synth/augment.yaml")), strength)
    made_of = {
        "bundle": opened.id, "thresholds": grounds_of(opened).thresholds.id, "photos": str(images.resolve()),
        "strength": strength, "seed": repeats.seed,
    }  # fmt: skip
    total = len(photos) * repeats.trials
    with kept(out / "decisions.jsonl", made_of) as known, counting("study", total, shown) as counter:
        return tuple(decide_again(reader_of(opened), photos, images, again, repeats, kept=known, done=counter.add))


def _write_study(out: Path, found: Study, settings: Mapping[str, object]) -> dict[str, object]:
    from logicls.evaluation.agreement.storage import study_to_json
    from logicls.io.jsonl import write_text

    board = {**study_to_json(found), **settings}
    write_text(out / "study.json", json.dumps(board, indent=1))
    return board
