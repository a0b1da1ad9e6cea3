"""The batches of a run: of each step the examples that were drawn for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from logicls.train.collate import Batches
from logicls.train.draws import Draws
from logicls.train.encode import Encoded


class Feed(Batches):
    """Batches whose examples out of the set are drawn; their numbers are asked for when the batch is taken."""

    def __init__(self, draws: Draws | None, *given: Any, **settings: Any) -> None:
        """`draws`: None where every example is fresh. The rest is what `Batches` is given."""
        super().__init__(*given, **settings)
        self.draws = draws

    def _read(self, step: int, count: int) -> tuple[list[Encoded], np.ndarray]:
        """The step's examples out of the set, and their pixels."""
        chosen = self.draws(step) if self.draws else []
        return [self.flight.examples[number] for number in chosen], self.flight.pixels[chosen]
