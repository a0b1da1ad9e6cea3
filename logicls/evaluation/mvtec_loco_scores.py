"""Verdicts on the test set of MVTec LOCO AD: logical and structural anomalies apart, by defect, and where they are.

As in the paper each kind of anomaly is held against the good photos, and the mean of the two stands for both.

Saturated per-region overlap (sPRO) against false positives.

Bergmann et al., IJCV 2022, section 5.1: with regions A_1 … A_m, their saturations s_1 … s_m and the set P of pixels
that are called anomalous,

    sPRO(P) = 1/m Σ min(|A_i ∩ P| / s_i, 1).

P is what of the anomaly maps reaches a threshold; over all thresholds that gives a curve against the false positive
rate, the share of the pixels outside every region, those of good photos included, that are in P. The area under it up
to a limit is divided by that limit, so that 1 is best. A map that tells nothing comes to half the limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from logicls.errors import DataError, Problem, relative
from logicls.evaluation.intervals import Rate, rate_of
from logicls.evaluation.metrics import auroc
from logicls.evaluation.mvtec_loco import GOOD, LOGICAL, STRUCTURAL, LocoPhoto, LocoProduct
from logicls.evaluation.necessity import anomaly_map
from logicls.records import Verdict

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


Placed = Mapping[str, Verdict]
"""Name of a test photo → its verdict."""
Areas = tuple[tuple[float, float], ...]
"""Limit of the false positive rate → area under the sPRO curve up to it, 0 to 1."""
MOST = 20
"""Photos without a verdict that are named."""


@dataclass(frozen=True, slots=True)
class SplitScore:
    """How well one kind of anomaly is told from good photos."""

    name: str
    n: int
    """Anomalous photos."""
    auroc: float | None
    """By anomaly score; None where one of the two is missing."""
    failed: Rate
    """Anomalous photos that failed."""
    escape: Rate
    """Anomalous photos that passed; the rest went to review."""
    spro: Areas
    """Empty where there is no region."""


@dataclass(frozen=True, slots=True)
class DefectScore:
    """How well one defect is told. A photo may have several."""

    name: str
    split: str
    n: int
    """Photos that have it."""
    auroc: float | None
    """Those photos against the good ones, by anomaly score."""
    recall: Rate | None
    """Those on which a violation of just this name was found; None where no rule has the name."""
    failed: Rate
    """Those that failed, for whatever reason."""


@dataclass(frozen=True, slots=True)
class LocoScore:
    """What the verdicts came to on a LOCO test set."""

    splits: tuple[SplitScore, ...]
    defects: tuple[DefectScore, ...]
    left_out: int
    """Verdicts on photos that are not of the test set: training and validation photos."""

    @property
    def mean_auroc(self) -> float | None:
        """Mean of the splits'; None where one is missing."""
        return _mean([split.auroc for split in self.splits])

    @property
    def mean_spro(self) -> Areas:
        """Mean of the splits'; empty where one is missing."""
        means = [(limit, _mean([dict(split.spro).get(limit) for split in self.splits])) for limit in LIMITS]
        return tuple((limit, mean) for limit, mean in means if mean is not None)

    def to_json(self) -> dict[str, object]:
        """What metrics.json holds under `loco`."""
        board: dict[str, object] = {split.name: self._split_json(split) for split in self.splits}
        board["mean"] = {"auroc": self.mean_auroc, "spro": _areas_json(self.mean_spro)}
        return {**board, "left_out": self.left_out}

    def _split_json(self, split: SplitScore) -> dict[str, object]:
        rates = {**_rate_json("failed", split.failed), **_rate_json("escape_rate", split.escape)}
        defects = {
            d.name: {"n": d.n, "auroc": d.auroc, **_rate_json("recall", d.recall), **_rate_json("failed", d.failed)}
            for d in self.defects
            if d.split == split.name
        }
        return {"n": split.n, "auroc": split.auroc, **rates, "spro": _areas_json(split.spro), "defects": defects}


