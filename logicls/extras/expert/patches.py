"""The expert that remembers what good patches look like: PatchCore on nano's own stem. Needs no text, no download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from logicls.extras.expert.bar import Bar, bar_of
from logicls.extras.expert.kept import Kept, halved, read_kept, unreadable, write_kept
from logicls.extras.expert.memory import Features, Memory, remember
from logicls.extras.expert.tower import Tower, Whitening, averaged, tower_of, whitening
from logicls.models.bundle import Bundle
from logicls.plugins import Flaw, Photo
from logicls.records import Box
from logicls.train.expert_recipe import ExpertSettings

FOLDS = 5
EDGE = 0.5
"""Cells around the worst one belong to the flaw that are at least so bad, as a share of it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the memory makes of one photo."""

    chart: Float[Tensor, "rows columns"]
    """Standard deviations from what is usual, at each place."""
    score: float
    """The worst of them, re-weighted."""


@dataclass(frozen=True, slots=True)
class Known:
    """All that was learned from good photos."""

    whiten: Whitening
    memory: Memory
    around: int

    def see(self, maps: Float[Tensor, "photos channels rows columns"]) -> list[Seen]:
        """What is made of photos, given as maps of the tower."""
        features = self.whiten(averaged(maps, self.around))
        charts = self.memory.standardised(self.memory.distances(features))
        return [self._seen(chart, one) for chart, one in zip(charts, features, strict=True)]

    def _seen(self, chart: Float[Tensor, "rows columns"], features: Float[Tensor, "rows columns width"]) -> Seen:
        worst = int(chart.argmax())
        alone = self.memory.alone(features.flatten(0, 1)[worst])
        return Seen(chart, float(chart.flatten()[worst]) * alone)


class PatchExpert:
    """Examines photos."""

    def __init__(self, tower: Tower, known: Known, bar: Bar) -> None:
        self.tower, self.known, self.bar = tower, known, bar

    def examine(self, photos: Sequence[Photo]) -> list[Flaw]:
        """The flaw of each photo, or how far it is from having one."""
        if not photos:
            return []
        seen = self.known.see(self.tower.maps(photos))
        return [self._flaw(one, photo) for one, photo in zip(seen, photos, strict=True)]

    def _flaw(self, seen: Seen, photo: Photo) -> Flaw:
        chance = self.bar.chance(seen.score)
        told = f"{seen.score:.1f} where good photos have up to {self.bar.at:.1f}"
        if chance < 0.5:
            return Flaw(chance, seen.score, found=told)
        box = self.tower.on_photo(worst_place(seen.chart.numpy()), photo.shape[1], photo.shape[0])
        return Flaw(chance, seen.score, box, told)


def worst_place(chart: Float[np.ndarray, "rows columns"]) -> Box:
    """The worst cell and those joined to it that are nearly as bad, in cells."""
    row, column = (int(v) for v in np.unravel_index(int(chart.argmax()), chart.shape))
    bad = (chart >= EDGE * chart[row, column]).astype(np.uint8)
    _, parts = cv2.connectedComponents(bad, connectivity=8)
    rows, columns = np.nonzero(parts == parts[row, column])
    return Box(float(columns.min()), float(rows.min()), float(columns.max()) + 1, float(rows.max()) + 1)


def learn(maps: Float[Tensor, "photos channels rows columns"], settings: ExpertSettings) -> Known:
    """What the maps of good photos teach."""
    maps = averaged(maps, settings.around)
    whiten = whitening(maps)
    features: Features = whiten(maps)
    made = torch.Generator().manual_seed(settings.seed)
    return Known(whiten, remember(features, settings.share, settings.reach, made), settings.around)


def fit_patches(photos: Sequence[Photo], tower: Tower, settings: ExpertSettings) -> tuple[Known, Bar]:
    """Knows all of the photos; the bar is set on scores that each got by what was learned without it."""
    maps, scores = tower.maps(photos), list[float]()
    fold = torch.arange(len(maps)) % min(FOLDS, len(maps))
    for number in range(int(fold.max()) + 1):
        scores += [seen.score for seen in learn(maps[fold != number], settings).see(maps[fold == number])]
    return learn(maps, settings), bar_of(scores)


def write_patches(bundle: Bundle, tower: Tower, known: Known, bar: Bar) -> None:
    """Into the bundle."""
    memory, whiten = known.memory, known.whiten
    tensors = {
        "patches": halved(memory.patches), "rows": memory.rows.short(), "columns": memory.columns.short(),
        "mean": memory.mean, "spread": memory.spread, "centre": whiten.mean, "axes": whiten.axes,
    }  # fmt: skip
    facts = {
        "bundle": bundle.id, "height": tower.size[0], "width": tower.size[1], "reach": memory.reach,
        "around": known.around, "at": bar.at, "usual": bar.usual, "photos": bar.photos, "rank": bar.rank,
        "promise": bar.promise,
    }  # fmt: skip
    write_kept(bundle.path, "patches", Kept(tensors, facts))


def make(bundle: Bundle) -> PatchExpert:
    """That of a bundle. Raises `BundleError` (LC721, LC722)."""
    kept = read_kept(bundle.path, "patches", bundle.id)
    try:
        held = kept.tensors
        bar = Bar(kept.number("at"), kept.number("usual"), kept.whole("photos"), kept.whole("rank"))
        rows, columns = held["rows"].long(), held["columns"].long()
        memory = Memory(
            held["patches"].float(), rows, columns, torch.full_like(rows, -1), kept.whole("reach"),
            held["mean"], held["spread"],
        )  # fmt: skip
        known = Known(Whitening(held["centre"], held["axes"]), memory, kept.whole("around"))
        size = (kept.whole("height"), kept.whole("width"))
    except (KeyError, ValueError, RuntimeError) as error:
        raise unreadable(bundle.path, "patches", error) from error
    return PatchExpert(tower_of(bundle, size), known, bar)
