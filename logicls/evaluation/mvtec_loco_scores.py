"""Metrics on the test set of MVTec LOCO AD: by kind of anomaly, by defect, and localization by sPRO.

As in the paper each kind of anomaly is compared with the good photos, and the mean of both kinds is the overall value.

Saturated per-region overlap (Bergmann et al., IJCV 2022, section 5.1): with regions A_1 … A_m, their saturations
s_1 … s_m and the set P of pixels that are predicted as anomalous,

    sPRO(P) = 1/m Σ min(|A_i ∩ P| / s_i, 1).

P are the pixels of the anomaly maps above a threshold. All thresholds give a curve of sPRO over the false positive
rate: the share of the pixels outside every region, including those of good photos, that are in P. The area under the
curve up to a limit, divided by that limit, is the score; 1 is best, and a random map has half the limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from logicls.errors import DataError, Problem, relative_path
from logicls.evaluation.evidence import draw_anomaly_map
from logicls.evaluation.intervals import Rate, estimate_rate
from logicls.evaluation.metrics import compute_auroc
from logicls.evaluation.mvtec_loco import GOOD, LOGICAL, STRUCTURAL, LocoPhoto, LocoProduct
from logicls.records import Verdict

LIMITS = (0.05, 0.3)
"""False positive rates up to which the curve is integrated."""
Histogram = tuple[tuple[float, int], ...]
"""Value of an anomaly map → number of pixels."""


@dataclass(frozen=True, slots=True)
class RegionHistogram:
    """Values of an anomaly map in one region."""

    histogram: Histogram
    saturation: int
    """Pixels."""


@dataclass(frozen=True, slots=True)
class MapHistograms:
    """Values of one photo's anomaly map: small enough to have thousands of photos in memory."""

    outside: Histogram
    """Pixels in no region."""
    regions: tuple[RegionHistogram, ...] = ()


@dataclass(frozen=True, slots=True)
class SproCurve:
    """sPRO over false positive rate, both from 0 to 1."""

    rates: tuple[float, ...] = field(repr=False)
    spros: tuple[float, ...] = field(repr=False)

    def area(self, limit: float) -> float:
        """Return the area under the curve up to that false positive rate, divided by it."""
        rates, spros = np.asarray(self.rates), np.asarray(self.spros)
        is_within = rates < limit
        xs = np.append(rates[is_within], limit)
        ys = np.append(spros[is_within], _interpolate(limit, rates, spros))
        return float(np.trapezoid(ys, xs) / limit)


def compute_histograms(
    anomaly_map: Float[np.ndarray, "height width"], regions: Sequence[tuple[Bool[np.ndarray, "height width"], int]]
) -> MapHistograms:
    """Compute the histograms of a map (0: normal, above 0: anomalous) in and outside regions (mask, saturation)."""
    outside = np.ones(anomaly_map.shape, bool)
    for mask, _ in regions:
        outside &= ~mask
    return MapHistograms(
        _histogram(anomaly_map[outside]),
        tuple(RegionHistogram(_histogram(anomaly_map[mask]), saturation) for mask, saturation in regions),
    )


def compute_spro_curve(photos: Iterable[MapHistograms]) -> SproCurve | None:
    """Compute the curve of all photos together; None without regions, or without pixels outside of them.

    Each value of the maps is a threshold. The curve is linear between two of them, as if pixels of equal value were
    predicted in random order.
    """
    listed = list(photos)
    regions = [region for photo in listed for region in photo.regions]
    outside_area = sum(count for photo in listed for _, count in photo.outside)
    if not regions or not outside_area:
        return None
    histograms = [one for photo in listed for one in (photo.outside, *(r.histogram for r in photo.regions))]
    values = {value for histogram in histograms for value, _ in histogram}
    thresholds = np.array(sorted({0.0, *values}, reverse=True))
    rates = np.sum([_count_at_least(photo.outside, thresholds) for photo in listed], axis=0) / outside_area
    overlaps = [np.minimum(_count_at_least(r.histogram, thresholds) / r.saturation, 1) for r in regions]
    return SproCurve((0.0, *map(float, rates)), (0.0, *map(float, np.mean(overlaps, axis=0))))


