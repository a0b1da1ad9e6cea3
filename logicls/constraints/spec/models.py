"""Pydantic models of a spec, and the registry of the rule families that it may use."""

from __future__ import annotations

import builtins
import hashlib
import json
import keyword
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from logicls.constraints.families.appearance import Appearance
from logicls.constraints.families.context import FailureMode, RegionGrid, Variant, Vocabulary
from logicls.constraints.families.protocol import Family, exactly_one_of, walk_rules
from logicls.constraints.families.queries import Reference, derive_queries
from logicls.constraints.families.registry import BUILT_IN_FAMILIES
from logicls.records import Severity, Subquery

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$", max_length=60)]
_FAMILIES: dict[str, type[Family]] = {}
"""Key → registered family, in the order of the schema; filled by `_set_families`."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Product(_Strict):
    """The product that a spec describes."""

    name: Name
    """Name of the product."""
    version: str = "1"
    """Version of these rules."""
    drawing: str = ""
    """Number of the drawing that the rules come from."""
    owner: str = ""
    """Person or department that is responsible for the rules."""
    px_per_mm: Annotated[float, Field(gt=0)] | None = None
    """Pixels per millimetre of the product."""


class Component(_Strict):
    """A category of annotated objects, as in COCO."""

    attributes: dict[Name, Annotated[list[Name], Field(min_length=1)]] = {}
    """Attribute → allowed values."""
    optional: bool = False
    """True if good photos may lack the component."""
    fills: Name | None = None
    """The container that this component fills up to a level, as a liquid does: it is resized at its top, and the empty
    inside becomes visible when it is removed."""
    leaves: Name | None = None
    """The component that becomes visible when this one is removed, as a screw leaves a hole."""


class VariantDefinition(_Strict):
    """A component with certain attribute values, under a name of its own."""

    of: Name
    """The component."""
    with_: Annotated[dict[Name, Name | Annotated[list[Name], Field(min_length=1)]], Field(min_length=1)] = Field(
        alias="with"
    )
    """Attribute → the value or values of the variant."""


class Region(_Strict):
    """A named part of the photo or of a component, or the cells of a grid."""

    box: tuple[float, float, float, float]
    """Left, top, right, bottom: fractions of the photo, or of the component `of`."""
    of: Name | None = None
    """The component that the region is a part of; the photo by default."""
    grid: tuple[Annotated[int, Field(ge=1, le=100)], Annotated[int, Field(ge=1, le=100)]] = (1, 1)
    """Columns and rows that the box is divided into; all cells have the same name."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.box[0] >= self.box[2] or self.box[1] >= self.box[3]:
            raise ValueError(f"box {list(self.box)} is not [left, top, right, bottom]")
        return self


NamesByAmount = Annotated[dict[Annotated[int, Field(ge=1, le=1000)], Name], Field(min_length=1)]


class ViolationNames(_Strict):
    """Name of the violation for each kind of failure; the kinds are those of the rule's family.

    Names below and above a limit may depend on the amount; the last name covers larger amounts.
    """

    below: Name | NamesByAmount | None = None
    """Name of the violation below the limit."""
    above: Name | NamesByAmount | None = None
    """Name of the violation above the limit."""
    turned: Name | None = None
    """Name of the violation of a part that lies the wrong way round."""
    tilted: Name | None = None
    """Name of the violation of a part that lies askew."""

    @property
    def named_kinds(self) -> tuple[str, ...]:
        """The kinds of failure that have a name."""
        return tuple(kind for kind in type(self).model_fields if getattr(self, kind) is not None)

    def names_by_amount(self, kind: str) -> dict[int, str]:
        """Return amount → name for a kind of failure."""
        names = getattr(self, kind) if kind in type(self).model_fields else None
        return {} if names is None else {1: names} if isinstance(names, str) else dict(sorted(names.items()))


def _add_key_rule(schema: dict[str, Any]) -> None:
    schema["allOf"] = [exactly_one_of(*_FAMILIES)]


class Clause(_Strict):
    """A rule: a mapping with the key of one family."""

    model_config = ConfigDict(defer_build=True, json_schema_extra=_add_key_rule)

    @model_validator(mode="after")
    def _check_family(self) -> Self:
        if sum(self._body(key) is not None for key in _FAMILIES) != 1:
            raise ValueError(f"write exactly one of: {', '.join(_FAMILIES)}")
        return self

    @cached_property
    def family(self) -> str:
        """The key of the rule's family."""
        return next(key for key in _FAMILIES if self._body(key) is not None)

    @cached_property
    def rule(self) -> Family:
        """The rule."""
        return _FAMILIES[self.family].from_yaml(self._body(self.family))

    def _body(self, key: str) -> Any:
        return getattr(self, _field_name(key), None)


