"""Who hears of a training run while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from logicls.train.tuner import Told


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of a run."""

    say: Callable[[str], None]
    """Gets lines for people."""
    prepared: Callable[[int], None]
    """Is told how many more examples went through preflight."""
    planned: Callable[[int], None]
    """Is told the number of steps, before the first one."""
    told: Told


SILENT = Listener(lambda _: None, lambda _: None, lambda _: None, lambda step, loss: None)
