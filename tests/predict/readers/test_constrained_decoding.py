"""What was read stays as it was, whatever is read after it, and however much."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from logicls.predict.readers.constrained_decoding import PreallocatedCache


def read(cache, rows: int, counts: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """What a layer hands out as so many positions at a time are read."""
    rng = torch.Generator().manual_seed(0)
    return [cache.update(*torch.randn(2, rows, 2, count, 4, generator=rng), 0) for count in counts]


@pytest.mark.parametrize("positions", [1, 8, 20])
def test_it_holds_what_a_copying_cache_holds(positions):
    """With room for all, for some and for nothing; rows that are done leave it."""
    room, plain = PreallocatedCache(1, positions), DynamicCache()

    handed, wanted = read(room, 3, [5, 3, 1]), read(plain, 3, [5, 3, 1])
    for cache in (room, plain):
        cache.batch_select_indices(torch.tensor([0, 2]))
    handed, wanted = handed + read(room, 2, [1, 1]), wanted + read(plain, 2, [1, 1])

    assert all(
        torch.equal(a, b) for one, other in zip(handed, wanted, strict=True) for a, b in zip(one, other, strict=True)
    )
    assert room.get_seq_length() == 11