def _histogram(values: np.ndarray) -> Histogram:
    positive = values[values > 0]  # most of a map is 0, and sorting takes longest
    unique, counts = np.unique(positive, return_counts=True)
    zeros = [(0.0, values.size - positive.size)] if values.size > positive.size else []
    return (*zeros, *((float(value), int(count)) for value, count in zip(unique, counts, strict=True)))


def _count_at_least(histogram: Histogram, thresholds: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Count the pixels that reach each of the descending thresholds."""
    ordered = sorted(histogram)
    values = np.array([value for value, _ in ordered])
    counts = np.array([0, *np.cumsum([count for _, count in reversed(ordered)])], float)
    return np.asarray(counts[len(values) - np.searchsorted(values, thresholds, side="left")])


def _interpolate(rate: float, rates: np.ndarray, spros: np.ndarray) -> float:
    """Return the sPRO at a false positive rate; the highest of a vertical step."""
    index = int(np.searchsorted(rates, rate, side="right"))
    if index == len(rates):
        return float(spros[-1])
    if rates[index - 1] == rate:
        return float(spros[index - 1])
    share = (rate - rates[index - 1]) / (rates[index] - rates[index - 1])
    return float(spros[index - 1] + share * (spros[index] - spros[index - 1]))


VerdictsByName = Mapping[str, Verdict]
"""Name of a test photo → its verdict."""
SproAreas = tuple[tuple[float, float], ...]
"""Limit of the false positive rate → area under the sPRO curve up to it, 0 to 1."""
MAX_NAMED = 20
"""Photos without a verdict that are listed."""


@dataclass(frozen=True, slots=True)
class SplitMetrics:
    """Metrics of one kind of anomaly against the good photos."""

    name: str
    n: int
    """Anomalous photos."""
    auroc: float | None
    """AUROC of the anomaly score; None without either kind of photo."""
    fail_rate: Rate
    """Anomalous photos that failed."""
    escape_rate: Rate
    """Anomalous photos that passed; the rest went to review."""
    spro: SproAreas
    """Empty without regions."""


@dataclass(frozen=True, slots=True)
class DefectMetrics:
    """Metrics of one defect. A photo may have several defects."""

    name: str
    split: str
    n: int
    """Photos that have it."""
    auroc: float | None
    """AUROC of the anomaly score, these photos against the good ones."""
    recall: Rate | None
    """Photos on which a violation of the same name was found; None if no rule has that name."""
    fail_rate: Rate
    """Photos that failed, for any reason."""


@dataclass(frozen=True, slots=True)
class LocoMetrics:
    """Metrics of a LOCO test set."""

    splits: tuple[SplitMetrics, ...]
    defects: tuple[DefectMetrics, ...]
    ignored_verdicts: int
    """Verdicts of photos that are not in the test set: training and validation photos."""

    @property
    def mean_auroc(self) -> float | None:
        """Mean of the splits; None if one is undefined."""
        return _mean([split.auroc for split in self.splits])

    @property
    def mean_spro(self) -> SproAreas:
        """Mean of the splits; empty if one is undefined."""
        means = [(limit, _mean([dict(split.spro).get(limit) for split in self.splits])) for limit in LIMITS]
        return tuple((limit, mean) for limit, mean in means if mean is not None)

    def to_json(self) -> dict[str, object]:
        """Return the part of metrics.json under `loco`."""
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
    """Return the verdicts of the test photos by name, and those of other photos.

    The predicted folder may have been `test`, the product's folder, or its parent.

    Raises:
        DataError: A test photo has no verdict (LC654), or two (LC248).
    """
    listed = list(verdicts)
    names = {photo.name for photo in product.photos}
    bases = ("", "test/", f"{product.root.resolve().name}/test/")
    base = max(bases, key=lambda b: sum(v.photo.startswith(b) and v.photo.removeprefix(b) in names for v in listed))
    matched: dict[str, Verdict] = {}
    others: list[Verdict] = []
    problems: list[Problem] = []
    for verdict in listed:
        name = verdict.photo.removeprefix(base) if verdict.photo.startswith(base) else ""
        if name not in names:
            others.append(verdict)
            continue
        if name in matched:
            problems.append(Problem("LC248", f'photo "{verdict.photo}" has more than one verdict.'))
        matched[name] = verdict
    missing = [photo.name for photo in product.photos if photo.name not in matched]
    if missing:
        problems.append(_missing(missing, product, listed))
    if problems:
        raise DataError(problems)
    return matched, tuple(others)


def _missing(names: Sequence[str], product: LocoProduct, verdicts: Sequence[Verdict]) -> Problem:
    text = ", ".join(names[:MAX_NAMED]) + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")
    first = f'The first verdict is of "{verdicts[0].photo}". ' if verdicts else ""
    advice = f'{first}Predict the whole folder "{relative_path(product.root / "test")}".'
    message = f"{len(names)} of {len(product.photos)} test photos have no verdict: {text}."
    return Problem("LC654", message, relative_path(product.root), advice=advice)


def rule_truth(product: LocoProduct, verdicts: VerdictsByName) -> dict[str, tuple[str, ...]]:
    """Return the truth of good and logical photos, by the names in the verdicts: rules can find no other anomalies."""
    return {verdicts[p.name].photo: p.defects for p in product.photos if p.split != STRUCTURAL}


def compute_loco_metrics(product: LocoProduct, verdicts: VerdictsByName, *, ignored_verdicts: int = 0) -> LocoMetrics:
    """Compute the metrics. Reads every mask once."""
    histograms = {photo.name: _photo_histograms(photo, verdicts[photo.name]) for photo in product.photos}
    splits = [split for split in (LOGICAL, STRUCTURAL) if product.photos_of(split)]
    violations = {name for verdict in verdicts.values() for name, _ in verdict.scores}
    defects = [
        _defect_metrics(kind, split, product, verdicts, has_rule=kind in violations)
        for split in splits
        for kind in sorted({name for photo in product.photos_of(split) for name in photo.defects})
    ]
    return LocoMetrics(
        tuple(_split_metrics(split, product, verdicts, histograms) for split in splits),
        tuple(defects),
        ignored_verdicts,
    )


def _photo_histograms(photo: LocoPhoto, verdict: Verdict) -> MapHistograms:
    masks = [(region, region.read_mask()) for region in photo.regions]
    regions = [(mask, region.saturation(int(mask.sum()))) for region, mask in masks]
    return compute_histograms(draw_anomaly_map(verdict, photo.width, photo.height), regions)


def _split_metrics(
    name: str, product: LocoProduct, verdicts: VerdictsByName, histograms: Mapping[str, MapHistograms]
) -> SplitMetrics:
    anomalous = product.photos_of(name)
    curve = compute_spro_curve([histograms[photo.name] for photo in (*product.photos_of(GOOD), *anomalous)])
    return SplitMetrics(
        name.removesuffix("_anomalies"),
        len(anomalous),
        _auroc_against_good(product, verdicts, anomalous),
        estimate_rate(verdicts[photo.name].outcome == "fail" for photo in anomalous),
        estimate_rate(verdicts[photo.name].outcome == "pass" for photo in anomalous),
        tuple((limit, curve.area(limit)) for limit in LIMITS) if curve else (),
    )


def _defect_metrics(
    name: str, split: str, product: LocoProduct, verdicts: VerdictsByName, *, has_rule: bool
) -> DefectMetrics:
    anomalous = [photo for photo in product.photos_of(split) if name in photo.defects]
    return DefectMetrics(
        name,
        split.removesuffix("_anomalies"),
        len(anomalous),
        _auroc_against_good(product, verdicts, anomalous),
        estimate_rate(name in verdicts[photo.name].violations for photo in anomalous) if has_rule else None,
        estimate_rate(verdicts[photo.name].outcome == "fail" for photo in anomalous),
    )


def _auroc_against_good(product: LocoProduct, verdicts: VerdictsByName, anomalous: Sequence[LocoPhoto]) -> float | None:
    photos = [*product.photos_of(GOOD), *anomalous]
    return compute_auroc([verdicts[photo.name].score for photo in photos], [photo.split != GOOD for photo in photos])


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined and len(defined) == len(values) else None


def _rate_json(name: str, rate: Rate | None) -> dict[str, object]:
    ci95 = rate.ci95 if rate else None
    return {name: rate.value if rate else None, f"{name}_ci95": list(ci95) if ci95 else None}


def _areas_json(areas: SproAreas) -> dict[str, float]:
    return {f"{limit:g}": area for limit, area in areas}
