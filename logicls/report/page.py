"""The report: one HTML page that carries everything in itself and asks nothing of the network.

What filters and charts need stands in the page; each card and each thumbnail is a text of its own in it, and becomes
part of what is shown only when it is turned to. So a page of thousands of photos opens at once.
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
"""Where the template leaves room for them."""
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
    """Write the page to `out`; returns what was counted. The verdicts are read once, and few are kept.

    Args:
        verdicts: Those of photos that could not be opened have width 0 and get a card without a picture.
        words: What rules, questions and violations are called.
        photos: Folder that the verdicts' photos lie below.
        out: The HTML file.
        now: When it is made, as the page says it.
        held: Shown where there is a truth.
        limit: Most cards: those that fail first, then those to review, then of those that pass some by chance, but
            a twentieth is kept for passes and a quarter for reviews. All photos count in the figures.

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
                f'<script type="text/plain" id="picture{number}">{embedded.thumbnail}</script>\n'
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
    """The page before and after the cards."""
    package = files(__package__)
    environment = SandboxedEnvironment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    labels = summary.labels
    names = {"rules": dict(labels.rules), "whys": dict(labels.reasons), "questions": dict(labels.questions)}
    causes = {
        name: [[c.page, c.variant, c.causes, c.consequences] for c in some] for name, some in labels.causes.items()
    }
    data = {**columns, **names, "causes": causes, "severities": dict(labels.severities), "tag": TAG_SIZE}
    charts, second_looks = summary.series.build_charts(), columns.get("looked")
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
