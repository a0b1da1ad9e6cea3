"""The spec: what a quality engineer writes, as pydantic models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from logicls.constraints.families.attribute import Attribute
from logicls.constraints.families.composition import Composition
from logicls.constraints.families.connection import Connection
from logicls.constraints.families.context import FailureMode, RegionGrid, Variant, Vocabulary
from logicls.constraints.families.layout import Layout
from logicls.constraints.families.logical import AllOf, AnyOf, Not
from logicls.constraints.families.match import Match
from logicls.constraints.families.measure import Measure
from logicls.constraints.families.protocol import Reference, derive_queries
from logicls.constraints.families.quantity import Quantity
from logicls.records import Severity, Subquery

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$", max_length=60)]
Rule = Quantity | Layout | Composition | Match | Connection | Attribute | Measure | AllOf | AnyOf | Not
FAMILIES = ("quantity", "layout", "composition", "match", "connection", "attribute", "measure", "all", "any", "not")
FIELD_NAMES = tuple(f"{key}_" if key in ("all", "any", "not") else key for key in FAMILIES)
"""The families' field names."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Product(_Strict):
    """What the spec describes."""

    name: Name
    """What the product is called."""
    version: str = "1"
    """Version of these rules."""
    drawing: str = ""
    """Number of the drawing that they come from."""
    owner: str = ""
    """Who answers for them."""
    px_per_mm: Annotated[float, Field(gt=0)] | None = None
    """Pixels of the photo to a millimetre of the product."""


class Component(_Strict):
    """An annotated thing on the product: a COCO category."""

    attributes: dict[Name, Annotated[list[Name], Field(min_length=1)]] = {}
    """Attribute → the values it may have."""
    optional: bool = False
    """True where good photos may lack it."""
    fills: Name | None = None
    """The component whose inside it fills up to a level, as a liquid does: it is resized at its top, and where it is
    taken away the empty inside shows."""
    leaves: Name | None = None
    """The component that is seen where this one is taken away, as a screw leaves a hole."""


class VariantDefinition(_Strict):
    """A component with certain attributes, under a name of its own."""

    of: Name
    """The component."""
    with_: Annotated[dict[Name, Name | Annotated[list[Name], Field(min_length=1)]], Field(min_length=1)] = Field(
        alias="with"
    )
    """Attribute → the value, or the values, that make it."""


class Region(_Strict):
    """A named place, or the cells of a grid."""

    box: tuple[float, float, float, float]
    """Left, top, right, bottom: fractions of the photo, or of the component `of`."""
    of: Name | None = None
    """The component that it is a part of; the photo where it is left out."""
    grid: tuple[Annotated[int, Field(ge=1, le=100)], Annotated[int, Field(ge=1, le=100)]] = (1, 1)
    """Columns and rows that the box is divided into: as many places of the same name."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.box[0] >= self.box[2] or self.box[1] >= self.box[3]:
            raise ValueError(f"box {list(self.box)} is not [left, top, right, bottom]")
        return self


NamesByAmount = Annotated[dict[Annotated[int, Field(ge=1, le=1000)], Name], Field(min_length=1)]


class ViolationNames(_Strict):
    """Names of the defect on either side of a limit, or by how much it is missed: the last stands for more, too."""

    below: Name | NamesByAmount | None = None
    """The defect's name where it is less than allowed."""
    above: Name | NamesByAmount | None = None
    """The defect's name where it is more than allowed."""

    def names_by_amount(self, kind: str) -> dict[int, str]:
        """Amount → name, on one side."""
        names = {"below": self.below, "above": self.above}.get(kind)
        return {} if names is None else {1: names} if isinstance(names, str) else dict(sorted(names.items()))


class Clause(_Strict):
    """A rule: the body of one family, or rules combined."""

    quantity: Quantity | None = None
    """How many."""
    layout: Layout | None = None
    """Where."""
    composition: Composition | None = None
    """What belongs together."""
    match: Match | None = None
    """Two attributes agree."""
    connection: Connection | None = None
    """A cable joins the same slots."""
    attribute: Attribute | None = None
    """An attribute is right."""
    measure: Measure | None = None
    """How much."""
    all_: Annotated[list[Clause], Field(min_length=1)] | None = Field(None, alias="all")
    """Rules of which every one holds."""
    any_: Annotated[list[Clause], Field(min_length=1)] | None = Field(None, alias="any")
    """Rules of which at least one holds."""
    not_: Clause | None = Field(None, alias="not")
    """A rule that does not hold."""

    @model_validator(mode="after")
    def _check_family(self) -> Self:
        if sum(getattr(self, key) is not None for key in FIELD_NAMES) != 1:
            raise ValueError(f"write exactly one of: {', '.join(FAMILIES)}")
        return self

    @cached_property
    def family(self) -> str:
        """The key of the body."""
        return next(family for family, key in zip(FAMILIES, FIELD_NAMES, strict=True) if getattr(self, key) is not None)

    @cached_property
    def rule(self) -> Rule:
        """The body."""
        if self.all_ is not None:
            return AllOf(tuple((clause.family, clause.rule) for clause in self.all_))
        if self.any_ is not None:
            return AnyOf(tuple((clause.family, clause.rule) for clause in self.any_))
        if self.not_ is not None:
            return Not((self.not_.family, self.not_.rule))
        body: Rule = getattr(self, self.family)
        return body


