"""Charts as places in percent of a frame: the page's template puts lines and points there, and the browser the text.

So text is as large on a phone as on a desk, whatever the width of the frame. y runs downwards, as on a screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from logicls.predict.uncertainty.calibration import Bin
from logicls.report.console import interval, percent
from logicls.report.p_chart import Chart
from logicls.report.summary import rate_of


@dataclass(frozen=True, slots=True)
class Point:
    """One point, and what it says when it is pointed at."""

    x: float
    y: float
    label: str
    out: bool = False
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
    across: tuple[tuple[float, str], ...]
    upward: tuple[tuple[float, str], ...]
    upper: str = ""
    lower: str = ""
    centre: float = 0.0


def plot_control(chart: Chart) -> Plot:
    """A p-chart."""
    wide, top = 100 / len(chart.groups), chart.top
    points = []
    for n, group in enumerate(chart.groups):
        when = f", from {group.began}" if group.began else ""
        said = f"photos {group.first} to {group.last}{when}: {group.count} of {group.n}, {percent(group.share)}"
        points.append(Point((n + 0.5) * wide, _up(group.share, top), said, group.out))
    return Plot(
        line=_line((p.x, p.y) for p in points),
        points=tuple(points),
        across=tuple((point.x, text) for point, text in _across(chart, points)),
        upward=tuple((_up(share, top), percent_round(share)) for share in (0.0, top / 2, top)),
        upper=_line((x * wide, _up(g.high, top)) for n, g in enumerate(chart.groups) for x in (n, n + 1)),
        lower=_line((x * wide, _up(g.low, top)) for n, g in enumerate(chart.groups) for x in (n, n + 1)),
        centre=_up(chart.mean, top),
    )


def plot_reliability(bins: Sequence[Bin]) -> Plot:
    """How often what was said was true, over what was said."""
    total = sum(b.count for b in bins)
    points = []
    for b in bins:
        low, high = rate_of(b).ci95 or (0.0, 1.0)
        told = f"said {percent(b.said)}, true {percent(b.true)} ({interval(rate_of(b))}), {b.count} times"
        points.append(
            Point(100 * b.said, _up(b.true, 1), told, size=b.count / total, low=_up(low, 1), high=_up(high, 1))
        )
    ticks = tuple((share, percent_round(share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0))
    return Plot(
        line=_line((p.x, p.y) for p in points),
        points=tuple(points),
        across=tuple((100 * share, text) for share, text in ticks),
        upward=tuple((_up(share, 1), text) for share, text in ticks),
    )


def percent_round(share: float) -> str:
    """A share as a tick says it: `2.5 %`, `20 %`."""
    return f"{100 * share:.3g} %"


def _across(chart: Chart, points: Sequence[Point]) -> list[tuple[Point, str]]:
    """Ticks at the first group, one in the middle and the last."""
    places = sorted({0, len(points) // 2, len(points) - 1})
    return [(points[n], chart.groups[n].began or str(chart.groups[n].first)) for n in places]


def _up(share: float, top: float) -> float:
    return 100 - 100 * share / top


def _line(places: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in places)
