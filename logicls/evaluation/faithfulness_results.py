"""Sample size and results of the faithfulness tests."""

from __future__ import annotations

from dataclasses import dataclass

from logicls.evaluation.intervals import Rate, estimate_rate


@dataclass(frozen=True, slots=True)
class TrialSample:
    """Size and seed of the sample of trials."""

    size: int
    """Number of photos, and of edits."""
    seed: int
    batch: int = 16
    """Number of trials at a time."""


@dataclass(frozen=True, slots=True)
class FaithfulnessTrial:
    """One trial of a faithfulness test."""

    kind: str
    """Kind of the query, or family of the rule."""
    description: str
    """Photo and query, or photo and violation."""
    has_passed: bool


@dataclass(frozen=True, slots=True)
class FaithfulnessTest:
    """Trials of one faithfulness test."""

    trials: tuple[FaithfulnessTrial, ...]
    ignored_photos: int = 0
    """Photos without a trial."""

    @property
    def rate(self) -> Rate:
        """Share of the trials that passed."""
        return estimate_rate(trial.has_passed for trial in self.trials)

    @property
    def rates_by_kind(self) -> tuple[tuple[str, Rate], ...]:
        """Share of the trials of each kind that passed."""
        kinds = sorted({trial.kind for trial in self.trials})
        return tuple((kind, estimate_rate(t.has_passed for t in self.trials if t.kind == kind)) for kind in kinds)

    def to_json(self) -> dict[str, object]:
        """Return the test's part of metrics.json."""
        kinds = {kind: _rate_json(rate) for kind, rate in self.rates_by_kind}
        failed = [trial.description for trial in self.trials if not trial.has_passed]
        return {**_rate_json(self.rate), "left_out": self.ignored_photos, "kinds": kinds, "failed": failed}


def _rate_json(rate: Rate) -> dict[str, object]:
    return {"value": rate.value, "ci95": list(rate.ci95) if rate.ci95 else None, "n": rate.total}


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """Results of the three faithfulness tests of a bundle's citations."""

    necessity: FaithfulnessTest
    """The cited boxes are blanked: the answer must change."""
    sufficiency: FaithfulnessTest
    """Everything but the cited boxes is blurred: the answer must stay."""
    counterfactual: FaithfulnessTest | None
    """One edit of a good photo must break exactly its rule; None without annotated photos."""

    def to_json(self) -> dict[str, object]:
        """Return the part of metrics.json under `faithful`."""
        counterfactual = self.counterfactual.to_json() if self.counterfactual else None
        return {
            "necessity": self.necessity.to_json(),
            "sufficiency": self.sufficiency.to_json(),
            "counterfactual": counterfactual,
        }
