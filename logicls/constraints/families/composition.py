"""Composition family: sets of components that belong together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, ClassVar, Self

from pydantic import ConfigDict, Field, model_validator

from logicls.constraints.families.context import (
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    Vocabulary,
    count_to_text,
    join_names,
    name_to_text,
    select_inside,
)
from logicls.constraints.families.dead_zone import containment_margin
from logicls.constraints.families.edits import Edit, Edits, Move, Rng
from logicls.constraints.families.placement import (
    MAX_EDITS,
    add_instances,
    choose_instance,
    find_instances,
    remove_instances,
    replace_instance,
    sample_instances,
)
from logicls.constraints.families.protocol import Comparison, Family, RuleModel, exactly_one_of
from logicls.constraints.families.quantity import Quantity
from logicls.constraints.families.queries import Path, Reference
from logicls.records import Instance, Scene

ComponentSet = (
    Annotated[list[str], Field(min_length=1)]
    | Annotated[dict[str, Annotated[int, Field(ge=0, le=1000)]], Field(min_length=1)]
)
"""Components of which at least one each is present; or component → exact number."""
Counts = Mapping[str, int]


class Composition(RuleModel):
    """A set of components is complete, is one of several sets, or implies another set."""

    key: ClassVar[str] = "composition"
    summary: ClassVar[str] = "Sets of components that belong together."
    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                exactly_one_of("required", "one_of", "if", "exclusive"),
                {"dependencies": {"if": ["then"]}},
                {"dependencies": {"then": ["if"]}},
            ]
        }
    )

    required: ComponentSet | None = None
    """Set that must be complete."""
    one_of: Annotated[list[ComponentSet], Field(min_length=1)] | None = None
    """Sets of which one must be present."""
    if_: ComponentSet | None = Field(None, alias="if")
    """If this set is present ..."""
    then: ComponentSet | None = None
    """... this set must be present, too."""
    exclusive: Annotated[list[str], Field(min_length=2)] | None = None
    """Components of which only one may be present."""
    in_: str | None = Field(None, alias="in")
    """Component or region; only instances whose centre lies in it are counted."""
    wrong: dict[str, ComponentSet] = Field(default_factory=dict)
    """Violation → the wrong set that it names; the constraint's violation names any other."""

    @model_validator(mode="after")
    def _check_form(self) -> Self:
        forms = (self.required, self.one_of, self.if_, self.exclusive)
        if sum(form is not None for form in forms) != 1:
            raise ValueError("write exactly one of: required, one_of, if with then, exclusive")
        if (self.if_ is None) != (self.then is None):
            raise ValueError("if and then go together")
        return self

    @cached_property
    def components(self) -> tuple[str, ...]:
        """Every component and variant that is counted."""
        sets = [self.required or [], *(self.one_of or []), self.if_ or [], self.then or [], self.exclusive or []]
        return tuple(dict.fromkeys(component for group in (*sets, *self.wrong.values()) for component in group))

    def references(self) -> Iterator[Reference]:
        """Yield the components of all sets, and the location."""
        for key, group in (("required", self.required), ("if", self.if_), ("then", self.then)):
            yield from _set_references((key,), group or [])
        for position, group in enumerate(self.one_of or []):
            yield from _set_references(("one_of", position), group)
        yield from _set_references(("exclusive",), self.exclusive or [])
        for violation, group in self.wrong.items():
            yield from _set_references(("wrong", violation), group)
        if self.in_:
            yield Reference(("in",), self.in_, "location")

    def failure_kinds(self) -> tuple[str, ...]:
        """Return the named wrong sets, then the empty name for any other."""
        return (*self.wrong, "")

    def to_text(self) -> str:
        """Return the rule in plain English."""
        where = f" in the {name_to_text(self.in_)}" if self.in_ else ""
        if self.required is not None:
            return f"there must be {_set_to_text(self.required)}{where}"
        if self.if_ is not None:
            return f"where there is {_set_to_text(self.if_)}{where}, there must be {_set_to_text(self.then or [])}"
        if self.exclusive is not None:
            return f"at most one kind of {join_names([name_to_text(component) for component in self.exclusive])}{where}"
        return f"one of these sets{where}: {'; '.join(_set_to_text(group) for group in self.one_of or [])}"

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Count the components and compare the counts with the sets."""
        locations = context.require_locations(self.in_)
        counts = {name: len(select_inside(context.boxes(name), locations)) for name in self.components}
        found = ", ".join(count_to_text(count, component) for component, count in counts.items())
        if self.if_ is not None and not _matches_set(self.if_, counts):
            raise NotApplicable(found)
        if self._is_allowed(counts):
            return RuleResult("holds", found)
        violation = next((violation for violation, group in self.wrong.items() if _matches_set(group, counts)), "")
        return RuleResult("broken", found, (FailureMode(violation),))

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield edits from the present counts to wrong ones: replacements first, then removals and additions."""
        present = self._group_instances(scene, context)
        counts = {component: len(found) for component, found in present.items()}
        for _ in range(16):
            target = self._sample_wrong_counts(counts, mode, rng)
            if target is not None:
                yield from self._reach_counts(scene, context, present, target, rng)

    def describe_edit(self, mode: FailureMode) -> str:
        """Describe the edits in plain English."""
        if mode.kind:
            return f"replaced, removed and added until there is {_set_to_text(self.wrong[mode.kind])}"
        components = join_names([name_to_text(component) for component in self.components])
        return f"one of {components} replaced, removed or added"

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield the removal of a component that is put back."""
        present = [i for found in self._group_instances(scene, context).values() for i in found]
        if present:
            yield (Move(choose_instance(rng, present).id, 0.0, 0.0),)

    def violation_name(self, mode: FailureMode) -> str:
        """Return the name of the wrong set."""
        return mode.kind

    def margin(self, context: EvaluationContext) -> float | None:
        """Return the distance of the components to the edge of the location; None without a location."""
        if self.in_ is None:
            return None
        locations = context.locations(self.in_)
        return containment_margin([box for name in self.components for box in context.boxes(name)], locations)

    def compare(self, other: Family, vocabulary: Vocabulary) -> Comparison | None:
        """Find a quantity that does not allow the required set."""
        if not isinstance(other, Quantity) or self.required is None or not isinstance(other.of, str):
            return None
        is_elsewhere = (other.in_ and other.in_ != self.in_) or (self.in_ and not other.in_)
        if other.of not in self.required or other.required_attributes or is_elsewhere:
            return None
        low, high = other.limits
        number = self.required[other.of] if isinstance(self.required, dict) else max(low, 1)
        is_allowed = low <= number <= high
        return None if is_allowed else Comparison("contradicts", f"{self.to_text()}; {other.to_text()}")

    def _group_instances(self, scene: Scene, context: EvaluationContext) -> dict[str, list[Instance]]:
        locations = context.require_locations(self.in_)
        return {
            component: [i for i in find_instances(scene, context, component) if select_inside((i.box,), locations)]
            for component in self.components
        }

    def _is_allowed(self, counts: Counts) -> bool:
        if self.required is not None:
            return _matches_set(self.required, counts)
        if self.one_of is not None:
            return any(_matches_set(group, counts) for group in self.one_of)
        if self.exclusive is not None:
            return sum(counts[component] > 0 for component in self.exclusive) <= 1
        return not _matches_set(self.if_ or [], counts) or _matches_set(self.then or [], counts)

    def _sample_wrong_counts(self, counts: Counts, mode: FailureMode, rng: Rng) -> Counts | None:
        """Sample wrong counts near the present ones; None if the sample is not wrong."""
        target = dict(counts)
        if mode.kind:
            group = self.wrong[mode.kind]
            required = (
                group if isinstance(group, dict) else {component: max(counts[component], 1) for component in group}
            )
            return {**target, **required}
        for _ in range(3):
            target = self._change_count(target, rng)
            is_named = any(_matches_set(group, target) for group in self.wrong.values())
            if not is_named and not self._is_allowed(target):
                return target
        return None

    def _change_count(self, counts: Counts, rng: Rng) -> dict[str, int]:
        """Change the count of one component by one or to zero, with the set of `if` present."""
        target = dict(counts)
        component = list(target)[int(rng.integers(len(target)))]
        target[component] = 0 if rng.random() < 0.3 else max(target[component] + (1 if rng.random() < 0.5 else -1), 0)
        if self.if_ is not None and not _matches_set(self.if_, target):
            forced = self.if_ if isinstance(self.if_, dict) else dict.fromkeys(self.if_, 1)
            target |= {name: max(number, target[name]) for name, number in forced.items()}
            target |= {name: 0 for name in self.then or [] if name not in forced and rng.random() < 0.5}
        return target

    def _reach_counts(
        self, scene: Scene, context: EvaluationContext, present: Mapping[str, list[Instance]], target: Counts, rng: Rng
    ) -> Iterator[Edits]:
        """Yield edits that lead to the target counts."""
        surplus = [
            i for t, found in present.items() for i in sample_instances(rng, found, max(len(found) - target[t], 0))
        ]
        missing = [t for t, found in present.items() for _ in range(target[t] - len(found))]
        if not 0 < max(len(surplus), len(missing)) <= MAX_EDITS:
            return
        replaced = min(len(surplus), len(missing))
        edits: list[Edit] = [
            replace_instance(scene, context, i, t, rng) for i, t in zip(surplus[:replaced], missing, strict=False)
        ]
        edits += remove_instances(surplus[replaced:])
        locations = context.require_locations(self.in_)
        rest = missing[replaced:]
        for component in dict.fromkeys(rest):
            location = locations[int(rng.integers(len(locations)))] if locations else None
            more = add_instances(scene, context, component, rng, count=rest.count(component), location=location)
            if more is None:
                return
            edits += more
        yield tuple(edits)


def _set_references(path: Path, group: ComponentSet) -> Iterator[Reference]:
    for position, component in enumerate(group):
        yield Reference((*path, component if isinstance(group, dict) else position), component, "component")


def _matches_set(group: ComponentSet, counts: Counts) -> bool:
    if isinstance(group, dict):
        return all(counts[name] == number for name, number in group.items())
    return all(counts[component] > 0 for component in group)


def _set_to_text(group: ComponentSet) -> str:
    if isinstance(group, dict):
        return join_names([count_to_text(number, name) for name, number in group.items()])
    return join_names([name_to_text(component) for component in group])