class Constraint(Clause):
    """A rule with its name, the violation that it detects, and the condition under which it applies."""

    id: Name
    """The constraint's name, once in the file."""
    violation: Name | ViolationNames | None = None
    """Name of the violation; the constraint's id by default."""
    severity: Severity = "major"
    """Severity of the violation."""
    why: str = ""
    """Reason for the rule; part of the report."""
    when: Clause | None = None
    """The constraint applies only where this rule holds."""
    each: Name | None = None
    """Component or region within whose instances the constraint is checked separately."""
    unless_broken: list[Name] = []
    """Constraints that explain this one's violation: if one of them is broken, this one does not apply."""

    def references(self) -> Iterator[Reference]:
        """Yield every name that the constraint uses, with the key path from the constraint."""
        yield from (n._replace(path=(self.family, *n.path)) for n in self.rule.references())
        if self.when is not None:
            yield from (n._replace(path=("when", self.when.family, *n.path)) for n in self.when.rule.references())
        if self.each is not None:
            yield Reference(("each",), self.each, "location")

    @cached_property
    def is_conditional(self) -> bool:
        """True if the rule is evaluated under a condition or within locations."""
        return self.each is not None or self.when is not None

    @property
    def is_compared(self) -> bool:
        """True if the rule compares a component with good photos, and asks the model nothing but where it is."""
        return isinstance(self.rule, Appearance)

    @cached_property
    def text(self) -> str:
        """The constraint in plain English."""
        condition = f"where {self.when.rule.to_text()}: " if self.when else ""
        scope = f"in each {self.each.replace('_', ' ')}, " if self.each else ""
        return f"{scope}{condition}{self.rule.to_text()}"

    def violation_name(self, mode: FailureMode) -> str:
        """Return the name of the violation for a failure mode."""
        name = self.rule.violation_name(mode)
        if name:
            return name
        if isinstance(self.violation, ViolationNames):
            names = self.violation.names_by_amount(mode.kind)
            fitting = [name for amount, name in names.items() if amount <= mode.amount] or list(names.values())[:1]
            return fitting[-1] if fitting else f"{self.id}-{mode.kind}".rstrip("-")
        return self.violation or self.id

    @cached_property
    def failure_modes(self) -> tuple[FailureMode, ...]:
        """The failure modes with distinct violations."""
        if not isinstance(self.violation, ViolationNames):
            return tuple(FailureMode(kind) for kind in self.rule.failure_kinds())
        return tuple(
            FailureMode(kind, amount)
            for kind in self.rule.failure_kinds()
            for amount in self.violation.names_by_amount(kind) or {1: ""}
        )

    @cached_property
    def violation_names(self) -> tuple[str, ...]:
        """The distinct names of the violations."""
        return tuple(dict.fromkeys(self.violation_name(mode) for mode in self.failure_modes))


class ExampleTest(_Strict):
    """A test of the rules: a scene in short notation, and the violations that it must have."""

    scene: dict[Name, Any]
    """Component → number; or its attributes, with `count` for more than one, `box` or `boxes` in fractions of the
    photo, `angle` in degrees; or a list of these."""
    breaks: list[Name] = []
    """All violations of the scene."""


