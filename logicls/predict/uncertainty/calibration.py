"""Calibration of a model's probabilities, and how reliable they are.

A bundle's `calibration.json` holds what is fitted once after training: the temperatures of the model's probabilities,
the measurement noise of each rule's distances, and the weights with which derived and stated verdicts are pooled.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from logicls.errors import BundleError, Problem
from logicls.io.atomic import write_text
from logicls.predict.uncertainty.ood import PhotoLimits, TrainingResolution
from logicls.records import Verdict

CALIBRATION_FILE = "calibration.json"
MIN_PROBABILITY = 1e-4
"""Distance of every probability from 0 and 1, at least: nothing is fitted on enough examples to claim more."""
DEFAULT_SD = 0.5
"""Standard deviation, in dead zones, of a distance without a fit: synthesis leaves out what lies within one zone."""


@dataclass(frozen=True, slots=True)
class MeasurementNoise:
    """Error of a measured distance from a rule's limit, in dead zones (`logicls.constraints.checker.evaluation`).

    A normal distribution with a share of outliers on either side (Tukey 1960).
    """

    sd: float = DEFAULT_SD
    """Standard deviation of the errors that are not outliers."""
    outlier_rate: float = 0.0
    """Share of the measurements that are outliers, 0 to 1."""

    def flip_probability(self, margin: float) -> float:
        """Return the probability that the true distance lies on the other side of the limit than the measured one."""
        tail = 0.5 * math.erfc(abs(margin) / max(self.sd, 1e-6) / math.sqrt(2))
        return (1 - self.outlier_rate) * tail + self.outlier_rate / 2


@dataclass(frozen=True, slots=True)
class Calibration:
    """Fitted calibration of one bundle. The defaults leave probabilities as they are and weigh both verdicts alike."""

    locate_temperature: float = 1.0
    """Temperature of the probability that there is an instance at a location."""
    attribute_temperature: float = 1.0
    """Temperature of the probability of an attribute's value."""
    derived_weight: float = 0.5
    """Weight of the log-odds that a rule is broken by the answers."""
    stated_weight: float = 0.5
    """Weight of the log-odds that the stated verdict names the violation."""
    offset: float = 0.0
    """Bias added to the weighted log-odds."""
    noise: tuple[tuple[str, MeasurementNoise], ...] = ()
    """Constraint → error of its measured distances."""
    example_count: int = 0
    """Number of examples of the fit; 0 without one."""
    resolution: TrainingResolution | None = None
    """Resolution of the training photos."""
    photo_limits: PhotoLimits | None = None
    """Aspect ratios and colours of the training photos; None in older bundles, which do not check them."""

    def noise_of(self, constraint: str) -> MeasurementNoise:
        """Return the measurement noise of a constraint; the default without a fit."""
        return next((noise for name, noise in self.noise if name == constraint), MeasurementNoise())

    def pool(self, derived: float, stated: float | None) -> float:
        """Pool the probabilities that a rule is broken by the answers and by the stated verdict.

        Logarithmic opinion pool (Genest and Zidek, Statistical Science 1, 1986) with fitted weights. Without a stated
        verdict (None) the answers alone count.
        """
        if stated is None:
            return clip_probability(derived)
        pooled = self.offset + self.derived_weight * log_odds(derived) + self.stated_weight * log_odds(stated)
        return clip_probability(sigmoid(pooled))


@lru_cache(maxsize=64)  # every verdict of a run has the same calibration
def hash_calibration(calibration: Calibration) -> str:
    """Return the first twelve hexadecimal digits of the SHA-256 of a calibration."""
    return hashlib.sha256(json.dumps(asdict(calibration)).encode()).hexdigest()[:12]


def log_odds(probability: float) -> float:
    """Return the natural logarithm of the odds of a probability, clipped by `clip_probability`."""
    p = clip_probability(probability)
    return math.log(p / (1 - p))


def sigmoid(log_odds: float) -> float:
    """Return the probability of log-odds."""
    return 1 / (1 + math.exp(-log_odds)) if log_odds > 0 else math.exp(log_odds) / (1 + math.exp(log_odds))


def clip_probability(probability: float) -> float:
    """Clip a probability to [`MIN_PROBABILITY`, 1 - `MIN_PROBABILITY`]."""
    return min(max(probability, MIN_PROBABILITY), 1 - MIN_PROBABILITY)


