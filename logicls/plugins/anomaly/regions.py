"""From a heatmap to the flaw of a photo: its maximum, the box around it, the score threshold and its guarantee.

The threshold is split conformal prediction (Vovk et al. 2005; Lei et al. 2018): of n scores of good photos that the
expert was not fitted to, a further good photo exceeds the k-th largest with a probability of at most k / (n + 1),
whatever the distribution. With leave-one-out scores (cross-conformal, Vovk 2015; jackknife+, Barber et al. 2021) twice
that can be proved, and about that much is observed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from logicls.data.image_io import letterbox_transform
from logicls.plugins.anomaly.storage import ExpertState
from logicls.predict.plugin_protocols import AnomalyDetection, Photo
from logicls.records import Box, Scene

DEFAULT_OVERKILL = 0.01
"""Share of good photos that may be called flawed, if not set and if there are enough photos."""
TAIL_SHARE = 0.1
"""Share of the scores that form their upper tail."""
MEDIAN_PROBABILITY = 0.02
"""Probability of a flaw at the median score of good photos."""


@dataclass(frozen=True, slots=True)
class ScoreThreshold:
    """Score from which on a photo is flawed."""

    score: float
    """The threshold itself."""
    median: float
    """Median score of good photos."""
    photo_count: int
    """Number of good photos it was fitted to, none of them known to the expert that scored it."""
    rank: int
    """It lies above the `rank`-th largest score, and just above it if there are enough photos."""
    is_held_out: bool = False
    """Whether all photos were held out of one fit, so that the expected rate itself is the bound."""
    overkill: float = DEFAULT_OVERKILL
    """Requested share of good photos called flawed."""

    @property
    def expected_overkill(self) -> float:
        """Expected share of good photos called flawed, on average over samples of photos."""
        return self.rank / (self.photo_count + 1)

    @property
    def guarantee(self) -> str:
        """Expected rate and bound, as text."""
        bound = self.expected_overkill if self.is_held_out else min(2 * self.expected_overkill, 1.0)
        rates = f"expected overkill {self.expected_overkill:.1%}, at most {bound:.1%}"
        method = "held out" if self.is_held_out else "leave-one-out"
        shortage = (
            f"; {100 * self.overkill:.3g}% needs {photos_needed(self.overkill)}"
            if self.expected_overkill > self.overkill
            else ""
        )
        return f"{rates} ({self.photo_count} good photos, {method}{shortage})"

    def probability(self, score: float) -> float:
        """Return the probability of a flaw: logistic, 0.5 at the threshold, `MEDIAN_PROBABILITY` at the median."""
        slope = math.log(1 / MEDIAN_PROBABILITY - 1) / max(self.score - self.median, 1e-6)
        return 1 / (1 + math.exp(-max(min(slope * (score - self.score), 60.0), -60.0)))


def photos_needed(overkill: float) -> int:
    """Return the number of good photos that a guarantee of this share needs."""
    return math.ceil(1 / overkill) - 1


def tail_quantile(scores: Sequence[float], overkill: float = DEFAULT_OVERKILL) -> float:
    """Return the score exceeded by `overkill` of good photos, from the upper tail; `scores` are in descending order.

    Excesses over the `TAIL_SHARE` quantile are modelled as exponential (peaks over threshold, Pickands 1975, shape 0)
    if the requested share lies in that tail. The result only raises the threshold, so its guarantee holds.
    """
    count = int(TAIL_SHARE * len(scores))
    if count < 2 or overkill >= TAIL_SHARE:
        return scores[int(overkill * len(scores))]
    tail_start = scores[count]
    return tail_start + sum(score - tail_start for score in scores[:count]) / count * math.log(TAIL_SHARE / overkill)


def fit_threshold(
    scores: Sequence[float], overkill: float = DEFAULT_OVERKILL, *, is_held_out: bool = False
) -> ScoreThreshold:
    """Fit the threshold to scores of good photos, all held out of the fit or scored leave-one-out.

    Raises `ValueError` without scores.
    """
    if not scores:
        raise ValueError("no scores")
    descending = sorted(scores, reverse=True)
    rank = max(1, math.floor(overkill * (len(descending) + 1)))
    median = descending[len(descending) // 2]
    highest = max(descending[rank - 1], tail_quantile(descending, overkill))
    return ScoreThreshold(math.nextafter(highest, math.inf), median, len(descending), rank, is_held_out, overkill)


REGION_SHARE = 0.5
"""Neighbouring cells belong to the flaw if they reach this share of the maximum, above the median."""


@dataclass(frozen=True, slots=True)
class ComponentZones:
    """Region of each component on good photos, as shares of width and height."""

    boxes: Mapping[str, Box]

    def components_at(self, box: Box, width: int, height: int) -> tuple[str, ...]:
        """Return the components whose zone contains the centre of a box on a photo of that size."""
        x, y = box.centre
        return tuple(
            name
            for name, zone in self.boxes.items()
            if zone.x1 * width <= x <= zone.x2 * width and zone.y1 * height <= y <= zone.y2 * height
        )

    def to_json(self) -> dict[str, list[float]]:
        """Return plain data for an expert's metadata."""
        return {name: [zone.x1, zone.y1, zone.x2, zone.y2] for name, zone in self.boxes.items()}


