"""From a map of how bad each place is to the flaw of a photo: its worst place, with a box and what lies there.

The bar that a score must reach to be called a flaw, and what so few photos can promise of it.

Split conformal prediction (Vovk et al. 2005; Lei et al. 2018): of n scores of good photos that the expert did not learn
from, the k-th largest is exceeded by a further good photo with a probability of at most k / (n + 1), whatever scores
are like. Where every photo is scored as if it had not been learned from (cross-conformal, Vovk 2015; jackknife+, Barber
et al. 2021) twice that can be proved, and about that much is seen.
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
"""Share of good photos that may be called flawed, where nothing else is said and there are photos enough to say so."""
TAIL_SHARE = 0.1
"""Share of the scores that are taken for their upper tail."""
MEDIAN_PROBABILITY = 0.02
"""Probability of a flaw that the median good photo is given."""


@dataclass(frozen=True, slots=True)
class ScoreThreshold:
    """Where a flaw begins."""

    score: float
    """The score from which on a photo counts as flawed."""
    median: float
    """The median of good photos."""
    photo_count: int
    """That it was set on, none of them known to the expert that scored it."""
    rank: int
    """It is above the `rank`-th largest of their scores, no more than just above where there are enough."""
    is_held_out: bool = False
    """True where they were all kept aside of one fit, so that the rate itself is the bound."""
    overkill: float = DEFAULT_OVERKILL
    """Share of good photos that it was to call flawed."""

    @property
    def expected_overkill(self) -> float:
        """Share of good photos like these that is called flawed, on average over sets of photos; half of the bound."""
        return self.rank / (self.photo_count + 1)

    @property
    def guarantee(self) -> str:
        """In words."""
        bound = self.expected_overkill if self.is_held_out else min(2 * self.expected_overkill, 1.0)
        rates = f"on average {self.expected_overkill:.1%} of good photos called flawed, at most {bound:.1%}"
        method = "kept aside" if self.is_held_out else "each scored without it"
        shortage = (
            f"; {100 * self.overkill:.3g}% takes {photos_needed(self.overkill)} of them"
            if self.expected_overkill > self.overkill
            else ""
        )
        return f"{rates} ({self.photo_count} good photos, {method}{shortage})"

    def probability(self, score: float) -> float:
        """Probability of a flaw: 0.5 at the bar, `USUAL_CHANCE` at the median of good photos, a logistic curve."""
        slope = math.log(1 / MEDIAN_PROBABILITY - 1) / max(self.score - self.median, 1e-6)
        return 1 / (1 + math.exp(-max(min(slope * (score - self.score), 60.0), -60.0)))


def photos_needed(overkill: float) -> int:
    """Good photos that it takes to promise that no more than that share is called flawed."""
    return math.ceil(1 / overkill) - 1


def tail_quantile(scores: Sequence[float], overkill: float = DEFAULT_OVERKILL) -> float:
    """The score that such a share of good photos exceeds, by the scores' upper tail; `ordered` from the highest down.

    Few photos do not reach that far: their excesses over the `TAIL` quantile are taken for exponential (peaks over
    threshold, Pickands 1975, with shape 0), where the share lies in that tail. It can only raise the bar, so that what
    is promised without it holds.
    """
    count = int(TAIL_SHARE * len(scores))
    if count < 2 or overkill >= TAIL_SHARE:
        return scores[int(overkill * len(scores))]
    tail_start = scores[count]
    return tail_start + sum(score - tail_start for score in scores[:count]) / count * math.log(TAIL_SHARE / overkill)


def fit_threshold(
    scores: Sequence[float], overkill: float = DEFAULT_OVERKILL, *, is_held_out: bool = False
) -> ScoreThreshold:
    """The bar that `wanted` of good photos reach, for scores of some, all kept `aside` of the fit or not.

    Raises `ValueError` without any.
    """
    if not scores:
        raise ValueError("no scores")
    descending = sorted(scores, reverse=True)
    rank = max(1, math.floor(overkill * (len(descending) + 1)))
    median = descending[len(descending) // 2]
    highest = max(descending[rank - 1], tail_quantile(descending, overkill))
    return ScoreThreshold(math.nextafter(highest, math.inf), median, len(descending), rank, is_held_out, overkill)


REGION_SHARE = 0.5
"""Cells around the worst one belong to the flaw that are at least so bad, as a share of it."""


@dataclass(frozen=True, slots=True)
class ComponentZones:
    """Where each component lies on good photos, as shares of width and height."""

    boxes: Mapping[str, Box]

    def components_at(self, box: Box, width: int, height: int) -> tuple[str, ...]:
        """The components in whose zone the middle of a box on a photo of that size lies."""
        x, y = box.centre
        return tuple(
            name
            for name, zone in self.boxes.items()
            if zone.x1 * width <= x <= zone.x2 * width and zone.y1 * height <= y <= zone.y2 * height
        )

    def to_json(self) -> dict[str, list[float]]:
        """As a fact of an expert's file."""
        return {name: [zone.x1, zone.y1, zone.x2, zone.y2] for name, zone in self.boxes.items()}