def temperature_scale(probability: float, temperature: float) -> float:
    """Scale a binary probability by a temperature.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2, for two classes.

    >>> round(temperature_scale(0.9, 2.0), 3)
    0.75
    """
    return sigmoid(log_odds(probability) / temperature) if temperature != 1.0 else probability


_OLD_KEYS = {
    "located": "locate_temperature", "likened": "attribute_temperature", "derived": "derived_weight",
    "stated": "stated_weight", "spreads": "noise", "examples": "example_count", "pixels": "resolution",
    "stray": "outlier_rate", "across": "component_size", "size": "input_size", "scale": "max_scale",
}  # fmt: skip
"""Keys of `calibration.json` in older bundles → current keys."""


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Write `calibration.json` to the folder of a bundle."""
    content = {**asdict(calibration), "noise": {name: asdict(noise) for name, noise in calibration.noise}}
    write_text(folder / CALIBRATION_FILE, json.dumps(content, indent=1))


def read_calibration(folder: Path) -> Calibration:
    """Read `calibration.json` of a bundle; the default calibration without the file.

    Raises:
        BundleError: The file cannot be read (LC620).
    """
    file = folder / CALIBRATION_FILE
    if not file.exists():
        return Calibration()
    try:
        content: Mapping[str, Any] = _rename_keys(json.loads(file.read_text(encoding="utf-8")))
        noise = {name: _rename_keys(one) for name, one in dict(content.get("noise", {})).items()}
        resolution = content.get("resolution")
        return TypeAdapter[Calibration](Calibration).validate_python(
            {**content, "noise": tuple(noise.items()), "resolution": resolution and _rename_keys(resolution)}
        )
    except (OSError, ValueError, TypeError, ValidationError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        detail = f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}" if first else str(error)
        raise BundleError(Problem("LC620", f"cannot be read: {detail}.", str(file), advice="Train again.")) from error


def _rename_keys(content: Mapping[str, Any]) -> dict[str, Any]:
    return {_OLD_KEYS.get(key, key): value for key, value in dict(content).items()}


BIN_COUNT = 10


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Predictions with a probability from `low` to `high`."""

    low: float
    high: float
    count: int
    mean_probability: float
    """Mean of the predicted probabilities, 0 to 1."""
    observed_rate: float
    """Share of the predictions that were true."""

    def to_json(self) -> dict[str, float]:
        """Return one row of `reliability` in metrics.json."""
        return {
            "low": self.low, "high": self.high, "count": self.count,
            "mean_probability": self.mean_probability, "observed_rate": self.observed_rate,
        }  # fmt: skip

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> ReliabilityBin:
        """Read a row of metrics.json, of older files too. Raises `KeyError`, `TypeError` or `ValueError`."""
        mean_probability = row["mean_probability"] if "mean_probability" in row else row["said"]
        observed_rate = row["observed_rate"] if "observed_rate" in row else row["true"]
        return ReliabilityBin(
            float(row["low"]), float(row["high"]), int(row["count"]), float(mean_probability), float(observed_rate)
        )


def compute_reliability(verdicts: Iterable[Verdict], truth: Mapping[str, Sequence[str]]) -> tuple[ReliabilityBin, ...]:
    """Bin the predicted probability of every violation on every photo of the truth.

    Ten bins of equal width; empty ones are left out.
    """
    cases = [(p, name in truth[v.photo]) for v in verdicts if v.photo in truth for name, p in v.scores]
    return bin_probabilities(cases)


def bin_probabilities(cases: Iterable[tuple[float, bool]]) -> tuple[ReliabilityBin, ...]:
    """Bin pairs of a predicted probability and whether the prediction was true."""
    members: list[list[tuple[float, bool]]] = [[] for _ in range(BIN_COUNT)]
    for probability, is_true in cases:
        members[min(int(probability * BIN_COUNT), BIN_COUNT - 1)].append((probability, is_true))
    return tuple(
        ReliabilityBin(
            k / BIN_COUNT,
            (k + 1) / BIN_COUNT,
            len(pairs),
            sum(p for p, _ in pairs) / len(pairs),
            sum(is_true for _, is_true in pairs) / len(pairs),
        )
        for k, pairs in enumerate(members)
        if pairs
    )


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float | None:
    """Return the gap between predicted and observed probability, averaged over all predictions; None without any.

    Source: Naeini et al., AAAI 2015; Guo et al., ICML 2017, equation 3.
    """
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.mean_probability - one.observed_rate) for one in bins) / total if total else None
