"""What tests of breaking on purpose share: the scene after an edit, and what a perfect reader comes to."""

from __future__ import annotations

from hypothesis import strategies as st

from logicls.constraints.checker.evaluation import compute_answers, evaluate, index_answers
from logicls.constraints.families.edits import Edits, simulate_edits
from logicls.constraints.spec.models import Spec
from logicls.records import Finding, Scene

SEEDS = st.integers(0, 2**32 - 1)


def evaluate_scene(spec: Spec, scene: Scene) -> tuple[Finding, ...]:
    """What a perfect reader of the scene comes to."""
    return evaluate(spec, index_answers(compute_answers(spec, scene)), scene.width, scene.height)


def find_broken_constraints(spec: Spec, scene: Scene) -> dict[str, tuple[str, ...]]:
    """Constraint → defects, of those that are broken."""
    return {f.constraint: f.violations for f in evaluate_scene(spec, scene) if f.status == "broken"}


def apply_edits(spec: Spec, edits: Edits, scene: Scene) -> Scene:
    """The scene after the plans, with what synthesis would bring along."""
    return simulate_edits(edits, scene, spec.liquids, spec.vocabulary.leaves)
