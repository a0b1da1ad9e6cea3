"""Keys and values of what was read, with room for what is read after it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer


class Room(Cache):
    """A cache that grows without being copied each time: for so many positions there is room from the beginning."""

    def __init__(self, layers: int, positions: int) -> None:
        super().__init__(layers=[_Layer(positions) for _ in range(layers)])


class _Layer(DynamicLayer):
    def __init__(self, positions: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._positions = positions
        self._held = torch.empty(0)
        """Keys and values, [2 batch heads positions depth]; behind those that were read there is nothing yet."""

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """All keys and values, with new ones, [batch heads new depth]. Those handed out before stay as they are."""
        before, new = self.get_seq_length(), key_states.shape[2]
        if not before or before + new > self._held.shape[3]:
            self._make_room(key_states, before, before + new)
        self._held[0, :, :, before : before + new] = key_states
        self._held[1, :, :, before : before + new] = value_states
        return self._shown(before + new)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows of the batch alone."""
        self._held = self._held[:, indices]
        self._shown(self.get_seq_length())

    def _make_room(self, like: Tensor, before: int, needed: int) -> None:
        batch, heads, _, depth = like.shape
        held = like.new_empty(2, batch, heads, max(self._positions, needed), depth)
        if before:
            held[:, :, :, :before] = self._held[:, :, :, :before]
        else:
            self.lazy_initialization(like, like)
        self._held = held

    def _shown(self, count: int) -> tuple[Tensor, Tensor]:
        self.keys, self.values = self._held[0, :, :, :count], self._held[1, :, :, :count]
        return self.keys, self.values
