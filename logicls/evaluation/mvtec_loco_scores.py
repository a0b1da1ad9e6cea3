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

from logicls.errors import DataError, Problem, relative_path
from logicls.evaluation.intervals import Rate, estimate_rate
from logicls.evaluation.metrics import compute_auroc
from logicls.evaluation.mvtec_loco import GOOD, LOGICAL, STRUCTURAL, LocoPhoto, LocoProduct
from logicls.evaluation.necessity import draw_anomaly_map
from logicls.records import Verdict

LIMITS = (0.05, 0.3)
"""False positive rates up to which the curve is integrated."""
Histogram = tuple[tuple[float, int], ...]
"""Value of the map → pixels that have it."""


@dataclass(frozen=True, slots=True)
class RegionHistogram:
    """What a map shows in one region."""

    histogram: Histogram
    saturation: int
    """Pixels."""


@dataclass(frozen=True, slots=True)
class MapHistograms:
    """What the map of one photo shows, in so few numbers that thousands of photos fit in memory."""

    outside: Histogram
    """Pixels that are in no region."""
    regions: tuple[RegionHistogram, ...] = ()
    """One a region."""


@dataclass(frozen=True, slots=True)
class SproCurve:
    """sPRO over false positive rates, both from 0 to 1."""

    rates: tuple[float, ...] = field(repr=False)
    spros: tuple[float, ...] = field(repr=False)

    def area(self, limit: float) -> float:
        """Area under the curve up to that false positive rate, divided by it."""
        rates, spros = np.asarray(self.rates), np.asarray(self.spros)
        within = rates < limit
        xs = np.append(rates[within], limit)
        ys = np.append(spros[within], _interpolate(limit, rates, spros))
        return float(np.trapezoid(ys, xs) / limit)


def compute_histograms(
    anomaly_map: Float[np.ndarray, "height width"], regions: Sequence[tuple[Bool[np.ndarray, "height width"], int]]
) -> MapHistograms:
    """What a map (0 for nothing, else above 0) shows in and outside the regions, each with its saturation in pixels."""
    outside = np.ones(anomaly_map.shape, bool)
    for pixels, _ in regions:
        outside &= ~pixels
    return MapHistograms(
        _histogram(anomaly_map[outside]), tuple(RegionHistogram(_histogram(anomaly_map[p]), s) for p, s in regions)
    )


def compute_spro_curve(photos: Iterable[MapHistograms]) -> SproCurve | None:
    """The curve of all photos together; None where they have no region, or nothing but regions.

    Each value that a map takes is a threshold. Between two of them the curve is straight, as if pixels of one value
    were called anomalous in random order.
    """
    listed = list(photos)
    overlaps = [overlap for photo in listed for overlap in photo.regions]
    clean = sum(count for photo in listed for _, count in photo.outside)
    if not overlaps or not clean:
        return None
    everything = [levels for photo in listed for levels in (photo.outside, *(o.histogram for o in photo.regions))]
    thresholds = np.array(sorted({0.0, *(value for levels in everything for value, _ in levels)}, reverse=True))
    false = np.sum([_count_at_least(photo.outside, thresholds) for photo in listed], axis=0) / clean
    found = [np.minimum(_count_at_least(o.histogram, thresholds) / o.saturation, 1) for o in overlaps]
    return SproCurve((0.0, *map(float, false)), (0.0, *map(float, np.mean(found, axis=0))))


def _histogram(values: np.ndarray) -> Histogram:
    lit = values[values > 0]  # nearly all of a map is 0, and sorting that takes longest
    found, counts = np.unique(lit, return_counts=True)
    dark = [(0.0, values.size - lit.size)] if values.size > lit.size else []
    return (*dark, *((float(value), int(count)) for value, count in zip(found, counts, strict=True)))


