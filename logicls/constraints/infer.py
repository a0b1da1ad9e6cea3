"""Drafts a spec from annotated photos of good products, for a person to edit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from logicls.constraints.drafting.counts import count_rules
from logicls.constraints.drafting.examples import MOST, one_mismatched, one_missing, shortened, typical
from logicls.constraints.drafting.layouts import layout_rules
from logicls.constraints.drafting.matches import match_rules
from logicls.constraints.drafting.measures import measure_rules
from logicls.constraints.drafting.nesting import Nesting, nest
from logicls.constraints.drafting.orders import order_rules
from logicls.constraints.drafting.proposal import Found, Names
from logicls.constraints.drafting.slots import slot_rules
from logicls.constraints.drafting.table import ENOUGH, Table, tabulate
from logicls.constraints.drafting.tolerance import CONFIDENCE, coverage, percent
from logicls.constraints.drafting.vocabulary import Described, Vocabulary, components_of, name_of, values_of
from logicls.constraints.drafting.writing import (
    comments,
    component_lines,
    constraint_lines,
    example_lines,
    flow,
    place_lines,
    question_lines,
)  # fmt: skip
from logicls.constraints.lint import lint_examples
from logicls.constraints.spec import Spec
from logicls.errors import DataError, Problem
from logicls.records import Scene


@dataclass(frozen=True, slots=True)
class Draft:
    """A spec to be: what was found in the photos, and what could not be used."""

    product: str
    photos: int
    components: tuple[Described, ...]
    found: Found
    left_out: tuple[str, ...]
    """Categories and attributes that a spec cannot speak about, and why."""
    source: str
    """Name of the dataset."""
    licence: str
    typical: str = ""
    """The photo that the examples are made after."""
    examples: tuple[Mapping[str, object], ...] = ()

    def text(self) -> str:
        """The draft as a commented YAML file."""
        lines = [
            *self._heading(),
            "logicls: 1",
            f"product: {flow({'name': self.product})}",
            "",
            *component_lines(self.components),
            *place_lines(self.found.places),
            *constraint_lines(self.found.proposals),
            *question_lines(self.found.questions),
            *example_lines(self.examples, self.typical),
        ]
        return "\n".join(line.rstrip() for line in lines) + "\n"

    def spec(self) -> Spec:
        """The draft as a spec."""
        constraints = [
            {"id": p.id, p.family: p.body, "violation": p.violation, "unless_broken": p.unless_broken}
            for p in self.found.proposals
        ]
        regions = {p.name: {"box": p.box, **({"of": p.of} if p.of else {})} for p in self.found.places}
        components = {
            c.name: {"attributes": c.attributes, "optional": c.optional, **({"fills": c.fills} if c.fills else {})}
            for c in self.components
        }
        content = {
            "logicls": 1, "product": {"name": self.product}, "components": components, "regions": regions,
            "constraints": constraints, "examples": self.examples,
        }  # fmt: skip
        return Spec.model_validate_json(json.dumps(content))

    def _heading(self) -> list[str]:
        """What a reader must know before the first rule."""
        held = percent(coverage(self.photos, 1))
        said = [
            f"A draft, to be edited: what {self.photos} annotated photos of {self.source or self.product} have in "
            "common. Delete what is chance, and add what good photos cannot show. Beside each rule stands on how many "
            "photos it holds, of those that it applies to.",
            f"What held on all {self.photos} holds on at least {held} of such photos, with {percent(CONFIDENCE)} "
            "confidence.",
        ]
        if self.photos < ENOUGH:
            said.append(f"Too few photos for places, orders, pairs and sizes: those need {ENOUGH}.")
        if self.licence:
            said.append(f"Licence of the photos: {self.licence}.")
        return [
            line for text in (*said, *(f"Not used: {fault}." for fault in self.left_out)) for line in comments(text)
        ]


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
    return _with_examples(draft, [scenes[photo] for photo in typical(table)])


def _search(table: Table, nesting: Nesting, vocabulary: Vocabulary) -> Found:
    """All rules, in the order in which a person wants to read them."""
    names = Names(set(table.columns))
    counts = slot_rules(table, nesting, vocabulary, count_rules(table, names), names)
    orders = order_rules(table, nesting, names)
    layouts = layout_rules(table, nesting, orders, names)
    return counts + orders + layouts + match_rules(table, vocabulary, names) + measure_rules(table, nesting, names)


def _described(name: str, table: Table, nesting: Nesting, attributes: Mapping[str, tuple[str, ...]]) -> Described:
    present, photos = int((table.columns[name].counts > 0).sum()), len(table.photos)
    note = f"on {present}/{photos} photos"
    parent, fills = nesting.parent[name], nesting.fills.get(name, "")
    if fills:
        note += f"; fills {fills}, it seems: only its top moves"
    elif parent:
        note += f"; lies in {parent}"
    return Described(name, attributes, present < photos, fills, note)


def _with_examples(draft: Draft, scenes: Sequence[Scene]) -> Draft:
    """The draft with a scene that passes and one or two that do not, as far as its rules agree to them."""
    for scene in scenes:
        short = shortened(scene, draft.components)
        good: dict[str, object] = {"scene": short}
        if len(scene.instances) <= MOST and _agrees(draft, good):
            kept: list[Mapping[str, object]] = [good]
            for made in (one_missing(short, draft.found.proposals), one_mismatched(short, draft.found.proposals)):
                wrong = ({"scene": other, "breaks": [name]} for other, name in made)
                kept += islice((example for example in wrong if _agrees(draft, example)), 1)
            return replace(draft, typical=scene.photo, examples=tuple(kept))
    return draft


def _agrees(draft: Draft, example: Mapping[str, object]) -> bool:
    return not list(lint_examples(replace(draft, examples=(example,)).spec()))
