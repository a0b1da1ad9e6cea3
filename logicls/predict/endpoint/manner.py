"""How a server is asked, as people choose it. Needs neither the network nor torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from logicls.models.coordinates import Family


class Manner(StrEnum):
    """How questions are put and answered."""

    json = "json"
    """All at once; the answer is JSON. For a model that knows nothing of LogiCls."""
    lines = "lines"
    """One by one; each answer is a line, as `logicls train` teaches it."""
    chain = "chain"
    """All at once; the answer is a chain of thought, as other trainers teach it by `logicls synth --format`."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How to ask; what is left open follows from the bundle and the model."""

    manner: Manner | None = None
    boxes: Family | None = None
