"""Charts as places in percent of a frame: the page's template puts lines and points there, and the browser the text.

So text is as large on a phone as on a desk, whatever the width of the frame. y runs downwards, as on a screen.
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
    """One point, and what it says when it is pointed at."""

    x: float
    y: float
    label: str
    is_out_of_control: bool = False
    """Whether it is beyond the limits."""
    size: float = 0.0
    """Share of all photos that it stands for, 0 to 1."""
    low: float = 0.0
    """Where its interval ends, at the bottom and at the top."""
    high: float = 0.0


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines as the `points` of a polyline, points, and ticks of the axes as (place, text)."""

    line: str
    points: tuple[Point, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    upper: str = ""
    lower: str = ""
    centre_line: float = 0.0


def plot_p_chart(chart: PChart) -> Plot:
    """A p-chart."""
    width, top = 100 / len(chart.groups), chart.axis_top
    points = []
    for n, group in enumerate(chart.groups):
        start = f", from {group.start_time}" if group.start_time else ""
        label = (
            f"photos {group.first} to {group.last}{start}: {group.count} of {group.size}, {format_percent(group.share)}"
        )
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
    """How often what was said was true, over what was said."""
    total = sum(b.count for b in bins)
    points = []
    for b in bins:
        low, high = bin_rate(b).ci95 or (0.0, 1.0)
        label = f"said {format_percent(b.mean_probability)}, true {format_percent(b.observed_rate)} ({format_interval(bin_rate(b))}), {b.count} times"
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
    """A share as a tick says it: `2.5 %`, `20 %`."""
    return f"{100 * share:.3g} %"


def _group_ticks(chart: PChart, points: Sequence[Point]) -> list[tuple[Point, str]]:
    """Ticks at the first group, one in the middle and the last."""
    indices = sorted({0, len(points) // 2, len(points) - 1})
    return [(points[n], chart.groups[n].start_time or str(chart.groups[n].first)) for n in indices]


def _y_position(share: float, top: float) -> float:
    return 100 - 100 * share / top


def _polyline(positions: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in positions)
