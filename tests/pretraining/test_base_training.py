"""Base weights: made photos, a short training, and a folder that a product's training can begin with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from logicls.errors import RecipeError
from logicls.io.resources import resource_path
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.models.nano.processor import expand_model, expand_processor
from logicls.pretraining import photo_store as stored
from logicls.pretraining.base_training import BaseRecipe, SceneBatches, build_processor, read_base_recipe, train_base
from logicls.pretraining.photo_store import read_scene_shards, store_scenes
from logicls.pretraining.vocabulary import list_answer_words

SMALL = BaseRecipe(
    shards=2, sizes=((96, 96), (128, 96)), questions=4, steps=3, batch=2, width=32, near=16, encoder_layers=1,
    decoder_layers=1, vocabulary=500, checkpoint_every=2,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    """Three photos a shard, made in this process."""
    monkeypatch.setattr(stored, "SCENES_PER_SHARD", 3)


@pytest.fixture
def made(tmp_path):
    """Two shards."""
    store_scenes(tmp_path / "made", 2, sizes=SMALL.sizes, seed=0, workers=0, on_photos=lambda _: None)
    return tmp_path / "made"


def test_shards_take_sizes_in_turns(made):
    """Photos and what is asked about them; a second run makes nothing anew, another seed makes others."""
    before = (made / "made-00000.npy").stat().st_mtime_ns
    told: list[int] = []

    store_scenes(made, 2, sizes=SMALL.sizes, seed=0, workers=0, on_photos=told.append)
    store_scenes(made.parent / "other", 1, sizes=SMALL.sizes, seed=1, workers=0, on_photos=lambda _: None)

    shards, others = read_scene_shards(made), read_scene_shards(made.parent / "other")
    assert [shard.pixels.shape for shard in shards] == [(3, 96, 96, 3), (3, 128, 96, 3)]
    assert all(len(asked) >= 5 for shard in shards for asked in shard.questions)
    assert (made / "made-00000.npy").stat().st_mtime_ns == before
    assert told == [6]
    assert not np.array_equal(shards[0].pixels, others[0].pixels)


def test_a_batch_is_of_one_size_and_depends_on_its_step(made):
    """Boxes belong to questions where things are, or what they are like; values are words."""
    processor = build_processor(SMALL)
    batches = SceneBatches(read_scene_shards(made), processor, SMALL)

    some = [batches.batch(step) for step in range(8)]

    again = SceneBatches(read_scene_shards(made), processor, SMALL).batch(5)
    assert all(torch.equal(some[5][key], again[key]) for key in again)
    assert {tuple(batch["pixel_values"].shape[2:]) for batch in some} == set(SMALL.sizes)
    assert all(batch["weights"].shape[1] <= 4 for batch in some)
    for batch in some:
        here = batch["box_question"] >= 0
        located = batch["located"].gather(1, batch["box_question"].clamp(min=0))
        assert torch.equal(located[here], batch["box_value"][here] == IGNORE_INDEX)


def test_a_products_training_can_begin_with_it(made):
    """The folder has weights in half precision and all words of answers; a resumed run ends with the same weights."""
    out = made.parent
    train_base(out, SMALL, workers=0)
    processor = expand_processor(out, ["red", "missing_screw"], (64, 64))
    model = expand_model(out, processor)
    (out / "model.safetensors").unlink()

    train_base(out, SMALL, workers=0, resume=True)

    again = expand_model(out, processor)
    assert {f"<{value}>" for value in list_answer_words()} <= set(processor.tokenizer.get_vocab())
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))


def test_base_weights_can_begin_with_others(made, tmp_path):
    """One step of next to no size leaves them where they were; without them it begins somewhere else."""
    first, more = made.parent, SMALL.model_copy(update={"seed": 1, "steps": 1, "lr": 1e-9})
    train_base(first, SMALL, workers=0)
    begun = expand_model(first, expand_processor(first, [], (96, 96))).state_dict()
    left = {}
    for name, start in (("on", first), ("anew", None)):
        out = tmp_path / name
        train_base(out, more, start=start, workers=0)
        left[name] = expand_model(out, expand_processor(out, [], (96, 96))).state_dict()["token_embeddings.weight"]

    assert torch.allclose(begun["token_embeddings.weight"], left["on"], atol=1e-4)
    assert not torch.allclose(begun["token_embeddings.weight"], left["anew"], atol=1e-2)


def test_the_shipped_base_is_small_and_made_by_the_shipped_recipe():
    """At most 16 MB; its sizes are the recipe's."""
    recipe, folder = read_base_recipe(resource_path("train/base.yaml")), resource_path("train/base")

    model = expand_model(folder, expand_processor(folder, [], (256, 128)))

    assert (folder / "model.safetensors").stat().st_size <= 16e6
    assert (model.config.width, model.config.stem_width) == (recipe.width, recipe.near)
    assert (model.config.encoder_layers, model.config.decoder_layers) == (recipe.encoder_layers, recipe.decoder_layers)


def test_a_wrong_recipe_is_refused(tmp_path):
    """With the line and what is known."""
    (tmp_path / "mine.yaml").write_text("shard: 3\n")

    with pytest.raises(RecipeError, match='unknown key "shard"'):
        read_base_recipe(tmp_path / "mine.yaml")
