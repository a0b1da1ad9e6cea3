"""How long a run takes: measured before its first step, and fitted into the minutes that there are."""

from __future__ import annotations

import copy
import json
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from logicls.errors import Problem, RecipeError
from logicls.io.atomic import write_text
from logicls.io.run_manifest import claimed
from logicls.train.batching import Batch
from logicls.train.recipe import Recipe
from logicls.train.validation import answered

WARM = 2
"""Steps before the first one that counts: memory is laid out in them."""
TIMED = 4
REHEARSED = WARM + TIMED
LEAST = 10
"""Steps of the shortest run that is worth its name."""
SPARE = 0.03
"""Share of the minutes that is left for the bundle, and for a machine that is slower later."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What a run costs."""

    step: float
    """Seconds a step, its batch included."""
    look: float
    """Seconds an evaluation."""
    every: int
    """Steps from one evaluation to the next."""

    def seconds(self, steps: int) -> float:
        """Of so many steps, evaluations included."""
        return steps * self.step + -(-steps // self.every) * self.look

    def steps_in(self, seconds: float) -> int:
        """As many as fit."""
        return int(seconds / (self.step + self.look / self.every))

    def said(self, steps: int) -> str:
        """A plain line for the terminal."""
        took = self.seconds(steps)
        length = f"{took / 60:.0f} minutes" if took > 90 else f"{took:.0f} s"
        return f"about {length}: {steps} steps of {self.step:.2g} s"


def rehearse(model: torch.nn.Module, tuned: Callable[[Any], Any], batches: Iterable[Batch]) -> float:
    """Seconds a step, its batch included, on a copy: the model and the course of chance stay as they were.

    `tuned` makes the tuner of a model. There are `REHEARSED` batches.
    """
    with torch.random.fork_rng():
        tuner = tuned(copy.deepcopy(model))
        optimiser, times = tuner.configure_optimizers()["optimizer"], []
        with closing(iter(batches)) as taken:  # type: ignore[type-var]  # a generator: it may have begun processes
            began = time.perf_counter()
            for batch in taken:
                tuner.training_step(batch, 0)["loss"].backward()
                torch.nn.utils.clip_grad_norm_(tuner.parameters(), 1.0)
                optimiser.step()
                optimiser.zero_grad()
                times.append(time.perf_counter() - began)
                began = time.perf_counter()
    return statistics.median(times[WARM:])


def look_time(model: torch.nn.Module, batches: Sequence[Batch]) -> float:
    """Seconds that reading those batches takes; 0 where there are none."""
    if not batches:
        return 0.0
    answered(model, batches[:1])
    began = time.perf_counter()
    answered(model, batches)
    return time.perf_counter() - began


def steps_for(recipe: Recipe, pace: Pace, gone: float) -> int:
    """How many steps a new run has, `gone` seconds after it was begun. Raises `RecipeError` (LC413)."""
    if recipe.minutes:
        return fitting(pace, recipe.minutes, gone)
    if recipe.most_minutes and gone + pace.seconds(recipe.steps) > recipe.most_minutes * 60 * (1 - SPARE):
        return min(fitting(pace, recipe.most_minutes, gone), recipe.steps)
    return recipe.steps


def fitting(pace: Pace, minutes: float, gone: float) -> int:
    """How many steps there are in those minutes, `gone` seconds of which have passed.

    Raises:
        RecipeError: They are too few for a run of ten steps (LC413).
    """
    left = (minutes * 60) * (1 - SPARE) - gone
    steps = pace.steps_in(left)
    if steps < LEAST:
        needed = (gone + pace.seconds(LEAST)) / (1 - SPARE) / 60
        message = f"{minutes:g} minutes are too few: {max(steps, 0)} steps fit into what is left of them."
        advice = f"Give it {needed:.1f} minutes at least, for {LEAST} steps; good ones take hundreds."
        raise RecipeError(Problem("LC413", message, advice=advice))
    return steps


def planned(mark: Path) -> int | None:
    """How many steps a run was begun with; None where it was not begun."""
    steps = claimed(mark).get("steps")
    return steps if isinstance(steps, int) else None


def write_plan(mark: Path, steps: int) -> None:
    """Write down how many steps a run has, so that it has as many when it goes on."""
    write_text(mark, json.dumps({"steps": steps}))
