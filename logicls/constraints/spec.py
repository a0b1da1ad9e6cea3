"""The spec: what a quality engineer writes, as pydantic models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from logicls.constraints.layout import Layout
from logicls.constraints.match import Match
from logicls.constraints.measure import Measure
from logicls.constraints.quantity import Quantity
from logicls.constraints.reading import Area, Side
from logicls.errors import did_you_mean

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$", max_length=60)]
Rule = Quantity | Layout | Match | Measure
FAMILIES = ("quantity", "layout", "match", "measure")
Path = tuple[str | int, ...]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Product(_Strict):
    """What the spec describes."""

    name: Name
    version: str = "1"
    drawing: str = ""
    owner: str = ""


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


class Region(_Strict):
    """A named place: `box` in fractions [x1, y1, x2, y2] of the photo, or of the component `of`."""

    box: tuple[float, float, float, float]
    of: Name | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.box[0] >= self.box[2] or self.box[1] >= self.box[3]:
            raise ValueError(f"box {list(self.box)} is not [left, top, right, bottom]")
        return self


class Sides(_Strict):
    """Names of the defect on either side of a limit."""

    below: Name | None = None
    above: Name | None = None


class Constraint(_Strict):
    """A rule: one family's body, and what is said of it."""

    id: Name
    quantity: Quantity | None = None
    layout: Layout | None = None
    match: Match | None = None
    measure: Measure | None = None
    violation: Name | Sides | None = None
    """What the QE calls the defect; the constraint's id where it is left out."""
    severity: Literal["critical", "major", "minor"] = "major"
    why: str = ""
    unless_broken: list[Name] = []
    """Constraints that say it all: while one of them is broken, this one does not apply."""

    @model_validator(mode="after")
    def _one_family(self) -> Self:
        if sum(getattr(self, family) is not None for family in FAMILIES) != 1:
            raise ValueError(f"write exactly one of: {', '.join(FAMILIES)}")
        return self

    @property
    def family(self) -> str:
        """quantity, layout, match or measure."""
        return next(family for family in FAMILIES if getattr(self, family) is not None)

    @property
    def rule(self) -> Rule:
        """The family's body."""
        body: Rule = getattr(self, self.family)
        return body

    def violation_on(self, side: Side) -> str:
        """The defect's name when it is broken on that side."""
        if isinstance(self.violation, Sides):
            named = self.violation.below if side == "below" else self.violation.above
            return named or f"{self.id}-{side}"
        return self.violation or self.id


class ExampleTest(_Strict):
    """A test of the rules: a scene in short, and the violations it must come to."""

    scene: dict[Name, Any]
    """Component → how many, or its attributes (with `count` for more than one, `box` in fractions of the photo)."""
    breaks: list[Name] = []


class Spec(_Strict):
    """One product's rules."""

    logicls: Literal[1]
    product: Product
    components: Annotated[dict[Name, Component], Field(min_length=1)]
    regions: dict[Name, Region] = {}
    constraints: Annotated[list[Constraint], Field(min_length=1)]
    examples: list[ExampleTest] = []

    @property
    def violations(self) -> tuple[str, ...]:
        """Every defect the spec can name, in the order of its constraints."""
        names = (c.violation_on(side) for c in self.constraints for side in c.rule.sides())
        return tuple(dict.fromkeys(names))

    @property
    def vocabulary(self) -> dict[str, dict[str, list[str]]]:
        """Component → attribute → the values it may have."""
        return {name: component.attributes for name, component in self.components.items()}

    @property
    def areas(self) -> dict[str, Area]:
        """The regions as records."""
        return {name: Area(region.box, region.of) for name, region in self.regions.items()}

    @property
    def fillings(self) -> frozenset[str]:
        """Components that fill another one."""
        return frozenset(name for name, component in self.components.items() if component.fills)

    @property
    def hash(self) -> str:
        """Twelve hex digits of the SHA-256 of its canonical JSON."""
        canonical = json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def problems(spec: Spec) -> list[tuple[Path, str, str, str]]:
    """What the schema cannot see: (path, message, advice, code) of every name that does not resolve, and repeats."""
    return [*_component_problems(spec), *_repeats(spec), *_unknown_names(spec), *_example_problems(spec)]


