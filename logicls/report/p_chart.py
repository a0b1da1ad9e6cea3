"""p-charts: the share of photos with an outcome per subgroup, with control limits.

The limits are three standard deviations of a binomial proportion around the overall mean (Shewhart, Economic Control
of Quality of Manufactured Product, 1931; ISO 7870-2). A subgroup consists of consecutive photos: by capture time if
every readable photo has one in its EXIF data, otherwise in the order of the verdicts.
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

from logicls.data.image_io import FORMATS  # the import also filters Pillow's warnings
from logicls.records import Outcome, Verdict

_EXIF_IFD, _DATE_TIME_ORIGINAL, _SUBSEC_TIME_ORIGINAL = 0x8769, 0x9003, 0x9291


def read_capture_time(photo: Path) -> float | None:
    """Read the capture time (EXIF DateTimeOriginal with SubSecTimeOriginal) in seconds; None if it is missing.

    EXIF 2.3 has no time zone, so the camera's clock is interpreted as UTC: sufficient for sorting and display.
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
    """Format a capture time as the camera's clock displayed it, to the minute."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


MIN_GROUP_SIZE = 10
"""Smallest number of photos in a subgroup."""
MAX_GROUPS = 40
"""Largest number of subgroups in a chart."""
MIN_GROUPS_FOR_LIMITS = 20
"""Number of subgroups from which the control limits are reliable."""
OUTCOMES: tuple[Outcome, ...] = ("pass", "fail", "review")
AXIS_TOPS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)


@dataclass(frozen=True, slots=True)
class Subgroup:
    """Consecutive photos; shares are 0 to 1."""

    first: int
    """Position of the first photo in the chart's order, from 1."""
    last: int
    count: int
    """Number of photos with the outcome."""
    low: float
    """Lower control limit of the share."""
    high: float
    """Upper control limit of the share."""
    start_time: str
    """Capture time of the first photo; empty if the photos are not ordered by time."""

    @property
    def size(self) -> int:
        """Number of photos."""
        return self.last - self.first + 1

    @property
    def share(self) -> float:
        """Share of photos with the outcome."""
        return self.count / self.size

    @property
    def is_out_of_control(self) -> bool:
        """Whether the share is outside the control limits."""
        return not self.low <= self.share <= self.high


@dataclass(frozen=True, slots=True)
class PChart:
    """p-chart of one outcome."""

    outcome: Outcome
    mean: float
    groups: tuple[Subgroup, ...]

    @property
    def out_of_control(self) -> tuple[Subgroup, ...]:
        """Subgroups outside the control limits."""
        return tuple(group for group in self.groups if group.is_out_of_control)

    @property
    def axis_top(self) -> float:
        """Upper end of the y axis: a round share at or above all shares and limits."""
        highest = max(max(group.share, group.high) for group in self.groups)
        return next((top for top in AXIS_TOPS if highest <= top), 1.0)


@dataclass(slots=True)
class OutcomeSeries:
    """Outcomes and capture times of all photos, in nine bytes per photo."""

    photos: Path
    times: array[float] = field(default_factory=lambda: array("d"))
    """Capture times in seconds; NaN for an unreadable photo."""
    outcomes: bytearray = field(default_factory=bytearray)
    has_times: bool = True
    """False after the first readable photo without a capture time; no further files are opened then."""

    def add(self, verdict: Verdict) -> None:
        """Append a photo."""
        timestamp = read_capture_time(self.photos / verdict.photo) if self.has_times and verdict.width else math.nan
        self.has_times = self.has_times and timestamp is not None
        self.times.append(math.nan if timestamp is None else timestamp)
        self.outcomes.append(OUTCOMES.index(verdict.outcome))

    @property
    def is_by_time(self) -> bool:
        """Whether the photos can be ordered by capture time."""
        return self.has_times and not all(map(math.isnan, self.times))

    @property
    def untimed(self) -> int:
        """Number of unreadable photos, which have no position in an order by time."""
        return sum(map(math.isnan, self.times)) if self.is_by_time else 0

    def build_charts(self) -> tuple[PChart, ...]:
        """Return the p-charts of `fail` and `review`; none if there are fewer than two subgroups."""
        order = [n for n in range(len(self.outcomes)) if not (self.is_by_time and math.isnan(self.times[n]))]
        if self.is_by_time:
            order.sort(key=self.times.__getitem__)
        if len(order) < 2 * MIN_GROUP_SIZE:
            return ()
        times = [self.times[n] for n in order] if self.is_by_time else []
        codes = bytes(self.outcomes[n] for n in order)
        return tuple(build_p_chart(outcome, codes, times) for outcome in OUTCOMES if outcome != "pass")


def build_p_chart(outcome: Outcome, codes: bytes, times: Sequence[float]) -> PChart:
    """Build the p-chart of an outcome; subgroups have at least `MIN_GROUP_SIZE` photos, and sizes differ by at most 1.

    Args:
        outcome: Outcome to count.
        codes: Outcomes of the photos in order, as indices into `OUTCOMES`.
        times: Capture times in seconds; empty if unknown.
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
