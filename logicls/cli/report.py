"""The commands about what was predicted: report and replay; and the files that predict leaves for people to read."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from logicls.constraints.spec.models import Spec
    from logicls.report.summary import Held, Tally

console = Console()
LIMIT = 5000
VERDICTS = Annotated[Path, typer.Argument(help="What `logicls predict` wrote.")]
XLSX = Annotated[bool, typer.Option("--xlsx", help="Also verdicts.xlsx; needs `pip install logicls[xlsx]`.")]
JUNIT = Annotated[Path | None, typer.Option("--junit", help="Also JUnit XML for a build server, a test case a photo.")]
BUNDLE = Annotated[Path | None, typer.Option("--bundle", help="The bundle; where it lay if left out.")]
PHOTOS = Annotated[Path | None, typer.Option("--photos", help="Folder of the photos; where they lay if left out.")]


def report(
    verdicts_dir: VERDICTS,
    truth: Annotated[
        Path | None, typer.Option("--truth", help="truth.csv, or a product's folder of MVTec LOCO AD.")
    ] = None,
    bundle: BUNDLE = None,
    photos: PHOTOS = None,
    xlsx: XLSX = False,
    junit: JUNIT = None,
    cards: Annotated[int, typer.Option(min=1, help="Most photos with a card on the page.")] = LIMIT,
    knowledge: Annotated[
        Path | None, typer.Option("--knowledge", help="Folder of what is known of products: causes, consequences.")
    ] = None,
) -> None:
    """Make the page again from verdicts, without predicting. Exit code 1 where a photo does not pass."""
    from logicls.constraints.spec.loader import load_spec
    from logicls.predict.folder.replay import origin_of

    origin = origin_of(verdicts_dir, bundle=bundle, photos=photos)
    spec = load_spec(origin.bundle / "spec.yaml")
    tally = write_files(
        spec, origin.photos, verdicts_dir, truth=truth, xlsx=xlsx, junit=junit, cards=cards, knowledge=knowledge
    )
    conclude(tally, verdicts_dir)


def replay(
    result_id: Annotated[str, typer.Argument(help="As on the card and in verdicts.csv; its first digits do.")],
    verdicts: Annotated[Path, typer.Option("--verdicts", help="What `logicls predict` wrote.")],
    bundle: BUNDLE = None,
    photos: PHOTOS = None,
    knowledge: Annotated[
        Path | None, typer.Option("--knowledge", help="Folder that was plugged in; where it lay if left out.")
    ] = None,
) -> None:
    """Predict a photo again, with the same plug-ins, and compare. Exit code 1 where something is not as it was."""
    from logicls.cli import train as cli_train
    from logicls.plugins import selection as wanted
    from logicls.predict.folder import replay as again
    from logicls.predict.self_test import open_bundle

    before = again.find_result(result_id, verdicts)
    origin = again.origin_of(verdicts, bundle=bundle, photos=photos)
    cli_train.quiet_libraries()
    opened = open_bundle(origin.bundle)
    plugins = wanted.again(before.plugins, knowledge or origin.knowledge).made(opened)
    now = again.replay(before, opened, origin.photos, plugins)
    differing = again.differences(before, now)
    for line in differing:
        console.print(Text(f"{before.photo}: {line}"), soft_wrap=True)
    if not differing:
        within = f"probabilities within {again.CHANCE:g}, boxes within {again.PIXELS:g} pixel"
        plugged = "".join(f", {plug.to_text}" for plug in before.plugins)
        said = f"{before.photo}: the same again, {before.outcome}: {len(before.answers)} answers, {within}{plugged}"
        console.print(Text(said), soft_wrap=True)
    raise typer.Exit(1 if differing else 0)


def write_files(
    spec: Spec,
    photos: Path,
    out: Path,
    *,
    truth: Path | None = None,
    xlsx: bool = False,
    junit: Path | None = None,
    cards: int = LIMIT,
    knowledge: Path | None = None,
) -> Tally:
    """Write the page, and the tables that were asked for, from the verdicts in `out`; returns what was counted.

    Causes and consequences beside violations are those of the folder `knowledge`, or of the one that was plugged in.

    Raises:
        SpecError, DataError: The knowledge cannot be read (LC701 to LC703).
        DataError: openpyxl is missing (LC644), the truth cannot be used, or a file cannot be written (LC253).
    """
    from logicls.predict.folder.runner import read_verdicts
    from logicls.report.card_view import words_of
    from logicls.report.junit import write_junit
    from logicls.report.page import write_report
    from logicls.report.xlsx import write_sheet

    ready(xlsx=xlsx)
    lines, words = out / "verdicts.jsonl", words_of(spec)
    known = knowledge or _plugged_in(out)
    if known is not None:
        from logicls.plugins.retrieval.knowledge import causes_of

        words = replace(words, causes=causes_of(known, spec.product.name))
    held = held_against(out, truth) if truth else None
    tally = write_report(
        read_verdicts(lines), words, photos=photos, out=page_of(out), now=datetime.now(), held=held, limit=cards
    )
    if xlsx:
        write_sheet(read_verdicts(lines), out / "verdicts.xlsx", words)
    if junit:
        write_junit(lambda: read_verdicts(lines), junit, words)
    return tally


def _plugged_in(out: Path) -> Path | None:
    """The folder of knowledge that the verdicts were made with; None without one, or where it is gone."""
    from logicls.io.run_manifest import claimed

    noted = claimed(out / "run.json").get("knowledge")
    return Path(str(noted)) if noted and Path(str(noted)).is_dir() else None


def ready(*, xlsx: bool) -> None:
    """Say what is missing before hours of work, not after. Raises `DataError` (LC644)."""
    if xlsx:
        from logicls.report.xlsx import workbook

        workbook()


def held_against(out: Path, truth: Path) -> Held:
    """The verdicts in `out` beside truth.csv, or a product's folder of MVTec LOCO AD.

    Reliability is that of metrics.json in `out`, if it has any.
    """
    from logicls.evaluation import read_truth, score
    from logicls.evaluation.mvtec_loco import read_loco
    from logicls.evaluation.mvtec_loco_scores import place, rules_truth
    from logicls.predict.folder.runner import read_verdicts
    from logicls.report.summary import Held, read_reliability

    lines, reliability = out / "verdicts.jsonl", read_reliability(out / "metrics.json")
    if not truth.is_dir():
        true = read_truth(truth)
        return Held(true, score(read_verdicts(lines), true), reliability)
    product = read_loco(truth)
    placed, _ = place(read_verdicts(lines), product)
    true = rules_truth(product, placed)
    return Held(true, score([v for v in placed.values() if v.photo in true], true), reliability)


def conclude(tally: Tally, out: Path) -> None:
    """Say how many of each outcome there are and where the page is; ends with exit code 0 where all pass, 1 else."""
    raise typer.Exit(0 if told(tally, out) else 1)


def told(tally: Tally, out: Path) -> bool:
    """Say the same; whether all pass."""
    counts = ", ".join(f"{count} {name}" for name, count in sorted(tally.outcomes.items())) or "no photos"
    console.print(f"{counts}\n{page_of(out)}", soft_wrap=True)
    return set(tally.outcomes) <= {"pass"}


def page_of(out: Path) -> Path:
    """Where the page of a folder of verdicts is."""
    return out / "report" / "index.html"
