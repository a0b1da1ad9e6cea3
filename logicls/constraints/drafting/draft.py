"""A draft: what was found, as a spec and as the YAML that people edit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from logicls.constraints.drafting.proposal import Found
from logicls.constraints.drafting.table import ENOUGH
from logicls.constraints.drafting.tolerance import CONFIDENCE, coverage, percent
from logicls.constraints.drafting.vocabulary import Described
from logicls.constraints.drafting.writing import (
    comments,
    component_lines,
    constraint_lines,
    example_lines,
    flow,
    place_lines,
    question_lines,
)
from logicls.constraints.spec import Spec


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
        components = {
            c.name: {"attributes": c.attributes, "optional": c.optional, **({"fills": c.fills} if c.fills else {})}
            for c in self.components
        }
        content = {
            "logicls": 1,
            "product": {"name": self.product},
            "components": components,
            "regions": {p.name: p.body for p in self.found.places},
            "constraints": [p.content for p in self.found.proposals],
            "examples": self.examples,
        }
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
        said += [f"Not used: {fault}." for fault in self.left_out]
        return [line for text in said for line in comments(text)]
