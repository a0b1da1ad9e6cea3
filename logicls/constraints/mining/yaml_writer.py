"""A draft as YAML that people edit.

A draft: what was found, as a spec and as the YAML that people edit.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from logicls.constraints.mining.intervals import CONFIDENCE, coverage, percent_to_text
from logicls.constraints.mining.observations import MIN_PHOTOS, ComponentDeclaration
from logicls.constraints.mining.proposals import MiningResult, OpenQuestion, Proposal, RegionProposal
from logicls.constraints.spec.models import Spec

SECTIONS = {
    "quantity": "What must be there.",
    "composition": "What must be there together.",
    "layout": "Where it must be.",
    "match": "What belongs together.",
    "attribute": "What it must be like.",
    "measure": "How much.",
}
ASKED = (
    "Questions: what holds on all photos but a few, and what no edit of them breaks. Is it a rule, and those few are "
    "annotated wrong, or no good products? Then mend them, or take them out, and take the rule over."
)
CONSTANTS = ("true", "false", "null")
"""Words that YAML does not read as text."""
WIDTH = 120
"""Characters of a comment line."""


def flow(value: object) -> str:
    """The value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(str(key))}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else _text(value) if isinstance(value, str) else str(value)


def comments(said: str, indent: str = "") -> list[str]:
    """Comment lines; what YAML cannot hold is replaced."""
    start = f"{indent}# "
    return textwrap.wrap(printable(said), WIDTH, initial_indent=start, subsequent_indent=start, break_long_words=False)


def printable(said: str) -> str:
    """The text on one line, without characters that YAML refuses."""
    return "".join(c if c.isprintable() else "?" for c in said)


def component_lines(components: Sequence[ComponentDeclaration]) -> Iterator[str]:
    """`components:`, one a line."""
    yield "components:"
    for component in components:
        body: dict[str, object] = {"attributes": component.attributes} if component.attributes else {}
        body |= {"optional": True} if component.optional else {}
        body |= {"fills": component.fills} if component.fills else {}
        yield f"  {_text(component.name)}: {flow(body)}  # {component.note}"


def place_lines(places: Sequence[RegionProposal]) -> Iterator[str]:
    """`regions:`, one a line; nothing where there are none."""
    if places:
        yield from ("", "regions:")
    for place in places:
        yield f"  {_text(place.name)}: {flow(place.body)}"


def constraint_lines(proposals: Sequence[Proposal]) -> Iterator[str]:
    """`constraints:`, in sections."""
    yield from ("", "constraints:")
    for family, heading in SECTIONS.items():
        group = [proposal for proposal in proposals if proposal.family == family]
        if group:
            yield f"  # {heading}"
        for proposal in group:
            yield from rule_lines(proposal)


def rule_lines(proposal: Proposal) -> Iterator[str]:
    """One constraint, with its support beside it and what is to be known above it."""
    if proposal.note:
        yield from comments(proposal.note, "  ")
    for key, value in proposal.content.items():
        support = f"  # {proposal.support}" if key == proposal.family else ""
        yield f"  {'- ' if key == 'id' else '  '}{key}: {flow(value)}{support}"


def question_lines(questions: Sequence[OpenQuestion]) -> Iterator[str]:
    """Rules to be, as comments."""
    if questions:
        yield from ("", *comments(ASKED))
    for question in questions:
        yield "#"
        yield from comments(question.text)
        yield from (f"#{line}" for line in rule_lines(question.proposal))


def example_lines(examples: Sequence[Mapping[str, object]], source: str) -> Iterator[str]:
    """`examples:`; nothing where there are none."""
    if examples:
        yield from ("", f"examples:  # after {printable(source)}")
    for example in examples:
        scene = example["scene"]
        assert isinstance(scene, Mapping)
        yield from _packed([f"{_text(name)}: {flow(facts)}" for name, facts in scene.items()])
        if "breaks" in example:
            yield f"    breaks: {flow(example['breaks'])}"


def _packed(items: Sequence[str]) -> Iterator[str]:
    """A scene, with as many components on a line as it holds."""
    line = "  - scene: {"
    for item in items:
        if len(line) + len(item) + 1 > WIDTH and line.strip() != "- scene: {":
            yield line
            line = " " * 12
        line += item + (", " if item is not items[-1] else "")
    yield line + "}"


def _text(name: str) -> str:
    """A name, in quotes where YAML would read something else."""
    plain = name.isascii() and name[:1].isalpha() and name.lower() not in CONSTANTS
    return name if plain or name[:1] == "_" else json.dumps(name)


@dataclass(frozen=True, slots=True)
class SpecDraft:
    """A spec to be: what was found in the photos, and what could not be used."""

    product: str
    photos: int
    components: tuple[ComponentDeclaration, ...]
    rules: MiningResult
    unused: tuple[str, ...]
    """Categories and attributes that a spec cannot speak about, and why."""
    source: str
    """Name of the dataset."""
    licence: str
    typical: str = ""
    """The photo that the examples are made after."""
    examples: tuple[Mapping[str, object], ...] = ()

    def to_yaml(self) -> str:
        """The draft as a commented YAML file."""
        lines = [
            *self._heading(),
            "logicls: 1",
            f"product: {flow({'name': self.product})}",
            "",
            *component_lines(self.components),
            *place_lines(self.rules.regions),
            *constraint_lines(self.rules.proposals),
            *question_lines(self.rules.questions),
            *example_lines(self.examples, self.typical),
        ]
        return "\n".join(line.rstrip() for line in lines) + "\n"

    def to_spec(self) -> Spec:
        """The draft as a spec."""
        components = {
            c.name: {"attributes": c.attributes, "optional": c.optional, **({"fills": c.fills} if c.fills else {})}
            for c in self.components
        }
        content = {
            "logicls": 1,
            "product": {"name": self.product},
            "components": components,
            "regions": {p.name: p.body for p in self.rules.regions},
            "constraints": [p.content for p in self.rules.proposals],
            "examples": self.examples,
        }
        return Spec.model_validate_json(json.dumps(content))

    def _heading(self) -> list[str]:
        """What a reader must know before the first rule."""
        held = percent_to_text(coverage(self.photos, 1))
        said = [
            f"A draft, to be edited: what {self.photos} annotated photos of {self.source or self.product} have in "
            "common. Delete what is chance, and add what good photos cannot show. Beside each rule stands on how many "
            "photos it holds, of those that it applies to.",
            f"What held on all {self.photos} holds on at least {held} of such photos, with {percent_to_text(CONFIDENCE)} "
            "confidence.",
        ]
        if self.photos < MIN_PHOTOS:
            said.append(f"Too few photos for places, orders, pairs and sizes: those need {MIN_PHOTOS}.")
        if self.licence:
            said.append(f"Licence of the photos: {self.licence}.")
        said += [f"Not used: {fault}." for fault in self.unused]
        return [line for text in said for line in comments(text)]
