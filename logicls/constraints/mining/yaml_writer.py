"""Write an inferred draft as a spec and as commented YAML for a person to edit."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from logicls.constraints.mining.intervals import CONFIDENCE, coverage, percent_to_text
from logicls.constraints.mining.observations import MIN_PHOTOS, ComponentDeclaration, VariantDeclaration
from logicls.constraints.mining.proposals import MiningResult, OpenQuestion, Proposal, RegionProposal
from logicls.constraints.spec.models import Spec, registered_families

SECTIONS = {
    "quantity": "Counts",
    "composition": "Sets of components",
    "layout": "Positions",
    "match": "Matching attributes",
    "attribute": "Attributes",
    "measure": "Sizes and fill levels",
}
QUESTIONS_HEADING = (
    "Questions: rules that hold on all but a few photos, or that no edit of the photos breaks. If it is a rule, "
    "correct the annotations of the exceptions or remove these photos, and uncomment the rule."
)
VARIANTS_HEADING = (
    "Variants: categories of one size whose names share a word. One component with kinds is learned from fewer photos "
    "than several components that look alike. Where they do not look alike, declare them as components."
)
YAML_CONSTANTS = ("true", "false", "null")
"""Words that YAML does not parse as strings."""
LINE_WIDTH = 120
"""Maximum length of a line, characters."""


def to_flow_style(value: object) -> str:
    """Format a value in YAML's flow style, on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_quote(str(key))}: {to_flow_style(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(to_flow_style(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else _quote(value) if isinstance(value, str) else str(value)


def to_comments(text: str, indent: str = "") -> list[str]:
    """Wrap a text to comment lines."""
    prefix = f"{indent}# "
    text = replace_unprintable(text)
    return textwrap.wrap(text, LINE_WIDTH, initial_indent=prefix, subsequent_indent=prefix, break_long_words=False)


def replace_unprintable(text: str) -> str:
    """Replace line breaks and other characters that YAML comments cannot have."""
    return "".join(c if c.isprintable() else "?" for c in text)


def format_components(components: Sequence[ComponentDeclaration]) -> Iterator[str]:
    """Yield the lines of `components:`."""
    yield "components:"
    for component in components:
        body: dict[str, object] = {"attributes": component.attributes} if component.attributes else {}
        body |= {"optional": True} if component.optional else {}
        body |= {"fills": component.fills} if component.fills else {}
        yield f"  {_quote(component.name)}: {to_flow_style(body)}  # {component.note}"


def format_variants(variants: Sequence[VariantDeclaration]) -> Iterator[str]:
    """Yield the lines of `variants:`, if there are any, with the reason."""
    if variants:
        yield from ("", *to_comments(VARIANTS_HEADING), "variants:")
    for variant in variants:
        body = {"of": variant.component, "with": variant.attributes}
        yield f"  {_quote(variant.name)}: {to_flow_style(body)}  # {variant.note}"


def format_regions(regions: Sequence[RegionProposal]) -> Iterator[str]:
    """Yield the lines of `regions:`, if there are any."""
    if regions:
        yield from ("", "regions:")
    for region in regions:
        yield f"  {_quote(region.name)}: {to_flow_style(region.body)}"


def format_constraints(proposals: Sequence[Proposal]) -> Iterator[str]:
    """Yield the lines of `constraints:`, grouped by family."""
    yield from ("", "constraints:")
    sections = SECTIONS | {f.key: f.summary for f in registered_families() if f.key not in SECTIONS}
    for family, heading in sections.items():
        group = [proposal for proposal in proposals if proposal.family == family]
        if group:
            yield f"  # {heading}"
        for proposal in group:
            yield from format_rule(proposal)


def format_rule(proposal: Proposal) -> Iterator[str]:
    """Yield the lines of one constraint, with its note above and its support beside it."""
    if proposal.note:
        yield from to_comments(proposal.note, "  ")
    for key, value in proposal.content.items():
        support = f"  # {proposal.support}" if key == proposal.family else ""
        yield f"  {'- ' if key == 'id' else '  '}{key}: {to_flow_style(value)}{support}"


