"""Batches for a hub model, made ahead by other threads: PIL, numpy and tokenizers leave the interpreter free."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np
from torch.utils.data import IterableDataset

from logicls.train.hub_examples import Batch, Examples
from logicls.train.preflight import batch_of

AHEAD = 4
"""Parts of batches that are made before they are asked for, one a thread."""


class HubFeed(IterableDataset[Batch]):
    """The batches of steps `start` to `stop`, each in `parts`; they depend on step and seed alone."""

    def __init__(
        self,
        examples: Examples,
        *,
        start: int,
        stop: int,
        batch: int,
        parts: int,
        jitter: float,
        verdict_weight: float,
        seed: int,
        learned: Sequence[int] | None = None,
    ) -> None:
        """`learned` are the numbers of the examples that are drawn from; all of them if left out."""
        super().__init__()
        self.learned = range(len(examples.rows)) if learned is None else learned
        self.examples, self.start, self.stop, self.batch, self.parts = examples, start, stop, batch, parts
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
        """One part of a step's batch: every photo comes once before any comes again, with a question drawn."""
        each = self.batch // self.parts
        numbers = [self.learned[n] for n in batch_of(step, len(self.learned), self.batch, self.seed)]
        drawn = [(number, np.random.default_rng([self.seed, step, k, 13])) for k, number in enumerate(numbers)]
        some = drawn[part * each : (part + 1) * each]
        return self.examples.batch(some, jitter=self.jitter, verdict_weight=self.verdict_weight)
