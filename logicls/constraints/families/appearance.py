"""Appearance family: a component looks as it does on good photos.

No question is put to the model: instances are compared with a memory of good photos (`logicls.predict.appearance`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from logicls.constraints.families.context import (
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    Vocabulary,
    count_to_text,
    name_to_text,
)
from logicls.constraints.families.edits import Damage, Edits, Rng, Vary
from logicls.constraints.families.placement import find_instances, sample_instances
from logicls.constraints.families.protocol import Comparison, Family, RuleModel
from logicls.constraints.families.queries import NORMAL, Reference
from logicls.records import Scene

DEFAULT_OVERKILL = 0.01
"""Share of good photos that a rule may call broken, if not set."""


class Appearance(RuleModel):
    """A component looks as it does on good photos: whole, clean, the right part, fully seated."""

    key: ClassVar[str] = "appearance"
    summary: ClassVar[str] = "The look of a component, compared with good photos."

    of: str
    """Component or variant. Learned from good photos alone."""
    overkill: Annotated[float, Field(gt=0, lt=0.5)] = DEFAULT_OVERKILL
    """Share of good photos that the rule may call broken. Stranger looks than on any good photo that are more frequent
    than this are left to a person."""

    def references(self) -> Iterator[Reference]:
        """Yield the component."""
        yield Reference(("of",), self.of, "appearance")

    def failure_kinds(self) -> tuple[str, ...]:
        """Return the single kind of failure."""
        return ("",)

    def to_text(self) -> str:
        """Return the rule in plain English."""
        return f"{name_to_text(self.of)} looks as on good photos"

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Compare the rarity of every instance's look with the overkill.

        The status is unknown between the looks of good photos and the overkill: few photos cannot tell.
        """
        looks = context.appearances(self.of)
        if not looks:
            raise NotApplicable(f"no {name_to_text(self.of)}")
        unlike = [rarity for value, rarity in looks if value != NORMAL]
        if not unlike:
            return RuleResult("holds", "as on good photos")
        if min(unlike) > self.overkill:
            share = f"{100 * min(unlike):.2g} % of good photos may look as strange"
            return RuleResult(
                "unknown", f"{count_to_text(len(unlike), self.of)} stranger than good photos, but {share}"
            )
        broken = sum(rarity <= self.overkill for rarity in unlike)
        return RuleResult("broken", f"{count_to_text(broken, self.of)} unlike good photos", (FailureMode(),))

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield damage to one instance."""
        for target in sample_instances(rng, find_instances(scene, context, self.of), 4):
            yield (Damage(target.id),)

    def describe_edit(self, mode: FailureMode) -> str:
        """Describe the edits in plain English."""
        return f"one {name_to_text(self.of)} scratched, stained, dented, incomplete, deformed or askew"

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield a slight change of one instance's brightness and sharpness."""
        for target in sample_instances(rng, find_instances(scene, context, self.of), 1):
            yield (Vary(target.id),)

    def compare(self, other: Family, vocabulary: Vocabulary) -> Comparison | None:
        """Compare the overkill of two rules about the same component."""
        if not isinstance(other, Appearance) or self.of != other.of:
            return None
        return Comparison("implies" if self.overkill >= other.overkill else "implied_by")
