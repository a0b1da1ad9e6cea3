"""Drafts of random products pass `logicls check` on their photos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logicls.constraints.lint.data_audit import audit_photos
from logicls.constraints.lint.spec_lint import lint_spec
from logicls.constraints.mining.infer import infer
from logicls.constraints.mining.observations import is_legal_name
from logicls.constraints.spec.loader import load_spec
from logicls.data.coco import Dataset
from logicls.data.dataset_lint import check_against_spec
from logicls.records import Box, Instance, Scene

NAMES = ("a", "a_2", "a-count", "true", "7", "1e5", "_x", "x" * 60, "x" * 59, "fruit label", "größe", "on", "place_1")
VALUES = ("red", "no", "3", "null", "blue", "x-1", "1e3")
ILLEGAL = ("none", "a b", "")


@dataclass(frozen=True)
class ComponentModel:
    """Random model of a component's instances on photos."""

    name: str
    counts: tuple[int, ...]
    """Possible counts per photo."""
    has_exception: bool
    """True if one photo has one more."""
    place: str
    """`fixed`, `anywhere`, `inside` the first instance, or `filling` it."""
    jitter: float
    attribute: str
    """`none`, `constant`, `free`, `variant` (depends on the photo's variant), `coarse` (one way), or `some` photos."""
    values: tuple[str, ...]


KINDS = st.builds(
    ComponentModel,
    st.sampled_from(NAMES),
    st.sampled_from([(1,), (1,), (0, 1), (2,), (4,), (0, 3), (2, 5), (120,), (0,)]),
    st.booleans(),
    st.sampled_from(["fixed", "fixed", "anywhere", "inside", "filling"]),
    st.sampled_from([0.0, 0.002, 0.02, 0.1]),
    st.sampled_from(["none", "constant", "free", "variant", "variant", "coarse", "some"]),
    st.permutations((*VALUES, *VALUES, *ILLEGAL)).map(lambda values: tuple(dict.fromkeys(values))[:3]),
)


@st.composite
def products(draw: st.DrawFn) -> list[Scene]:
    """Photos of a random product, for which most kinds of rules can be mined."""
    kinds = draw(st.lists(KINDS, min_size=1, max_size=5, unique_by=lambda kind: kind.name))
    photos = draw(st.sampled_from([1, 3, 10, 30, 60]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    positions = rng.uniform(0.05, 0.7, (len(kinds), 200, 2))
    size = (int(rng.integers(40, 4000)), int(rng.integers(40, 4000)))
    return [create_scene(kinds, number, positions, size, rng) for number in range(photos)]


def create_scene(
    kinds: list[ComponentModel], number: int, positions: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> Scene:
    """Create one photo of the product."""
    instances: list[Instance] = []
    variant = int(rng.integers(3))
    for index, kind in enumerate(kinds):
        count = int(rng.choice(kind.counts)) + (kind.has_exception and number == 2)
        for place in range(count):
            first = instances[0].box if instances else Box(0, 0, *size)
            box = create_box(kind, positions[index, place], first, size, rng)
            attributes = create_attributes(kind, variant, number, rng)
            instances.append(Instance(len(instances) + 1, kind.name, box, attributes))
    return Scene(f"photo #{number}: \x07.jpg", *size, tuple(instances))


def create_box(
    kind: ComponentModel, position: np.ndarray, first: Box, size: tuple[int, int], rng: np.random.Generator
) -> Box:
    """Draw the box of an instance."""
    if kind.place == "filling":
        level = 0.4 + kind.jitter * float(rng.random())
        return Box(first.x1, first.y1 + level * first.height, first.x2, first.y2)
    frame = first if kind.place == "inside" else Box(0, 0, *size)
    x, y = (
        rng.uniform(0.05, 0.7, 2) if kind.place == "anywhere" else position + rng.uniform(-1, 1, 2) * kind.jitter * 0.5
    )
    width, height = 0.1 + kind.jitter * rng.random(2)
    left, top = frame.x1 + float(x) * frame.width, frame.y1 + float(y) * frame.height
    return Box(left, top, left + float(width) * frame.width, top + float(height) * frame.height)


def create_attributes(
    kind: ComponentModel, variant: int, number: int, rng: np.random.Generator
) -> tuple[tuple[str, str], ...]:
    """Draw the attributes of an instance."""
    index = {"constant": 0, "free": int(rng.integers(3)), "variant": variant, "coarse": min(variant, 1)}
    if kind.attribute == "some":
        return (("kind", kind.values[0]),) if number % 2 else ()
    return (("kind", kind.values[index[kind.attribute]]),) if kind.attribute in index else ()


@settings(max_examples=150)
@given(scenes=products())
def test_draft_passes_check_on_its_photos(tmp_path_factory: pytest.TempPathFactory, scenes: list[Scene]) -> None:
    """It loads, no rule is unused or contradicts another, examples are correct, and no photo breaks a rule.

    Allowed are notes on violations that no edit creates, a component whose only rule no edit breaks, and a declared
    component on no photo.
    """
    annotated = {i.component for scene in scenes for i in scene.instances}
    is_usable = any(is_legal_name(name) for name in annotated)
    if not is_usable:
        return
    path = tmp_path_factory.mktemp("draft") / "draft.yaml"

    path.write_text(infer(scenes, source="a \x07 b", product="7 ü").to_yaml(), encoding="utf-8")
    spec = load_spec(path)

    faults = [*lint_spec(spec), *audit_photos(spec, scenes)]
    assert [fault.message for fault in faults if fault.code not in ("LC044", "LC047", "LC048")] == []
    categories = tuple(name for name in annotated if is_legal_name(name))
    mismatches = check_against_spec(Dataset(Path(), tuple(scenes), "", categories), spec.components)
    assert [str(problem) for problem in mismatches if problem.code != "LC120"] == []
    referenced = [{n.name for n in constraint.references()} for constraint in spec.constraints]
    for fault in (fault for fault in faults if fault.code == "LC044"):
        names = referenced[int(fault.path[1])]
        assert not any(names <= other for index, other in enumerate(referenced) if index != fault.path[1])
