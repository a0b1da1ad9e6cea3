"""What the ways of nano and of hub models share: a text that is told to `generate`, and what answers agree on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList

VOTES = 5
Way = Callable[[Sequence[np.ndarray]], list[list[object]]]
"""Photos to what was answered to each question."""


class Told(LogitsProcessor):
    """Makes a text the likeliest, word by word."""

    def __init__(self, begin: int, tokens: list[int]) -> None:
        self.begin, self.tokens = begin, tokens

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """All but the next word of the text at minus infinity."""
        only = torch.full_like(scores, -torch.inf)
        only[0, self.tokens[ids.shape[1] - self.begin]] = 0.0
        return only


def generate(model: object, inputs: dict[str, torch.Tensor], tokens: list[int], end: int) -> None:
    """Let the library write these tokens, one at a time."""
    begin = inputs["input_ids"].shape[1]
    out = model.generate(
        **inputs, do_sample=False, max_new_tokens=len(tokens), eos_token_id=end, pad_token_id=end,
        logits_processor=LogitsProcessorList([Told(begin, tokens)]),
    )  # fmt: skip
    if out[0, begin:].tolist() != tokens:
        raise RuntimeError("the text was not written")
