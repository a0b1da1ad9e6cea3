"""What a question is about: some of the things that are there, or something that is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from logicls.worlds.catalogue import free_beside
from logicls.worlds.colours import COLOURS, Rng, alike
from logicls.worlds.say import Meant, Phrase, drawn
from logicls.worlds.stage import Stage


def pick(rng: Rng, known: Sequence[Meant]) -> Meant | None:
    """One of them; phrases that mean several things more often than those that tell one by its place."""
    if not known:
        return None
    weights = np.array(
        [
            (0.3 if "place" in one.said else 0.7 if "beside" in one.said else 1.0)
            * (1 + 0.6 * np.log1p(len(one.things)))
            for one in known
        ]
    )
    return known[int(np.searchsorted(np.cumsum(weights), rng.random() * weights.sum()))]


def missing(stage: Stage) -> Phrase:
    """What is not on the photo, nor anything that might be taken for it."""
    rng = stage.rng
    coloured = [thing for thing in stage.things if thing.colour]
    if coloured and rng.random() < 0.6:
        thing = coloured[int(rng.integers(len(coloured)))]
        here = {other.colour for other in stage.things if other.names == thing.names}
        free = [c for c in COLOURS if c not in here and not any(alike(c, other) for other in here)]
        if free:
            return Phrase(drawn(rng, thing.names), drawn(rng, free))
    free_kinds = free_beside(stage.kinds)
    kind = free_kinds[int(rng.integers(len(free_kinds)))]
    colour = drawn(rng, kind.colours) if kind.colours and rng.random() < 0.4 else ""
    return Phrase(drawn(rng, kind.names), colour)
