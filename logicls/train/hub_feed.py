"""Batches for a hub model, made ahead by other threads: PIL, numpy and tokenizers leave the interpreter free."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np
from torch.utils.data import IterableDataset

from logicls.train.draws import Draws
from logicls.train.hub_examples import Batch, Examples

AHEAD = 4
"""Parts of batches that are made before they are asked for, one a thread."""


class HubFeed(IterableDataset[Batch]):
    """The batches of steps `start` to `stop`, each in `parts`; they depend on step, seed and draws alone."""

    def __init__(
        self,
        examples: Examples,
        *,
        draws: Draws,
        start: int,
        stop: int,
        parts: int,
        jitter: float,
        verdict_weight: float,
        seed: int,
    ) -> None:
        """`draws` tell which examples a step takes, and are asked up to `AHEAD` steps before it is learned."""
        super().__init__()
        self.examples, self.draws, self.start, self.stop, self.parts = examples, draws, start, stop, parts
        self.jitter, self.verdict_weight, self.seed = jitter, verdict_weight, seed

    def __iter__(self) -> Iterator[Batch]:
        places = ((step, part) for step in range(self.start, self.stop) for part in range(self.parts))
        with ThreadPoolExecutor(AHEAD) as pool:
            ahead: deque[Future[Batch]] = deque()
            try:
                ahead.extend(pool.submit(self.part, *place) for place in islice(places, AHEAD))
                while ahead:
                    made = ahead.popleft().result()
                    ahead.extend(pool.submit(self.part, *place) for place in islice(places, 1))
                    yield made
            finally:
                for future in ahead:
                    future.cancel()

    def part(self, step: int, part: int) -> Batch:
        """One part of a step's batch, with a question drawn for each example."""
        numbers = self.draws(step)
        each = len(numbers) // self.parts
        drawn = [(number, np.random.default_rng([self.seed, step, k, 13])) for k, number in enumerate(numbers)]
        some = drawn[part * each : (part + 1) * each]
        return self.examples.batch(some, jitter=self.jitter, verdict_weight=self.verdict_weight)