class Constraint(Clause):
    """A rule, and what is said of it."""

    id: Name
    """The constraint's name, once in the file."""
    violation: Name | ViolationNames | None = None
    """What the QE calls the defect; the constraint's id where it is left out."""
    severity: Severity = "major"
    """How bad it is."""
    why: str = ""
    """The reason; shown in reports."""
    when: Clause | None = None
    """The constraint applies only where this rule holds."""
    each: Name | None = None
    """A place: the constraint is checked within every one of them by itself."""
    unless_broken: list[Name] = []
    """Constraints that say it all: while one of them is broken, this one does not apply."""

    def references(self) -> Iterator[Reference]:
        """Everything that it speaks about, by key path from the constraint."""
        yield from (Reference((self.family, *n.path), n.name, n.role) for n in self.rule.references())
        if self.when is not None:
            yield from (
                Reference(("when", self.when.family, *n.path), n.name, n.role) for n in self.when.rule.references()
            )
        if self.each is not None:
            yield Reference(("each",), self.each, "place")

    @cached_property
    def is_conditional(self) -> bool:
        """Whether it is checked under a condition, or within places."""
        return self.each is not None or self.when is not None

    @cached_property
    def text(self) -> str:
        """The whole rule in plain English."""
        condition = f"where {self.when.rule.to_text()}: " if self.when else ""
        scope = f"in each {self.each.replace('_', ' ')}, " if self.each else ""
        return f"{scope}{condition}{self.rule.to_text()}"

    def violation_name(self, mode: FailureMode) -> str:
        """The defect's name when it is broken on that side."""
        if isinstance(self.rule, Composition) and mode.kind:
            return mode.kind
        if isinstance(self.violation, ViolationNames):
            names = self.violation.names_by_amount(mode.kind)
            fitting = [name for amount, name in names.items() if amount <= mode.amount] or list(names.values())[:1]
            return fitting[-1] if fitting else f"{self.id}-{mode.kind}".rstrip("-")
        return self.violation or self.id

    @cached_property
    def failure_modes(self) -> tuple[FailureMode, ...]:
        """Every way of being broken that has a name of its own."""
        if not isinstance(self.violation, ViolationNames):
            return tuple(FailureMode(kind) for kind in self.rule.failure_modes())
        return tuple(
            FailureMode(kind, amount)
            for kind in self.rule.failure_modes()
            for amount in self.violation.names_by_amount(kind) or {1: ""}
        )


class ExampleTest(_Strict):
    """A test of the rules: a scene in short, and the violations it must come to."""

    scene: dict[Name, Any]
    """Component → how many; or its attributes, with `count` for more than one, `box` or `boxes` in fractions of the
    photo; or a list of such."""
    breaks: list[Name] = []
    """The violations, all of them."""


class Spec(_Strict):
    """One product's rules."""

    logicls: Literal[1]
    """Version of the language."""
    product: Product
    """What the spec describes."""
    components: Annotated[dict[Name, Component], Field(min_length=1)]
    """What is annotated on the photos."""
    variants: dict[Name, VariantDefinition] = {}
    """Components with certain attributes, under names of their own."""
    regions: dict[Name, Region] = {}
    """Named places."""
    constraints: Annotated[list[Constraint], Field(min_length=1)]
    """What a good product obeys."""
    examples: list[ExampleTest] = []
    """Tests of the rules themselves."""

    @cached_property
    def violations(self) -> tuple[str, ...]:
        """Every defect the spec can name, in the order of its constraints."""
        return tuple(dict.fromkeys(c.violation_name(mode) for c in self.constraints for mode in c.failure_modes))

    @property
    def attribute_values(self) -> dict[str, dict[str, list[str]]]:
        """Component → attribute → the values it may have."""
        return {name: component.attributes for name, component in self.components.items()}

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What it says of names, as a record."""
        return Vocabulary(
            variants={
                name: Variant(v.of, tuple((k, frozenset([x] if isinstance(x, str) else x)) for k, x in v.with_.items()))
                for name, v in self.variants.items()
            },
            regions={name: RegionGrid(region.box, region.of, region.grid) for name, region in self.regions.items()},
            fills={name: c.fills for name, c in self.components.items() if c.fills},
            leaves={name: c.leaves for name, c in self.components.items() if c.leaves},
            attribute_values={
                name: {key: tuple(values) for key, values in c.attributes.items()}
                for name, c in self.components.items()
            },
            px_per_mm=self.product.px_per_mm or 0.0,
        )

    @cached_property
    def queries_by_constraint(self) -> dict[str, tuple[Subquery, ...]]:
        """Constraint → the questions that it rests on."""
        return {
            c.id: derive_queries(self.vocabulary, c.references(), in_locations=c.each is not None)
            for c in self.constraints
        }

    @cached_property
    def queries(self) -> tuple[Subquery, ...]:
        """Every question once, in the order in which the constraints need them."""
        return tuple(dict.fromkeys(query for c in self.constraints for query in self.queries_by_constraint[c.id]))

    @cached_property
    def queried_components(self) -> tuple[str, ...]:
        """Components that a question is about."""
        return tuple(dict.fromkeys(query.component for query in self.queries))

    @cached_property
    def liquids(self) -> frozenset[str]:
        """Components that fill another one."""
        return frozenset(self.vocabulary.fills)

    @cached_property
    def hash(self) -> str:
        """Twelve hex digits of the SHA-256 of its canonical JSON."""
        canonical = json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def __hash__(self) -> int:
        return hash(self.hash)
