"""Report page: one self-contained HTML file that needs no network.

Cards and thumbnails are embedded as inert text and rendered when displayed, so a page with thousands of photos opens
at once.

Charts are lines and points in percent of the plot area (SVG, y downwards), and positions of tick labels (HTML): the
browser sets the text, so that its size does not depend on the width of the plot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
from logicls.predict.uncertainty.calibration import ReliabilityBin, expected_calibration_error
from logicls.records import SEVERITIES, Verdict
from logicls.report import console
from logicls.report.card_data import TAG_SIZE, build_index, embed_cards, to_script_json
from logicls.report.card_view import Labels
from logicls.report.console import format_interval, format_percent
from logicls.report.p_chart import MIN_GROUPS_FOR_LIMITS, PChart
from logicls.report.summary import (
    OUTCOME_ORDER,
    ReportSummary,
    TruthComparison,
    TruthCounter,
    bin_rate,
    build_confusion_matrix,
    summarize,
)


@dataclass(frozen=True, slots=True)
class Point:
    """Data point with its tooltip."""

    x: float
    y: float
    label: str
    is_out_of_control: bool = False
    """Whether the point is outside the control limits."""
    size: float = 0.0
    """Fraction of all photos that the point represents, 0 to 1."""
    low: float = 0.0
    """y positions of the lower and upper end of the confidence interval."""
    high: float = 0.0


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines as `points` attributes of polylines, data points, and axis ticks as (position, text)."""

    line: str
    points: tuple[Point, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    upper: str = ""
    lower: str = ""
    centre_line: float = 0.0


def plot_p_chart(chart: PChart) -> Plot:
    """Return the geometry of a p-chart."""
    width, top = 100 / len(chart.groups), chart.axis_top
    points = []
    for n, group in enumerate(chart.groups):
        start = f", from {group.start_time}" if group.start_time else ""
        photos = f"photos {group.first:,} to {group.last:,}{start}"
        label = f"{photos}: {group.count} of {group.size}, {format_percent(group.share)}"
        points.append(Point((n + 0.5) * width, _y_position(group.share, top), label, group.is_out_of_control))
    return Plot(
        line=_polyline((p.x, p.y) for p in points),
        points=tuple(points),
        x_ticks=tuple((point.x, text) for point, text in _group_ticks(chart, points)),
        y_ticks=tuple((_y_position(share, top), format_tick(share)) for share in (0.0, top / 2, top)),
        upper=_polyline((x * width, _y_position(g.high, top)) for n, g in enumerate(chart.groups) for x in (n, n + 1)),
        lower=_polyline((x * width, _y_position(g.low, top)) for n, g in enumerate(chart.groups) for x in (n, n + 1)),
        centre_line=_y_position(chart.mean, top),
    )


def plot_reliability(bins: Sequence[ReliabilityBin]) -> Plot:
    """Return the geometry of a reliability diagram: observed frequency over predicted probability."""
    total = sum(b.count for b in bins)
    points = []
    for b in bins:
        low, high = bin_rate(b).ci95 or (0.0, 1.0)
        observed = f"observed {format_percent(b.observed_rate)} ({format_interval(bin_rate(b))})"
        label = f"predicted {format_percent(b.mean_probability)}, {observed}, n = {b.count}"
        points.append(
            Point(
                100 * b.mean_probability,
                _y_position(b.observed_rate, 1),
                label,
                size=b.count / total,
                low=_y_position(low, 1),
                high=_y_position(high, 1),
            )
        )
    ticks = tuple((share, format_tick(share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0))
    return Plot(
        line=_polyline((p.x, p.y) for p in points),
        points=tuple(points),
        x_ticks=tuple((100 * share, text) for share, text in ticks),
        y_ticks=tuple((_y_position(share, 1), text) for share, text in ticks),
    )


def format_tick(share: float) -> str:
    """Return a share as a tick label: `2.5 %`, `20 %`."""
    return f"{100 * share:.3g} %"


def _group_ticks(chart: PChart, points: Sequence[Point]) -> list[tuple[Point, str]]:
    """Return tick labels for the first, the middle and the last subgroup."""
    indices = sorted({0, len(points) // 2, len(points) - 1})
    return [(points[n], chart.groups[n].start_time or str(chart.groups[n].first)) for n in indices]


def _y_position(share: float, top: float) -> float:
    return 100 - 100 * share / top


def _polyline(positions: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in positions)


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
        charts=[(chart, plot_p_chart(chart)) for chart in charts],
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
        reliability=plot_reliability(bins) if bins else None,
        console=console,
        version=__version__,
        now=now,
        data=Markup(to_script_json(data)),
        css=Markup(package.joinpath("page.css").read_text(encoding="utf-8")),
        script=Markup(package.joinpath("page.js").read_text(encoding="utf-8")),
    )
    top, bottom = html.split(CARDS_PLACEHOLDER)
    return top, bottom