def _count_at_least(levels: Histogram, thresholds: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Pixels that reach each threshold; the thresholds fall."""
    ordered = sorted(levels)
    values = np.array([value for value, _ in ordered])
    counts = np.array([0, *np.cumsum([count for _, count in reversed(ordered)])], float)
    return np.asarray(counts[len(values) - np.searchsorted(values, thresholds, side="left")])


def _interpolate(rate: float, rates: np.ndarray, spros: np.ndarray) -> float:
    """The curve's height there; the highest of a step that stands upright there."""
    index = int(np.searchsorted(rates, rate, side="right"))
    if index == len(rates):
        return float(spros[-1])
    if rates[index - 1] == rate:
        return float(spros[index - 1])
    part = (rate - rates[index - 1]) / (rates[index] - rates[index - 1])
    return float(spros[index - 1] + part * (spros[index] - spros[index - 1]))


VerdictsByName = Mapping[str, Verdict]
"""Name of a test photo → its verdict."""
SproAreas = tuple[tuple[float, float], ...]
"""Limit of the false positive rate → area under the sPRO curve up to it, 0 to 1."""
MAX_NAMED = 20
"""Photos without a verdict that are named."""


@dataclass(frozen=True, slots=True)
class SplitMetrics:
    """How well one kind of anomaly is told from good photos."""

    name: str
    n: int
    """Anomalous photos."""
    auroc: float | None
    """By anomaly score; None where one of the two is missing."""
    fail_rate: Rate
    """Anomalous photos that failed."""
    escape_rate: Rate
    """Anomalous photos that passed; the rest went to review."""
    spro: SproAreas
    """Empty where there is no region."""


@dataclass(frozen=True, slots=True)
class DefectMetrics:
    """How well one defect is told. A photo may have several."""

    name: str
    split: str
    n: int
    """Photos that have it."""
    auroc: float | None
    """Those photos against the good ones, by anomaly score."""
    recall: Rate | None
    """Those on which a violation of just this name was found; None where no rule has the name."""
    fail_rate: Rate
    """Those that failed, for whatever reason."""


@dataclass(frozen=True, slots=True)
class LocoMetrics:
    """What the verdicts came to on a LOCO test set."""

    splits: tuple[SplitMetrics, ...]
    defects: tuple[DefectMetrics, ...]
    ignored_verdicts: int
    """Verdicts on photos that are not of the test set: training and validation photos."""

    @property
    def mean_auroc(self) -> float | None:
        """Mean of the splits'; None where one is missing."""
        return _mean([split.auroc for split in self.splits])

    @property
    def mean_spro(self) -> SproAreas:
        """Mean of the splits'; empty where one is missing."""
        means = [(limit, _mean([dict(split.spro).get(limit) for split in self.splits])) for limit in LIMITS]
        return tuple((limit, mean) for limit, mean in means if mean is not None)

    def to_json(self) -> dict[str, object]:
        """What metrics.json holds under `loco`."""
        board: dict[str, object] = {split.name: self._split_json(split) for split in self.splits}
        board["mean"] = {"auroc": self.mean_auroc, "spro": _areas_json(self.mean_spro)}
        return {**board, "left_out": self.ignored_verdicts}

    def _split_json(self, split: SplitMetrics) -> dict[str, object]:
        rates = {**_rate_json("failed", split.fail_rate), **_rate_json("escape_rate", split.escape_rate)}
        defects = {
            d.name: {"n": d.n, "auroc": d.auroc, **_rate_json("recall", d.recall), **_rate_json("failed", d.fail_rate)}
            for d in self.defects
            if d.split == split.name
        }
        return {"n": split.n, "auroc": split.auroc, **rates, "spro": _areas_json(split.spro), "defects": defects}


def match_verdicts(verdicts: Iterable[Verdict], product: LocoProduct) -> tuple[VerdictsByName, tuple[Verdict, ...]]:
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
    named = ", ".join(names[:MAX_NAMED]) + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")
    told = f'The first verdict is of "{listed[0].photo}". ' if listed else ""
    advice = f'{told}Predict the folder "{relative_path(product.root / "test")}" as a whole.'
    message = f"{len(names)} of {len(product.photos)} test photos have no verdict: {named}."
    return Problem("LC654", message, relative_path(product.root), advice=advice)


def rule_truth(product: LocoProduct, verdicts: VerdictsByName) -> dict[str, tuple[str, ...]]:
    """The truth about good and logical photos, by the name that their verdict has: what rules can be held against."""
    return {verdicts[p.name].photo: p.defects for p in product.photos if p.split != STRUCTURAL}


def compute_loco_metrics(product: LocoProduct, verdicts: VerdictsByName, *, ignored_verdicts: int = 0) -> LocoMetrics:
    """Hold the verdicts against the folder. Reads every mask once. Loads torch."""
    maps = {photo.name: _photo_histograms(photo, verdicts[photo.name]) for photo in product.photos}
    present = [split for split in (LOGICAL, STRUCTURAL) if product.photos_of(split)]
    known = {name for verdict in verdicts.values() for name, _ in verdict.scores}
    defects = [
        _defect_metrics(kind, split, product, verdicts, has_rule=kind in known)
        for split in present
        for kind in sorted({name for photo in product.photos_of(split) for name in photo.defects})
    ]
    return LocoMetrics(
        tuple(_split_metrics(s, product, verdicts, maps) for s in present), tuple(defects), ignored_verdicts
    )


def _photo_histograms(photo: LocoPhoto, verdict: Verdict) -> MapHistograms:
    regions = [
        (pixels, region.saturation(int(pixels.sum()))) for region in photo.regions for pixels in [region.read_mask()]
    ]
    return compute_histograms(draw_anomaly_map(verdict, photo.width, photo.height), regions)


def _split_metrics(
    name: str, product: LocoProduct, placed: VerdictsByName, maps: Mapping[str, MapHistograms]
) -> SplitMetrics:
    bad = product.photos_of(name)
    found = compute_spro_curve([maps[photo.name] for photo in (*product.photos_of(GOOD), *bad)])
    return SplitMetrics(
        name.removesuffix("_anomalies"),
        len(bad),
        _auroc_against_good(product, placed, bad),
        estimate_rate(placed[photo.name].outcome == "fail" for photo in bad),
        estimate_rate(placed[photo.name].outcome == "pass" for photo in bad),
        tuple((limit, found.area(limit)) for limit in LIMITS) if found else (),
    )


def _defect_metrics(
    name: str, split: str, product: LocoProduct, placed: VerdictsByName, *, has_rule: bool
) -> DefectMetrics:
    bad = [photo for photo in product.photos_of(split) if name in photo.defects]
    return DefectMetrics(
        name,
        split.removesuffix("_anomalies"),
        len(bad),
        _auroc_against_good(product, placed, bad),
        estimate_rate(name in placed[photo.name].violations for photo in bad) if has_rule else None,
        estimate_rate(placed[photo.name].outcome == "fail" for photo in bad),
    )


def _auroc_against_good(product: LocoProduct, placed: VerdictsByName, bad: Sequence[LocoPhoto]) -> float | None:
    photos = [*product.photos_of(GOOD), *bad]
    return compute_auroc([placed[photo.name].score for photo in photos], [photo.split != GOOD for photo in photos])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _rate_json(name: str, rate: Rate | None) -> dict[str, object]:
    ci95 = rate.ci95 if rate else None
    return {name: rate.value if rate else None, f"{name}_ci95": list(ci95) if ci95 else None}


def _areas_json(areas: SproAreas) -> dict[str, float]:
    return {f"{limit:g}": area for limit, area in areas}
