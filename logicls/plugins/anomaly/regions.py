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

from logicls.data.image_io import placed
from logicls.plugins.anomaly.storage import Kept
from logicls.predict.plugin_protocols import Flaw, Photo
from logicls.records import Box, Scene

WANTED = 0.01
"""Share of good photos that may be called flawed, where nothing else is said and there are photos enough to say so."""
TAIL = 0.1
"""Share of the scores that are taken for their upper tail."""
USUAL_CHANCE = 0.02
"""Probability of a flaw that the median good photo is given."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Where a flaw begins."""

    at: float
    """The score from which on a photo counts as flawed."""
    usual: float
    """The median of good photos."""
    photos: int
    """That it was set on, none of them known to the expert that scored it."""
    rank: int
    """It is above the `rank`-th largest of their scores, no more than just above where there are enough."""
    aside: bool = False
    """True where they were all kept aside of one fit, so that the rate itself is the bound."""
    wanted: float = WANTED
    """Share of good photos that it was to call flawed."""

    @property
    def rate(self) -> float:
        """Share of good photos like these that is called flawed, on average over sets of photos; half of the bound."""
        return self.rank / (self.photos + 1)

    @property
    def promise(self) -> str:
        """In words."""
        most = self.rate if self.aside else min(2 * self.rate, 1.0)
        told = f"on average {self.rate:.1%} of good photos called flawed, at most {most:.1%}"
        how = "kept aside" if self.aside else "each scored without it"
        more = f"; {100 * self.wanted:.3g}% takes {needed(self.wanted)} of them" if self.rate > self.wanted else ""
        return f"{told} ({self.photos} good photos, {how}{more})"

    def chance(self, score: float) -> float:
        """Probability of a flaw: 0.5 at the bar, `USUAL_CHANCE` at the median of good photos, a logistic curve."""
        steep = math.log(1 / USUAL_CHANCE - 1) / max(self.at - self.usual, 1e-6)
        return 1 / (1 + math.exp(-max(min(steep * (score - self.at), 60.0), -60.0)))


def needed(wanted: float) -> int:
    """Good photos that it takes to promise that no more than that share is called flawed."""
    return math.ceil(1 / wanted) - 1


def beyond(ordered: Sequence[float], wanted: float = WANTED) -> float:
    """The score that such a share of good photos exceeds, by the scores' upper tail; `ordered` from the highest down.

    Few photos do not reach that far: their excesses over the `TAIL` quantile are taken for exponential (peaks over
    threshold, Pickands 1975, with shape 0), where the share lies in that tail. It can only raise the bar, so that what
    is promised without it holds.
    """
    count = int(TAIL * len(ordered))
    if count < 2 or wanted >= TAIL:
        return ordered[int(wanted * len(ordered))]
    floor = ordered[count]
    return floor + sum(score - floor for score in ordered[:count]) / count * math.log(TAIL / wanted)


