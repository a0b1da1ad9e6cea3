"""Appearance family: a component looks as it does on good photos.

No question is put to the model: instances are compared with a memory of good photos (`logicls.predict.appearance`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
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
MEDIAN_PROBABILITY = 0.02
"""Probability that a median look is that of a defect."""
MIN_RARITY = 1e-12
"""Least rarity that counts."""


def anomaly_probability(rarity: float, overkill: float) -> float:
    """Return the probability that a look is not that of a good instance: 0.5 where its rarity is the overkill.

    It is logistic in the logarithm of the rarity, and `MEDIAN_PROBABILITY` for a median look.

    >>> [round(anomaly_probability(rarity, 0.01), 3) for rarity in (0.5, 0.1, 0.01, 0.001)]
    [0.02, 0.096, 0.5, 0.904]
    """
    power = math.log(1 / MEDIAN_PROBABILITY - 1) / math.log(0.5 / overkill)
    return float(1 / (1 + (max(rarity, MIN_RARITY) / overkill) ** power))


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
        broken = sum(rarity <= self.overkill for _, rarity in looks)
        if broken:
            return RuleResult("broken", f"{count_to_text(broken, self.of)} unlike good photos", (FailureMode(),))
        unlike = [rarity for value, rarity in looks if value != NORMAL]
        if not unlike:
            return RuleResult("holds", "as on good photos")
        share = f"{100 * min(unlike):.2g} % of good photos may look as strange"
        return RuleResult("unknown", f"{count_to_text(len(unlike), self.of)} stranger than good photos, but {share}")

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

    def mark_declared(self, scene: Scene, context: EvaluationContext, mode: FailureMode) -> Scene | None:
        """Mark the only instance as damaged; None if there are several, because it is not declared which one is."""
        targets = find_instances(scene, context, self.of)
        if len(targets) != 1:
            return None
        marked = (replace(i, is_damaged=True) if i.id == targets[0].id else i for i in scene.instances)
        return replace(scene, instances=tuple(marked))

    def compare(self, other: Family, vocabulary: Vocabulary) -> Comparison | None:
        """Compare the overkill of two rules about the same component."""
        if not isinstance(other, Appearance) or self.of != other.of:
            return None
        return Comparison("implies" if self.overkill >= other.overkill else "implied_by")
