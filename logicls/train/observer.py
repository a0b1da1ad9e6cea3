"""Notifications of a training run: one object with the callbacks of `fit`, `fit_hub` and `fit_grpo`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

StepCallback = Callable[[int, float], None]
"""Takes the number of a finished step, counted from 1, and its training loss (its mean reward in the stage `grpo`)."""


def _ignore(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class TrainingObserver:
    """Callbacks of a training run; each does nothing unless it is given.

    With several processes only the first one notifies. An exception that a callback raises ends the run.
    """

    on_message: Callable[[str], None] = _ignore
    """Takes a line of text for people."""
    on_examples: Callable[[int], None] = _ignore
    """Takes the number of examples prepared since the last call: checked by preflight, or rendered for base weights."""
    on_crop_step: Callable[[int, int], None] = _ignore
    """Takes the finished steps of crop pretraining, and their total."""
    on_plan: Callable[[int], None] = _ignore
    """Takes the number of steps of the run, once, before the first one."""
    on_step: StepCallback = _ignore


SILENT = TrainingObserver()
"""Ignores everything."""
PRINTING = TrainingObserver(on_message=print)
"""Prints messages to standard output and ignores the rest."""
