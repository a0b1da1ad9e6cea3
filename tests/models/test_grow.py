"""A product's model begins as the base, with words of its own."""

from __future__ import annotations

import pytest
import torch

from logicls.models.nano.processor import expand_model, expand_processor


@pytest.fixture(scope="module")
def base(tmp_path_factory, model, processor):
    """The small model as base weights, in half precision."""
    folder = tmp_path_factory.mktemp("base")
    copy = type(model)(model.config)
    copy.load_state_dict(model.state_dict())
    copy.half().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_words_that_are_known_stay(base, processor):
    """Tokens keep their numbers; values that are missing come after them, sorted, each once."""
    grown = expand_processor(base, ["red", "wrong_pin", "blue", "a", "wrong_pin"], (64, 32))

    before, after = processor.tokenizer.get_vocab(), grown.tokenizer.get_vocab()
    assert {token: after[token] for token in before} == before
    assert [after[token] for token in ("<a>", "<wrong_pin>")] == [len(before), len(before) + 1]
    assert (len(after), grown.image_processor.size) == (len(before) + 2, [64, 32])


def test_weights_are_the_bases(base, model):
    """In single precision; a new word is the mean of the words of its text."""
    grown = expand_processor(base, ["which_rules"], (64, 32))

    found = expand_model(base, grown)

    count = model.config.vocab_size
    parts = grown.tokenizer("which rules", add_special_tokens=False)["input_ids"]
    mean = found.token_embeddings.weight[parts].mean(0)
    assert found.token_embeddings.weight.dtype == torch.float32
    assert torch.allclose(found.token_embeddings.weight[:count], model.token_embeddings.weight, atol=1e-3)
    assert torch.allclose(found.token_embeddings.weight[count], mean, atol=1e-6)
    assert torch.allclose(
        found.detection_head.centre_filter.weight, model.detection_head.centre_filter.weight, atol=1e-3
    )
    assert (found.config.image_size, found.config.vocab_size) == ([64, 32], count + 1)
