"""A photo is read once; questions about it go on from there side by side, each without seeing the others.

What was computed of a photo, the key-value cache of its tokens, is repeated for the questions. In every step each of
them takes one or more tokens: the shorter ones are filled up in front, where nothing looks at them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import CacheLayerMixin

ModelInputs = Mapping[str, Tensor]
"""What a processor made of one photo or several and the text before the questions; rows of equal length."""


class SharedPrefix:
    """Photos and the text before the questions, read by a model."""

    def __init__(self, model: Any, inputs: ModelInputs) -> None:
        self.model = model
        self.cache = DynamicCache(config=model.config.get_text_config(decoder=True))
        given = move_inputs(model, inputs)
        model(**given, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        self.length = given["input_ids"].shape[1]
        self.feature = self._feature(given["input_ids"])
        shift = getattr(model.model, "rope_deltas", None)
        # By how much positions run behind the number of tokens, in models where a photo's tokens share positions.
        self.position_shift = None if shift is None else shift.clone()

    def _feature(self, ids: Int[Tensor, "photos seen"]) -> Float[Tensor, "photos width"]:
        """Mean over the photo's tokens of what the last layer holds ready for the words after them.

        Over all tokens in a model that does not say which are the photo's, or does not hold all of them.
        """
        layers: list[Any] = [layer for layer in self.cache.layers if isinstance(layer, CacheLayerMixin)]
        held: Tensor = layers[-1].values  # [photos heads held head_width]
        image = getattr(self.model.config, "image_token_id", None)
        if image is not None and held.shape[2] == ids.shape[1]:
            held = held[:, :, ids[0] == image]
        return held.float().mean(2).flatten(1).cpu()

    def branch(self, count: int) -> PrefixBranches:
        """So many texts that go on from here: as many from each photo, those of the first photo first."""
        cache, each = copy.deepcopy(self.cache), count // len(self.feature)
        cache.batch_repeat_interleave(each)
        shift = (
            None
            if self.position_shift is None
            else self.position_shift.repeat_interleave(count // len(self.position_shift), 0)
        )
        mask = torch.ones(count, self.length, dtype=torch.long, device=self.model.device)
        return PrefixBranches(self, cache, mask, shift)


class PrefixBranches:
    """Texts that go on from the same photos."""

    def __init__(
        self,
        prefix: SharedPrefix,
        cache: DynamicCache,
        mask: Int[Tensor, "rows seen"],
        position_shift: Int[Tensor, "rows 1"] | None,
    ) -> None:
        self.prefix, self.cache, self.mask, self.position_shift = prefix, cache, mask, position_shift

    def step(self, chunks: Sequence[Sequence[int]], keep: int = 1) -> Float[Tensor, "rows keep vocab"]:
        """Each text goes on by its chunk; logits after the last `keep` tokens of each."""
        model, width = self.prefix.model, max(map(len, chunks))
        # What stands in the filled-up places is never looked at: any token will do.
        ids = torch.tensor([[0] * (width - len(chunk)) + list(chunk) for chunk in chunks], device=model.device)
        real = torch.tensor([[0] * (width - len(chunk)) + [1] * len(chunk) for chunk in chunks], device=model.device)
        self.mask = torch.cat([self.mask, real], 1)
        places = (self.mask.cumsum(1) - 1)[:, -width:]
        if self.position_shift is not None:
            places = (places + self.position_shift)[None].expand(3, -1, -1)
        out = model(
            input_ids=ids, attention_mask=self.mask, position_ids=places, past_key_values=self.cache, use_cache=True,
            logits_to_keep=keep,
        )  # fmt: skip
        logits: Tensor = out.logits[:, -keep:].float()
        return logits

    def keep_rows(self, rows: Sequence[int]) -> None:
        """Go on with these alone."""
        chosen = torch.tensor(rows, device=self.mask.device)
        self.cache.batch_select_indices(chosen)
        self.mask = self.mask[chosen]
        self.position_shift = None if self.position_shift is None else self.position_shift[chosen]


def move_inputs(model: Any, inputs: ModelInputs) -> dict[str, Tensor]:
    """The inputs on the model's device, pixels in its precision."""
    placed = {name: value.to(model.device) for name, value in inputs.items()}
    return {name: value.to(model.dtype) if value.is_floating_point() else value for name, value in placed.items()}


def append_text(inputs: ModelInputs, tokens: Sequence[int]) -> dict[str, Tensor]:
    """The inputs with a text after them, as one sequence that is read from its beginning."""
    length, more = inputs["input_ids"].shape[1], torch.tensor([list(tokens)])
    ends = {"input_ids": more, "attention_mask": torch.ones_like(more)}
    return {
        name: torch.cat([value, ends.get(name, torch.zeros_like(more)).to(value.dtype)], 1)
        if value.shape == (1, length) else value
        for name, value in inputs.items()
    }  # fmt: skip
