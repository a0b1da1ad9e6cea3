"""Time budget: a run's time is reported before it starts, and a run takes the time it is given."""

from __future__ import annotations

import json

import pytest
import torch

from logicls.errors import RecipeError
from logicls.train.fit import fit
from logicls.train.metrics_log import TrainingObserver
from logicls.train.recipe import Recipe
from logicls.train.time_budget import MIN_STEPS, StepTime, choose_steps, fit_steps_to_time

TINY = Recipe(
    steps=6, batch=4, visual_tokens=16, base=False, width=32, encoder_layers=1, decoder_layers=1, checkpoint_every=4,
)  # fmt: skip


@pytest.mark.parametrize("minutes", [1.0, 7.5, 240.0])
def test_fitting_steps_fill_the_time(minutes):
    """Steps and evaluations together take the remaining minutes, except for a small reserve."""
    pace = StepTime(step_seconds=0.5, evaluation_seconds=4.0, evaluate_every=100)

    steps = fit_steps_to_time(pace, minutes, elapsed=20.0)

    assert 0.9 * (minutes * 60 - 20) - 5 < pace.total_seconds(steps) <= minutes * 60 - 20


def test_too_few_minutes_are_refused():
    """With the minutes that suffice, which then do."""
    pace = StepTime(step_seconds=0.5, evaluation_seconds=0.0, evaluate_every=100)

    with pytest.raises(RecipeError) as caught:
        fit_steps_to_time(pace, 0.1, elapsed=4.0)

    message = str(caught.value)
    reason = "preparation took 0.1, and 3 steps fit into the rest. Allow"
    assert message.startswith(f"LC413 0.1 minutes are too few: {reason}")
    assert "Allow 0.2 minutes at least" in message
    assert fit_steps_to_time(pace, 0.2, elapsed=4.0) >= MIN_STEPS


@pytest.mark.parametrize(
    ("messages", "steps"),
    [
        ({}, 2600),
        ({"max_minutes": 30}, 2600),
        ({"max_minutes": 20}, fit_steps_to_time(StepTime(0.5, 4.0, 100), 20.0, 60.0)),
        ({"max_minutes": 20, "steps": 300}, 300),
        ({"minutes": 40, "max_minutes": 20}, fit_steps_to_time(StepTime(0.5, 4.0, 100), 40.0, 60.0)),
    ],
)
def test_max_minutes_limits_the_steps(messages, steps):
    """Slow steps are reduced to those that fit; `minutes` overrules that."""
    assert choose_steps(Recipe(**{"steps": 2600, **messages}), StepTime(0.5, 4.0, 100), 60.0) == steps


def test_reduced_steps_are_reported(synth, tmp_path):
    """And the run has that number."""
    recipe, messages, planned = TINY.model_copy(update={"steps": 10**6, "max_minutes": 0.2}), [], []

    with pytest.raises(ZeroDivisionError):
        fit(
            synth,
            tmp_path,
            recipe,
            observer=TrainingObserver(
                on_message=messages.append, on_plan=planned.append, on_step=lambda step, _: 1 / (1 - step)
            ),
        )

    assert MIN_STEPS <= planned[0] < 10**5
    assert (
        "fewer than the recipe's 1000000 steps fit into its time (max_minutes: 0.2; set --minutes for more)" in messages
    )


@pytest.mark.parametrize(
    ("steps", "messages"), [(100, "about 54 s: 100 steps of 0.5 s"), (2600, "about 23 minutes: 2600")]
)
def test_time_is_described_in_a_line(steps, messages):
    """Seconds for short runs, minutes for others."""
    assert StepTime(0.5, 4.0, 100).to_text(steps).startswith(messages)


@pytest.mark.slow
def test_measuring_does_not_change_the_run(synth, tmp_path):
    """The time is reported before the first step."""
    lines: list[str] = []

    def message(step: int, loss: float) -> None:
        lines.append(f"step {step}")

    losses = []
    for name in ("a", "b"):
        torch.rand(5)
        mine: list[float] = []
        fit(
            synth,
            tmp_path / name,
            TINY,
            observer=TrainingObserver(on_message=lines.append, on_step=lambda _, loss, mine=mine: mine.append(loss)),
        )
        losses.append(mine)
    fit(synth, tmp_path / "c", TINY, observer=TrainingObserver(on_message=lines.append, on_step=message))

    place = max(number for number, line in enumerate(lines) if line.startswith("about "))
    assert losses[0] == losses[1]
    assert "6 steps of" in lines[place]
    assert lines[place + 1 : place + 7] != []
    assert lines.index("step 1") > place
    assert any(line.startswith("trained for ") and "waiting for data" in line for line in lines)


@pytest.mark.slow
def test_minutes_determine_the_steps(synth, tmp_path):
    """The number is reported and recorded; a resumed run keeps it."""
    recipe = TINY.model_copy(update={"minutes": 0.25})
    planned, steps = [], []

    def stop(step: int, loss: float) -> None:
        if step == 5:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(synth, tmp_path, recipe, observer=TrainingObserver(on_plan=planned.append, on_step=stop))
    mark = tmp_path / "work" / "plan.json"
    assert json.loads(mark.read_text()) == {"steps": planned[0]}
    mark.write_text('{"steps": 12}')
    observer = TrainingObserver(on_plan=planned.append, on_step=lambda step, _: steps.append(step))
    fit(synth, tmp_path, recipe, resume=True, observer=observer)

    assert planned[0] > MIN_STEPS
    assert planned[1:] == [12]
    assert steps == list(range(5, 13))