def _component_problems(spec: Spec) -> Iterator[tuple[Path, str, str, str]]:
    for name, component in spec.components.items():
        for attribute, values in component.attributes.items():
            if "none" in values:
                message = f'"none" cannot be a value of {name}.{attribute}: it is the answer where there is nothing'
                yield ("components", name, "attributes", attribute), message, "Call it otherwise.", "LC033"
        for key in ("fills", "leaves"):
            other = getattr(component, key)
            if other is not None and other not in spec.components:
                yield ("components", name, key), *_unknown("component", other, spec.components)
    for name, region in spec.regions.items():
        if region.of is not None and region.of not in spec.components:
            yield ("regions", name, "of"), *_unknown("component", region.of, spec.components)
        if name in spec.components:
            yield ("regions", name), f'region "{name}" has the name of a component', "Rename one of them.", "LC032"


def _repeats(spec: Spec) -> Iterator[tuple[Path, str, str, str]]:
    seen: dict[str, int] = {}
    for index, constraint in enumerate(spec.constraints):
        if constraint.id in seen:
            first = seen[constraint.id] + 1
            message = f'constraint id "{constraint.id}" is already that of constraint {first}'
            yield ("constraints", index, "id"), message, "Give every constraint its own id.", "LC031"
        seen.setdefault(constraint.id, index)


def _unknown_names(spec: Spec) -> Iterator[tuple[Path, str, str, str]]:
    for index, constraint in enumerate(spec.constraints):
        here: Path = ("constraints", index)
        for keys, name in constraint.rule.names():
            yield from (((*here, constraint.family, *keys), *p) for p in _unresolved(spec, keys, name))
        if isinstance(constraint.rule, Match):
            yield from (((*here, "match", *path), *p) for path, p in _pair_problems(spec, constraint.rule))
        known = [c.id for c in spec.constraints if c.id != constraint.id]
        for position, other in enumerate(constraint.unless_broken):
            if other not in known:
                yield ((*here, "unless_broken", position), *_unknown("constraint", other, known))


def _unresolved(spec: Spec, keys: tuple[str, ...], name: str) -> Iterator[tuple[str, str, str]]:
    component, _, attribute = name.partition(".") if keys[0] in ("left", "right") else (name, "", "")
    places = {**spec.components, **(spec.regions if keys[0] in ("in", "object", "relative_to") else {})}
    if component not in places:
        yield _unknown("component", component, places)
    elif attribute and attribute not in spec.components[component].attributes:
        yield _unknown(f'attribute of "{component}":', attribute, spec.components[component].attributes)


def _pair_problems(spec: Spec, match: Match) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    for what, values in ((match.left, list(match.pairs)), (match.right, list(match.pairs.values()))):
        component, attribute = what.split(".")
        known = spec.components.get(component, Component()).attributes.get(attribute)
        for key, value in zip(match.pairs, values, strict=True):
            if known is not None and value not in known:
                yield ("pairs", key), _unknown(f"value of {what}:", value, known)


def _example_problems(spec: Spec) -> Iterator[tuple[Path, str, str, str]]:
    for index, example in enumerate(spec.examples):
        for name in example.scene:
            if name not in spec.components:
                yield ("examples", index, "scene", name), *_unknown("component", name, spec.components)
        for position, name in enumerate(example.breaks):
            if name not in spec.violations:
                yield ("examples", index, "breaks", position), *_unknown("violation", name, spec.violations)


def _unknown(what: str, name: str, known: Any) -> tuple[str, str, str]:
    return f'unknown {what} "{name}"', did_you_mean(name, known), "LC030"
