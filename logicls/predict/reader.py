"""Who reads a photo: whatever kind of model a bundle holds, what is read looks alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from logicls.models.bundle import Bundle
from logicls.predict.hub_pass import HubPass
from logicls.predict.one_pass import Look, OnePass


@runtime_checkable
class Reader(Protocol):
    """Answers the questions of a bundle's spec."""

    bundle: Bundle

    def look(self, photos: Sequence[np.ndarray]) -> list[Look]:
        """Read photos, uint8 RGB [height width 3] of any sizes."""
        ...


def reader_of(bundle: Bundle) -> Reader:
    """The reader for a bundle's kind of model."""
    return OnePass(bundle) if bundle.hub is None else HubPass(bundle)
