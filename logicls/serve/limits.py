"""How much the server takes: of one photo, of one client, and of all of them together."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

from logicls.data.picture import MAX_PIXELS

CLIENTS = 10_000
"""So many addresses are remembered; of more the one that was heard of longest ago is forgotten."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server is started with."""

    batch: int = 16
    """Photos that the model looks at together, at most."""
    wait: float = 0.005
    """Seconds that a photo waits for others to be looked at with."""
    queue: int = 128
    """Photos that were taken and not answered yet, at most."""
    rate: float = 100.0
    """Photos a second from one address in the long run; at once it may send twice as many."""
    size: int = 20_000_000
    """Bytes of a request."""
    pixels: int = MAX_PIXELS
    """Of a photo; a larger one is not decoded, and goes to review."""
    patience: float = 30.0
    """Seconds that a request may take to arrive."""


class Rate:
    """A bucket of tokens for each address: a photo takes one, and so many a second come back."""

    def __init__(self, rate: float) -> None:
        self.rate, self.full = rate, max(1.0, 2.0 * rate)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, now: float) -> int:
        """0, or how many whole seconds the address must wait. `now`: seconds of a clock that never goes back."""
        left, then = self._left.pop(address, (self.full, now))
        left = min(self.full, left + (now - then) * self.rate)
        wait = 0 if left >= 1.0 else math.ceil((1.0 - left) / self.rate)
        self._left[address] = (left if wait else left - 1.0, now)
        if len(self._left) > CLIENTS:
            self._left.popitem(last=False)
        return wait
