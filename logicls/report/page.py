"""Report page: one self-contained HTML file that needs no network.

Cards and thumbnails are embedded as inert text and rendered when displayed, so a page with thousands of photos opens
at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from importlib.resources import files
from itertools import chain
from pathlib import Path

from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup

from logicls import __version__
from logicls.errors import count_text
from logicls.io import atomic
from logicls.predict.uncertainty.calibration import expected_calibration_error
from logicls.records import SEVERITIES, Verdict
from logicls.report import charts as chart_plots
from logicls.report import console
from logicls.report.card_data import TAG_SIZE, build_index, embed_cards, to_script_json
from logicls.report.card_view import Labels
from logicls.report.p_chart import MIN_GROUPS_FOR_LIMITS
from logicls.report.summary import (
    OUTCOME_ORDER,
    ReportSummary,
    TruthComparison,
    TruthCounter,
    bin_rate,
    build_confusion_matrix,
    summarize,
)

CARDS_PLACEHOLDER = "<!-- cards -->"
"""Position of the cards in the template."""
MAX_CARDS = 5000


def write_report(
    verdicts: Iterable[Verdict],
    labels: Labels,
    *,
    photos: Path,
    out: Path,
    now: datetime,
    comparison: TruthComparison | None = None,
    max_cards: int = MAX_CARDS,
) -> ReportSummary:
    """Write the report page and return its figures. The verdicts are read once, and few stay in memory.

    Args:
        verdicts: Verdicts on unreadable photos have width 0 and get a card without a photo.
        labels: Texts of rules, questions and violations.
        photos: Folder that photo names are relative to.
        out: HTML file.
        now: Creation time displayed on the page.
        comparison: Ground truth and scores to display; None without ground truth.
        max_cards: Largest number of cards: first failing photos, then reviews, then a random sample of passes; up to
            1/20 is reserved for passes and 1/4 for reviews. The figures count all photos.

    Raises:
        DataError: The file cannot be written (LC253).
    """
    truth = comparison.truth if comparison else {}
    summary = summarize(
        verdicts, labels, photos=photos, limit=max_cards, truth_counter=TruthCounter(truth) if comparison else None
    )
    selected = summary.select_photos(max_cards)
    verdicts_with_card = list(chain.from_iterable(selected.values()))
    top, bottom = _render_frame(
        summary,
        comparison,
        build_index(verdicts_with_card, truth),
        {name: len(photos_of_outcome) for name, photos_of_outcome in selected.items()},
        now,
    )
    with atomic.open_atomic(out) as file:
        file.write(top)
        for number, embedded in enumerate(embed_cards(verdicts_with_card, photos, truth)):
            file.write(f'<script type="application/json" id="card{number}">{embedded.record}</script>\n')
            file.write(
                f'<script type="text/plain" id="thumbnail{number}">{embedded.thumbnail}</script>\n'
                if embedded.thumbnail
                else ""
            )
        file.write(bottom)
    return summary


def _render_frame(
    summary: ReportSummary,
    comparison: TruthComparison | None,
    columns: dict[str, object],
    card_counts: dict[str, int],
    now: datetime,
) -> tuple[str, str]:
    """Render the page; return the parts before and after the cards."""
    package = files(__package__)
    environment = SandboxedEnvironment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    labels = summary.labels
    names = {"rules": dict(labels.rules), "reasons": dict(labels.reasons), "questions": dict(labels.questions)}
    causes = {
        name: [[c.page, c.variant, c.causes, c.consequences] for c in pages] for name, pages in labels.causes.items()
    }
    data = {**columns, **names, "causes": causes, "severities": dict(labels.severities), "tag": TAG_SIZE}
    charts, second_looks = summary.series.build_charts(), columns.get("secondLook")
    bins = (
        (comparison.reliability or summary.truth_counter.reliability_bins())
        if comparison and summary.truth_counter
        else ()
    )
    html = environment.from_string(package.joinpath("page.html.j2").read_text(encoding="utf-8")).render(
        summary=summary,
        card_counts=card_counts,
        second_look_count=sum(second_looks) if isinstance(second_looks, list) else 0,
        order=OUTCOME_ORDER,
        severities=SEVERITIES,
        bars=summary.pareto(),
        charts=[(chart, chart_plots.plot_p_chart(chart)) for chart in charts],
        min_groups=MIN_GROUPS_FOR_LIMITS,
        board=comparison.board if comparison else None,
        matrix=build_confusion_matrix(summary.truth_counter.set_pairs)
        if summary.truth_counter and summary.truth_counter.set_pairs
        else None,
        bins=bins,
        bin_rate=bin_rate,
        count_text=count_text,
        calibrated=bool(comparison and comparison.reliability),
        error=expected_calibration_error(bins),
        reliability=chart_plots.plot_reliability(bins) if bins else None,
        console=console,
        version=__version__,
        now=now,
        data=Markup(to_script_json(data)),
        css=Markup(package.joinpath("page.css").read_text(encoding="utf-8")),
        script=Markup(package.joinpath("page.js").read_text(encoding="utf-8")),
    )
    top, bottom = html.split(CARDS_PLACEHOLDER)
    return top, bottom
