"""The expert that remembers what good patches look like: PatchCore on nano's own stem and on fixed filters.

Needs no text, no download.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from logicls.models.bundle import Bundle
from logicls.plugins.anomaly.features import AT_A_TIME, Tower, Whitening, averaged, tower_of, whitening
from logicls.plugins.anomaly.memory_bank import Features, Memory, apart, remember, without
from logicls.plugins.anomaly.regions import Bar, Judgement, bar_of, judgement_of, judgement_to_json, needed
from logicls.plugins.anomaly.storage import Kept, halved, read_kept, unreadable, write_kept
from logicls.plugins.settings import ExpertSettings
from logicls.predict.plugin_protocols import Flaw, Photo

LEARNED = 80
"""Photos that are learned from where there are as many more as the bar needs for its promise."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the memory makes of one photo."""

    chart: Float[Tensor, "rows columns"]
    """Standard deviations from what is usual, at each place."""
    features: Float[Tensor, "rows columns width"]
    memory: Memory

    def score_at(self, place: int) -> float:
        """What is in a cell, re-weighted (eq. 7)."""
        return float(self.chart.flatten()[place]) * self.memory.alone(self.features.flatten(0, 1)[place])

    @property
    def score(self) -> float:
        """That of the worst one."""
        return self.score_at(int(self.chart.argmax()))


@dataclass(frozen=True, slots=True)
class Known:
    """All that was learned from good photos."""

    whiten: Whitening
    memory: Memory
    around: int

    def features(self, maps: Float[Tensor, "photos channels rows columns"]) -> Features:
        """What is compared."""
        return self.whiten(averaged(maps, self.around))

    def see(self, maps: Float[Tensor, "photos channels rows columns"]) -> list[Seen]:
        """What is made of photos, given as maps of the tower."""
        features = self.features(maps)
        charts = self.memory.standardised(self.memory.distances(features))
        return [Seen(chart, one, self.memory) for chart, one in zip(charts, features, strict=True)]


class PatchExpert:
    """Examines photos."""

    def __init__(self, tower: Tower, known: Known, judgement: Judgement) -> None:
        self.tower, self.known, self.judgement = tower, known, judgement

    def examine(self, photos: Sequence[Photo]) -> list[Flaw]:
        """The flaw of each photo, or how far it is from having one."""
        if not photos:
            return []
        seen = self.known.see(self.tower.maps(photos))
        return [
            self.judgement.flaw(one.chart.numpy(), one.score_at, photo) for one, photo in zip(seen, photos, strict=True)
        ]


def learn(maps: Float[Tensor, "photos channels rows columns"], settings: ExpertSettings) -> Known:
    """What the maps of good photos teach."""
    maps = averaged(maps, settings.around)
    whiten = whitening(maps)
    features: Features = whiten(maps)
    made = torch.Generator().manual_seed(settings.seed)
    return Known(whiten, remember(features, settings.share, settings.reach, made), settings.around)


def fit_patches(photos: Sequence[Photo], tower: Tower, settings: ExpertSettings) -> tuple[Known, Bar]:
    """What photos teach, and a bar that is set on scores of photos that were not learned from.

    Many photos are split: some are learned, on all others the bar is set. Few are all learned from, and each is scored
    as if it had not been.
    """
    order = torch.randperm(len(photos), generator=torch.Generator().manual_seed(settings.seed)).tolist()
    if len(photos) >= LEARNED + needed(settings.overkill):
        known = learn(tower.maps([photos[n] for n in order[:LEARNED]]), settings)
        aside = [photos[n] for n in order[LEARNED:]]
        parts = [aside[k : k + AT_A_TIME] for k in range(0, len(aside), AT_A_TIME)]
        scores = [one.score for part in parts for one in known.see(tower.maps(part))]
        return known, bar_of(scores, settings.overkill, aside=True)
    maps = tower.maps([photos[n] for n in order])
    known = learn(maps, settings)
    return known, bar_of(left_out(known, maps), settings.overkill)


def left_out(known: Known, maps: Float[Tensor, "photos channels rows columns"]) -> list[float]:
    """The score of each photo that was learned from, by what is known without it (but for the whitening)."""
    features = known.features(maps)
    far, scores = apart(known.memory, features), []
    for photo in range(len(maps)):
        memory = without(known.memory, far, photo)
        chart = memory.standardised(far.nearest[photo : photo + 1])[0]
        scores.append(Seen(chart, features[photo], memory).score)
    return scores


def write_patches(bundle: Bundle, known: Known, judgement: Judgement) -> None:
    """Into the bundle."""
    memory, whiten = known.memory, known.whiten
    tensors = {
        "patches": halved(memory.patches), "rows": memory.rows.short(), "columns": memory.columns.short(),
        "mean": memory.mean, "spread": memory.spread, "centre": whiten.mean, "axes": whiten.axes,
    }  # fmt: skip
    facts = {"bundle": bundle.id, "reach": memory.reach, "around": known.around, **judgement_to_json(judgement)}
    write_kept(bundle.path, "patches", Kept(tensors, facts))


def make(bundle: Bundle) -> PatchExpert:
    """That of a bundle. Raises `BundleError` (LC721, LC722)."""
    kept = read_kept(bundle.path, "patches", bundle.id)
    try:
        held = kept.tensors
        rows, columns = held["rows"].long(), held["columns"].long()
        memory = Memory(
            held["patches"].float(), rows, columns, torch.full_like(rows, -1), kept.whole("reach"),
            held["mean"], held["spread"],
        )  # fmt: skip
        known = Known(Whitening(held["centre"], held["axes"]), memory, kept.whole("around"))
        judgement = judgement_of(kept)
        tower = tower_of(bundle, judgement.frame.size)
        if len(known.whiten.axes) != tower.channels:
            raise ValueError(f"features of {len(known.whiten.axes)} channels, and there are {tower.channels} now")
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise unreadable(bundle.path, "patches", error) from error
    return PatchExpert(tower, known, judgement)
