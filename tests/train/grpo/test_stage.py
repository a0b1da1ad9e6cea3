"""The stage grpo, from a bundle to a bundle."""

from __future__ import annotations

import itertools

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from logicls.errors import RecipeError
from logicls.models.bundle import load_bundle
from logicls.predict.self_test import open_bundle
from logicls.train.fit import fit
from logicls.train.grpo import stage as grpo
from logicls.train.grpo import trainer as grpo_trainer
from logicls.train.grpo.stage import fit_grpo
from logicls.train.metrics_log import SILENT, TrainingObserver, read_rows
from logicls.train.recipe import GrpoSettings, HubSettings, Recipe, check_grpo_options

SHORT = GrpoSettings(steps=4, questions=4, generations=4, lr=1e-3, evaluate_every=2, validation_examples=4)
TINY = Recipe(
    steps=30, batch=4, visual_tokens=16, base=False, width=32, encoder_layers=1, decoder_layers=1, validation=0.3,
    lr=5e-3, verdict_weight=30.0, grpo=SHORT,
)  # fmt: skip


def record(lines: list[str], steps: list[tuple[int, float]]) -> TrainingObserver:
    """Make an observer that records messages and steps."""
    return TrainingObserver(on_message=lines.append, on_step=lambda *step: steps.append(step))


@pytest.fixture(scope="module")
def start_bundle(synth, tmp_path_factory):
    """Bundle that generates verdicts already."""
    out = tmp_path_factory.mktemp("start")
    fit(synth, out, TINY, observer=SILENT)
    return out


@pytest.fixture(scope="module")
def grpo_run(synth, start_bundle, tmp_path_factory):
    """Stage of four steps: its folder, messages and steps."""
    out, lines, steps = tmp_path_factory.mktemp("rewarded"), [], []
    fit_grpo(synth, out, TINY, start=start_bundle, observer=record(lines, steps))
    return out, lines, steps


@pytest.mark.slow
def test_stage_writes_a_bundle(grpo_run, start_bundle):
    """The bundle passes its self-test; rewards are beside it as CSV and as a plot."""
    out, lines, steps = grpo_run

    made, rows = open_bundle(out), read_rows(out / "reward.csv")

    assert [step for step, _ in steps] == [1, 2, 3, 4]
    assert [float(row["reward"]) for row in rows] == pytest.approx([mean for _, mean in steps], abs=1e-4)
    assert all(
        0 <= float(row[name]) <= 1 for row in rows for name in ("reward", "slot_accuracy", "verdict_match", "format")
    )
    assert {row["box_iou"] for row in rows} == {"nan"}
    assert all(float(row["kl"]) >= 0 for row in rows)
    assert float(rows[-1]["kl"]) > 0
    assert lines[0] == "16 questions with 4 answers each; validation set: 4 examples"
    assert (made.path / "thresholds.json").exists()
    with Image.open(out / "reward.png") as picture:
        assert picture.size[0] > 600


@pytest.mark.slow
def test_exact_match_never_falls(grpo_run):
    """The first evaluation comes before the first step, and the best weights are kept."""
    out, lines, _ = grpo_run
    rows = read_rows(out / "work" / "validation.csv")

    ranks = [(float(row["exact_match"]), float(row["reward"])) for row in rows]
    best = rows[max(range(len(rows)), key=lambda place: (ranks[place], -place))]["step"]

    assert [row["step"] for row in rows] == ["0", "2", "4"]
    outcome = "no improvement" if best == "0" else f"weights of step {best}"
    assert any(outcome in line for line in lines[-4:])


@pytest.mark.slow
def test_initial_weights_are_kept_without_improvement(synth, start_bundle, tmp_path):
    """A learning rate that destroys the model leaves the bundle unchanged."""
    spoilt = TINY.model_copy(update={"grpo": SHORT.model_copy(update={"lr": 0.5, "auxiliary_weight": 0.0})})

    lines, steps = [], []
    made = fit_grpo(synth, tmp_path / "out", spoilt, start=start_bundle, observer=record(lines, steps))

    before, after = (load_file(path / "model.safetensors") for path in (start_bundle, tmp_path / "out"))
    rows = read_rows(tmp_path / "out" / "work" / "validation.csv")
    assert float(rows[-1]["loss"]) > float(rows[0]["loss"]) + 1
    assert any(line.endswith("no improvement; the bundle has the initial weights") for line in lines[-4:])
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert made.id == load_bundle(start_bundle).id


