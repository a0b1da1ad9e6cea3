"""How much memory a run needs, said before it starts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

BETWEEN = 34
"""Bytes a token, layer and unit of width that are kept for the way back, at two bytes a number.

Source: Korthikanti et al. 2022 (arXiv 2205.05198), section 4.1, without the attention matrix, which is not kept.
"""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes at the same time, at most."""

    weights: int
    """Of the model, as it is loaded."""
    trained: int
    """The adapter's gradients and the optimiser's two means, 32 bits each."""
    between: int
    """What lies between the layers until the way back."""
    logits: int
    """Of the answers' tokens, with their gradients."""

    @property
    def total(self) -> int:
        """Bytes."""
        return self.weights + self.trained + self.between + self.logits


def memory_of(model: Any, *, rows: int, tokens: int, told: int, gradient_checkpointing: bool) -> Memory:
    """The memory for a part of a batch: so many `rows` of `tokens`, of which `told` are an answer's."""
    config = model.config.get_text_config(decoder=True)
    size = torch.finfo(model.dtype).bits // 8
    layer = rows * tokens * config.hidden_size * BETWEEN * size // 2
    kept = rows * tokens * config.hidden_size * size
    layers = config.num_hidden_layers
    between = layer + kept * layers if gradient_checkpointing else layer * layers
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    return Memory(weights, trained * 12, between, rows * told * config.vocab_size * 12)


def memory_here() -> int:
    """Bytes that the GPU has, or the machine where there is none."""
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def gigabytes(count: int) -> str:
    """As people say it."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
