"""The batches of a run: of each step the examples that were drawn for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

import numpy as np

from logicls.train.collate import Batches
from logicls.train.draws import Draws
from logicls.train.encode import Encoded
from logicls.train.ranks import Rank


class Feed(Batches):
    """Batches whose examples out of the set are drawn, or this process's share of them.

    The numbers of a batch's examples are asked for when it is taken.
    """

    def __init__(self, draws: Draws | None, rank: Rank, *given: Any, **settings: Any) -> None:
        """`draws`: None where every example is fresh. The rest is what `Batches` is given."""
        super().__init__(*given, **settings)
        self.draws, self.rank = draws, rank
        self.waited = 0.0
        """Seconds in which the model waited for its batches."""

    def __iter__(self) -> Iterator[Any]:
        with closing(cast(Any, super().__iter__())) as batches:
            while True:
                began = time.perf_counter()
                batch = next(batches, None)
                self.waited += time.perf_counter() - began
                if batch is None:
                    return
                yield batch

    def _read(self, step: int, count: int) -> tuple[list[Encoded], np.ndarray]:
        """The step's examples out of the set, and their pixels."""
        chosen = list(self.rank.mine(self.draws(step))) if self.draws else []
        return [self.flight.examples[number] for number in chosen], self.flight.pixels[chosen]
