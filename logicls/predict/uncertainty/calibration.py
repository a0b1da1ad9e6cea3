"""What turns a model's own chances into probabilities: fitted once after training, and read with the bundle.

Does what is called a chance of 70 % come true in 70 of 100 cases? Bins for a plot, and one number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from logicls.errors import BundleError, Problem
from logicls.io.atomic import write_text
from logicls.predict.uncertainty.ood import TrainingResolution
from logicls.records import Verdict

CALIBRATION_FILE = "calibration.json"
MIN_PROBABILITY = 1e-4
"""No probability is nearer to 0 or to 1 than this: nothing was ever fitted on enough examples to say more."""
DEFAULT_SD = 0.5
"""Spread, in dead zones, of a distance of which nothing is known: synthesis leaves out what lies within one."""


@dataclass(frozen=True, slots=True)
class MeasurementNoise:
    """How far a distance from a rule's limit is read wrongly, in dead zones (`logicls.constraints.checker.margins`)."""

    sd: float = DEFAULT_SD
    """Standard deviation of most readings."""
    outlier_rate: float = 0.0
    """Share of the readings that are something else altogether, 0 to 1."""

    def flip_probability(self, margin: float) -> float:
        """Probability that the true distance lies on the other side of the limit than the one that was read.

        A normal distribution contaminated by strays that lie on either side alike (Tukey 1960).
        """
        tail = 0.5 * math.erfc(abs(margin) / max(self.sd, 1e-6) / math.sqrt(2))
        return (1 - self.outlier_rate) * tail + self.outlier_rate / 2


@dataclass(frozen=True, slots=True)
class Calibration:
    """All that was fitted. As it is made here it changes nothing but to weigh both readings alike."""

    locate_temperature: float = 1.0
    """Temperature of the chance that there is a thing at a place."""
    attribute_temperature: float = 1.0
    """Temperature of the chance that a thing is so."""
    derived_weight: float = 0.5
    """Weight of the log-odds that the answers make a rule broken."""
    stated_weight: float = 0.5
    """Weight of the log-odds that the stated verdict names it."""
    offset: float = 0.0
    """Added to both."""
    noise: tuple[tuple[str, MeasurementNoise], ...] = ()
    """Constraint → how well distances from its limits are read."""
    example_count: int = 0
    """That it was fitted on; 0 where nothing was."""
    resolution: TrainingResolution | None = None
    """How fine the photos were."""

    def noise_of(self, constraint: str) -> MeasurementNoise:
        """That of a constraint."""
        return dict(self.noise).get(constraint, MeasurementNoise())

    def pool(self, derived: float, stated: float | None) -> float:
        """Probability that a rule is broken, out of what the answers make of it and what the stated verdict says.

        A logarithmic opinion pool (Genest and Zidek, Statistical Science 1, 1986) with fitted weights; with None for
        a stated verdict that is not there, the answers alone.
        """
        if stated is None:
            return clip_probability(derived)
        return clip_probability(
            sigmoid(self.offset + self.derived_weight * log_odds(derived) + self.stated_weight * log_odds(stated))
        )


def log_odds(probability: float) -> float:
    """Natural logarithm of the odds; of probabilities next to 0 and 1 that of the last one that is believed."""
    p = clip_probability(probability)
    return math.log(p / (1 - p))


def sigmoid(log_odds: float) -> float:
    """The probability of log-odds."""
    return 1 / (1 + math.exp(-log_odds)) if log_odds > 0 else math.exp(log_odds) / (1 + math.exp(log_odds))


def clip_probability(probability: float) -> float:
    """The probability, no nearer to 0 and 1 than is believed."""
    return min(max(probability, MIN_PROBABILITY), 1 - MIN_PROBABILITY)


def temperature_scale(probability: float, temperature: float) -> float:
    """Guo et al., On Calibration of Modern Neural Networks (ICML 2017), section 4.2, for two classes.

    >>> round(tempered(0.9, 2.0), 3)
    0.75
    """
    return sigmoid(log_odds(probability) / temperature) if temperature != 1.0 else probability


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Beside the weights of a bundle."""
    plain = {**asdict(calibration), "spreads": {name: asdict(spread) for name, spread in calibration.noise}}
    write_text(folder / CALIBRATION_FILE, json.dumps(plain, indent=1))


def read_calibration(folder: Path) -> Calibration:
    """Those of a bundle; nothing fitted where it has none. Raises `BundleError` (LC620)."""
    file = folder / CALIBRATION_FILE
    if not file.exists():
        return Calibration()
    try:
        plain: Mapping[str, object] = dict(json.loads(file.read_text(encoding="utf-8")))
        spreads = TypeAdapter(dict[str, MeasurementNoise]).validate_python(plain.get("spreads", {}))
        made: Calibration = TypeAdapter(Calibration).validate_python({**plain, "spreads": tuple(spreads.items())})
    except (OSError, ValueError, TypeError, ValidationError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        told = f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}" if first else str(error)
        message = f"cannot be read: {told}."
        raise BundleError(Problem("LC620", message, str(file), advice="Train again.")) from error
    return made


BIN_COUNT = 10


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Cases whose probability lies from `low` to `high`."""

    low: float
    high: float
    count: int
    mean_probability: float
    """Mean of the probabilities, 0 to 1."""
    observed_rate: float
    """Share that came true."""

    def to_json(self) -> dict[str, float]:
        """Plain numbers."""
        return {
            "low": self.low,
            "high": self.high,
            "count": self.count,
            "said": self.mean_probability,
            "true": self.observed_rate,
        }


def compute_reliability(verdicts: Iterable[Verdict], truth: Mapping[str, Sequence[str]]) -> tuple[ReliabilityBin, ...]:
    """Of every violation on every photo of the truth: how likely it was called, and whether it was there.

    Ten bins of the same width; those without a case are left out.
    """
    cases = [(p, name in truth[v.photo]) for v in verdicts if v.photo in truth for name, p in v.scores]
    return bin_probabilities(cases)


def bin_probabilities(cases: Iterable[tuple[float, bool]]) -> tuple[ReliabilityBin, ...]:
    """Of probabilities and whether they came true."""
    found: list[list[tuple[float, bool]]] = [[] for _ in range(BIN_COUNT)]
    for chance, true in cases:
        found[min(int(chance * BIN_COUNT), BIN_COUNT - 1)].append((chance, true))
    return tuple(
        ReliabilityBin(
            k / BIN_COUNT,
            (k + 1) / BIN_COUNT,
            len(some),
            sum(p for p, _ in some) / len(some),
            sum(t for _, t in some) / len(some),
        )
        for k, some in enumerate(found)
        if some
    )


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float | None:
    """Expected calibration error: the gap between told and true, averaged over all cases; None without any.

    Naeini et al., AAAI 2015; Guo et al., ICML 2017, equation 3.
    """
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.mean_probability - one.observed_rate) for one in bins) / total if total else None
