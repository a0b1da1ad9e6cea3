"""Uniform random samples of streams of unknown length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Reservoir(Generic[T]):
    """Uniform random sample of a stream, or its first items if no random source is given.

    J. S. Vitter, "Random Sampling with a Reservoir", ACM Transactions on Mathematical Software 11, 1985, algorithm R.
    """

    def __init__(self, capacity: int, draw: Callable[[int], int] | None = None) -> None:
        """Create an empty reservoir.

        Args:
            capacity: Maximum size of the sample.
            draw: Returns a random integer from 0 up to, but excluding, its argument.
        """
        self.capacity = capacity
        self.count = 0
        """Number of items in the stream so far."""
        self.items: list[tuple[int, T]] = []
        """Sampled items with their positions in the stream; not sorted."""
        self._draw = draw

    def add(self, item: T) -> None:
        """Add the next item of the stream."""
        if len(self.items) < self.capacity:
            self.items.append((self.count, item))
        elif self._draw is not None and (position := self._draw(self.count + 1)) < self.capacity:
            self.items[position] = (self.count, item)
        self.count += 1
