"""A p-chart: the share of photos with some outcome, group by group, and whether it is under control.

Limits are three standard deviations of a binomial share around the mean of all (Shewhart, Economic Control of Quality
of Manufactured Product, 1931; ISO 7870-2). A group is photos that follow one another: by time where every photo that
could be read has one in its EXIF data, in the order of the verdicts otherwise.

When a photo was taken, as its camera wrote it down.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from PIL import Image

from logicls.data.image_io import FORMATS  # which also keeps Pillow's warnings quiet
from logicls.records import Outcome, Verdict

_EXIF_IFD, _DATE_TIME_ORIGINAL, _SUBSEC_TIME_ORIGINAL = 0x8769, 0x9003, 0x9291


def read_capture_time(photo: Path) -> float | None:
    """Seconds of the camera's clock (EXIF DateTimeOriginal with its fraction); None where the file does not tell.

    EXIF 2.3 knows no time zone, so the clock is taken for UTC: good for order and for what a person reads off it.
    """
    try:
        with Image.open(photo, formats=FORMATS) as image:
            tags = Image.Image.getexif(image).get_ifd(_EXIF_IFD)
        timestamp = datetime.strptime(str(tags[_DATE_TIME_ORIGINAL]).strip("\0 "), "%Y:%m:%d %H:%M:%S").replace(
            tzinfo=UTC
        )
        fraction = str(tags.get(_SUBSEC_TIME_ORIGINAL, "")).strip("\0 ")
    except Exception:  # decoders raise anything on damaged metadata
        return None
    return timestamp.timestamp() + (float(f"0.{fraction}") if fraction.isdecimal() else 0.0)


def format_time(seconds: float) -> str:
    """That as the camera's clock showed it, to the minute."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


MIN_GROUP_SIZE = 10
"""Fewest photos in a group."""
MAX_GROUPS = 40
"""Most groups on a chart."""
MIN_GROUPS_FOR_LIMITS = 20
"""Groups from which on the limits are worth trusting."""
OUTCOMES: tuple[Outcome, ...] = ("pass", "fail", "review")
AXIS_TOPS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)


@dataclass(frozen=True, slots=True)
class Subgroup:
    """Photos in a row; shares 0 to 1."""

    first: int
    """Counted from 1, in the chart's order."""
    last: int
    count: int
    """Photos with the outcome."""
    low: float
    high: float
    start_time: str
    """When its first photo was taken; empty where the order is not that of time."""

    @property
    def size(self) -> int:
        """Photos in it."""
        return self.last - self.first + 1

    @property
    def share(self) -> float:
        """With the outcome."""
        return self.count / self.size

    @property
    def is_out_of_control(self) -> bool:
        """Whether its share is beyond the limits."""
        return not self.low <= self.share <= self.high


@dataclass(frozen=True, slots=True)
class PChart:
    """The p-chart of one outcome."""

    outcome: Outcome
    mean: float
    groups: tuple[Subgroup, ...]

    @property
    def out_of_control(self) -> tuple[Subgroup, ...]:
        """Groups out of control."""
        return tuple(group for group in self.groups if group.is_out_of_control)

    @property
    def axis_top(self) -> float:
        """A round share that nothing drawn is above."""
        highest = max(max(group.share, group.high) for group in self.groups)
        return next((top for top in AXIS_TOPS if highest <= top), 1.0)


@dataclass(slots=True)
class OutcomeSeries:
    """The outcomes of all photos as they pass by: nine bytes a photo."""

    photos: Path
    times: array[float] = field(default_factory=lambda: array("d"))
    """Seconds of the camera's clock; NaN for a photo that could not be read."""
    outcomes: bytearray = field(default_factory=bytearray)
    has_times: bool = True
    """False once a photo without a time was met; no further file is opened then."""

    def add(self, verdict: Verdict) -> None:
        """The next photo."""
        timestamp = read_capture_time(self.photos / verdict.photo) if self.has_times and verdict.width else math.nan
        self.has_times = self.has_times and timestamp is not None
        self.times.append(math.nan if timestamp is None else timestamp)
        self.outcomes.append(OUTCOMES.index(verdict.outcome))

    @property
    def is_by_time(self) -> bool:
        """Whether the photos tell when they were taken."""
        return self.has_times and not all(map(math.isnan, self.times))

    @property
    def untimed(self) -> int:
        """Photos that could not be read, and so have no place in an order by time."""
        return sum(map(math.isnan, self.times)) if self.is_by_time else 0

    def build_charts(self) -> tuple[PChart, ...]:
        """A chart of what fails, and one of what goes to review; none where there are fewer than two groups."""
        order = [n for n in range(len(self.outcomes)) if not (self.is_by_time and math.isnan(self.times[n]))]
        if self.is_by_time:
            order.sort(key=self.times.__getitem__)
        if len(order) < 2 * MIN_GROUP_SIZE:
            return ()
        times = [self.times[n] for n in order] if self.is_by_time else []
        codes = bytes(self.outcomes[n] for n in order)
        return tuple(build_p_chart(outcome, codes, times) for outcome in OUTCOMES if outcome != "pass")


def build_p_chart(outcome: Outcome, codes: bytes, times: Sequence[float]) -> PChart:
    """The chart of an outcome over photos in order, in groups of at least `SMALLEST` that differ by one at most.

    Args:
        outcome: What is counted.
        codes: The photos' outcomes, as places in `OUTCOMES`.
        times: When each was taken, seconds of the camera's clock; empty where that is not known.
    """
    groups = min(MAX_GROUPS, len(codes) // MIN_GROUP_SIZE)
    edges = [len(codes) * n // groups for n in range(groups + 1)]
    code = OUTCOMES.index(outcome)
    mean = codes.count(code) / len(codes)
    subgroups = []
    for start, end in pairwise(edges):
        margin = 3 * math.sqrt(mean * (1 - mean) / (end - start))
        low, high = max(mean - margin, 0.0), min(mean + margin, 1.0)
        start_time = format_time(times[start]) if times else ""
        subgroups.append(Subgroup(start + 1, end, codes.count(code, start, end), low, high, start_time))
    return PChart(outcome, mean, tuple(subgroups))
