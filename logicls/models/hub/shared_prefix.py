"""Prefix sharing: a photo is encoded once, and its questions continue from there as independent rows of a batch.

The key-value cache of the photo's tokens is repeated for the questions. In every step each row takes one or more
tokens; shorter rows are padded on the left, and the padding is masked.
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

from logicls.models.hub.loading import CallableHubModel

ModelInputs = Mapping[str, Tensor]
"""Output of a processor for one or more photos and the text before their questions; rows of equal length."""


class SharedPrefix:
    """Photos and the text before their questions, encoded by a model."""

    def __init__(self, model: CallableHubModel, inputs: ModelInputs) -> None:
        self.model = model
        self.cache = DynamicCache(config=model.config.get_text_config(decoder=True))
        model_inputs = move_inputs(model, inputs)
        model(**model_inputs, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        self.length = model_inputs["input_ids"].shape[1]
        self.feature = self._mean_feature(model_inputs["input_ids"])
        shift: Any = getattr(getattr(model, "model", None), "rope_deltas", None)
        # Offset of positions against token counts, in models where the tokens of a photo share positions.
        self.position_shift: Tensor | None = None if shift is None else shift.clone()

    def _mean_feature(self, ids: Int[Tensor, "photos seen"]) -> Float[Tensor, "photos width"]:
        """Average the last layer's values over the visual tokens.

        Averages over all tokens where the configuration does not name the image token or the cache is a window.
        """
        layers: list[Any] = [layer for layer in self.cache.layers if isinstance(layer, CacheLayerMixin)]
        values: Tensor = layers[-1].values  # [photos heads tokens head_width]
        image = getattr(self.model.config, "image_token_id", None)
        if image is not None and values.shape[2] == ids.shape[1]:
            values = values[:, :, ids[0] == image]
        return values.float().mean(2).flatten(1).cpu()

    def branch(self, count: int) -> PrefixBranches:
        """Start `count` continuations: the same number from each photo, those of the first photo first."""
        cache, per_photo = copy.deepcopy(self.cache), count // len(self.feature)
        cache.batch_repeat_interleave(per_photo)
        shift = self.position_shift
        if shift is not None:
            shift = shift.repeat_interleave(count // len(shift), 0)
        mask = torch.ones(count, self.length, dtype=torch.long, device=self.model.device)
        return PrefixBranches(self, cache, mask, shift)


class PrefixBranches:
    """Continuations of a shared prefix, one per row."""

    def __init__(
        self,
        prefix: SharedPrefix,
        cache: DynamicCache,
        mask: Int[Tensor, "rows seen"],
        position_shift: Int[Tensor, "rows 1"] | None,
    ) -> None:
        self.prefix, self.cache, self.mask, self.position_shift = prefix, cache, mask, position_shift

    def step(self, chunks: Sequence[Sequence[int]], keep: int = 1) -> Float[Tensor, "rows keep vocab"]:
        """Append a chunk of tokens to each row. Returns logits after the last `keep` tokens of each."""
        model, width = self.prefix.model, max(map(len, chunks))
        # Padding is masked: any token will do.
        ids = torch.tensor([[0] * (width - len(chunk)) + list(chunk) for chunk in chunks], device=model.device)
        real = torch.tensor([[0] * (width - len(chunk)) + [1] * len(chunk) for chunk in chunks], device=model.device)
        self.mask = torch.cat([self.mask, real], 1)
        positions = (self.mask.cumsum(1) - 1)[:, -width:]
        if self.position_shift is not None:
            positions = (positions + self.position_shift)[None].expand(3, -1, -1)
        out = model(
            input_ids=ids, attention_mask=self.mask, position_ids=positions, past_key_values=self.cache,
            use_cache=True, logits_to_keep=keep,
        )  # fmt: skip
        logits: Tensor = out.logits[:, -keep:].float()
        return logits

    def keep_rows(self, rows: Sequence[int]) -> None:
        """Keep these rows alone."""
        indices = torch.tensor(rows, device=self.mask.device)
        self.cache.batch_select_indices(indices)
        self.mask = self.mask[indices]
        self.position_shift = None if self.position_shift is None else self.position_shift[indices]


def move_inputs(model: CallableHubModel, inputs: ModelInputs) -> dict[str, Tensor]:
    """Move inputs to the model's device, and pixels to its precision."""
    moved = {name: value.to(model.device) for name, value in inputs.items()}
    return {name: value.to(model.dtype) if value.is_floating_point() else value for name, value in moved.items()}


def append_text(inputs: ModelInputs, tokens: Sequence[int]) -> dict[str, Tensor]:
    """Append tokens to the inputs of one row, as one sequence without a cache."""
    length, ids = inputs["input_ids"].shape[1], torch.tensor([list(tokens)])
    suffixes = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return {
        name: torch.cat([value, suffixes.get(name, torch.zeros_like(ids)).to(value.dtype)], 1)
        if value.shape == (1, length) else value
        for name, value in inputs.items()
    }  # fmt: skip
