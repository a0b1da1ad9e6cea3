"""Infer a draft spec from annotated photos of good products, for a person to edit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from logicls.constraints.mining.appearances import mine_appearances
from logicls.constraints.mining.compositions import mine_compositions
from logicls.constraints.mining.examples import add_examples, drop_unbreakable, rank_typical_photos
from logicls.constraints.mining.layouts import mine_measures, mine_positions
from logicls.constraints.mining.matches import mine_matches
from logicls.constraints.mining.observations import (
    AttributeValues,
    ComponentDeclaration,
    Observations,
    VariantDeclaration,
    find_attribute_values,
    find_components,
    tabulate,
    to_legal_name,
)
from logicls.constraints.mining.orientations import PoseObservation, mine_orientations, subtract_poses
from logicls.constraints.mining.proposals import MiningResult, NameRegistry
from logicls.constraints.mining.quantities import mine_attributes, mine_counts
from logicls.constraints.mining.siblings import KIND, SiblingGroup, find_siblings, to_variants
from logicls.constraints.mining.slots import mine_slots
from logicls.constraints.mining.spatial_relations import Nesting, find_nesting, mine_orders
from logicls.constraints.mining.yaml_writer import SpecDraft
from logicls.errors import DataError, Problem
from logicls.records import Scene


def infer(
    scenes: Sequence[Scene], categories: Sequence[str] = (), *, product: str = "product", source: str = "",
    licence: str = "", poses: Mapping[str, Sequence[PoseObservation]] | None = None,
) -> SpecDraft:  # fmt: skip
    """Find the rules that good photos obey; the draft passes `logicls check` on these photos.

    Args:
        scenes: Annotated photos of good products.
        categories: Every category that the annotations declare, used or not.
        product: Name of the product; characters that a name cannot have become `_`.
        source: Name of the dataset, for the heading.
        licence: Licence of the dataset, for the heading.
        poses: Component → comparisons of its instances on the photos (`logicls.data.poses`); without them, only
            annotated angles tell orientations.

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
    siblings = find_siblings(table, nesting, values)
    rules = _mine_rules(table, nesting, values, scenes, poses or {})
    draft = SpecDraft(
        product=to_legal_name(product),
        photos=len(scenes),
        components=tuple(_declare_components(table, nesting, values, siblings)),
        variants=tuple(_declare_variants(table, siblings)),
        rules=rules,
        unused=tuple(unused),
        source=source,
        licence=licence,
    )
    annotated = to_variants(subtract_poses(scenes, rules), siblings)
    typical = [annotated[photo] for photo in rank_typical_photos(table)]
    return add_examples(drop_unbreakable(draft, annotated), typical, annotated)


def _mine_rules(
    table: Observations,
    nesting: Nesting,
    values: AttributeValues,
    scenes: Sequence[Scene],
    poses: Mapping[str, Sequence[PoseObservation]],
) -> MiningResult:
    """Mine all rules, in the order in which they are written."""
    names = NameRegistry(set(table.columns))
    counts = mine_compositions(table, mine_counts(table, nesting, names), names)
    counts = mine_slots(table, nesting, values, counts, names)
    attributes = mine_attributes(table, values, counts, names)
    orders = mine_orders(table, nesting, names)
    positions = mine_positions(table, nesting, orders, names)
    matches = mine_matches(table, values, names)
    measures = mine_measures(table, nesting, names)
    solid = [name for name in table.columns if name not in nesting.fills]
    orientations = mine_orientations(scenes, solid, poses, names)
    appearances = mine_appearances(solid, poses, names)
    return counts + orders + positions + attributes + matches + measures + orientations + appearances


def _declare_components(
    table: Observations, nesting: Nesting, values: AttributeValues, siblings: Sequence[SiblingGroup]
) -> Iterator[ComponentDeclaration]:
    """Yield the declarations of all components, siblings as one, in the order of the annotations."""
    groups = {name: group for group in siblings for name in group.kinds}
    declared: set[str] = set()
    for name in table.columns:
        group = groups.get(name)
        if group is None:
            yield _declare_component(name, table, nesting, values[name])
        elif group.name not in declared:
            declared.add(group.name)
            present = int(np.any([table.columns[kind].counts > 0 for kind in group.kinds], axis=0).sum())
            photos, parent = len(table.photos), nesting.parent[name]
            note = f"on {present}/{photos} photos{f'; inside {parent}' if parent else ''}"
            kinds = {KIND: tuple(group.kinds.values())}
            yield ComponentDeclaration(group.name, kinds, present < photos, "", note)


def _declare_variants(table: Observations, siblings: Sequence[SiblingGroup]) -> Iterator[VariantDeclaration]:
    """Yield a variant for each sibling, named like the category of the annotations."""
    for group in siblings:
        for name, kind in group.kinds.items():
            present = int((table.columns[name].counts > 0).sum())
            note = f"on {present}/{len(table.photos)} photos"
            yield VariantDeclaration(name, group.name, {KIND: kind}, note)


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
