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
    looked: Callable[[int, int], None]
    """Is told, of the steps that close looks learn by themselves, how many are done, and how many there are."""
    planned: Callable[[int], None]
    """Is told the number of steps of the whole, before the first one."""
    told: Told


SILENT = Listener(
    say=lambda _: None,
    prepared=lambda _: None,
    looked=lambda done, steps: None,
    planned=lambda _: None,
    told=lambda step, loss: None,
)
