"""Parts that synthesis turns in place: pixels, boxes and angles agree, also after augmentation."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logicls.constraints.families.angles import fold_angle
from logicls.constraints.families.edits import Rotate
from logicls.constraints.spec.models import Spec
from logicls.records import Box, Instance, Scene
from logicls.synth.compositor import Canvas, Compositor
from logicls.synth.editor import Editor
from logicls.synth.geometric import RotatedPatch, add_flip, warp_scene
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.invariances import find_restrictions, is_orientation_free
from logicls.synth.masks import Mask

SPEC = Spec.model_validate(
    {
        "logicls": 1,
        "product": {"name": "plate"},
        "components": {"plate": {}, "mark": {}},
        "constraints": [
            {"id": "straight", "orientation": {"of": "plate", "tolerance": 10}},
            {"id": "mark", "quantity": {"of": "mark", "exactly": 1}},
        ],
    }
)
PLATE, MARK = Box(60, 60, 120, 100), Box(64, 64, 74, 74)


def plate() -> Canvas:
    """Return a dark plate on a grey photo, with a red mark in its upper left corner."""
    photo = np.full((160, 200, 3), 130, np.uint8)
    photo[60:100, 60:120], photo[64:74, 64:74] = 40, (220, 20, 20)
    instances = (Instance(1, "plate", PLATE), Instance(2, "mark", MARK))
    masks = {i.id: partial(np.ones, (round(i.box.height), round(i.box.width)), np.float32) for i in instances}
    return Canvas(photo, Scene("a.png", 200, 160, instances), masks)


def red_centre(canvas: Canvas) -> tuple[float, float]:
    """Return the middle (x, y) of the red pixels."""
    rows, columns = np.nonzero(canvas.photo[..., 0].astype(int) - canvas.photo[..., 1] > 90)
    return float(columns.mean()) + 0.5, float(rows.mean()) + 0.5


@pytest.fixture
def editor(bank: InstanceBank) -> Editor:
    """Return an editor of plates."""
    return Editor(SPEC, bank)


@pytest.mark.parametrize("degrees", [180.0, 90.0, -90.0, 20.0, 135.0])
def test_contents_turn_with_the_part(editor: Editor, degrees: float) -> None:
    """The mark is where its box is; both have the angle."""
    out = editor.apply(Rotate(1, degrees, turns_contents=True), plate(), np.random.default_rng(0))

    assert out is not None
    part, mark = out.scene.instances
    assert red_centre(out) == pytest.approx(mark.box.centre, abs=1.5)
    assert [fold_angle(i.angle - degrees) for i in (part, mark)] == [0, 0]
    assert part.box.centre == pytest.approx(PLATE.centre, abs=1)


def test_half_a_turn_is_exact(editor: Editor) -> None:
    """The box stays, pixels are turned without being smoothed, and the photo around is untouched."""
    out = editor.apply(Rotate(1, 180.0, turns_contents=True), plate(), np.random.default_rng(0))

    assert out is not None
    assert out.scene.instances[0].box == PLATE
    assert out.scene.instances[1].box == Box(106, 86, 116, 96)
    inner = out.photo[63:97, 63:117].astype(int)
    assert np.abs(inner - plate().photo[60:100, 60:120][::-1, ::-1][3:-3, 3:-3]).max() <= 2
    assert np.array_equal(out.photo[:50], plate().photo[:50])


@pytest.mark.parametrize(("width", "height"), [(40, 20), (41, 20), (40, 21), (41, 21)])
def test_half_a_turn_keeps_the_box_of_any_size(width: int, height: int) -> None:
    """Patches with odd and even sides stay on the pixel grid."""
    mask = np.ones((height, width), np.float32)
    box = Box(10, 20, 10 + width, 20 + height)
    patch = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)

    rotated = RotatedPatch.compute(mask, box, 180)

    assert rotated.box == box
    assert np.array_equal(rotated.warp(patch), patch[::-1, ::-1])


@given(st.floats(-180, 180), st.floats(0, 360))
def test_a_rotation_of_the_photo_is_added_to_angles(turn: float, angle: float) -> None:
    """Homographies have y downwards, angles are counterclockwise."""
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    homography = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    scene = Scene("a", 100, 100, (Instance(1, "plate", PLATE, angle=angle),))

    loose, tight = warp_scene(scene, homography)

    assert abs(fold_angle(loose.instances[0].angle - angle - turn)) < 1e-3
    assert loose.instances[0].angle == tight.instances[0].angle


def test_a_shift_changes_no_angle_and_a_flip_mirrors_it() -> None:
    """Zero stays exactly zero; what pointed to the upper right then points to the upper left."""
    scene = Scene("a", 100, 100, (Instance(1, "plate", PLATE), Instance(2, "mark", MARK, angle=30)))
    shift = np.array([[1.1, 0, 5], [0, 1.1, -3], [0, 0, 1]])

    shifted, flipped = (warp_scene(scene, m)[0] for m in (shift, add_flip(np.eye(3), (100, 100), "x")))

    assert [i.angle for i in shifted.instances] == [0, 30]
    assert flipped.instances[1].angle == pytest.approx(150)


def test_augmentation_knows_the_rule() -> None:
    """Photos are not mirrored, small rotations are allowed, and crops are not turned."""
    restrictions = find_restrictions(SPEC)

    assert restrictions.flip == dict.fromkeys("xy", "straight fixes an orientation")
    assert restrictions.rotation == ""
    assert not is_orientation_free(SPEC)


def test_margins_of_a_part_with_an_uncertain_mask_may_stay(bank: InstanceBank) -> None:
    """What the part is mounted on does not turn with it: on some photos the edges of the box stay as they are."""
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (160, 200, 3), np.uint8)
    scene = Scene("a.png", 200, 160, (Instance(1, "plate", PLATE),))
    editor = Editor(SPEC, bank)
    editor.compositor = UncertainCompositor(SPEC, bank)
    edges, cores = 0, 0
    for seed in range(20):
        out = editor.apply(Rotate(1, 180.0, turns_contents=True), Canvas(photo, scene), np.random.default_rng(seed))
        assert out is not None
        assert (out.scene.instances[0].angle, out.scene.instances[0].box) == (180, PLATE)
        before, after = photo[60:100, 60:120], out.photo[60:100, 60:120]
        edges += np.array_equal(after[:2], before[:2]) or np.array_equal(after[:, :2], before[:, :2])
        cores += bool(np.abs(after[15:25, 20:40].astype(int) - before[::-1, ::-1][15:25, 20:40]).max() <= 2)

    assert cores == 20
    assert 8 <= edges < 20


class UncertainCompositor(Compositor):
    """Knows no mask for certain."""

    def get_mask(self, canvas: Canvas, target: Instance) -> Mask:
        """Return the whole box."""
        return np.ones((round(target.box.height), round(target.box.width)), np.float32)

    def is_mask_certain(self, canvas: Canvas, target: Instance) -> bool:
        """Return False."""
        return False

    def can_cut_out(self, canvas: Canvas, target: Instance) -> bool:
        """Return True."""
        return True
