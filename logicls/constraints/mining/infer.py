"""Drafts a spec from annotated photos of good products, for a person to edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from logicls.constraints.mining.compositions import set_rules
from logicls.constraints.mining.examples import settled, typical, with_examples
from logicls.constraints.mining.layouts import layout_rules
from logicls.constraints.mining.matches import match_rules
from logicls.constraints.mining.measures import measure_rules
from logicls.constraints.mining.observations import (
    Described,
    Table,
    Vocabulary,
    components_of,
    name_of,
    tabulate,
    values_of,
)
from logicls.constraints.mining.proposals import Found, Names
from logicls.constraints.mining.quantities import count_rules, value_rules
from logicls.constraints.mining.slots import slot_rules
from logicls.constraints.mining.spatial_relations import Nesting, nest, order_rules
from logicls.constraints.mining.yaml_writer import Draft
from logicls.errors import DataError, Problem
from logicls.records import Scene


def infer(
    scenes: Sequence[Scene], categories: Sequence[str] = (), *, product: str = "product", source: str = "",
    licence: str = "",
) -> Draft:  # fmt: skip
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
    components, left_out = components_of(scenes, categories)
    table = tabulate(scenes, components)
    if not any(len(column.photo) for column in table.columns.values()):
        what = "nothing that a rule could name is annotated on any photo" if scenes else "no photos"
        advice = "Annotate some good photos first."
        raise DataError(Problem("LC131", f"there is nothing to draft rules from: {what}.", advice=advice))
    nesting = nest(table)
    vocabulary: dict[str, Mapping[str, tuple[str, ...]]] = {}
    for name, column in table.columns.items():
        vocabulary[name], faults = values_of(column)
        left_out += faults
    draft = Draft(
        product=name_of(product),
        photos=len(scenes),
        components=tuple(_described(name, table, nesting, vocabulary[name]) for name in components),
        found=_search(table, nesting, vocabulary),
        left_out=tuple(left_out),
        source=source,
        licence=licence,
    )
    return with_examples(settled(draft, scenes), [scenes[photo] for photo in typical(table)], scenes)


def _search(table: Table, nesting: Nesting, vocabulary: Vocabulary) -> Found:
    """All rules, in the order in which a person wants to read them."""
    names = Names(set(table.columns))
    counts = set_rules(table, count_rules(table, nesting, names), names)
    counts = slot_rules(table, nesting, vocabulary, counts, names)
    values = value_rules(table, vocabulary, counts, names)
    orders = order_rules(table, nesting, names)
    layouts = layout_rules(table, nesting, orders, names)
    belonging = values + match_rules(table, vocabulary, names)
    return counts + orders + layouts + belonging + measure_rules(table, nesting, names)


def _described(name: str, table: Table, nesting: Nesting, attributes: Mapping[str, tuple[str, ...]]) -> Described:
    present, photos = int((table.columns[name].counts > 0).sum()), len(table.photos)
    note = f"on {present}/{photos} photos"
    parent, fills = nesting.parent[name], nesting.fills.get(name, "")
    if fills:
        note += f"; fills {fills}, it seems: only its top moves"
    elif parent:
        note += f"; lies in {parent}"
    return Described(name, attributes, present < photos, fills, note)
