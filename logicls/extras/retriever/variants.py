"""Which variants of a product there are, and the photo that shows each best."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from logicls.extras.retriever.space import Features
from logicls.records import Scene

MOST = 12
"""Variants that get a reference page, those of most photos first."""


def variant_of(scene: Scene) -> str:
    """The values that tell a photo's variant: of attributes that all their bearers on it agree on; empty for none.

    In the order of components and attributes, so that the same variant has the same name on every photo.
    """
    values: dict[tuple[str, str], set[str]] = {}
    for instance in scene.instances:
        for name, value in instance.attributes:
            values.setdefault((instance.component, name), set()).add(value)
    told = dict.fromkeys(next(iter(some)) for _, some in sorted(values.items()) if len(some) == 1)
    return re.sub(r"[^A-Za-z0-9_-]+", "_", "-".join(told))


def references(scenes: Sequence[Scene], features: Features) -> dict[str, Scene]:
    """Variant → the photo that is the most like all others of it: of the smallest summed distance.

    `features` has a row a scene.
    """
    found: dict[str, list[int]] = {}
    for number, scene in enumerate(scenes):
        found.setdefault(variant_of(scene), []).append(number)
    shown = sorted(sorted(found), key=lambda name: -len(found[name]))[:MOST]
    return {name: scenes[_middle(found[name], features)] for name in sorted(shown)}


def _middle(rows: Sequence[int], features: Features) -> int:
    some = features[list(rows)].astype(np.float64)
    squares = (some**2).sum(1)
    far = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * some @ some.T, 0)).sum(1)
    return rows[int(far.argmin())]