def zones_from_json(data: object) -> ComponentZones:
    """Those of an expert's file. Raises `ValueError`, `TypeError`."""
    if not isinstance(data, dict):
        raise ValueError("no zones")
    return ComponentZones({str(name): Box(*(float(edge) for edge in edges)) for name, edges in data.items()})


def fit_zones(scenes: Sequence[Scene]) -> ComponentZones:
    """Around all instances of each component on annotated photos."""
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
    """How a map lies on photos."""

    size: tuple[int, int]
    """(height, width) of the encoder's input, pixels, which photos are fitted into."""
    cell: int
    """Pixels of the input for each place of the map, on each axis."""

    def to_photo(self, box: Box, width: int, height: int) -> Box:
        """A box in cells of the map, in pixels of the photo of that size, clipped to it."""
        scale, left, top = letterbox_transform(self.size, width, height)
        x1, x2 = ((edge * self.cell - left) / scale for edge in (box.x1, box.x2))
        y1, y2 = ((edge * self.cell - top) / scale for edge in (box.y1, box.y2))
        return Box(x1, y1, x2, y2).clip(width, height)


@dataclass(frozen=True, slots=True)
class FlawLocalizer:
    """How a place becomes a flaw."""

    threshold: ScoreThreshold
    frame: HeatmapFrame
    zones: ComponentZones

    def localize(
        self,
        heatmap: Float[np.ndarray, "rows columns"],
        score_at: Callable[[int], float],
        photo: Photo,
        describe: Callable[[int], str] = lambda place: "",
    ) -> AnomalyDetection:
        """The flaw of a photo: its worst place.

        `score_at` gives the score of a cell, by its number, and `told` more words for one that is a flaw.
        """
        height, width = photo.shape[:2]
        peak = int(heatmap.argmax())
        score = score_at(peak)
        probability, comparison = (
            self.threshold.probability(score),
            f"{score:.1f} where good photos have up to {self.threshold.score:.1f}",
        )
        if probability < 0.5:
            return AnomalyDetection(probability, score, description=comparison)
        box = self.frame.to_photo(bounding_box(connected_region(heatmap, peak)), width, height)
        details = describe(peak)
        text = f"{comparison}, {details}" if details else comparison
        return AnomalyDetection(probability, score, box, text, components=self.zones.components_at(box, width, height))


def localizer_to_json(localizer: FlawLocalizer) -> dict[str, object]:
    """As facts of an expert's file."""
    threshold, (height, width) = localizer.threshold, localizer.frame.size
    numbers = {"at": threshold.score, "usual": threshold.median, "photos": threshold.photo_count, "rank": threshold.rank, "aside": threshold.is_held_out,
               "wanted": threshold.overkill}  # fmt: skip
    derived = {"promise": threshold.guarantee, "zones": localizer.zones.to_json()}
    return {"height": height, "width": width, "cell": localizer.frame.cell, **numbers, **derived}


def localizer_from_state(state: ExpertState) -> FlawLocalizer:
    """That of an expert's file. Raises `KeyError`, `ValueError`, `TypeError`."""
    is_held_out = state.metadata["aside"] is True
    score, median, overkill = state.get_float("at"), state.get_float("usual"), state.get_float("wanted")
    threshold = ScoreThreshold(score, median, state.get_int("photos"), state.get_int("rank"), is_held_out, overkill)
    frame = HeatmapFrame((state.get_int("height"), state.get_int("width")), state.get_int("cell"))
    return FlawLocalizer(threshold, frame, zones_from_json(state.metadata["zones"]))


def connected_region(heatmap: Float[np.ndarray, "rows columns"], peak: int) -> Bool[np.ndarray, "rows columns"]:
    """A cell, by its number, and those joined to it that stand out from the map's median nearly as much."""
    row, column = divmod(peak, heatmap.shape[1])
    median = float(np.median(heatmap))
    is_high = (heatmap > median + REGION_SHARE * (float(heatmap[row, column]) - median)).astype(np.uint8)
    is_high[row, column] = 1
    _, labels = cv2.connectedComponents(is_high, connectivity=8)
    return np.asarray(labels == labels[row, column])


def bounding_box(mask: Bool[np.ndarray, "rows columns"]) -> Box:
    """The box around cells, in cells."""
    rows, columns = np.nonzero(mask)
    return Box(float(columns.min()), float(rows.min()), float(columns.max()) + 1, float(rows.max()) + 1)
