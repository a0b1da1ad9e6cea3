"""Time budget of a run: measure the time of a step before the first one, and choose a number of steps that fits."""

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
from logicls.io.run_manifest import read_manifest
from logicls.train.batching import Batch
from logicls.train.recipe import Recipe
from logicls.train.validation import score_batches

WARMUP_STEPS = 2
"""Steps before the measurement, in which memory is allocated."""
TIMED_STEPS = 4
BENCHMARK_STEPS = WARMUP_STEPS + TIMED_STEPS
MIN_STEPS = 10
"""Steps of the shortest run."""
RESERVE = 0.03
"""Share of the time that is reserved for writing the bundle and for slowdowns."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """Measured speed of a run."""

    step_seconds: float
    """Time of a step, its batch included."""
    evaluation_seconds: float
    """Time of an evaluation."""
    evaluate_every: int
    """Steps between evaluations."""

    def total_seconds(self, steps: int) -> float:
        """Compute the time of that many steps, evaluations included."""
        return steps * self.step_seconds + -(-steps // self.evaluate_every) * self.evaluation_seconds

    def count_steps(self, seconds: float) -> int:
        """Count the steps that fit into that time, evaluations included."""
        return int(seconds / (self.step_seconds + self.evaluation_seconds / self.evaluate_every))

    def to_text(self, steps: int) -> str:
        """Describe the time of that many steps in a line."""
        seconds = self.total_seconds(steps)
        length = f"{seconds / 60:.0f} minutes" if seconds > 90 else f"{seconds:.0f} s"
        return f"about {length}: {steps} steps of {self.step_seconds:.2g} s"


def measure_step_time(model: torch.nn.Module, make_module: Callable[[Any], Any], batches: Iterable[Batch]) -> float:
    """Measure the seconds per step, batch loading included, on a copy; model and random state do not change.

    Args:
        model: The model to train.
        make_module: Makes the Lightning module of a model.
        batches: `BENCHMARK_STEPS` batches.
    """
    with torch.random.fork_rng():
        module = make_module(copy.deepcopy(model))
        optimizer, times = module.configure_optimizers()["optimizer"], []
        with closing(iter(batches)) as batch_iterator:  # type: ignore[type-var]  # a generator: it may have started processes
            started = time.perf_counter()
            for batch in batch_iterator:
                module.training_step(batch, 0)["loss"].backward()
                torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
                times.append(time.perf_counter() - started)
                started = time.perf_counter()
    return statistics.median(times[WARMUP_STEPS:])


def measure_evaluation_time(model: torch.nn.Module, batches: Sequence[Batch]) -> float:
    """Measure the seconds that scoring those batches takes; 0 without batches."""
    if not batches:
        return 0.0
    score_batches(model, batches[:1])
    started = time.perf_counter()
    score_batches(model, batches)
    return time.perf_counter() - started


def choose_steps(recipe: Recipe, step_time: StepTime, elapsed: float) -> int:
    """Choose the number of steps of a new run, `elapsed` seconds after its start. Raises `RecipeError` (LC413)."""
    if recipe.minutes:
        return fit_steps_to_time(step_time, recipe.minutes, elapsed)
    if recipe.max_minutes and elapsed + step_time.total_seconds(recipe.steps) > recipe.max_minutes * 60 * (1 - RESERVE):
        return min(fit_steps_to_time(step_time, recipe.max_minutes, elapsed), recipe.steps)
    return recipe.steps


def fit_steps_to_time(step_time: StepTime, minutes: float, elapsed: float) -> int:
    """Count the steps that fit into `minutes`, of which `elapsed` seconds have passed.

    Raises:
        RecipeError: They are fewer than `MIN_STEPS` (LC413).
    """
    remaining = (minutes * 60) * (1 - RESERVE) - elapsed
    steps = step_time.count_steps(remaining)
    if steps < MIN_STEPS:
        needed = (elapsed + step_time.total_seconds(MIN_STEPS)) / (1 - RESERVE) / 60
        message = (
            f"{minutes:g} minutes are too few: preparation took {elapsed / 60:.1f}, and "
            f"{max(steps, 0)} steps fit into the rest."
        )
        advice = (
            f"Allow {needed:.1f} minutes at least, for {MIN_STEPS} steps (a good model takes hundreds), or synthesise "
            "fewer examples."
        )
        raise RecipeError(Problem("LC413", message, advice=advice))
    return steps


def read_planned_steps(plan: Path) -> int | None:
    """Read the number of steps that a run was started with; None for a new run."""
    steps = read_manifest(plan).get("steps")
    return steps if isinstance(steps, int) else None


def write_plan(plan: Path, steps: int) -> None:
    """Record the number of steps of a run, so that a resumed run has the same."""
    write_text(plan, json.dumps({"steps": steps}))
