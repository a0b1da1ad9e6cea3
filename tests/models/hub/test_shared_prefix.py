"""Prefix sharing: branches equal separate sequences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from logicls.models.hub.chat_template import make_inputs
from logicls.models.hub.shared_prefix import SharedPrefix, append_text

PHOTO = np.random.default_rng(1).integers(0, 256, (90, 150, 3), np.uint8)
TEXTS = ["where is every pin?", "red", "which rules are broken? none, none, none"]


@torch.inference_mode()
def test_branches_equal_separate_sequences(each):
    """Three texts of different length in two steps have the logits of complete sequences."""
    inputs = make_inputs(each.processor, each.codec.chat_format, [PHOTO])
    texts = [each.codec.tokenize(text) for text in TEXTS]
    prefix = SharedPrefix(each.model, inputs)
    branches = prefix.branch(3)
    branches.step([text[: k + 1] for k, text in enumerate(texts)])

    found = branches.step([text[k + 1 :] or [5] for k, text in enumerate(texts)])[:, -1]

    for k, text in enumerate(texts):
        alone = each.model(**append_text(inputs, text if text[k + 1 :] else [*text, 5])).logits[0, -1]
        assert torch.allclose(found[k], alone, atol=1e-4)


@torch.inference_mode()
def test_finished_rows_do_not_change_the_others(each):
    """Neither removed rows nor earlier branches change later logits."""
    inputs = make_inputs(each.processor, each.codec.chat_format, [PHOTO])
    prefix, chunk = SharedPrefix(each.model, inputs), each.codec.tokenize("red blue")
    prefix.branch(2).step([chunk, chunk])
    both = prefix.branch(2)
    both.step([[9, 8, 7], chunk])

    both.keep_rows([1])

    found = both.step([[6, 5]], keep=2)[0]
    alone = each.model(**append_text(inputs, [*chunk, 6, 5])).logits[0, -2:]
    assert torch.allclose(found, alone, atol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_prefixes_are_independent(opened, family):
    """These models store the position shift in the model itself; another photo must not change it."""
    made = opened(family)
    first = make_inputs(made.processor, made.codec.chat_format, [PHOTO])
    prefix = SharedPrefix(made.model, first)

    SharedPrefix(made.model, make_inputs(made.processor, made.codec.chat_format, [PHOTO[:60, :60]]))

    alone = made.model(**append_text(first, [6, 5])).logits[0, -1]
    assert torch.allclose(prefix.branch(1).step([[6, 5]])[0, -1], alone, atol=1e-4)