@pytest.mark.slow
@pytest.mark.parametrize("merged", [False, True])
def test_a_hub_model_takes_two_steps(checkpoint, synth, tmp_path, monkeypatch, merged):
    """The adapter, or the merged weights, change.

    A random model's answers are never correct, so that here the reward grows with each answer.
    """
    calls = itertools.count(1)
    monkeypatch.setattr(grpo_trainer, "REWARDS", {"format": lambda *_: 1 - 1 / next(calls)})
    hub = HubSettings(rank=2, merge=merged, accumulate=2)
    plan = Recipe(model=str(checkpoint("qwen3_vl")), steps=1, batch=4, hub=hub)
    fit(synth, tmp_path / "start", plan, observer=SILENT)
    given = SHORT.model_copy(update={"steps": 2, "validation_examples": 2, "temperature": 3.0})

    lines, steps = [], []
    fit_grpo(
        synth, tmp_path / "out", plan.model_copy(update={"grpo": given}), start=tmp_path / "start",
        observer=record(lines, steps),
    )  # fmt: skip

    name = "model.safetensors" if merged else "adapter_model.safetensors"
    before, after = (load_file(tmp_path / folder / name) for folder in ("start", "out"))
    opened = open_bundle(tmp_path / "out")
    assert [step for step, _ in steps] == [1, 2]
    assert (opened.hub, set(after)) == (load_bundle(tmp_path / "start").hub, set(before))
    assert not any(".ref." in weight for weight in after)
    assert any(not torch.equal(after[weight], value) for weight, value in before.items())


@pytest.mark.slow
def test_equal_seeds_give_equal_weights(synth, start_bundle, grpo_run, tmp_path):
    """All randomness comes from the seed."""
    fit_grpo(synth, tmp_path / "again", TINY, start=start_bundle)

    first, second = (read_rows(path / "reward.csv") for path in (grpo_run[0], tmp_path / "again"))
    assert first == second


def test_missing_requirements_are_reported_before_files_are_written(synth, tmp_path, monkeypatch):
    """A start bundle, the library, equal parts."""
    with pytest.raises(RecipeError, match=r"LC436 the stage grpo begins with a finished bundle\. Name it with --from"):
        fit_grpo(synth, tmp_path / "out", TINY, start=None)
    monkeypatch.setattr(grpo, "find_spec", lambda name: None if name == "trl" else object())
    with pytest.raises(RecipeError, match=r"LC435 the stage grpo needs trl.*pip install 'logicls\[grpo\]'"):
        fit_grpo(synth, tmp_path / "out", TINY, start=None)

    monkeypatch.undo()
    odd = TINY.model_copy(update={"hub": HubSettings(accumulate=3)})
    with pytest.raises(RecipeError, match=r"LC430 16 answers per step \(grpo\) cannot be split into 3 equal parts"):
        fit_grpo(synth, tmp_path / "out", odd, start=tmp_path / "start")

    assert list(tmp_path.iterdir()) == []


def test_options_of_the_other_stage_are_refused():
    """All of them at once; options without a value are ignored."""
    with pytest.raises(RecipeError) as caught:
        check_grpo_options({"model": None, "minutes": 3.0, "resume": True, "download": False})

    assert [str(problem) for problem in caught.value.problems] == [
        "LC437 --minutes does not apply to the stage grpo. Leave it out; settings of the stage are under `grpo` in the "
        "recipe.",
        "LC437 --resume does not apply to the stage grpo. The stage writes no checkpoints: start it again from the "
        "bundle of --from.",
    ]
    check_grpo_options({"model": None, "resume": False})
