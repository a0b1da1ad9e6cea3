"""Examples for a draft: a typical photo, and what it breaks when something is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from logicls.constraints.drafting.proposal import Proposal
from logicls.constraints.drafting.table import Table
from logicls.constraints.drafting.vocabulary import Described
from logicls.records import Instance, Scene

DIGITS = 3
MOST = 40
"""On a photo with more instances than this an example is no longer read by anybody."""
TRIES = 10
"""Typical photos that are tried."""
Short = dict[str, dict[str, object]]
"""A scene as an example has it: component → boxes and attributes."""


def typical(table: Table) -> list[int]:
    """The photos with the usual counts whose single things lie nearest to where they usually lie, best first."""
    far = np.zeros(len(table.photos))
    for column in table.columns.values():
        usual = int(np.bincount(column.counts).argmax())
        far += 100.0 * (column.counts != usual)
        if column.alone:
            place = column.box / np.tile(table.frame.size[column.photo], 2)
            np.add.at(far, column.photo, np.abs(place - np.median(place, axis=0)).sum(axis=1))
    return [int(photo) for photo in np.argsort(far, kind="stable")[:TRIES]]


def shortened(scene: Scene, components: Sequence[Described]) -> Short:
    """The scene as an example: boxes in fractions of the photo, the attributes that the draft knows."""
    short: Short = {}
    for component in components:
        instances = scene.of(component.name)
        if instances:
            short[component.name] = _facts(scene, instances, component)
    return short


def one_missing(short: Short, proposals: Sequence[Proposal]) -> Iterator[tuple[Short, str]]:
    """The scene without a thing of which there is one, and the defect that this should be; what holds others last."""
    for proposal in reversed(proposals):
        name = str(proposal.body.get("of"))
        if isinstance(proposal.violation, Mapping) and "box" in short.get(name, {}):
            yield {other: facts for other, facts in short.items() if other != name}, proposal.violation["below"]


def one_mismatched(short: Short, proposals: Sequence[Proposal]) -> Iterator[tuple[Short, str]]:
    """The scene with a value that does not go with another, and the defect that this should be."""
    for proposal in proposals:
        pairs = proposal.body.get("pairs")
        name, _, attribute = str(proposal.body.get("left")).partition(".")
        now = short.get(name, {}).get(attribute)
        if isinstance(pairs, Mapping) and isinstance(proposal.violation, str) and isinstance(now, str):
            other = next(value for value in pairs if pairs[value] != pairs[now])
            yield {**short, name: {**short[name], attribute: other}}, proposal.violation


def _facts(scene: Scene, instances: Sequence[Instance], component: Described) -> dict[str, object]:
    boxes = [
        [round(i.box.x1 / scene.width, DIGITS), round(i.box.y1 / scene.height, DIGITS),
         round(i.box.x2 / scene.width, DIGITS), round(i.box.y2 / scene.height, DIGITS)]
        for i in instances
    ]  # fmt: skip
    facts: dict[str, object] = {"box": boxes[0]} if len(boxes) == 1 else {"count": len(boxes), "boxes": boxes}
    for attribute in component.attributes:
        values = [i.attribute(attribute) for i in instances]
        facts[attribute] = values[0] if len(set(values)) == 1 else values
    return facts