def place(verdicts: Iterable[Verdict], product: LocoProduct) -> tuple[Placed, tuple[Verdict, ...]]:
    """The verdicts on the test photos, by the photos' names; and those on other photos.

    Names are those below the folder that was predicted: `test`, the product's folder, or the one that it lies in.

    Raises:
        DataError: A test photo has no verdict (LC654), or two (LC248).
    """
    listed = list(verdicts)
    names = {photo.name for photo in product.photos}
    bases = ("", "test/", f"{product.root.resolve().name}/test/")
    base = max(bases, key=lambda b: sum(v.photo.startswith(b) and v.photo.removeprefix(b) in names for v in listed))
    placed: dict[str, Verdict] = {}
    others: list[Verdict] = []
    twice: list[Problem] = []
    for verdict in listed:
        name = verdict.photo.removeprefix(base) if verdict.photo.startswith(base) else ""
        if name not in names:
            others.append(verdict)
            continue
        if name in placed:
            twice.append(Problem("LC248", f'photo "{verdict.photo}" has more than one verdict.'))
        placed[name] = verdict
    missing = [photo.name for photo in product.photos if photo.name not in placed]
    if missing or twice:
        raise DataError([*twice, *([_missing(missing, product, listed)] if missing else [])])
    return placed, tuple(others)


def _missing(names: Sequence[str], product: LocoProduct, listed: Sequence[Verdict]) -> Problem:
    named = ", ".join(names[:MOST]) + (f" and {len(names) - MOST} more" if len(names) > MOST else "")
    told = f'The first verdict is of "{listed[0].photo}". ' if listed else ""
    advice = f'{told}Predict the folder "{relative(product.root / "test")}" as a whole.'
    message = f"{len(names)} of {len(product.photos)} test photos have no verdict: {named}."
    return Problem("LC654", message, relative(product.root), advice=advice)


def rules_truth(product: LocoProduct, placed: Placed) -> dict[str, tuple[str, ...]]:
    """The truth about good and logical photos, by the name that their verdict has: what rules can be held against."""
    return {placed[p.name].photo: p.defects for p in product.photos if p.split != STRUCTURAL}


def score_loco(product: LocoProduct, placed: Placed, *, left_out: int = 0) -> LocoScore:
    """Hold the verdicts against the folder. Reads every mask once. Loads torch."""
    maps = {photo.name: _shown(photo, placed[photo.name]) for photo in product.photos}
    present = [split for split in (LOGICAL, STRUCTURAL) if product.of(split)]
    known = {name for verdict in placed.values() for name, _ in verdict.scores}
    defects = [
        _defect(kind, split, product, placed, known=kind in known)
        for split in present
        for kind in sorted({name for photo in product.of(split) for name in photo.defects})
    ]
    return LocoScore(tuple(_split(s, product, placed, maps) for s in present), tuple(defects), left_out)


def _shown(photo: LocoPhoto, verdict: Verdict) -> Shown:
    regions = [
        (pixels, region.saturation(int(pixels.sum()))) for region in photo.regions for pixels in [region.pixels()]
    ]
    return shown(anomaly_map(verdict, photo.width, photo.height), regions)


def _split(name: str, product: LocoProduct, placed: Placed, maps: Mapping[str, Shown]) -> SplitScore:
    bad = product.of(name)
    found = curve([maps[photo.name] for photo in (*product.of(GOOD), *bad)])
    return SplitScore(
        name.removesuffix("_anomalies"),
        len(bad),
        _told_apart(product, placed, bad),
        rate_of(placed[photo.name].outcome == "fail" for photo in bad),
        rate_of(placed[photo.name].outcome == "pass" for photo in bad),
        tuple((limit, found.area(limit)) for limit in LIMITS) if found else (),
    )


def _defect(name: str, split: str, product: LocoProduct, placed: Placed, *, known: bool) -> DefectScore:
    bad = [photo for photo in product.of(split) if name in photo.defects]
    return DefectScore(
        name,
        split.removesuffix("_anomalies"),
        len(bad),
        _told_apart(product, placed, bad),
        rate_of(name in placed[photo.name].violations for photo in bad) if known else None,
        rate_of(placed[photo.name].outcome == "fail" for photo in bad),
    )


def _told_apart(product: LocoProduct, placed: Placed, bad: Sequence[LocoPhoto]) -> float | None:
    photos = [*product.of(GOOD), *bad]
    return auroc([placed[photo.name].score for photo in photos], [photo.split != GOOD for photo in photos])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _rate_json(name: str, rate: Rate | None) -> dict[str, object]:
    ci95 = rate.ci95 if rate else None
    return {name: rate.value if rate else None, f"{name}_ci95": list(ci95) if ci95 else None}


def _areas_json(areas: Areas) -> dict[str, float]:
    return {f"{limit:g}": area for limit, area in areas}
