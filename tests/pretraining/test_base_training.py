"""Base weights: scene shards, batches, training and recipes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from logicls.errors import RecipeError
from logicls.io.resources import resource_path
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.models.nano.processor import expand_model, expand_processor
from logicls.pretraining import photo_store
from logicls.pretraining.base_training import BaseRecipe, SceneBatches, build_processor, read_base_recipe, train_base
from logicls.pretraining.photo_store import read_scene_shards, store_scenes
from logicls.pretraining.vocabulary import list_answer_words

SMALL = BaseRecipe(
    shards=2, sizes=((96, 96), (128, 96)), questions=4, steps=3, batch=2, width=32, near=16, encoder_layers=1,
    decoder_layers=1, vocabulary=500, checkpoint_every=2,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    """Use three photos per shard."""
    monkeypatch.setattr(photo_store, "SCENES_PER_SHARD", 3)


@pytest.fixture
def shard_folder(tmp_path):
    """Return a folder with two shards."""
    store_scenes(tmp_path / "made", 2, sizes=SMALL.sizes, seed=0, workers=0, on_photos=lambda _: None)
    return tmp_path / "made"


def test_shards_alternate_sizes(shard_folder):
    """Sizes alternate; a second run generates nothing, another seed generates other photos."""
    before = (shard_folder / "made-00000.npy").stat().st_mtime_ns
    counts: list[int] = []

    store_scenes(shard_folder, 2, sizes=SMALL.sizes, seed=0, workers=0, on_photos=counts.append)
    store_scenes(shard_folder.parent / "other", 1, sizes=SMALL.sizes, seed=1, workers=0, on_photos=lambda _: None)

    shards, others = read_scene_shards(shard_folder), read_scene_shards(shard_folder.parent / "other")
    assert [shard.pixels.shape for shard in shards] == [(3, 96, 96, 3), (3, 128, 96, 3)]
    assert all(len(questions) >= 5 for shard in shards for questions in shard.questions)
    assert (shard_folder / "made-00000.npy").stat().st_mtime_ns == before
    assert counts == [6]
    assert not np.array_equal(shards[0].pixels, others[0].pixels)


def test_batch_depends_on_step(shard_folder):
    """A batch has one size and depends on its step; boxes belong to locate and attribute questions."""
    processor = build_processor(SMALL)
    batches = SceneBatches(read_scene_shards(shard_folder), processor, SMALL)

    photo_tokens = [batches.batch(step) for step in range(8)]

    again = SceneBatches(read_scene_shards(shard_folder), processor, SMALL).batch(5)
    assert all(torch.equal(photo_tokens[5][key], again[key]) for key in again)
    assert {tuple(batch["pixel_values"].shape[2:]) for batch in photo_tokens} == set(SMALL.sizes)
    assert all(batch["weights"].shape[1] <= 4 for batch in photo_tokens)
    for batch in photo_tokens:
        has_box = batch["box_question"] >= 0
        is_locate = batch["located"].gather(1, batch["box_question"].clamp(min=0))
        assert torch.equal(is_locate[has_box], batch["box_value"][has_box] == IGNORE_INDEX)


def test_base_can_be_expanded(shard_folder):
    """The base has every answer word, and a resumed run ends with equal weights."""
    out = shard_folder.parent
    train_base(out, SMALL, workers=0)
    processor = expand_processor(out, ["red", "missing_screw"], (64, 64))
    model = expand_model(out, processor)
    (out / "model.safetensors").unlink()

    train_base(out, SMALL, workers=0, resume=True)

    again = expand_model(out, processor)
    assert {f"<{value}>" for value in list_answer_words()} <= set(processor.tokenizer.get_vocab())
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))


def test_continue_from_base_weights(shard_folder, tmp_path):
    """With a negligible learning rate the weights stay those of the start."""
    first, more = shard_folder.parent, SMALL.model_copy(update={"seed": 1, "steps": 1, "lr": 1e-9})
    train_base(first, SMALL, workers=0)
    initial = expand_model(first, expand_processor(first, [], (96, 96))).state_dict()
    embeddings = {}
    for name, start in (("on", first), ("anew", None)):
        out = tmp_path / name
        train_base(out, more, start=start, workers=0)
        embeddings[name] = expand_model(out, expand_processor(out, [], (96, 96))).state_dict()[
            "token_embeddings.weight"
        ]

    assert torch.allclose(initial["token_embeddings.weight"], embeddings["on"], atol=1e-4)
    assert not torch.allclose(initial["token_embeddings.weight"], embeddings["anew"], atol=1e-2)


def test_shipped_base_matches_recipe():
    """The shipped weights have at most 16 MB and the recipe's sizes."""
    recipe, folder = read_base_recipe(resource_path("train/base.yaml")), resource_path("train/base")

    model = expand_model(folder, expand_processor(folder, [], (256, 128)))

    assert (folder / "model.safetensors").stat().st_size <= 16e6
    assert (model.config.width, model.config.stem_width) == (recipe.width, recipe.near)
    assert (model.config.encoder_layers, model.config.decoder_layers) == (recipe.encoder_layers, recipe.decoder_layers)


def test_invalid_recipe(tmp_path):
    """An unknown key is an error."""
    (tmp_path / "mine.yaml").write_text("shard: 3\n")

    with pytest.raises(RecipeError, match='unknown key "shard"'):
        read_base_recipe(tmp_path / "mine.yaml")
