"""Pretraining of the crop encoder on small marks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from logicls.errors import RecipeError
from logicls.models.nano.crop_encoder import BACKBONE_FILE, CropBackbone
from logicls.pretraining import photo_store
from logicls.pretraining.base_training import (
    BATCH_SIZE,
    BaseRecipe,
    CropClassifier,
    MarkBatches,
    read_base_recipe,
    train_base,
)
from logicls.pretraining.photo_store import read_mark_shards, store_marks
from logicls.pretraining.small_marks import mark_kinds
from logicls.train.metrics_log import TrainingObserver

FEW = BaseRecipe(shards=0, steps=0, marks=3, mark_shards=2, width=32, checkpoint_every=2)


@pytest.fixture
def shards(tmp_path, monkeypatch):
    """Return a folder with two shards of 40 marks."""
    monkeypatch.setattr(photo_store, "MARKS_PER_SHARD", 40)
    store_marks(tmp_path / "made", 2, seed=0, workers=0, on_photos=lambda _: None)
    return tmp_path / "made"


def test_batches_alternate_orientation(shards):
    """Upright and rotated batches alternate; rotated ones have no orientation-bound mark."""
    batches = MarkBatches(read_mark_shards(shards), seed=0, steps=9)

    upright, rotated, again = (
        batches.batch(4),
        batches.batch(5),
        MarkBatches(read_mark_shards(shards), seed=0, steps=9).batch(5),
    )

    assert (bool(upright["orientation_invariant"]), bool(rotated["orientation_invariant"])) == (False, True)
    assert all(torch.equal(rotated[name], again[name]) for name in rotated)
    assert upright["pixels"].shape == (BATCH_SIZE, 3, 64, 64)
    assert not any(mark_kinds()[number].is_orientation_bound for number in rotated["labels"].tolist())


def test_colour_channels_are_permuted(shards):
    """Colour channels are permuted at random."""
    reds, batches = {}, MarkBatches(read_mark_shards(shards), seed=0, steps=1)
    batches.shards = [batches.shards[0]]
    for step in range(0, 40, 2):
        batch = batches.batch(step)
        for pixels, mark in zip(batch["pixels"], batch["labels"].tolist(), strict=True):
            spread = pixels.mean((1, 2))
            reds.setdefault(mark, set()).add(int(spread.argmax()))

    assert {len(channels) for channels in reds.values()} == {3}


def test_overfits_one_batch(shards):
    """Trained on one batch it classifies most of it."""
    torch.manual_seed(0)
    reader = CropClassifier(64, 60, 0, classes=len(mark_kinds()))
    optimiser = torch.optim.AdamW(reader.parameters(), 3e-3)
    one = MarkBatches(read_mark_shards(shards), seed=0, steps=1).batch(0)
    for _ in range(60):
        loss = F.cross_entropy(reader(one), one["labels"])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    reader.eval()

    predicted = reader(one).argmax(-1)

    assert (predicted == one["labels"]).float().mean() > 0.8


def test_resumed_run_is_identical(shards):
    """The weights are in half precision, no base weights are written, and a resumed run is identical."""
    out = shards.parent
    losses = []
    train_base(out, FEW, workers=0, observer=TrainingObserver(on_step=lambda step, loss: losses.append((step, loss))))
    first = load_file(out / BACKBONE_FILE)
    (out / BACKBONE_FILE).unlink()

    train_base(out, FEW, workers=0, resume=True)

    CropBackbone(32).load_state_dict(first)
    assert {weight.dtype for weight in first.values()} == {torch.float16}
    assert all(torch.equal(weight, load_file(out / BACKBONE_FILE)[name]) for name, weight in first.items())
    assert [step for step, _ in losses] == [1, 2, 3]
    assert np.isfinite([loss for _, loss in losses]).all()
    assert not (out / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("text", "message"), [("steps: 0\n", "nothing to train"), ("shards: 0\n", "steps need shards")]
)
def test_recipe_without_training(tmp_path, text, message):
    """A recipe without anything to train is an error."""
    (tmp_path / "mine.yaml").write_text(text)

    with pytest.raises(RecipeError, match=message):
        read_base_recipe(tmp_path / "mine.yaml")