class Spec(_Strict):
    """The rules of one product."""

    model_config = ConfigDict(defer_build=True)

    logicls: Literal[1]
    """Version of the language."""
    product: Product
    """The product."""
    components: Annotated[dict[Name, Component], Field(min_length=1)]
    """Annotated categories of objects."""
    variants: dict[Name, VariantDefinition] = {}
    """Components with certain attribute values, under names of their own."""
    regions: dict[Name, Region] = {}
    """Named parts of the photo or of a component."""
    constraints: Annotated[list[Constraint], Field(min_length=1)]
    """Rules that a good product meets."""
    examples: list[ExampleTest] = []
    """Tests of the rules."""

    @cached_property
    def violations(self) -> tuple[str, ...]:
        """The names of all violations, in the order of the constraints."""
        return tuple(dict.fromkeys(c.violation_name(mode) for c in self.constraints for mode in c.failure_modes))

    @property
    def attribute_values(self) -> dict[str, dict[str, list[str]]]:
        """Component → attribute → allowed values."""
        return {name: component.attributes for name, component in self.components.items()}

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The declared names as a record."""
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
            angle_periods=self._angle_periods,
        )

    @cached_property
    def absolute_angles(self) -> dict[str, int]:
        """Component whose angle must be annotated → the turn in degrees up to which it must be known."""
        names = {n.name for c in self.constraints for n in c.references() if n.role == "angle" and n.is_absolute}
        periods = self.vocabulary.angle_periods
        return {component: periods[component] for component in map(self.vocabulary.component, names)}

    @cached_property
    def _angle_periods(self) -> dict[str, int]:
        """Component whose orientation is checked → the largest of the periods of its rules, each a multiple of 90."""
        periods: dict[str, int] = {}
        for reference in (n for c in self.constraints for n in c.references() if n.role == "angle"):
            variant = self.variants.get(reference.name)
            component = variant.of if variant else reference.name
            periods[component] = max(periods.get(component, 0), reference.period)
        return periods

    @cached_property
    def overkill_by_component(self) -> dict[str, float]:
        """Component whose look is compared with good photos → the smallest overkill of its rules."""
        found: dict[str, float] = {}
        rules = [c.rule for c in self.constraints] + [c.when.rule for c in self.constraints if c.when is not None]
        for _, rule in (one for top in rules for one in walk_rules(top)):
            if isinstance(rule, Appearance):
                component = self.vocabulary.component(rule.of)
                found[component] = min(found.get(component, 1.0), rule.overkill)
        return found

    @cached_property
    def queries_by_constraint(self) -> dict[str, tuple[Subquery, ...]]:
        """Constraint → the queries that it needs."""
        return {
            c.id: derive_queries(self.vocabulary, c.references(), in_locations=c.each is not None)
            for c in self.constraints
        }

    @cached_property
    def queries(self) -> tuple[Subquery, ...]:
        """All distinct queries, in the order in which the constraints need them."""
        return tuple(dict.fromkeys(query for c in self.constraints for query in self.queries_by_constraint[c.id]))

    @cached_property
    def queried_components(self) -> tuple[str, ...]:
        """The components that queries refer to."""
        return tuple(dict.fromkeys(query.component for query in self.queries))

    @cached_property
    def liquids(self) -> frozenset[str]:
        """The components that fill another component."""
        return frozenset(self.vocabulary.fills)

    @cached_property
    def hash(self) -> str:
        """The first twelve hex digits of the SHA-256 of the canonical JSON."""
        content = self.model_dump(mode="json", by_alias=True)
        canonical = json.dumps(_drop_empty(content), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def __hash__(self) -> int:
        return hash(self.hash)


_HASHED_FAMILIES = ("quantity", "layout", "composition", "match", "connection", "attribute", "measure", "all", "any",
                    "not")  # fmt: skip
"""Families whose keys are in the hash even where they are not used; a new family must not change existing hashes."""
_LATER_KEYS = ("turned", "tilted", "aspect")
"""Keys of other models that are in the hash only where they are used, for the same reason."""


def _drop_empty(content: Any) -> Any:
    """Remove later keys without a value from nested mappings; keys of families from clauses only, which have them."""
    if isinstance(content, dict):
        is_clause = content.keys() >= set(_HASHED_FAMILIES)
        later = {*_LATER_KEYS, *(_FAMILIES.keys() - set(_HASHED_FAMILIES) if is_clause else ())}
        used = ((k, v) for k, v in content.items() if k not in later or v is not None)
        return {key: _drop_empty(value) for key, value in used}
    return [_drop_empty(value) for value in content] if isinstance(content, list) else content


def registered_families() -> tuple[type[Family], ...]:
    """Return the families that specs may use."""
    return tuple(_FAMILIES.values())


@contextmanager
def register_family(family: type[Family]) -> Iterator[None]:
    """Let specs use one more family within the context.

    Raises:
        ValueError: Its key is already registered, or is a key of constraints.
    """
    if family.key in _FAMILIES or _field_name(family.key) in Constraint.model_fields:
        raise ValueError(f'key "{family.key}" is already in use')
    before = registered_families()
    _set_families((*before, family))
    try:
        yield
    finally:
        _set_families(before)


def _field_name(key: str) -> str:
    """Return the field for a YAML key; keywords and built-in functions have a trailing underscore."""
    return f"{key}_" if keyword.iskeyword(key) or hasattr(builtins, key) else key


def _set_families(families: tuple[type[Family], ...]) -> None:
    """Make the families' keys the fields of clauses and constraints, and rebuild the models."""
    fields = {}
    for family in families:
        name = _field_name(family.key)
        default = Field(None, alias=None if name == family.key else family.key, description=family.summary)
        fields[name] = FieldInfo.from_annotated_attribute(family.yaml_type(Clause) | None, default)
    before = [_field_name(key) for key in _FAMILIES]
    for model in (Clause, Constraint):
        own = {name: field for name, field in model.model_fields.items() if name not in before}
        model.model_fields.clear()
        model.model_fields.update(fields | own)
    _FAMILIES.clear()
    _FAMILIES.update({family.key: family for family in families})
    rebuilt: tuple[type[_Strict], ...] = (Clause, Constraint, Spec)
    for each in rebuilt:
        each.model_rebuild(force=True)


_set_families(BUILT_IN_FAMILIES)
