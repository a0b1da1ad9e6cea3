"""Generation of a given text with `generate`, to measure its time; shared by the comparisons of decoding methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList

VOTES = 5
Method = Callable[[Sequence[np.ndarray]], list[list[object]]]
"""Maps photos to the answers to each question."""


class ForcedTokens(LogitsProcessor):
    """Makes given tokens the likeliest ones."""

    def __init__(self, begin: int, tokens: list[int]) -> None:
        self.begin, self.tokens = begin, tokens

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Set all but the next given token to minus infinity."""
        only = torch.full_like(scores, -torch.inf)
        only[0, self.tokens[ids.shape[1] - self.begin]] = 0.0
        return only


def generate(model: object, inputs: dict[str, torch.Tensor], tokens: list[int], end: int) -> None:
    """Generate these tokens, one at a time."""
    begin = inputs["input_ids"].shape[1]
    out = model.generate(
        **inputs, do_sample=False, max_new_tokens=len(tokens), eos_token_id=end, pad_token_id=end,
        logits_processor=LogitsProcessorList([ForcedTokens(begin, tokens)]),
    )  # fmt: skip
    if out[0, begin:].tolist() != tokens:
        raise RuntimeError("other tokens were generated")
