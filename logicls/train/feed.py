"""The batches of a run, and how long the model waits for them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any, cast

from torch.utils.data import IterableDataset

from logicls.train.collate import Batch


class Feed(IterableDataset[Batch]):
    """Batches whose making is timed."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        super().__init__()
        self.batches = batches
        self.waited = 0.0
        """Seconds in which the model waited for its batches."""

    def __iter__(self) -> Iterator[Batch]:
        with closing(cast(Any, iter(self.batches))) as batches:
            while True:
                began = time.perf_counter()
                batch = next(batches, None)
                self.waited += time.perf_counter() - began
                if batch is None:
                    return
                yield batch
