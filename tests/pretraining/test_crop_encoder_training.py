"""What looks at things closely, learning on made marks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from logicls.errors import RecipeError
from logicls.models.nano.crop_encoder import BACKBONE_FILE, CropBackbone
from logicls.pretraining import photo_store as stored
from logicls.pretraining.base_training import BaseRecipe, read_base_recipe, train_base
from logicls.pretraining.crop_encoder_training import BATCH_SIZE, CropClassifier, MarkBatches
from logicls.pretraining.photo_store import read_mark_shards, store_marks
from logicls.pretraining.small_marks import mark_kinds
from logicls.train.observer import TrainingObserver

FEW = BaseRecipe(shards=0, steps=0, marks=3, mark_shards=2, width=32, checkpoint_every=2)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Two shards of 40."""
    monkeypatch.setattr(stored, "MARKS_PER_SHARD", 40)
    store_marks(tmp_path / "made", 2, seed=0, workers=0, on_photos=lambda _: None)
    return tmp_path / "made"


def test_a_batch_is_upright_or_any_way_and_depends_on_its_step(made):
    """In turns; of what lies any way no mark is one that may not be turned."""
    batches = MarkBatches(read_mark_shards(made), seed=0, steps=9)

    upright, turned, again = (
        batches.batch(4),
        batches.batch(5),
        MarkBatches(read_mark_shards(made), seed=0, steps=9).batch(5),
    )

    assert (bool(upright["orientation_invariant"]), bool(turned["orientation_invariant"])) == (False, True)
    assert all(torch.equal(turned[name], again[name]) for name in turned)
    assert upright["pixels"].shape == (BATCH_SIZE, 3, 64, 64)
    assert not any(mark_kinds()[number].is_orientation_bound for number in turned["labels"].tolist())


def test_colours_change_places(made):
    """What is red may be green or blue the next time; the brightness of the three together stays."""
    reds, marked = {}, MarkBatches(read_mark_shards(made), seed=0, steps=1)
    marked.shards = [marked.shards[0]]
    for step in range(0, 40, 2):
        batch = marked.batch(step)
        for pixels, mark in zip(batch["pixels"], batch["labels"].tolist(), strict=True):
            spread = pixels.mean((1, 2))
            reds.setdefault(mark, set()).add(int(spread.argmax()))

    assert {len(seen) for seen in reds.values()} == {3}


def test_it_learns_what_it_is_shown(made):
    """Over and over the same few: it knows most of them."""
    torch.manual_seed(0)
    reader = CropClassifier(64, 60, 0, classes=len(mark_kinds()))
    optimiser = torch.optim.AdamW(reader.parameters(), 3e-3)
    one = MarkBatches(read_mark_shards(made), seed=0, steps=1).batch(0)
    for _ in range(60):
        loss = F.cross_entropy(reader(one), one["labels"])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    reader.eval()

    told = reader(one).argmax(-1)

    assert (told == one["labels"]).float().mean() > 0.8


def test_the_file_fits_what_looks_and_a_resumed_run_makes_the_same(made):
    """In half precision, and nothing else: base weights are made where there are steps for them."""
    out = made.parent
    told = []
    train_base(out, FEW, workers=0, observer=TrainingObserver(on_step=lambda step, loss: told.append((step, loss))))
    first = load_file(out / BACKBONE_FILE)
    (out / BACKBONE_FILE).unlink()

    train_base(out, FEW, workers=0, resume=True)

    CropBackbone(32).load_state_dict(first)
    assert {weight.dtype for weight in first.values()} == {torch.float16}
    assert all(torch.equal(weight, load_file(out / BACKBONE_FILE)[name]) for name, weight in first.items())
    assert [step for step, _ in told] == [1, 2, 3]
    assert np.isfinite([loss for _, loss in told]).all()
    assert not (out / "model.safetensors").exists()


@pytest.mark.parametrize(("text", "said"), [("steps: 0\n", "nothing to learn"), ("shards: 0\n", "steps need shards")])
def test_a_recipe_for_nothing_is_refused(tmp_path, text, said):
    """With what is missing."""
    (tmp_path / "mine.yaml").write_text(text)

    with pytest.raises(RecipeError, match=said):
        read_base_recipe(tmp_path / "mine.yaml")
