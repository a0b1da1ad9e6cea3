"""How often each source photo is drawn, so that what varies on good photos comes out even."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from logicls.constraints.look import read_off
from logicls.constraints.margin import margins
from logicls.constraints.spec import Spec
from logicls.records import Scene

ROUNDS = 40
CLOSE = 3.0
"""Dead zones from a limit up to which a photo counts as close to it."""


def scene_weights(spec: Spec, scenes: Sequence[Scene], *, rare: float, near: float) -> Float[np.ndarray, " scenes"]:
    """Probability of each photo.

    Raking (Deming and Stephan, 1940): the photos of each value of each attribute that is asked are scaled until all
    values are equally frequent, over and over, with no photo more than `rare` times as likely as at the start, or less
    likely than one such part. Photos close to a limit start with `near` times the weight of the others.
    """
    start = np.array([near if near > 1 and _is_close(spec, scene) else 1.0 for scene in scenes])
    tables = _tables(spec, scenes)
    weights = start.copy()
    for _ in range(ROUNDS):
        for table in tables:
            totals = weights @ table
            factors = np.log(totals.mean() / totals)
            has = table.sum(1)
            weights *= np.exp(0.5 * (table @ factors) / np.maximum(has, 1))
            weights /= weights.mean() / start.mean()
            weights = np.clip(weights, start / rare, start * rare)
    return np.asarray(weights / weights.sum())


def _tables(spec: Spec, scenes: Sequence[Scene]) -> list[Float[np.ndarray, "scenes values"]]:
    """For each attribute that is asked, instances of each value on each photo; without values that no photo has."""
    tables = []
    for query in spec.questions:
        if query.kind != "attribute":
            continue
        table = np.zeros((len(scenes), len(query.options)))
        index = {value: number for number, value in enumerate(query.options)}
        for row, scene in enumerate(scenes):
            for instance in scene.instances:
                if instance.component == query.component and (value := instance.attribute(query.attribute)) in index:
                    table[row, index[value]] += 1
        tables.append(table[:, table.any(0)])
    return [table for table in tables if table.shape[1] > 1]


def _is_close(spec: Spec, scene: Scene) -> bool:
    """Whether a rule's limit is near, but not so near that nobody could say."""
    reading = read_off(spec, scene, quiet=True)
    return any(1 <= abs(margin) < CLOSE for constraint in spec.constraints for margin in margins(constraint, reading))
