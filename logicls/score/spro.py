"""Saturated per-region overlap (sPRO) against false positives.

Bergmann et al., IJCV 2022, section 5.1: with regions A_1 … A_m, their saturations s_1 … s_m and the set P of pixels
that are called anomalous,

    sPRO(P) = 1/m Σ min(|A_i ∩ P| / s_i, 1).

P is what of the anomaly maps reaches a threshold; over all thresholds that gives a curve against the false positive
rate, the share of the pixels outside every region, those of good photos included, that are in P. The area under it up
to a limit is divided by that limit, so that 1 is best. A map that tells nothing comes to half the limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

LIMITS = (0.05, 0.3)
"""False positive rates up to which the curve is integrated."""
Levels = tuple[tuple[float, int], ...]
"""Value of the map → pixels that have it."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a map shows in one region."""

    levels: Levels
    saturation: int
    """Pixels."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the map of one photo shows, in so few numbers that thousands of photos fit in memory."""

    outside: Levels
    """Pixels that are in no region."""
    overlaps: tuple[Overlap, ...] = ()
    """One a region."""


@dataclass(frozen=True, slots=True)
class Curve:
    """sPRO over false positive rates, both from 0 to 1."""

    rates: tuple[float, ...] = field(repr=False)
    spros: tuple[float, ...] = field(repr=False)

    def area(self, limit: float) -> float:
        """Area under the curve up to that false positive rate, divided by it."""
        rates, spros = np.asarray(self.rates), np.asarray(self.spros)
        within = rates < limit
        xs = np.append(rates[within], limit)
        ys = np.append(spros[within], _at(limit, rates, spros))
        return float(np.trapezoid(ys, xs) / limit)


def shown(
    anomaly: Float[np.ndarray, "height width"], regions: Sequence[tuple[Bool[np.ndarray, "height width"], int]]
) -> Shown:
    """What a map (0 for nothing, else above 0) shows in and outside the regions, each with its saturation in pixels."""
    outside = np.ones(anomaly.shape, bool)
    for pixels, _ in regions:
        outside &= ~pixels
    return Shown(_levels(anomaly[outside]), tuple(Overlap(_levels(anomaly[p]), s) for p, s in regions))


def curve(photos: Iterable[Shown]) -> Curve | None:
    """The curve of all photos together; None where they have no region, or nothing but regions.

    Each value that a map takes is a threshold. Between two of them the curve is straight, as if pixels of one value
    were called anomalous in random order.
    """
    listed = list(photos)
    overlaps = [overlap for photo in listed for overlap in photo.overlaps]
    clean = sum(count for photo in listed for _, count in photo.outside)
    if not overlaps or not clean:
        return None
    everything = [levels for photo in listed for levels in (photo.outside, *(o.levels for o in photo.overlaps))]
    thresholds = np.array(sorted({0.0, *(value for levels in everything for value, _ in levels)}, reverse=True))
    false = np.sum([_reaching(photo.outside, thresholds) for photo in listed], axis=0) / clean
    found = [np.minimum(_reaching(o.levels, thresholds) / o.saturation, 1) for o in overlaps]
    return Curve((0.0, *map(float, false)), (0.0, *map(float, np.mean(found, axis=0))))


def _levels(values: np.ndarray) -> Levels:
    lit = values[values > 0]  # nearly all of a map is 0, and sorting that takes longest
    found, counts = np.unique(lit, return_counts=True)
    dark = [(0.0, values.size - lit.size)] if values.size > lit.size else []
    return (*dark, *((float(value), int(count)) for value, count in zip(found, counts, strict=True)))


def _reaching(levels: Levels, thresholds: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Pixels that reach each threshold; the thresholds fall."""
    ordered = sorted(levels)
    values = np.array([value for value, _ in ordered])
    counts = np.array([0, *np.cumsum([count for _, count in reversed(ordered)])], float)
    return np.asarray(counts[len(values) - np.searchsorted(values, thresholds, side="left")])


def _at(rate: float, rates: np.ndarray, spros: np.ndarray) -> float:
    """The curve's height there; the highest of a step that stands upright there."""
    index = int(np.searchsorted(rates, rate, side="right"))
    if index == len(rates):
        return float(spros[-1])
    if rates[index - 1] == rate:
        return float(spros[index - 1])
    part = (rate - rates[index - 1]) / (rates[index] - rates[index - 1])
    return float(spros[index - 1] + part * (spros[index] - spros[index - 1]))
