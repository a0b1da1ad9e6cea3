"""Training: from a dataset to a bundle, and resumed after it was killed."""

from __future__ import annotations

import shutil

import pyarrow.parquet as pq
import pytest
from PIL import Image

from logicls.errors import RecipeError
from logicls.predict.self_test import open_bundle
from logicls.synth.dataset import read_rows
from logicls.train.fit import fit
from logicls.train.metrics_log import SILENT, TrainingObserver, read_metric
from logicls.train.photo_split import Split, read_split, write_split
from logicls.train.recipe import Recipe

TINY = Recipe(
    steps=6, batch=4, visual_tokens=16, base=False, width=32, encoder_layers=1, decoder_layers=1, checkpoint_every=4
)
LONGER = TINY.model_copy(
    update={"steps": 26, "checkpoint_every": 4, "evaluate_every": 3, "validation": 0.3, "patience": 0}
)


@pytest.fixture(scope="module")
def run(synth, tmp_path_factory):
    """Uninterrupted run: its folder, messages and steps."""
    out, lines, steps = tmp_path_factory.mktemp("trained"), [], []
    fit(
        synth,
        out,
        TINY,
        observer=TrainingObserver(on_message=lines.append, on_step=lambda step, loss: steps.append((step, loss))),
    )
    return out, lines, steps


@pytest.mark.slow
def test_a_run_writes_a_bundle(run, synth):
    """The bundle passes its self-test; the loss is beside it as CSV and as a plot."""
    out, lines, steps = run

    bundle = open_bundle(out)

    rows = read_metric(out / "training.csv")
    answers = pq.read_table(synth / "data", columns=["boxes"])["boxes"].to_pylist()
    assert (out / "spec.yaml").read_text() == (synth / "spec.yaml").read_text()
    assert bundle.max_boxes == (1 + max(len(boxes) for found in answers for boxes in found))
    assert [step for step, _ in rows] == [1, 2, 3, 4, 5, 6]
    assert [loss for _, loss in rows] == pytest.approx([loss for _, loss in steps], abs=1e-4)
    with Image.open(out / "loss.png") as picture:
        assert picture.size[0] > 300
    assert [step for step, _ in steps] == [1, 2, 3, 4, 5, 6]
    assert lines[0].startswith("20 examples, 16 visual tokens")


@pytest.mark.slow
def test_the_loss_falls(run):
    """Six steps reduce the loss."""
    losses = [loss for _, loss in run[2]]

    assert losses[-1] < losses[0]


@pytest.fixture(scope="module")
def uninterrupted(synth, tmp_path_factory):
    """Longer uninterrupted run: its folder and the loss of each step."""
    out, steps = tmp_path_factory.mktemp("alone"), []
    fit(synth, out, LONGER, observer=TrainingObserver(on_step=lambda *step: steps.append(step)))
    return out, steps


@pytest.mark.slow
@pytest.mark.parametrize(
    "marks",
    [
        ("step 2, loss",),  # before there is a checkpoint
        ("step 9, loss", "step 14, loss"),  # in a step; the second time in the middle of what is drawn together
        ("step 12, validation",),  # between an evaluation and its weights on the disk
    ],
    ids=" and ".join,
)
def test_a_killed_run_resumes_to_the_same_weights(uninterrupted, synth, kill_training, tmp_path, marks):
    """Losses, samples, evaluations and weights equal those of an uninterrupted run, to the last bit."""
    out, steps = uninterrupted
    later: list[tuple[int, float]] = []
    for mark in marks:
        kill_training(synth, tmp_path, LONGER, mark)

    fit(synth, tmp_path, LONGER, resume=True, observer=TrainingObserver(on_step=lambda *step: later.append(step)))

    assert later == steps[steps.index(later[0]) :]
    for name in ("model.safetensors", "training.csv", "work/validation.csv", "work/difficulty.csv"):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()
    assert [path.name for path in (tmp_path / "work").glob("best-*")] == [
        path.name for path in (out / "work").glob("best-*")
    ]


@pytest.mark.slow
def test_a_new_run_replaces_an_earlier_one(synth, tmp_path):
    """Killed before its first checkpoint, it resumes from its own beginning, not from the end of the earlier run."""
    recipe = TINY.model_copy(update={"checkpoint_every": 5})
    fit(synth, tmp_path, recipe, observer=SILENT)
    steps: list[int] = []

    with pytest.raises(ZeroDivisionError):
        fit(synth, tmp_path, recipe, observer=TrainingObserver(on_step=lambda step, _: 1 / (3 - step)))
    fit(synth, tmp_path, recipe, resume=True, observer=TrainingObserver(on_step=lambda step, _: steps.append(step)))

    assert steps == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_a_finished_run_may_be_resumed(synth, tmp_path):
    """Without a step left it writes the same bundle again."""
    recipe = TINY.model_copy(update={"checkpoint_every": 6})
    first = fit(synth, tmp_path, recipe, observer=SILENT)
    steps: list[int] = []

    again = fit(
        synth, tmp_path, recipe, resume=True, observer=TrainingObserver(on_step=lambda step, _: steps.append(step))
    )

    assert (again.id, steps) == (first.id, [])


def test_another_recipe_is_not_resumed(synth, tmp_path):
    """The message lists the differences, and nothing is overwritten."""
    (tmp_path / "work").mkdir()
    manifest = tmp_path / "work" / "recipe.json"
    manifest.write_text(TINY.model_dump_json())

    with pytest.raises(RecipeError) as caught:
        fit(synth, tmp_path, TINY.model_copy(update={"lr": 0.5, "batch": 8}), resume=True)

    assert str(caught.value) == (
        f"{manifest} LC411 the run was started with another recipe (batch: 4 then, 8 now; lr: 0.002 then, 0.5 now). "
        "Resume with the same recipe, or train from the beginning without --resume."
    )
    assert manifest.read_text() == TINY.model_dump_json()


@pytest.mark.slow
def test_a_run_may_start_from_a_bundle(run, synth, tmp_path):
    """Its first loss is near that of the bundle, not that of random weights; a bundle of another size is refused."""
    before = run[2]
    steps: list[tuple[int, float]] = []

    fit(synth, tmp_path, TINY, start=run[0], observer=TrainingObserver(on_step=lambda *step: steps.append(step)))
    with pytest.raises(RecipeError) as caught:
        fit(synth, tmp_path / "b", TINY.model_copy(update={"width": 64}), start=run[0], observer=SILENT)

    assert steps[0][1] < before[0][1] - 0.5 * (before[0][1] - before[-1][1])
    assert "LC412 has another size" in str(caught.value)


@pytest.mark.slow
def test_a_run_keeps_the_photos_of_its_start_aside(run, synth, tmp_path):
    """Not those that its own seed would draw: the model was trained on them."""
    start = tmp_path / "start"
    shutil.copytree(run[0], start, ignore=shutil.ignore_patterns("work"))
    photos = {row["photo"] for row in read_rows(synth, ("photo",))}
    for photo in sorted(photos)[:2]:
        write_split(start, Split((), (), frozenset({photo}), frozenset(photos - {photo})))

        fit(synth, tmp_path / photo, TINY.model_copy(update={"steps": 2, "validation": 0.01}), start=start,
            observer=SILENT)  # fmt: skip

        kept = read_split(tmp_path / photo)
        assert kept is not None
        assert (kept.validation, kept.train) == ({photo}, photos - {photo})
