"""Match family: the attributes of two components belong together."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, ClassVar

from pydantic import Field

from logicls.constraints.families.context import (
    HOLDS,
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    Vocabulary,
    join_names,
    name_to_text,
)
from logicls.constraints.families.edits import Edits, Rng, attribute_to_text, change_attribute, set_attribute
from logicls.constraints.families.placement import find_instances, sample_instances
from logicls.constraints.families.protocol import Comparison, Family, Fault, RuleModel, check_values
from logicls.constraints.families.queries import Path, Reference
from logicls.records import Scene

AttributePath = Annotated[str, Field(pattern=r"^[^.\s]+\.[^.\s]+$")]
"""`component.attribute`."""
LEFT_SHARE = 0.7
"""Share of edits that replace the left component."""


class Match(RuleModel):
    """The attributes of two components belong together."""

    key: ClassVar[str] = "match"
    summary: ClassVar[str] = "Attributes that belong together."

    left: AttributePath
    """component.attribute"""
    right: AttributePath
    """component.attribute"""
    pairs: dict[str, str | Annotated[list[str], Field(min_length=1)]] = Field({}, min_length=1)
    """Left value → the right value or values that belong to it; by default, both must be equal."""

    def references(self) -> Iterator[Reference]:
        """Yield both attributes."""
        yield Reference(("left",), self.left, "attribute")
        yield Reference(("right",), self.right, "attribute")

    def failure_kinds(self) -> tuple[str, ...]:
        """Return the single kind of failure."""
        return ("",)

    @cached_property
    def _allowed_values(self) -> dict[str, tuple[str, ...]]:
        return {left: (right,) if isinstance(right, str) else tuple(right) for left, right in self.pairs.items()}

    def allowed_values(self, left: str) -> tuple[str, ...]:
        """Return the right values that belong to a left value."""
        return self._allowed_values.get(left, ()) if self.pairs else (left,)

    def to_text(self) -> str:
        """Return the rule in plain English."""
        if not self.pairs:
            return f"{attribute_to_text(self.left)} is the same as {attribute_to_text(self.right)}"
        pairs = ", ".join(
            f"{name_to_text(a)} with {join_names([name_to_text(b) for b in self.allowed_values(a)], 'or')}"
            for a in self.pairs
        )
        return f"{attribute_to_text(self.left)} goes with {attribute_to_text(self.right)}: {pairs}"

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Compare every left value with every right value."""
        lefts, rights = _require_values(context, self.left), _require_values(context, self.right)
        wrong = next(((a, b) for a in dict.fromkeys(lefts) for b in rights if b not in self.allowed_values(a)), None)
        if wrong is None and context.status_only:
            return HOLDS
        left, right = wrong or (lefts[0], rights[0])
        left_text = f"{attribute_to_text(self.left)} {name_to_text(left)}"
        text = f"{left_text}, {attribute_to_text(self.right)} {name_to_text(right)}"
        return RuleResult("broken", text, (FailureMode(),)) if wrong else RuleResult("holds", text)

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield replacements of one component by a variant that does not belong to the other."""
        lefts, rights = _require_values(context, self.left), _require_values(context, self.right)
        declared = list(self.pairs) or list(context.vocabulary.values(*self.left.split(".")))
        reachable = {b for a in declared for b in self.allowed_values(a)}
        wrong = {
            self.left: [a for a in declared if not set(rights) <= set(self.allowed_values(a))],
            self.right: sorted(reachable - set(self.allowed_values(lefts[0]))),
        }
        for _ in range(8):
            path = self.left if rng.random() < LEFT_SHARE else self.right
            component, attribute = path.split(".")
            for target in sample_instances(rng, find_instances(scene, context, component), 1):
                yield from change_attribute(target, attribute, wrong[path], rng)

    def describe_edit(self, mode: FailureMode) -> str:
        """Describe the edits in plain English."""
        left, right = (name_to_text(path.split(".")[0]) for path in (self.left, self.right))
        return f"{left} replaced by one that does not go with the {right}, or the other way round"

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield the replacement of one component by another instance of the same variant."""
        path = self.left if rng.random() < LEFT_SHARE else self.right
        component, attribute = path.split(".")
        for target in sample_instances(rng, find_instances(scene, context, component), 1):
            yield (set_attribute(target, attribute, target.attribute(attribute) or ""),)

    def check_references(self, vocabulary: Vocabulary) -> Iterator[Fault]:
        """Yield a fault for each value in `pairs` that its attribute cannot have."""
        for left in self.pairs:
            path: Path = ("pairs", left)
            yield from check_values(vocabulary, path, self.left, (left,))
            yield from check_values(vocabulary, path, self.right, self.allowed_values(left))

    def allows_everything(self, vocabulary: Vocabulary) -> bool:
        """Check if every left value goes with every right value."""
        lefts, rights = (vocabulary.values(*path.split(".")) for path in (self.left, self.right))
        return all(set(rights) <= set(self.allowed_values(left)) for left in lefts)

    def compare(self, other: Family, vocabulary: Vocabulary) -> Comparison | None:
        """Find a left value to which two rules allow different right values."""
        if not isinstance(other, Match) or (self.left, self.right) != (other.left, other.right):
            return None
        shared = set(self.pairs) & set(other.pairs)
        clashes = sorted(a for a in shared if not set(self.allowed_values(a)) & set(other.allowed_values(a)))
        return Comparison("contradicts", f"nothing goes with {clashes[0]}") if clashes else None


def _require_values(context: EvaluationContext, path: str) -> tuple[str, ...]:
    component, _, attribute = path.partition(".")
    values = context.values(component, attribute)
    if not values:
        raise NotApplicable(f"no {name_to_text(component)}")
    return values