def zones_from_json(data: object) -> ComponentZones:
    """Parse zones from an expert's metadata. Raises `ValueError`, `TypeError`."""
    if not isinstance(data, dict):
        raise ValueError("no zones")
    return ComponentZones({str(name): Box(*(float(edge) for edge in edges)) for name, edges in data.items()})


def fit_zones(scenes: Sequence[Scene]) -> ComponentZones:
    """Return the union of each component's boxes on annotated photos."""
    boxes: dict[str, Box] = {}
    for scene in scenes:
        for instance in scene.instances:
            box = instance.box.map_between(Box(0, 0, scene.width, scene.height), Box(0, 0, 1, 1))
            before = boxes.get(instance.component, box)
            low, high = (
                (min(before.x1, box.x1), min(before.y1, box.y1)),
                (max(before.x2, box.x2), max(before.y2, box.y2)),
            )
            boxes[instance.component] = Box(*low, *high)
    return ComponentZones(boxes)


@dataclass(frozen=True, slots=True)
class HeatmapFrame:
    """Transform from cells of a heatmap to pixels of photos."""

    size: tuple[int, int]
    """(height, width) of the encoder's input, to which photos are letterboxed, pixels."""
    cell: int
    """Pixels of the input for each cell, on each axis."""

    def to_photo(self, box: Box, width: int, height: int) -> Box:
        """Convert a box in cells to pixels of a photo of that size, clipped to it."""
        scale, left, top = letterbox_transform(self.size, width, height)
        x1, x2 = ((edge * self.cell - left) / scale for edge in (box.x1, box.x2))
        y1, y2 = ((edge * self.cell - top) / scale for edge in (box.y1, box.y2))
        return Box(x1, y1, x2, y2).clip(width, height)


@dataclass(frozen=True, slots=True)
class FlawLocalizer:
    """Threshold and localization: from a heatmap to an `AnomalyDetection`."""

    threshold: ScoreThreshold
    frame: HeatmapFrame
    zones: ComponentZones

    def localize(
        self,
        heatmap: Float[np.ndarray, "rows columns"],
        score_at: Callable[[int], float],
        photo: Photo,
        describe: Callable[[int], str] = lambda cell: "",
    ) -> AnomalyDetection:
        """Return the flaw at the maximum of a photo's heatmap.

        `score_at` returns the score of a cell, by its number, and `describe` further text about a cell that is flawed.
        """
        height, width = photo.shape[:2]
        peak = int(heatmap.argmax())
        score = score_at(peak)
        probability, comparison = (
            self.threshold.probability(score),
            f"anomaly score {score:.1f}, threshold {self.threshold.score:.1f}",
        )
        if probability < 0.5:
            return AnomalyDetection(probability, score, description=comparison)
        box = self.frame.to_photo(bounding_box(connected_region(heatmap, peak)), width, height)
        details = describe(peak)
        text = f"{comparison}, {details}" if details else comparison
        return AnomalyDetection(probability, score, box, text, components=self.zones.components_at(box, width, height))


def localizer_to_json(localizer: FlawLocalizer) -> dict[str, object]:
    """Return plain data for an expert's metadata."""
    threshold, (height, width) = localizer.threshold, localizer.frame.size
    numbers = {
        "threshold": threshold.score,
        "median": threshold.median,
        "photo_count": threshold.photo_count,
        "rank": threshold.rank,
        "is_held_out": threshold.is_held_out,
        "overkill": threshold.overkill,
    }
    derived = {"guarantee": threshold.guarantee, "zones": localizer.zones.to_json()}
    return {"height": height, "width": width, "cell": localizer.frame.cell, **numbers, **derived}


def localizer_from_state(state: ExpertState) -> FlawLocalizer:
    """Restore the localizer of an expert. Raises `KeyError`, `ValueError`, `TypeError`."""
    is_held_out = state.metadata["is_held_out"] is True
    score, median, overkill = state.get_float("threshold"), state.get_float("median"), state.get_float("overkill")
    threshold = ScoreThreshold(
        score, median, state.get_int("photo_count"), state.get_int("rank"), is_held_out, overkill
    )
    frame = HeatmapFrame((state.get_int("height"), state.get_int("width")), state.get_int("cell"))
    return FlawLocalizer(threshold, frame, zones_from_json(state.metadata["zones"]))


def connected_region(heatmap: Float[np.ndarray, "rows columns"], peak: int) -> Bool[np.ndarray, "rows columns"]:
    """Return the connected component around a cell of all cells above the half maximum, measured from the median."""
    row, column = divmod(peak, heatmap.shape[1])
    median = float(np.median(heatmap))
    is_high = (heatmap > median + REGION_SHARE * (float(heatmap[row, column]) - median)).astype(np.uint8)
    is_high[row, column] = 1
    _, labels = cv2.connectedComponents(is_high, connectivity=8)
    return np.asarray(labels == labels[row, column])


def bounding_box(mask: Bool[np.ndarray, "rows columns"]) -> Box:
    """Return the box around the cells of a mask, in cells."""
    rows, columns = np.nonzero(mask)
    return Box(float(columns.min()), float(rows.min()), float(columns.max()) + 1, float(rows.max()) + 1)
