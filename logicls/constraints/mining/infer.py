"""Drafts a spec from annotated photos of good products, for a person to edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from logicls.constraints.mining.compositions import mine_compositions
from logicls.constraints.mining.examples import add_examples, drop_unbreakable, rank_typical_photos
from logicls.constraints.mining.layouts import mine_positions
from logicls.constraints.mining.matches import mine_matches
from logicls.constraints.mining.measures import mine_measures
from logicls.constraints.mining.observations import (
    AttributeValues,
    ComponentDeclaration,
    Observations,
    find_attribute_values,
    find_components,
    tabulate,
    to_legal_name,
)
from logicls.constraints.mining.proposals import MiningResult, NameRegistry
from logicls.constraints.mining.quantities import mine_attributes, mine_counts
from logicls.constraints.mining.slots import mine_slots
from logicls.constraints.mining.spatial_relations import Nesting, find_nesting, mine_orders
from logicls.constraints.mining.yaml_writer import SpecDraft
from logicls.errors import DataError, Problem
from logicls.records import Scene


def infer(
    scenes: Sequence[Scene], categories: Sequence[str] = (), *, product: str = "product", source: str = "",
    licence: str = "",
) -> SpecDraft:  # fmt: skip
    """The rules that good photos obey, such that the draft passes `logicls check` on them.

    Args:
        scenes: Annotated photos of good products.
        categories: Every category that the annotations declare, used or not.
        product: The product's name; what a name cannot hold becomes `_`.
        source: Name of the dataset, for the heading.
        licence: Its licence, for the heading.

    Raises:
        DataError: LC131, where there is nothing to learn from.
    """
    components, left_out = find_components(scenes, categories)
    table = tabulate(scenes, components)
    if not any(len(column.photo) for column in table.columns.values()):
        what = "nothing that a rule could name is annotated on any photo" if scenes else "no photos"
        advice = "Annotate some good photos first."
        raise DataError(Problem("LC131", f"there is nothing to draft rules from: {what}.", advice=advice))
    nesting = find_nesting(table)
    vocabulary: dict[str, Mapping[str, tuple[str, ...]]] = {}
    for name, column in table.columns.items():
        vocabulary[name], faults = find_attribute_values(column)
        left_out += faults
    draft = SpecDraft(
        product=to_legal_name(product),
        photos=len(scenes),
        components=tuple(_described(name, table, nesting, vocabulary[name]) for name in components),
        rules=_search(table, nesting, vocabulary),
        unused=tuple(left_out),
        source=source,
        licence=licence,
    )
    return add_examples(
        drop_unbreakable(draft, scenes), [scenes[photo] for photo in rank_typical_photos(table)], scenes
    )


def _search(table: Observations, nesting: Nesting, vocabulary: AttributeValues) -> MiningResult:
    """All rules, in the order in which a person wants to read them."""
    names = NameRegistry(set(table.columns))
    counts = mine_compositions(table, mine_counts(table, nesting, names), names)
    counts = mine_slots(table, nesting, vocabulary, counts, names)
    values = mine_attributes(table, vocabulary, counts, names)
    orders = mine_orders(table, nesting, names)
    layouts = mine_positions(table, nesting, orders, names)
    belonging = values + mine_matches(table, vocabulary, names)
    return counts + orders + layouts + belonging + mine_measures(table, nesting, names)


def _described(
    name: str, table: Observations, nesting: Nesting, attributes: Mapping[str, tuple[str, ...]]
) -> ComponentDeclaration:
    present, photos = int((table.columns[name].counts > 0).sum()), len(table.photos)
    note = f"on {present}/{photos} photos"
    parent, fills = nesting.parent[name], nesting.fills.get(name, "")
    if fills:
        note += f"; fills {fills}, it seems: only its top moves"
    elif parent:
        note += f"; lies in {parent}"
    return ComponentDeclaration(name, attributes, present < photos, fills, note)