def format_questions(questions: Sequence[OpenQuestion]) -> Iterator[str]:
    """Yield questions and their rules as comments."""
    if questions:
        yield from ("", *to_comments(QUESTIONS_HEADING))
    for question in questions:
        yield "#"
        yield from to_comments(question.text)
        yield from (f"#{line}" for line in format_rule(question.proposal))


def format_examples(examples: Sequence[Mapping[str, object]], source: str) -> Iterator[str]:
    """Yield the lines of `examples:`, if there are any."""
    if examples:
        yield from ("", f"examples:  # based on {replace_unprintable(source)}")
    for example in examples:
        scene = example["scene"]
        assert isinstance(scene, Mapping)
        yield from _wrap_scene([f"{_quote(name)}: {to_flow_style(value)}" for name, value in scene.items()])
        if "breaks" in example:
            yield f"    breaks: {to_flow_style(example['breaks'])}"


def _wrap_scene(items: Sequence[str]) -> Iterator[str]:
    """Yield a scene, with as many components per line as fit."""
    line = "  - scene: {"
    for item in items:
        if len(line) + len(item) + 1 > LINE_WIDTH and line.strip() != "- scene: {":
            yield line
            line = " " * 12
        line += item + (", " if item is not items[-1] else "")
    yield line + "}"


def _quote(name: str) -> str:
    """Quote a name that YAML would not parse as a string."""
    is_plain = name.isascii() and name[:1].isalpha() and name.lower() not in YAML_CONSTANTS
    return name if is_plain or name[:1] == "_" else json.dumps(name)


@dataclass(frozen=True, slots=True)
class SpecDraft:
    """Inferred spec: components, rules, questions and examples, and the names that could not be used."""

    product: str
    photos: int
    """Number of photos from which it was inferred."""
    components: tuple[ComponentDeclaration, ...]
    rules: MiningResult
    unused: tuple[str, ...]
    """Categories and attributes that a spec cannot name, with the reasons."""
    source: str
    """Name of the dataset."""
    licence: str
    typical: str = ""
    """Photo on which the examples are based."""
    examples: tuple[Mapping[str, object], ...] = ()
    variants: tuple[VariantDeclaration, ...] = ()

    def to_yaml(self) -> str:
        """Write the draft as a commented YAML file."""
        lines = [
            *self._format_heading(),
            "logicls: 1",
            f"product: {to_flow_style({'name': self.product})}",
            "",
            *format_components(self.components),
            *format_variants(self.variants),
            *format_regions(self.rules.regions),
            *format_constraints(self.rules.proposals),
            *format_questions(self.rules.questions),
            *format_examples(self.examples, self.typical),
        ]
        return "\n".join(line.rstrip() for line in lines) + "\n"

    def to_spec(self) -> Spec:
        """Convert the draft to a spec."""
        components = {
            c.name: {"attributes": c.attributes, "optional": c.optional, **({"fills": c.fills} if c.fills else {})}
            for c in self.components
        }
        content = {
            "logicls": 1,
            "product": {"name": self.product},
            "components": components,
            "variants": {v.name: {"of": v.component, "with": v.attributes} for v in self.variants},
            "regions": {p.name: p.body for p in self.rules.regions},
            "constraints": [p.content for p in self.rules.proposals],
            "examples": self.examples,
        }
        return Spec.model_validate_json(json.dumps(content))

    def _format_heading(self) -> list[str]:
        """Explain the draft to its reader."""
        share = percent_to_text(coverage(self.photos, 1))
        texts = [
            f"Draft to edit: rules that {self.photos} annotated photos of {self.source or self.product} obey. Delete "
            "coincidences, and add rules that good photos cannot show. The comment beside a rule gives the number of "
            "photos on which it holds, and to which it applies.",
            f"A rule that holds on all {self.photos} photos holds on at least {share} of such photos, with "
            f"{percent_to_text(CONFIDENCE)} confidence.",
        ]
        if self.photos < MIN_PHOTOS:
            texts.append(f"Too few photos to infer positions, orders, matches and sizes: {MIN_PHOTOS} are needed.")
        if self.licence:
            texts.append(f"Licence of the photos: {self.licence}.")
        texts += [f"Not used: {reason}." for reason in self.unused]
        return [line for text in texts for line in to_comments(text)]
