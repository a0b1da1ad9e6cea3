"""Commands `report` and `replay`, and the report files that `predict` also writes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from logicls.cli.environment import silence_progress_bars
from logicls.cli.options import BUNDLE, JUNIT, PHOTOS, VERDICTS_ARGUMENT, XLSX, print_line
from logicls.errors import count_text

if TYPE_CHECKING:
    from logicls.constraints.spec.models import Spec
    from logicls.report.summary import ReportSummary, TruthComparison

MAX_CARDS = 5000
"""Default number of photos with a card on the page."""


def report(
    verdicts_dir: VERDICTS_ARGUMENT,
    truth: Annotated[
        Path | None,
        typer.Option(
            "--truth", help="Ground truth for scores: a CSV file image,violations, or a folder of MVTec LOCO AD."
        ),
    ] = None,
    bundle: BUNDLE = None,
    photos: PHOTOS = None,
    xlsx: XLSX = False,
    junit: JUNIT = None,
    max_cards: Annotated[
        int, typer.Option("--cards", min=1, help="Largest number of photos with a card on the page.")
    ] = MAX_CARDS,
    knowledge: Annotated[
        Path | None,
        typer.Option(
            "--knowledge", help="Knowledge base with causes and consequences of violations. Default: the recorded one."
        ),
    ] = None,
) -> None:
    """Create the report page again from verdicts, without inspecting the photos again.

    Exit code 1 if any photo does not pass.
    """
    from logicls.constraints.spec.loader import load_spec
    from logicls.predict.folder.replay import find_origin
    from logicls.predict.folder.rules import find_spec

    origin = find_origin(verdicts_dir, bundle=bundle, photos=photos)
    spec = load_spec(find_spec(verdicts_dir, origin.bundle))
    summary = write_files(
        spec, origin.photos, verdicts_dir, truth=truth, xlsx=xlsx, junit=junit, max_cards=max_cards, knowledge=knowledge
    )
    exit_by_outcome(summary, verdicts_dir)


def replay(
    result_id: Annotated[
        str,
        typer.Argument(
            metavar="RESULT_ID", help="Result id from the photo's card or verdicts.csv; its first digits are enough."
        ),
    ],
    verdicts: Annotated[Path, typer.Option("--verdicts", help="Folder of verdicts, written by `logicls predict`.")],
    bundle: BUNDLE = None,
    photos: PHOTOS = None,
    knowledge: Annotated[
        Path | None, typer.Option("--knowledge", help="Knowledge base of the result. Default: the recorded path.")
    ] = None,
) -> None:
    """Repeat the inspection of a photo with the same bundle and plug-ins, and compare the verdicts.

    Exit code 1 if the verdicts differ.
    """
    from logicls.plugins.selection import restore_selection
    from logicls.predict.folder import replay as replays
    from logicls.predict.self_test import open_bundle

    recorded = replays.find_result(result_id, verdicts)
    origin = replays.find_origin(verdicts, bundle=bundle, photos=photos)
    silence_progress_bars()
    opened = replays.restore_rules(open_bundle(origin.bundle), recorded, verdicts)
    plugins = restore_selection(recorded.plugins, knowledge or origin.knowledge).build(opened)
    repeated = replays.replay(recorded, opened, origin.photos, plugins)
    differences = replays.compare_verdicts(recorded, repeated)
    for line in differences:
        print_line(f"{recorded.photo}: {line}")
    if not differences:
        answers = count_text(len(recorded.answers), "answer")
        probability, pixels = replays.PROBABILITY_TOLERANCE, replays.BOX_TOLERANCE
        tolerance = f"probabilities within {probability:g}, boxes within {pixels:g} pixels"
        plugin_text = "".join(f", {plugin.to_text()}" for plugin in recorded.plugins)
        print_line(f"{recorded.photo}: reproduced, {recorded.outcome}: {answers}, {tolerance}{plugin_text}")
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
    """Write the report page and the requested tables from the verdicts in `out`; return the figures.

    Causes and consequences of violations come from the folder `knowledge`, or from the knowledge base of the run.

    Raises:
        SpecError, DataError: The knowledge base cannot be read (LC701 to LC703).
        DataError: openpyxl is missing (LC644), the ground truth is invalid, or a file cannot be written (LC253).
    """
    from logicls.predict.serialization import read_verdicts
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
    summary = write_report(
        read_verdicts(lines), labels, photos=photos, out=report_path(out), now=datetime.now(),
        comparison=compare_with_truth(out, truth) if truth else None, max_cards=max_cards,
    )  # fmt: skip
    if xlsx:
        write_xlsx(read_verdicts(lines), out / "verdicts.xlsx", labels)
    if junit:
        write_junit(lambda: read_verdicts(lines), junit, labels)
    return summary


def _find_knowledge(out: Path) -> Path | None:
    """Return the knowledge base that the verdicts were made with; None if there was none, or it does not exist."""
    from logicls.io.run_manifest import read_manifest

    path = read_manifest(out / "run.json").get("knowledge")
    return Path(str(path)) if path and Path(str(path)).is_dir() else None


def check_xlsx_installed(*, xlsx: bool) -> None:
    """Check before the inspection that a requested workbook can be written. Raises `DataError` (LC644)."""
    if xlsx:
        from logicls.report.xlsx import open_workbook

        open_workbook()


def compare_with_truth(out: Path, truth: Path) -> TruthComparison:
    """Score the verdicts in `out` against a CSV file, or a folder of a product of MVTec LOCO AD.

    Reliability bins come from metrics.json in `out`, if it exists.
    """
    from logicls.evaluation import compute_metrics, read_truth
    from logicls.evaluation.mvtec_loco import read_loco
    from logicls.evaluation.mvtec_loco_scores import match_verdicts, rule_truth
    from logicls.predict.serialization import read_verdicts
    from logicls.report.summary import TruthComparison, read_reliability

    lines, reliability = out / "verdicts.jsonl", read_reliability(out / "metrics.json")
    if not truth.is_dir():
        table = read_truth(truth)
        return TruthComparison(table, compute_metrics(read_verdicts(lines), table), reliability)
    product = read_loco(truth)
    matched, _ = match_verdicts(read_verdicts(lines), product)
    table = rule_truth(product, matched)
    board = compute_metrics([verdict for verdict in matched.values() if verdict.photo in table], table)
    return TruthComparison(table, board, reliability)


def exit_by_outcome(summary: ReportSummary, out: Path) -> None:
    """Print the outcomes and exit: code 0 if all photos pass, else 1."""
    raise typer.Exit(0 if print_outcomes(summary, out) else 1)


def print_outcomes(summary: ReportSummary, out: Path) -> bool:
    """Print the number of photos per outcome and the path of the page; return whether all photos pass."""
    print_line(", ".join(f"{count:,} {name}" for name, count in sorted(summary.outcomes.items())) or "no photos")
    print_line(str(report_path(out)))
    return set(summary.outcomes) <= {"pass"}


def report_path(out: Path) -> Path:
    """Return the path of the report page of a folder of verdicts."""
    return out / "report" / "index.html"
