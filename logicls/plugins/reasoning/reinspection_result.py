"""Typed record of a re-inspection in a verdict's plug-in results."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from logicls.errors import DataError, Problem
from logicls.records import Outcome, PluginResult, Verdict

REASONER = "reasoner"


@dataclass(frozen=True, slots=True)
class ReinspectionResult:
    """Record of one re-inspection."""

    reasoner: str
    """Name of the plug-in."""
    before: Outcome
    """Outcome of the first inspection."""
    seconds: float
    """Additional time."""
    rewards: tuple[float, ...] = ()
    """Mean certainty of the answers, 0 to 1: without think tokens, with the initial ones, after each step."""
    retained_views: int = 0
    """Injected high-resolution patches that raised the reward."""
    is_accepted: bool = True
    """False if no answer became more certain, so that the first verdict stands."""
    after: Outcome | None = None
    """Outcome by thresholds, before any other plug-in; None in older records."""
    entropies: tuple[float, ...] = ()
    """Entropy before and after, 0 to 1: mean over the slots (1 - reward), or, without rewards, the mean binary entropy
    of the answers in bits; empty in older records."""

    def to_plugin_result(self) -> PluginResult:
        """Return the record as a verdict has it."""
        names = (field.name for field in fields(self) if field.name != "reasoner")
        return PluginResult(REASONER, self.reasoner, tuple((name, getattr(self, name)) for name in names))


def reinspection_of(verdict: Verdict) -> ReinspectionResult | None:
    """Return the re-inspection of a verdict; None if there was none.

    Raises:
        DataError: The record is invalid (LC252).
    """
    result = verdict.plugin_result(REASONER)
    if result is None:
        return None
    try:
        record: ReinspectionResult = _adapter().validate_python({"reasoner": result.name, **dict(result.payload)})
    except ValidationError as error:
        message = f'verdict of "{verdict.photo}": invalid result of the reasoner "{result.name}".'
        raise DataError(Problem("LC252", message)) from error
    return record


@cache
def _adapter() -> Any:
    return TypeAdapter(ReinspectionResult)
