"""How many: the quantity family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from logicls.constraints.families.context import (
    HOLDS,
    AttributeFilter,
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    contains_centre,
    join_names,
    name_to_text,
)
from logicls.constraints.families.edits import Move, Rng
from logicls.constraints.families.placement import (
    MAX_EDITS,
    add_instances,
    choose_instance,
    find_instances,
    remove_instances,
    replace_instance,
    sample_moves_into,
    sample_moves_out,
)
from logicls.constraints.families.protocol import Edits, Reference
from logicls.records import Box, Instance, Scene

Count = Annotated[int, Field(ge=0, le=100_000)]
Weight = Annotated[int, Field(ge=1, le=1000)]
Values = str | list[str]
UNLIMITED = 100_000
REPLACE_SHARE = 0.4
"""Share of edits that put another kind in the place of what is counted, where there are several."""


class Quantity(BaseModel):
    """So many of a thing, on the whole photo or in a place."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    of: str | Annotated[list[str], Field(min_length=1)] | Annotated[dict[str, Weight], Field(min_length=1)]
    """Thing that is counted; a list, counted together; or thing → what one of it counts for."""
    with_: dict[str, Values] = Field({}, alias="with")
    """Attribute → the value, or values, of those that are counted."""
    exactly: Count | None = None
    """The number that there must be."""
    at_least: Count | None = None
    """The fewest that are allowed."""
    at_most: Count | None = None
    """The most that are allowed."""
    between: tuple[Count, Count] | None = None
    """The fewest and the most that are allowed."""
    in_: str | None = Field(None, alias="in")
    """Thing or region; an instance is in it when its centre is."""

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        limits = (self.exactly, self.at_least, self.at_most, self.between)
        if sum(limit is not None for limit in limits) != 1:
            raise ValueError("write exactly one of: exactly, at_least, at_most, between")
        if self.between and self.between[0] > self.between[1]:
            raise ValueError(f"between: {self.between[0]} is more than {self.between[1]}")
        if self.with_ and not isinstance(self.of, str):
            raise ValueError("with: goes with a single thing; give the others a name under variants")
        return self

    @cached_property
    def limits(self) -> tuple[int, int]:
        """Fewest and most that are allowed."""
        if self.exactly is not None:
            return self.exactly, self.exactly
        if self.between is not None:
            return self.between
        return self.at_least or 0, UNLIMITED if self.at_most is None else self.at_most

    @cached_property
    def weights(self) -> dict[str, int]:
        """Thing → what one of it counts for."""
        if isinstance(self.of, dict):
            return self.of
        return dict.fromkeys([self.of] if isinstance(self.of, str) else self.of, 1)

    @cached_property
    def required_attributes(self) -> AttributeFilter:
        """What `with` asks for."""
        return tuple((k, frozenset([v] if isinstance(v, str) else v)) for k, v in self.with_.items())

    def references(self) -> Iterator[Reference]:
        """Everything that it speaks about."""
        for position, component in enumerate(self.weights):
            path = () if isinstance(self.of, str) else (component if isinstance(self.of, dict) else position,)
            yield Reference(("of", *path), component, "thing")
        if isinstance(self.of, str):
            for name in self.with_:
                yield Reference(("with", name), f"{self.of}.{name}", "attribute")
        if self.in_:
            yield Reference(("in",), self.in_, "place")

    def failure_modes(self) -> tuple[str, ...]:
        """The kinds of side on which it can be broken."""
        low, high = self.limits
        return (*(("below",) if low > 0 else ()), *(("above",) if high < UNLIMITED else ()))

    def to_text(self) -> str:
        """The rule in plain English."""
        low, high = self.limits
        number = str(low) if low == high else f"{low} to {high}"
        if high == UNLIMITED:
            number = f"at least {low}"
        elif low == 0 and high > 0:
            number = f"at most {high}"
        where = f" in the {name_to_text(self.in_)}" if self.in_ else ""
        if isinstance(self.of, dict):
            return f"{self._subject_text}{where}: {number}"
        return f"{number} {self._subject_text}{where}"

    def count_total(self, context: EvaluationContext) -> int:
        """What they count for altogether. Raises `Absent`, `Unreadable`."""
        locations = self._locations(context)
        return sum(
            weight * len(self._counted_boxes(context, component, locations))
            for component, weight in self.weights.items()
        )

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Count, and compare. Raises `Absent`, `Unreadable`."""
        total = self.count_total(context)
        low, high = self.limits
        found = ""
        if context.status_only and low <= total <= high:
            return HOLDS
        if not context.status_only:
            found = f"{self._subject_text}: {total}" if isinstance(self.of, dict) else f"{total} {self._subject_text}"
        if total < low:
            return RuleResult("broken", found, (FailureMode("below", low - total),))
        if total > high:
            return RuleResult("broken", found, (FailureMode("above", total - high),))
        return RuleResult("holds", found)

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Take some away, or put some more there; or let another kind take their place; then move one."""
        locations = self._locations(context)
        inside = {thing: self._counted_instances(scene, context, thing, locations) for thing in self.weights}
        total = sum(self.weights[component] * len(found) for component, found in inside.items())
        low, high = self.limits
        kinds = self._kind_weights(context)
        missing = total - (low - mode.amount) if mode.kind == "below" else high + mode.amount - total
        for _ in range(6):
            first = bool(kinds) and rng.random() < REPLACE_SHARE
            if first:
                yield from self._replace_kinds(scene, context, mode, missing, rng)
            if mode.kind == "below":
                yield from self._remove_some(inside, missing, rng)
            else:
                yield from self._add_some(scene, context, missing, locations, rng)
            if kinds and not first:
                yield from self._replace_kinds(scene, context, mode, missing, rng)
        if mode.amount == 1:
            yield from self._move_across(scene, context, mode, inside, locations, rng)

    def describe_edit(self, mode: FailureMode) -> str:
        """What those edits do, in plain English."""
        verb = "taken away" if mode.kind == "below" else "added"
        if isinstance(self.of, dict):
            return f"some {join_names([name_to_text(component) for component in self.of], 'or')} {verb}"
        return f"{mode.amount} {self._subject_text}{f' in the {name_to_text(self.in_)}' if self.in_ else ''} {verb}"

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """The twin: an instance taken up and put down where it was; one of another kind where there must be none."""
        locations = self._locations(context)
        inside = [i for thing in self.weights for i in self._counted_instances(scene, context, thing, locations)]
        anywhere = [
            i for component in self.weights for i in scene.instances_of(context.vocabulary.component(component))
        ]
        if anywhere:
            yield (Move(choose_instance(rng, inside or anywhere).id, 0.0, 0.0),)

    def _locations(self, context: EvaluationContext) -> tuple[Box, ...] | None:
        if self.in_ is None:
            return None
        locations = context.locations(self.in_)
        if not locations:
            raise NotApplicable(f"no {name_to_text(self.in_)}")
        return locations

    def _counted_boxes(
        self, context: EvaluationContext, component: str, locations: tuple[Box, ...] | None
    ) -> tuple[Box, ...]:
        boxes = context.boxes(component, self.required_attributes)
        if locations is None:
            return boxes
        return tuple(b for b in boxes if any(contains_centre(location, b) for location in locations))

    def _counted_instances(
        self, scene: Scene, context: EvaluationContext, component: str, locations: tuple[Box, ...] | None
    ) -> list[Instance]:
        found = find_instances(scene, context, component, self.required_attributes)
        return [
            i for i in found if locations is None or any(contains_centre(location, i.box) for location in locations)
        ]

    @cached_property
    def _subject_text(self) -> str:
        if isinstance(self.of, dict):
            return f"sum over {join_names([f'{name_to_text(t)} (each {w})' for t, w in self.of.items()])}"
        if isinstance(self.of, list):
            return join_names([name_to_text(component) for component in self.of])
        if not self.with_:
            return name_to_text(self.of)
        facts = [f"{name_to_text(k)} {join_names([name_to_text(v)] if isinstance(v, str) else list(map(name_to_text, v)), 'or')}"
                 for k, v in self.with_.items()]  # fmt: skip
        return f"{name_to_text(self.of)} with {join_names(facts)}"

    def _remove_some(self, inside: dict[str, list[Instance]], surplus: int, rng: Rng) -> Iterator[Edits]:
        """Take away until the weights of what is gone add up to the surplus, or more where they do not fit."""
        owned = [(i, self.weights[component]) for component, found in inside.items() for i in found]
        removed: list[Instance] = []
        for index in rng.permutation(len(owned)):
            if surplus <= 0:
                break
            removed.append(owned[index][0])
            surplus -= owned[index][1]
        if surplus <= 0 and 0 < len(removed) <= MAX_EDITS:
            yield remove_instances(removed)

    def _add_some(
        self, scene: Scene, context: EvaluationContext, missing: int, locations: tuple[Box, ...] | None, rng: Rng
    ) -> Iterator[Edits]:
        components = list(self.weights)
        if missing <= 0:
            return
        component = components[int(rng.integers(len(components)))]
        count = -(-missing // self.weights[component])
        if count > MAX_EDITS:
            return
        location = locations[int(rng.integers(len(locations)))] if locations else None
        more = add_instances(
            scene, context, component, rng, count=count, required=self.required_attributes, location=location
        )
        if more:
            yield more

    def _move_across(
        self, scene: Scene, context: EvaluationContext, mode: FailureMode, inside: dict[str, list[Instance]],
        locations: tuple[Box, ...] | None, rng: Rng,
    ) -> Iterator[Edits]:  # fmt: skip
        """Over the edge of the place, where the rule is about one."""
        if locations is None:
            return
        ours = {i.id for found in inside.values() for i in found}
        if mode.kind == "below" and ours:
            subject = choose_instance(rng, [i for found in inside.values() for i in found])
            yield from ((move,) for move in islice(sample_moves_out(scene, subject, locations, rng), 3))
        elif mode.kind == "above":
            outside = [
                i
                for t in inside
                for i in find_instances(scene, context, t, self.required_attributes)
                if i.id not in ours
            ]
            if outside:
                location = locations[int(rng.integers(len(locations)))]
                yield from (
                    (move,)
                    for move in islice(sample_moves_into(scene, choose_instance(rng, outside), location, rng), 3)
                )

    def _kind_weights(self, context: EvaluationContext) -> dict[str, int]:
        """Things that one may put in another's place → what they count for; none where there is only one kind."""
        vocabulary, counted = context.vocabulary, self.weights
        ours = {vocabulary.component(component) for component in counted} - set(counted)
        kinds = {name: 0 for name, variant in vocabulary.variants.items() if variant.of in ours} | counted
        return kinds if len(set(kinds.values())) > 1 else {}

    def _replace_kinds(
        self, scene: Scene, context: EvaluationContext, mode: FailureMode, missing: int, rng: Rng
    ) -> Iterator[Edits]:
        """Another kind in their place: a screw of another length, a die that shows another number."""
        kinds, locations = self._kind_weights(context), self._locations(context)
        gain = 1 if mode.kind == "above" else -1
        candidates = [
            (i, worth * gain)
            for component, worth in kinds.items()
            for i in self._counted_instances(scene, context, component, locations)
        ]
        found = [candidates[index] for index in rng.permutation(len(candidates))]
        weights = {name: weight * gain for name, weight in kinds.items()}
        # Whichever comes; and where that takes too many, those that have the most to gain.
        for order in (found, sorted(found, key=lambda each: each[1])):
            replacements = _choose_replacements(order, weights, missing, rng)
            if 0 < len(replacements) <= MAX_EDITS:
                yield tuple(replace_instance(scene, context, target, name, rng) for target, name in replacements)
                return


def _choose_replacements(
    candidates: Sequence[tuple[Instance, int]], weights: Mapping[str, int], missing: int, rng: Rng
) -> list[tuple[Instance, str]]:
    """Instances in that order, and what takes the place of each, until enough is gained; nothing where it never is."""
    replacements = []
    for target, weight in candidates:
        most = min(missing, max(weights.values()) - weight)
        if most > 0:
            better = [name for name, other in weights.items() if other - weight >= most]
            name = better[int(rng.integers(len(better)))]
            replacements.append((target, name))
            missing -= weights[name] - weight
    return replacements if missing <= 0 else []
