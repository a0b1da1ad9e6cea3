"""Infer a draft spec from annotated photos of good products, for a person to edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from logicls.constraints.mining.compositions import mine_compositions
from logicls.constraints.mining.examples import add_examples, drop_unbreakable, rank_typical_photos
from logicls.constraints.mining.layouts import mine_measures, mine_positions
from logicls.constraints.mining.matches import mine_matches
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
    """Find the rules that good photos obey; the draft passes `logicls check` on these photos.

    Args:
        scenes: Annotated photos of good products.
        categories: Every category that the annotations declare, used or not.
        product: Name of the product; characters that a name cannot have become `_`.
        source: Name of the dataset, for the heading.
        licence: Licence of the dataset, for the heading.

    Raises:
        DataError: There are no photos or no usable annotations (LC131).
    """
    components, unused = find_components(scenes, categories)
    table = tabulate(scenes, components)
    if not any(len(column.photo) for column in table.columns.values()):
        reason = "no photo has an annotation with a valid category name" if scenes else "there are no photos"
        message = f"cannot infer rules: {reason}."
        raise DataError(Problem("LC131", message, advice="Annotate some photos of good products first."))
    nesting = find_nesting(table)
    values: dict[str, Mapping[str, tuple[str, ...]]] = {}
    for name, column in table.columns.items():
        values[name], invalid = find_attribute_values(column)
        unused += invalid
    draft = SpecDraft(
        product=to_legal_name(product),
        photos=len(scenes),
        components=tuple(_declare_component(name, table, nesting, values[name]) for name in components),
        rules=_mine_rules(table, nesting, values),
        unused=tuple(unused),
        source=source,
        licence=licence,
    )
    typical = [scenes[photo] for photo in rank_typical_photos(table)]
    return add_examples(drop_unbreakable(draft, scenes), typical, scenes)


def _mine_rules(table: Observations, nesting: Nesting, values: AttributeValues) -> MiningResult:
    """Mine all rules, in the order in which they are written."""
    names = NameRegistry(set(table.columns))
    counts = mine_compositions(table, mine_counts(table, nesting, names), names)
    counts = mine_slots(table, nesting, values, counts, names)
    attributes = mine_attributes(table, values, counts, names)
    orders = mine_orders(table, nesting, names)
    positions = mine_positions(table, nesting, orders, names)
    matches = mine_matches(table, values, names)
    return counts + orders + positions + attributes + matches + mine_measures(table, nesting, names)


def _declare_component(
    name: str, table: Observations, nesting: Nesting, attributes: Mapping[str, tuple[str, ...]]
) -> ComponentDeclaration:
    present, photos = int((table.columns[name].counts > 0).sum()), len(table.photos)
    note = f"on {present}/{photos} photos"
    parent, fills = nesting.parent[name], nesting.fills.get(name, "")
    if fills:
        note += f"; probably fills {fills}: only its top edge varies"
    elif parent:
        note += f"; inside {parent}"
    return ComponentDeclaration(name, attributes, present < photos, fills, note)
