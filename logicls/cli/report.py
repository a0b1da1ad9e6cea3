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
    from logicls.report.summary import ReportSummary, TruthComparison

console = Console()
MAX_CARDS = 5000
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
    max_cards: Annotated[int, typer.Option(min=1, help="Most photos with a card on the page.")] = MAX_CARDS,
    knowledge: Annotated[
        Path | None, typer.Option("--knowledge", help="Folder of what is known of products: causes, consequences.")
    ] = None,
) -> None:
    """Make the page again from verdicts, without predicting. Exit code 1 where a photo does not pass."""
    from logicls.constraints.spec.loader import load_spec
    from logicls.predict.folder.replay import find_origin

    origin = find_origin(verdicts_dir, bundle=bundle, photos=photos)
    spec = load_spec(origin.bundle / "spec.yaml")
    summary = write_files(
        spec, origin.photos, verdicts_dir, truth=truth, xlsx=xlsx, junit=junit, max_cards=max_cards, knowledge=knowledge
    )
    exit_by_outcome(summary, verdicts_dir)


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

    recorded = again.find_result(result_id, verdicts)
    origin = again.find_origin(verdicts, bundle=bundle, photos=photos)
    cli_train.silence_progress_bars()
    opened = open_bundle(origin.bundle)
    plugins = wanted.restore_selection(recorded.plugins, knowledge or origin.knowledge).build(opened)
    repeated = again.replay(recorded, opened, origin.photos, plugins)
    differences = again.compare_verdicts(recorded, repeated)
    for line in differences:
        console.print(Text(f"{recorded.photo}: {line}"), soft_wrap=True)
    if not differences:
        tolerance = f"probabilities within {again.PROBABILITY_TOLERANCE:g}, boxes within {again.BOX_TOLERANCE:g} pixel"
        plugin_text = "".join(f", {plugin.to_text()}" for plugin in recorded.plugins)
        result = f"{recorded.outcome}: {len(recorded.answers)} answers, {tolerance}{plugin_text}"
        message = f"{recorded.photo}: the same again, {result}"
        console.print(Text(message), soft_wrap=True)
    raise typer.Exit(1 if differences else 0)


def write_files(
    spec: Spec,
    photos: Path,
    out: Path,
    *,
    truth: Path | None = None,
    xlsx: bool = False,
    junit: Path | None = None,
    max_cards: int = MAX_CARDS,
    knowledge: Path | None = None,
) -> ReportSummary:
    """Write the page, and the tables that were asked for, from the verdicts in `out`; returns what was counted.

    Causes and consequences beside violations are those of the folder `knowledge`, or of the one that was plugged in.

    Raises:
        SpecError, DataError: The knowledge cannot be read (LC701 to LC703).
        DataError: openpyxl is missing (LC644), the truth cannot be used, or a file cannot be written (LC253).
    """
    from logicls.predict.folder.runner import read_verdicts
    from logicls.report.card_view import build_labels
    from logicls.report.junit import write_junit
    from logicls.report.page import write_report
    from logicls.report.xlsx import write_xlsx

    check_xlsx_installed(xlsx=xlsx)
    lines, labels = out / "verdicts.jsonl", build_labels(spec)
    knowledge_folder = knowledge or _find_knowledge(out)
    if knowledge_folder is not None:
        from logicls.plugins.retrieval.knowledge import read_causes

        labels = replace(labels, causes=read_causes(knowledge_folder, spec.product.name))
    comparison = compare_with_truth(out, truth) if truth else None
    summary = write_report(
        read_verdicts(lines),
        labels,
        photos=photos,
        out=report_path(out),
        now=datetime.now(),
        comparison=comparison,
        max_cards=max_cards,
    )
    if xlsx:
        write_xlsx(read_verdicts(lines), out / "verdicts.xlsx", labels)
    if junit:
        write_junit(lambda: read_verdicts(lines), junit, labels)
    return summary


def _find_knowledge(out: Path) -> Path | None:
    """The folder of knowledge that the verdicts were made with; None without one, or where it is gone."""
    from logicls.io.run_manifest import read_manifest

    path = read_manifest(out / "run.json").get("knowledge")
    return Path(str(path)) if path and Path(str(path)).is_dir() else None


def check_xlsx_installed(*, xlsx: bool) -> None:
    """Say what is missing before hours of work, not after. Raises `DataError` (LC644)."""
    if xlsx:
        from logicls.report.xlsx import open_workbook

        open_workbook()


def compare_with_truth(out: Path, truth: Path) -> TruthComparison:
    """The verdicts in `out` beside truth.csv, or a product's folder of MVTec LOCO AD.

    Reliability is that of metrics.json in `out`, if it has any.
    """
    from logicls.evaluation import read_truth, compute_metrics
    from logicls.evaluation.mvtec_loco import read_loco
    from logicls.evaluation.mvtec_loco_scores import match_verdicts, rule_truth
    from logicls.predict.folder.runner import read_verdicts
    from logicls.report.summary import TruthComparison, read_reliability

    lines, reliability = out / "verdicts.jsonl", read_reliability(out / "metrics.json")
    if not truth.is_dir():
        true_violations = read_truth(truth)
        return TruthComparison(true_violations, compute_metrics(read_verdicts(lines), true_violations), reliability)
    product = read_loco(truth)
    matched, _ = match_verdicts(read_verdicts(lines), product)
    true_violations = rule_truth(product, matched)
    return TruthComparison(
        true_violations,
        compute_metrics([v for v in matched.values() if v.photo in true_violations], true_violations),
        reliability,
    )


def exit_by_outcome(summary: ReportSummary, out: Path) -> None:
    """Say how many of each outcome there are and where the page is; ends with exit code 0 where all pass, 1 else."""
    raise typer.Exit(0 if print_outcomes(summary, out) else 1)


def print_outcomes(summary: ReportSummary, out: Path) -> bool:
    """Say the same; whether all pass."""
    counts = ", ".join(f"{count} {name}" for name, count in sorted(summary.outcomes.items())) or "no photos"
    console.print(f"{counts}\n{report_path(out)}", soft_wrap=True)
    return set(summary.outcomes) <= {"pass"}


def report_path(out: Path) -> Path:
    """Where the page of a folder of verdicts is."""
    return out / "report" / "index.html"
