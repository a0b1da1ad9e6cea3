"""Quantity family: the number of instances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Annotated, ClassVar, Self

from pydantic import ConfigDict, Field, model_validator

from logicls.constraints.families.context import (
    HOLDS,
    AttributeFilter,
    EvaluationContext,
    FailureMode,
    RuleResult,
    Vocabulary,
    join_names,
    name_to_text,
    pluralize_name,
    select_inside,
)
from logicls.constraints.families.dead_zone import containment_margin
from logicls.constraints.families.edits import Edits, Move, Rng
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
from logicls.constraints.families.protocol import (
    Comparison,
    CountTerms,
    Family,
    Fault,
    RuleModel,
    check_values,
    compare_limits,
    exactly_one_of,
)
from logicls.constraints.families.queries import Path, Reference
from logicls.records import Box, Instance, Scene

Count = Annotated[int, Field(ge=0, le=100_000)]
Weight = Annotated[int, Field(ge=1, le=1000)]
Values = str | list[str]
UNLIMITED = 100_000
"""Upper limit of a count without one."""
REPLACE_SHARE = 0.4
"""Share of edits that replace counted instances by another kind, if there are several kinds."""


class Quantity(RuleModel):
    """The number of instances, on the photo or in a location, is within limits."""

    key: ClassVar[str] = "quantity"
    summary: ClassVar[str] = "The number of instances."
    model_config = ConfigDict(
        json_schema_extra={"allOf": [exactly_one_of("exactly", "at_least", "at_most", "between")]}
    )

    of: str | Annotated[list[str], Field(min_length=1)] | Annotated[dict[str, Weight], Field(min_length=1)]
    """Component or variant that is counted; a list, counted together; or component → weight of one instance."""
    with_: dict[str, Values] = Field({}, alias="with")
    """Attribute → the value or values of the instances that are counted."""
    exactly: Count | None = None
    """Required number."""
    at_least: Count | None = None
    """Smallest allowed number."""
    at_most: Count | None = None
    """Largest allowed number."""
    between: tuple[Count, Count] | None = None
    """Smallest and largest allowed number."""
    in_: str | None = Field(None, alias="in")
    """Component or region; only instances whose centre lies in it are counted."""

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        limits = (self.exactly, self.at_least, self.at_most, self.between)
        if sum(limit is not None for limit in limits) != 1:
            raise ValueError("write exactly one of: exactly, at_least, at_most, between")
        if self.between and self.between[0] > self.between[1]:
            raise ValueError(f"between: {self.between[0]} is more than {self.between[1]}")
        if self.with_ and not isinstance(self.of, str):
            raise ValueError("with: applies to a single component; declare the others under variants")
        return self

    @cached_property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest allowed number."""
        if self.exactly is not None:
            return self.exactly, self.exactly
        if self.between is not None:
            return self.between
        return self.at_least or 0, UNLIMITED if self.at_most is None else self.at_most

    @cached_property
    def weights(self) -> dict[str, int]:
        """Component or variant → weight of one instance."""
        if isinstance(self.of, dict):
            return self.of
        return dict.fromkeys([self.of] if isinstance(self.of, str) else self.of, 1)

    @cached_property
    def required_attributes(self) -> AttributeFilter:
        """The attribute values of `with`."""
        return tuple((k, frozenset([v] if isinstance(v, str) else v)) for k, v in self.with_.items())

    def references(self) -> Iterator[Reference]:
        """Yield the counted components, the attributes of `with`, and the location."""
        for position, component in enumerate(self.weights):
            path = () if isinstance(self.of, str) else (component if isinstance(self.of, dict) else position,)
            yield Reference(("of", *path), component, "component")
        if isinstance(self.of, str):
            for name in self.with_:
                yield Reference(("with", name), f"{self.of}.{name}", "attribute")
        if self.in_:
            yield Reference(("in",), self.in_, "location")

    def failure_kinds(self) -> tuple[str, ...]:
        """Return `below`, `above` or both."""
        low, high = self.limits
        return (*(("below",) if low > 0 else ()), *(("above",) if high < UNLIMITED else ()))

    def to_text(self) -> str:
        """Return the rule in plain English."""
        low, high = self.limits
        number = str(low) if low == high else f"{low} to {high}"
        if high == UNLIMITED:
            number = f"at least {low}"
        elif low == 0 and high > 0:
            number = f"at most {high}"
        where = f" in the {name_to_text(self.in_)}" if self.in_ else ""
        if isinstance(self.of, dict):
            return f"{self._sum_text}{where}: {number}"
        last = low if high in (low, UNLIMITED) else high
        return f"{number} {self._subject_text(is_plural=last != 1)}{where}"

    def count_terms(self) -> CountTerms:
        """Return the weights, the filter, the location and the limits of the count."""
        return self._terms

    @cached_property
    def _terms(self) -> CountTerms:
        return CountTerms(self.weights, self.required_attributes, self.in_, self.limits)

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Count the instances and compare the total with the limits."""
        total = self._terms.total(context)
        low, high = self.limits
        found = ""
        if context.status_only and low <= total <= high:
            return HOLDS
        if not context.status_only:
            subject = self._subject_text(is_plural=total != 1)
            found = f"{self._sum_text}: {total}" if isinstance(self.of, dict) else f"{total} {subject}"
        if total < low:
            return RuleResult("broken", found, (FailureMode("below", low - total),))
        if total > high:
            return RuleResult("broken", found, (FailureMode("above", total - high),))
        return RuleResult("holds", found)

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield removals or additions, replacements by another kind, and then moves across the location's edge."""
        locations = context.require_locations(self.in_)
        inside = {name: self._counted_instances(scene, context, name, locations) for name in self.weights}
        total = sum(self.weights[component] * len(found) for component, found in inside.items())
        low, high = self.limits
        kinds = self._kind_weights(context)
        missing = total - (low - mode.amount) if mode.kind == "below" else high + mode.amount - total
        for _ in range(6):
            first = bool(kinds) and rng.random() < REPLACE_SHARE
            if first:
                yield from self._replace_kinds(scene, context, mode, missing, rng)
            if mode.kind == "below":
                yield from self._remove_instances(inside, missing, rng)
            else:
                yield from self._add_instances(scene, context, missing, locations, rng)
            if kinds and not first:
                yield from self._replace_kinds(scene, context, mode, missing, rng)
        if mode.amount == 1:
            yield from self._move_across(scene, context, mode, inside, locations, rng)

    def describe_edit(self, mode: FailureMode) -> str:
        """Describe the edits in plain English."""
        verb = "removed" if mode.kind == "below" else "added"
        if isinstance(self.of, dict):
            return f"some {join_names([name_to_text(component) for component in self.of], 'or')} {verb}"
        where = f" in the {name_to_text(self.in_)}" if self.in_ else ""
        return f"{mode.amount} {self._subject_text(is_plural=mode.amount != 1)}{where} {verb}"

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield the removal of an instance that is put back; of any variant if none is counted."""
        locations = context.require_locations(self.in_)
        inside = [i for name in self.weights for i in self._counted_instances(scene, context, name, locations)]
        anywhere = [
            i for component in self.weights for i in scene.instances_of(context.vocabulary.component(component))
        ]
        if anywhere:
            yield (Move(choose_instance(rng, inside or anywhere).id, 0.0, 0.0),)

    def max_amount(self, kind: str) -> int:
        """Return the largest amount that a few edits reach; a count cannot fall below zero."""
        return min(self.limits[0], MAX_EDITS) if kind == "below" else MAX_EDITS

    def margin(self, context: EvaluationContext) -> float | None:
        """Return the distance of the instances to the edge of the location; None without a location."""
        if self.in_ is None:
            return None
        locations = context.locations(self.in_)
        return containment_margin([box for name in self.weights for box in context.boxes(name)], locations)

    def check_references(self, vocabulary: Vocabulary) -> Iterator[Fault]:
        """Yield a fault for each value of `with` that the attribute cannot have."""
        for attribute, values in self.with_.items():
            path: Path = ("with", attribute)
            yield from check_values(vocabulary, path, f"{self.of}.{attribute}", values)

    def compare(self, other: Family, vocabulary: Vocabulary) -> Comparison | None:
        """Compare the limits of two counts of the same instances, or of a total and its part in a location."""
        if not isinstance(other, Quantity) or self.required_attributes != other.required_attributes:
            return None
        if sorted(self.weights.items()) == sorted(other.weights.items()) and self.in_ == other.in_:
            return compare_limits(self, other, (self.limits, other.limits))
        if not isinstance(self.of, str) or self.of != other.of or self.in_ or not other.in_:
            return None
        (low, high), most = other.limits, self.limits[1]
        if low > most:
            return Comparison("contradicts", f"{other.to_text()}; {self.to_text()}")
        return Comparison("implies") if low == 0 and most <= high and most < UNLIMITED else None

    def _counted_instances(
        self, scene: Scene, context: EvaluationContext, component: str, locations: tuple[Box, ...] | None
    ) -> list[Instance]:
        found = find_instances(scene, context, component, self.required_attributes)
        return [i for i in found if select_inside((i.box,), locations)]

    @cached_property
    def _sum_text(self) -> str:
        terms = [f"{name_to_text(name)} (each {weight})" for name, weight in self.weights.items()]
        return f"sum over {join_names(terms)}"

    def _subject_text(self, *, is_plural: bool) -> str:
        """Return the counted components in plain English."""
        to_text = pluralize_name if is_plural else name_to_text
        subject = join_names([to_text(component) for component in self.weights])
        if not self.with_:
            return subject
        facts = [
            f"{name_to_text(name)} {join_names([name_to_text(v) for v in values], 'or')}"
            for name, values in ((k, [v] if isinstance(v, str) else v) for k, v in self.with_.items())
        ]
        return f"{subject} with {join_names(facts)}"

    def _remove_instances(self, inside: dict[str, list[Instance]], surplus: int, rng: Rng) -> Iterator[Edits]:
        """Remove random instances until their weights reach the surplus."""
        weighted = [(i, self.weights[component]) for component, found in inside.items() for i in found]
        removed: list[Instance] = []
        for index in rng.permutation(len(weighted)):
            if surplus <= 0:
                break
            removed.append(weighted[index][0])
            surplus -= weighted[index][1]
        if surplus <= 0 and 0 < len(removed) <= MAX_EDITS:
            yield remove_instances(removed)

    def _add_instances(
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
        """Move an instance across the edge of the location, if the rule has one."""
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
        """Return the variants that may replace one another → weight; empty if all have the same weight."""
        vocabulary, counted = context.vocabulary, self.weights
        ours = {vocabulary.component(component) for component in counted} - set(counted)
        kinds = {name: 0 for name, variant in vocabulary.variants.items() if variant.of in ours} | counted
        return kinds if len(set(kinds.values())) > 1 else {}

    def _replace_kinds(
        self, scene: Scene, context: EvaluationContext, mode: FailureMode, missing: int, rng: Rng
    ) -> Iterator[Edits]:
        """Replace instances by another kind: a screw of another length, a die that shows another number."""
        kinds, locations = self._kind_weights(context), context.require_locations(self.in_)
        gain = 1 if mode.kind == "above" else -1
        candidates = [
            (i, weight * gain)
            for component, weight in kinds.items()
            for i in self._counted_instances(scene, context, component, locations)
        ]
        found = [candidates[index] for index in rng.permutation(len(candidates))]
        weights = {name: weight * gain for name, weight in kinds.items()}
        # A random order first; if that takes too many edits, the instances with the most to gain.
        for order in (found, sorted(found, key=lambda each: each[1])):
            replacements = _choose_replacements(order, weights, missing, rng)
            if 0 < len(replacements) <= MAX_EDITS:
                yield tuple(replace_instance(scene, context, target, name, rng) for target, name in replacements)
                return


def _choose_replacements(
    candidates: Sequence[tuple[Instance, int]], weights: Mapping[str, int], missing: int, rng: Rng
) -> list[tuple[Instance, str]]:
    """Choose replacements in that order until the missing amount is reached; none if it cannot be reached."""
    replacements = []
    for target, weight in candidates:
        most = min(missing, max(weights.values()) - weight)
        if most > 0:
            better = [name for name, other in weights.items() if other - weight >= most]
            name = better[int(rng.integers(len(better)))]
            replacements.append((target, name))
            missing -= weights[name] - weight
    return replacements if missing <= 0 else []
