"""From a heatmap to the flaw of a photo: its maximum, the box around it, and the components that lie there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from logicls.anomaly.heatmaps import HeatmapFrame, bounding_box, connected_region
from logicls.anomaly.scores import ScoreThreshold
from logicls.plugins.anomaly.storage import ExpertState
from logicls.predict.plugin_protocols import AnomalyDetection, Photo
from logicls.records import Box, Scene


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
        needs_review = self.threshold.needs_review(score)
        if probability < 0.5 and not needs_review:
            return AnomalyDetection(probability, score, description=comparison)
        box = self.frame.to_photo(bounding_box(connected_region(heatmap, peak)), width, height)
        details = describe(peak)
        few = f"{comparison}, good photos up to {self.threshold.review_score:.1f}" if needs_review else comparison
        text = f"{few}, {details}" if details else few
        components = self.zones.components_at(box, width, height)
        return AnomalyDetection(probability, score, box, text, needs_review, components)


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
        "review_score": threshold.review_score if math.isfinite(threshold.review_score) else None,
    }
    derived = {"guarantee": threshold.guarantee, "zones": localizer.zones.to_json()}
    return {"height": height, "width": width, "cell": localizer.frame.cell, **numbers, **derived}


def localizer_from_state(state: ExpertState) -> FlawLocalizer:
    """Restore the localizer of an expert. Raises `KeyError`, `ValueError`, `TypeError`."""
    is_held_out = state.metadata["is_held_out"] is True
    score, median, overkill = state.get_float("threshold"), state.get_float("median"), state.get_float("overkill")
    review_score = math.inf if state.metadata.get("review_score") is None else state.get_float("review_score")
    threshold = ScoreThreshold(
        score, median, state.get_int("photo_count"), state.get_int("rank"), is_held_out, overkill, review_score
    )
    frame = HeatmapFrame((state.get_int("height"), state.get_int("width")), state.get_int("cell"))
    return FlawLocalizer(threshold, frame, zones_from_json(state.metadata["zones"]))