def bar_of(scores: Sequence[float], wanted: float = WANTED, *, aside: bool = False) -> Bar:
    """The bar that `wanted` of good photos reach, for scores of some, all kept `aside` of the fit or not.

    Raises `ValueError` without any.
    """
    if not scores:
        raise ValueError("no scores")
    ordered = sorted(scores, reverse=True)
    rank = max(1, math.floor(wanted * (len(ordered) + 1)))
    usual = ordered[len(ordered) // 2]
    highest = max(ordered[rank - 1], beyond(ordered, wanted))
    return Bar(math.nextafter(highest, math.inf), usual, len(ordered), rank, aside, wanted)


EDGE = 0.5
"""Cells around the worst one belong to the flaw that are at least so bad, as a share of it."""


@dataclass(frozen=True, slots=True)
class Zones:
    """Where each component lies on good photos, as shares of width and height."""

    boxes: Mapping[str, Box]

    def at(self, box: Box, width: int, height: int) -> tuple[str, ...]:
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


def zones_from_json(plain: object) -> Zones:
    """Those of an expert's file. Raises `ValueError`, `TypeError`."""
    if not isinstance(plain, dict):
        raise ValueError("no zones")
    return Zones({str(name): Box(*(float(edge) for edge in edges)) for name, edges in plain.items()})


def zones_of(scenes: Sequence[Scene]) -> Zones:
    """Around all instances of each component on annotated photos."""
    found: dict[str, Box] = {}
    for scene in scenes:
        for instance in scene.instances:
            part = instance.box.map_between(Box(0, 0, scene.width, scene.height), Box(0, 0, 1, 1))
            old = found.get(instance.component, part)
            low, high = (min(old.x1, part.x1), min(old.y1, part.y1)), (max(old.x2, part.x2), max(old.y2, part.y2))
            found[instance.component] = Box(*low, *high)
    return Zones(found)


@dataclass(frozen=True, slots=True)
class Frame:
    """How a map lies on photos."""

    size: tuple[int, int]
    """(height, width) of the encoder's input, pixels, which photos are fitted into."""
    cell: int
    """Pixels of the input for each place of the map, on each axis."""

    def on_photo(self, box: Box, width: int, height: int) -> Box:
        """A box in cells of the map, in pixels of the photo of that size, clipped to it."""
        scale, left, top = placed(self.size, width, height)
        x1, x2 = ((edge * self.cell - left) / scale for edge in (box.x1, box.x2))
        y1, y2 = ((edge * self.cell - top) / scale for edge in (box.y1, box.y2))
        return Box(x1, y1, x2, y2).clip(width, height)


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a place becomes a flaw."""

    bar: Bar
    frame: Frame
    zones: Zones

    def flaw(
        self,
        chart: Float[np.ndarray, "rows columns"],
        score_at: Callable[[int], float],
        photo: Photo,
        told: Callable[[int], str] = lambda place: "",
    ) -> Flaw:
        """The flaw of a photo: its worst place.

        `score_at` gives the score of a cell, by its number, and `told` more words for one that is a flaw.
        """
        height, width = photo.shape[:2]
        worst = int(chart.argmax())
        score = score_at(worst)
        chance, found = self.bar.chance(score), f"{score:.1f} where good photos have up to {self.bar.at:.1f}"
        if chance < 0.5:
            return Flaw(chance, score, found=found)
        box = self.frame.on_photo(around(region(chart, worst)), width, height)
        more = told(worst)
        words = f"{found}, {more}" if more else found
        return Flaw(chance, score, box, words, components=self.zones.at(box, width, height))


def judgement_to_json(judgement: Judgement) -> dict[str, object]:
    """As facts of an expert's file."""
    bar, (height, width) = judgement.bar, judgement.frame.size
    numbers = {"at": bar.at, "usual": bar.usual, "photos": bar.photos, "rank": bar.rank, "aside": bar.aside,
               "wanted": bar.wanted}  # fmt: skip
    shown = {"promise": bar.promise, "zones": judgement.zones.to_json()}
    return {"height": height, "width": width, "cell": judgement.frame.cell, **numbers, **shown}


def judgement_of(kept: Kept) -> Judgement:
    """That of an expert's file. Raises `KeyError`, `ValueError`, `TypeError`."""
    aside = kept.facts["aside"] is True
    at, usual, wanted = kept.number("at"), kept.number("usual"), kept.number("wanted")
    bar = Bar(at, usual, kept.whole("photos"), kept.whole("rank"), aside, wanted)
    frame = Frame((kept.whole("height"), kept.whole("width")), kept.whole("cell"))
    return Judgement(bar, frame, zones_from_json(kept.facts["zones"]))


def region(chart: Float[np.ndarray, "rows columns"], worst: int) -> Bool[np.ndarray, "rows columns"]:
    """A cell, by its number, and those joined to it that stand out from the map's median nearly as much."""
    row, column = divmod(worst, chart.shape[1])
    usual = float(np.median(chart))
    bad = (chart > usual + EDGE * (float(chart[row, column]) - usual)).astype(np.uint8)
    bad[row, column] = 1
    _, parts = cv2.connectedComponents(bad, connectivity=8)
    return np.asarray(parts == parts[row, column])


def around(inside: Bool[np.ndarray, "rows columns"]) -> Box:
    """The box around cells, in cells."""
    rows, columns = np.nonzero(inside)
    return Box(float(columns.min()), float(rows.min()), float(columns.max()) + 1, float(rows.max()) + 1)
