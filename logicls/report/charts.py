"""Chart geometry in percent of the plot area: lines and points for SVG, positions of tick labels for HTML.

Text is set by the browser, so its size does not depend on the width of the plot. y points downwards, as in SVG.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from logicls.predict.uncertainty.calibration import ReliabilityBin
from logicls.report.console import format_interval, format_percent
from logicls.report.p_chart import PChart
from logicls.report.summary import bin_rate


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
