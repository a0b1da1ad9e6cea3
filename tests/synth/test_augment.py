"""A varied photo breaks exactly the rules that it broke before, and its boxes are still where the things are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logicls.constraints.look import look
from logicls.constraints.spec import Spec
from logicls.records import Box, Instance, Scene
from logicls.synth.augment import Augmenter, Strength
from logicls.synth.bank import Bank
from logicls.synth.edit import Canvas

SEEDS = st.integers(0, 2**32 - 1)


def test_the_truth_survives(spec: Spec, bank: Bank, strength: Strength) -> None:
    """Boxes stay in the photo, nothing is lost, and the verdict is the same."""
    augment = Augmenter(spec, strength)

    @settings(max_examples=40)
    @given(st.sampled_from(bank.dataset.scenes), st.sets(st.integers(0, 8), max_size=3), SEEDS)
    def survives(scene: Scene, lost: set[int], seed: int) -> None:
        kept = tuple(i for number, i in enumerate(scene.instances) if number not in lost)
        before = Canvas(bank.photo(scene), Scene(scene.photo, scene.width, scene.height, kept))
        after = augment(before, np.random.default_rng(seed))
        room = Box(-0.5, -0.5, scene.width + 0.5, scene.height + 0.5)
        assert after.photo.shape == before.photo.shape
        assert [(i.id, i.component, i.attributes) for i in after.scene.instances] == [
            (i.id, i.component, i.attributes) for i in kept
        ]
        assert [i for i in after.scene.instances if i.box.covered_by(room) < 1 - 1e-6] == []
        assert look(spec, after.scene)[-1] == look(spec, before.scene)[-1]

    survives()


def test_boxes_follow_the_pixels(spec: Spec, strength: Strength) -> None:
    """A bright square is found, to a pixel and a half, where its box says that it is."""
    augment = Augmenter(spec, strength.model_copy(update={"geometric": 1.0, "noise": 0.0}))
    moved: list[Box] = []

    @settings(max_examples=40)
    @given(st.integers(40, 140), st.integers(40, 190), SEEDS)
    def follows(x: int, y: int, seed: int) -> None:
        photo = np.full((320, 256, 3), 40, np.uint8)
        photo[y : y + 60, x : x + 50] = 230
        square = Instance(1, "tablet", Box(x, y, x + 50, y + 60))
        out = augment(Canvas(photo, Scene("a.png", 256, 320, (square,))), np.random.default_rng(seed))
        bright = out.photo.mean(2) > 130
        rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
        box = out.scene.instances[0].box
        seen = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert seen == pytest.approx((box.x1, box.y1, box.x2, box.y2), abs=1.5)
        moved.extend([box] if box != square.box else [])

    follows()

    assert len(moved) > 30


@pytest.mark.parametrize("x", [-0.1, 76.2])
def test_a_box_over_the_edge_is_left_where_it_is(spec: Spec, strength: Strength, x: float) -> None:
    """Such a scene is not shifted, for nobody could say what becomes of what is outside."""
    augment = Augmenter(spec, strength.model_copy(update={"geometric": 1.0}))
    scene = Scene("a.png", 100, 100, (Instance(1, "tablet", Box(x, 10, x + 24, 34)),))

    out = augment(Canvas(np.full((100, 100, 3), 90, np.uint8), scene), np.random.default_rng(0))

    assert out.scene == scene
