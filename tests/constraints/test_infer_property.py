"""Whatever the photos are like, a draft passes `logicls check` on them."""

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
class Kind:
    """How a component of a made-up product is found on photos."""

    name: str
    counts: tuple[int, ...]
    """One of these a photo."""
    rare: bool
    """Whether one photo has one more."""
    place: str
    """`fixed`, `anywhere`, `inside` the one before, `filling` of it."""
    jitter: float
    facts: str
    """`none`, `constant`, `free`, `variant` (told by the photo's variant), `coarse` (so, one way only), `some`."""
    values: tuple[str, ...]


KINDS = st.builds(
    Kind,
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
    """Photos of a made-up product, most of them in reach of the rules that are searched for."""
    kinds = draw(st.lists(KINDS, min_size=1, max_size=5, unique_by=lambda kind: kind.name))
    photos = draw(st.sampled_from([1, 3, 10, 30, 60]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spots = rng.uniform(0.05, 0.7, (len(kinds), 200, 2))
    size = (int(rng.integers(40, 4000)), int(rng.integers(40, 4000)))
    return [photograph(kinds, number, spots, size, rng) for number in range(photos)]


def photograph(
    kinds: list[Kind], number: int, spots: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> Scene:
    """One photo of the product."""
    instances: list[Instance] = []
    variant = int(rng.integers(3))
    for index, kind in enumerate(kinds):
        count = int(rng.choice(kind.counts)) + (kind.rare and number == 2)
        for place in range(count):
            before = instances[0].box if instances else Box(0, 0, *size)
            box = placed(kind, spots[index, place], before, size, rng)
            facts = described(kind, variant, number, rng)
            instances.append(Instance(len(instances) + 1, kind.name, box, facts))
    return Scene(f"photo #{number}: \x07.jpg", *size, tuple(instances))


def placed(kind: Kind, spot: np.ndarray, before: Box, size: tuple[int, int], rng: np.random.Generator) -> Box:
    """Where one instance lies."""
    if kind.place == "filling":
        level = 0.4 + kind.jitter * float(rng.random())
        return Box(before.x1, before.y1 + level * before.height, before.x2, before.y2)
    frame = before if kind.place == "inside" else Box(0, 0, *size)
    x, y = rng.uniform(0.05, 0.7, 2) if kind.place == "anywhere" else spot + rng.uniform(-1, 1, 2) * kind.jitter * 0.5
    width, height = 0.1 + kind.jitter * rng.random(2)
    left, top = frame.x1 + float(x) * frame.width, frame.y1 + float(y) * frame.height
    return Box(left, top, left + float(width) * frame.width, top + float(height) * frame.height)


def described(kind: Kind, variant: int, number: int, rng: np.random.Generator) -> tuple[tuple[str, str], ...]:
    """What one instance has annotated."""
    index = {"constant": 0, "free": int(rng.integers(3)), "variant": variant, "coarse": min(variant, 1)}
    if kind.facts == "some":
        return (("kind", kind.values[0]),) if number % 2 else ()
    return (("kind", kind.values[index[kind.facts]]),) if kind.facts in index else ()


@settings(max_examples=150)
@given(scenes=products())
def test_a_draft_passes_on_its_own_photos(tmp_path_factory: pytest.TempPathFactory, scenes: list[Scene]) -> None:
    """It loads, no rule is idle or contradicts another, examples say what they should, and no photo breaks a rule.

    What may be left: notes of defects that no edit makes, a component whose only rule no edit breaks, and one that is
    declared and on no photo.
    """
    annotated = {i.component for scene in scenes for i in scene.instances}
    usable = any(is_legal_name(name) for name in annotated)
    if not usable:
        return
    path = tmp_path_factory.mktemp("draft") / "draft.yaml"

    path.write_text(infer(scenes, source="a \x07 b", product="7 ü").to_yaml(), encoding="utf-8")
    spec = load_spec(path)

    faults = [*lint_spec(spec), *audit_photos(spec, scenes)]
    assert [fault.message for fault in faults if fault.code not in ("LC044", "LC047", "LC048")] == []
    known = tuple(name for name in annotated if is_legal_name(name))
    unfit = check_against_spec(Dataset(Path(), tuple(scenes), "", known), spec.components)
    assert [str(problem) for problem in unfit if problem.code != "LC120"] == []
    spoken = [{n.name for n in constraint.references()} for constraint in spec.constraints]
    for fault in (fault for fault in faults if fault.code == "LC044"):
        about = spoken[int(fault.path[1])]
        assert not any(about <= other for index, other in enumerate(spoken) if index != fault.path[1])
