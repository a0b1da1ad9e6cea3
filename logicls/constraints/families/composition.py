"""What belongs together: the composition family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from logicls.constraints.families.context import (
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    contains_centre,
    join_names,
    name_to_text,
)
from logicls.constraints.families.edits import Edit, Move, Rng
from logicls.constraints.families.placement import (
    MAX_EDITS,
    add_instances,
    choose_instance,
    find_instances,
    remove_instances,
    replace_instance,
    sample_instances,
)
from logicls.constraints.families.protocol import Edits, Reference
from logicls.records import Box, Instance, Scene

ComponentSet = (
    Annotated[list[str], Field(min_length=1)]
    | Annotated[dict[str, Annotated[int, Field(ge=0, le=1000)]], Field(min_length=1)]
)
"""Things of which there is at least one each; or thing → exact number."""
Counts = Mapping[str, int]


class Composition(BaseModel):
    """A set of things is complete, is one of several sets, or goes with another one."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    required: ComponentSet | None = None
    """What must all be there."""
    one_of: Annotated[list[ComponentSet], Field(min_length=1)] | None = None
    """Sets of which one must be there."""
    if_: ComponentSet | None = Field(None, alias="if")
    """Where this set is there ..."""
    then: ComponentSet | None = None
    """... this one must be, too."""
    exclusive: Annotated[list[str], Field(min_length=2)] | None = None
    """Things of which only one kind may be there."""
    in_: str | None = Field(None, alias="in")
    """Thing or region; what has its centre elsewhere is not counted."""
    wrong: dict[str, ComponentSet] = {}
    """Violation → the wrong set that it stands for; the constraint's violation stands for any other."""

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
        """Everything that is counted."""
        sets = [self.required or [], *(self.one_of or []), self.if_ or [], self.then or [], self.exclusive or []]
        return tuple(dict.fromkeys(component for group in (*sets, *self.wrong.values()) for component in group))

    def references(self) -> Iterator[Reference]:
        """Everything that it speaks about."""
        for key, group in (("required", self.required), ("if", self.if_), ("then", self.then)):
            yield from _set_references((key,), group or [])
        for position, group in enumerate(self.one_of or []):
            yield from _set_references(("one_of", position), group)
        yield from _set_references(("exclusive",), self.exclusive or [])
        for violation, group in self.wrong.items():
            yield from _set_references(("wrong", violation), group)
        if self.in_:
            yield Reference(("in",), self.in_, "place")

    def failure_modes(self) -> tuple[str, ...]:
        """The named wrong sets, and any other one."""
        return (*self.wrong, "")

    def to_text(self) -> str:
        """The rule in plain English."""
        where = f" in the {name_to_text(self.in_)}" if self.in_ else ""
        if self.required is not None:
            return f"there must be {_set_to_text(self.required)}{where}"
        if self.if_ is not None:
            return f"where there is {_set_to_text(self.if_)}{where}, there must be {_set_to_text(self.then or [])}"
        if self.exclusive is not None:
            return f"at most one kind of {join_names([name_to_text(component) for component in self.exclusive])}{where}"
        return f"one of these sets{where}: {'; '.join(_set_to_text(group) for group in self.one_of or [])}"

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Count, and compare with the sets. Raises `Absent`, `Unreadable`."""
        locations = self._locations(context)
        counts = {thing: len(_select_inside(context.boxes(thing), locations)) for thing in self.components}
        found = ", ".join(f"{count} {name_to_text(component)}" for component, count in counts.items())
        if self.if_ is not None and not _matches_set(self.if_, counts):
            raise NotApplicable(found)
        if self._is_allowed(counts):
            return RuleResult("holds", found)
        violation = next((violation for violation, group in self.wrong.items() if _matches_set(group, counts)), "")
        return RuleResult("broken", found, (FailureMode(violation),))

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Go from the counts that are there to wrong ones: replace first, then take away and add."""
        present = self._group_instances(scene, context)
        counts = {component: len(found) for component, found in present.items()}
        for _ in range(16):
            target = self._sample_wrong_counts(counts, mode, rng)
            if target is not None:
                yield from self._reach_counts(scene, context, present, target, rng)

    def describe_edit(self, mode: FailureMode) -> str:
        """What those edits do, in plain English."""
        if mode.kind:
            return f"replaced, taken away and added until there is {_set_to_text(self.wrong[mode.kind])}"
        return f"one of {join_names([name_to_text(component) for component in self.components])} replaced, taken away or added"

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """The twin: one of the things taken up and put down where it was."""
        present = [i for found in self._group_instances(scene, context).values() for i in found]
        if present:
            yield (Move(choose_instance(rng, present).id, 0.0, 0.0),)

    def _locations(self, context: EvaluationContext) -> tuple[Box, ...] | None:
        locations = context.locations(self.in_) if self.in_ else None
        if locations is not None and not locations:
            raise NotApplicable(f"no {name_to_text(self.in_ or '')}")
        return locations

    def _group_instances(self, scene: Scene, context: EvaluationContext) -> dict[str, list[Instance]]:
        locations = self._locations(context)
        return {
            component: [i for i in find_instances(scene, context, component) if _select_inside((i.box,), locations)]
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
        """Wrong counts near the present ones; None where this draw is none."""
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
        """One of the things more or fewer, or none of it; where a set has to be there, with that one."""
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
        """Edits that lead to the target counts."""
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
        locations = self._locations(context)
        rest = missing[replaced:]
        for component in dict.fromkeys(rest):
            location = locations[int(rng.integers(len(locations)))] if locations else None
            more = add_instances(scene, context, component, rng, count=rest.count(component), location=location)
            if more is None:
                return
            edits += more
        yield tuple(edits)


def _set_references(path: tuple[str | int, ...], group: ComponentSet) -> Iterator[Reference]:
    for position, component in enumerate(group):
        yield Reference((*path, component if isinstance(group, dict) else position), component, "thing")


def _select_inside(boxes: tuple[Box, ...], locations: tuple[Box, ...] | None) -> tuple[Box, ...]:
    return (
        boxes
        if locations is None
        else tuple(b for b in boxes if any(contains_centre(location, b) for location in locations))
    )


def _matches_set(group: ComponentSet, counts: Counts) -> bool:
    if isinstance(group, dict):
        return all(counts[thing] == number for thing, number in group.items())
    return all(counts[component] > 0 for component in group)


def _set_to_text(group: ComponentSet) -> str:
    if isinstance(group, dict):
        return join_names([f"{number} {name_to_text(thing)}" for thing, number in group.items()])
    return join_names([name_to_text(component) for component in group])
