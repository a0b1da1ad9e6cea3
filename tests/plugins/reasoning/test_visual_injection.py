"""Attention of think tokens, and the same patches at a higher resolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from logicls.plugins.reasoning.latent_reasoning import (
    HighResolutionPhoto,
    scale_size,
    think_token_attention,
    top_patches,
)
from logicls.plugins.reasoning.slot_entropy import append_think_tokens, photo_keys
from logicls.predict.readers.nano import NanoReader


@torch.no_grad()
def test_attention_value(bundle, photos):
    """softmax(q · k / √d) over the photo's patches, computed per head and layer, averaged."""
    model, one = bundle.model, NanoReader(bundle)
    keys = photo_keys(one.encode_photos(photos[:1]))
    tokens = torch.randn(1, 3, 64, generator=torch.Generator().manual_seed(0))

    result = think_token_attention(model, keys, tokens)

    first = model.decoder[0]
    query = first.attention.qkv(first.norm1(tokens))[0, 1, :64].view(4, 16)
    by_hand = [(keys[0][0][0, head] @ query[head] / 4).softmax(0) for head in range(4)]
    second = model.decoder[1]
    x = first(tokens, None, append_think_tokens(model, keys, tokens[:, :0]))
    query = second.attention.qkv(second.norm1(x))[0, 1, :64].view(4, 16)
    by_hand += [(keys[1][0][0, head] @ query[head] / 4).softmax(0) for head in range(4)]
    assert torch.allclose(result[1], torch.stack(by_hand).mean(0), atol=1e-5)
    assert result.sum(1).tolist() == pytest.approx([1.0] * 3, abs=1e-5)


def test_top_patches():
    """The most attended patches of each think token, in descending order."""
    attention = torch.tensor([[0.1, 0.6, 0.3], [0.5, 0.1, 0.4]])

    assert top_patches(attention, 2) == [[1, 2], [0, 2]]
    assert top_patches(attention, 9) == [[1, 2, 0], [0, 2, 1]]


@torch.no_grad()
def test_patch_at_double_resolution(bundle):
    """Of 4 x 4 patches, patch 6 (row 1, column 2) is rows 2 and 3, columns 4 and 5 of 8 x 8."""
    high_resolution = HighResolutionPhoto(bundle.model, (64, 64), np.zeros((200, 200, 3), np.uint8), 2.0)

    assert high_resolution.size == (128, 128)
    assert high_resolution.tokens.shape == (1, 64, 64)
    assert high_resolution.tokens_in_patch(6) == (20, 21, 28, 29)


@torch.no_grad()
def test_patch_with_other_padding(bundle):
    """With other letterbox padding a patch is found by its position on the photo."""
    photo = np.zeros((100, 200, 3), np.uint8)  # in 64 x 64 it lies between grey borders of 16 pixels
    high_resolution = HighResolutionPhoto(bundle.model, (64, 64), photo, 1.25)

    # 80 x 80: a patch is 20 of its pixels wide, from 40 on for column 2; the middle of cells 2 and 3 is 40 and 56.
    assert high_resolution.size == (80, 80)
    assert high_resolution.tokens_in_patch(2) == (2, 3)


def test_scale_size():
    """Sizes are rounded to multiples of sixteen, at least one patch."""
    assert scale_size((288, 144), 1.5) == (432, 224)
    assert scale_size((64, 64), 0.01) == (16, 16)
