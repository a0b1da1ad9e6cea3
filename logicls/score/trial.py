"""What was tried, and how often it went as it must."""

from __future__ import annotations

from dataclasses import dataclass

from logicls.score.rate import Rate, rate_of


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing that was tried."""

    kind: str
    """Of question or rule."""
    told: str
    """Photo and question or edit, for those who want to look."""
    passed: bool


@dataclass(frozen=True, slots=True)
class Trials:
    """One test of faithfulness."""

    trials: tuple[Trial, ...]
    left_out: int = 0
    """Photos with nothing to try."""

    @property
    def rate(self) -> Rate:
        """Trials that went as they must."""
        return rate_of(trial.passed for trial in self.trials)

    @property
    def kinds(self) -> tuple[tuple[str, Rate], ...]:
        """The same for each kind."""
        kinds = sorted({trial.kind for trial in self.trials})
        return tuple((kind, rate_of(t.passed for t in self.trials if t.kind == kind)) for kind in kinds)

    def to_json(self) -> dict[str, object]:
        """What metrics.json holds of it."""
        kinds = {kind: _rate_json(rate) for kind, rate in self.kinds}
        failed = [trial.told for trial in self.trials if not trial.passed]
        return {**_rate_json(self.rate), "left_out": self.left_out, "kinds": kinds, "failed": failed}


def _rate_json(rate: Rate) -> dict[str, object]:
    return {"value": rate.value, "ci95": list(rate.ci95) if rate.ci95 else None, "n": rate.of}
