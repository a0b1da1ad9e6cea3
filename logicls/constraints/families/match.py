"""What goes with what: the match family."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from logicls.constraints.families.context import (
    HOLDS,
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    join_names,
    name_to_text,
)
from logicls.constraints.families.edits import Rng, attribute_to_text, change_attribute, set_attribute
from logicls.constraints.families.placement import find_instances, sample_instances
from logicls.constraints.families.protocol import Edits, Reference
from logicls.records import Scene

AttributePath = Annotated[str, Field(pattern=r"^[^.\s]+\.[^.\s]+$")]
"""`thing.attribute`"""
LEFT_SHARE = 0.7
"""Share of edits that replace the left one."""


class Match(BaseModel):
    """The attributes of two things belong together: read both, compare."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    left: AttributePath
    """thing.attribute"""
    right: AttributePath
    """thing.attribute"""
    pairs: dict[str, str | Annotated[list[str], Field(min_length=1)]] = Field({}, min_length=1)
    """Left value → the right value, or values, that go with it; both must be equal where it is left out."""

    def references(self) -> Iterator[Reference]:
        """Everything that it speaks about."""
        yield Reference(("left",), self.left, "attribute")
        yield Reference(("right",), self.right, "attribute")

    def failure_modes(self) -> tuple[str, ...]:
        """There is one way to be broken."""
        return ("",)

    @cached_property
    def _allowed_values(self) -> dict[str, tuple[str, ...]]:
        return {left: (right,) if isinstance(right, str) else tuple(right) for left, right in self.pairs.items()}

    def allowed_values(self, left: str) -> tuple[str, ...]:
        """The right values that go with a left one."""
        return self._allowed_values.get(left, ()) if self.pairs else (left,)

    def to_text(self) -> str:
        """The rule in plain English."""
        if not self.pairs:
            return f"{attribute_to_text(self.left)} is the same as {attribute_to_text(self.right)}"
        pairs = ", ".join(
            f"{name_to_text(a)} with {join_names([name_to_text(b) for b in self.allowed_values(a)], 'or')}"
            for a in self.pairs
        )
        return f"{attribute_to_text(self.left)} goes with {attribute_to_text(self.right)}: {pairs}"

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Compare two readings, every left one with every right one. Raises `Absent`, `Unreadable`."""
        lefts, rights = _values(context, self.left), _values(context, self.right)
        wrong = next(((a, b) for a in dict.fromkeys(lefts) for b in rights if b not in self.allowed_values(a)), None)
        if wrong is None and context.status_only:
            return HOLDS
        left, right = wrong or (lefts[0], rights[0])
        text = f"{attribute_to_text(self.left)} {name_to_text(left)}, {attribute_to_text(self.right)} {name_to_text(right)}"
        return RuleResult("broken", text, (FailureMode(),)) if wrong else RuleResult("holds", text)

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Replace one of the two by a variant that does not go with the other."""
        lefts, rights = _values(context, self.left), _values(context, self.right)
        declared = list(self.pairs) or list(context.vocabulary.values(*self.left.split(".")))
        wrong = {
            self.left: [a for a in declared if not set(rights) <= set(self.allowed_values(a))],
            self.right: sorted(
                {b for a in declared for b in self.allowed_values(a)} - set(self.allowed_values(lefts[0]))
            ),
        }
        for _ in range(8):
            path = self.left if rng.random() < LEFT_SHARE else self.right
            component, attribute = path.split(".")
            for target in sample_instances(rng, find_instances(scene, context, component), 1):
                yield from change_attribute(target, attribute, wrong[path], rng)

    def describe_edit(self, mode: FailureMode) -> str:
        """What those edits do, in plain English."""
        left, right = (name_to_text(path.split(".")[0]) for path in (self.left, self.right))
        return f"{left} replaced by one that does not go with the {right}, or the other way round"

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """The twin: replaced by another instance of the same variant."""
        path = self.left if rng.random() < LEFT_SHARE else self.right
        component, attribute = path.split(".")
        for target in sample_instances(rng, find_instances(scene, context, component), 1):
            yield (set_attribute(target, attribute, target.attribute(attribute) or ""),)


def _values(context: EvaluationContext, path: str) -> tuple[str, ...]:
    component, _, attribute = path.partition(".")
    values = context.values(component, attribute)
    if not values:
        raise NotApplicable(f"no {name_to_text(component)}")
    return values
