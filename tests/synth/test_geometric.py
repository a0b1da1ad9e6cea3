"""Rotated patches and bent cables on simple photos with known results."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from logicls.constraints.families.edits import Reroute, Rotate
from logicls.constraints.spec.models import Spec
from logicls.records import Box, Instance, Scene
from logicls.synth.compositor import Canvas
from logicls.synth.editor import Editor
from logicls.synth.geometric import RotatedPatch
from logicls.synth.instance_bank import InstanceBank

SPEC = Spec.model_validate(
    {
        "logicls": 1,
        "product": {"name": "joint"},
        "components": {"socket": {}, "cable": {}, "cable_end": {}, "bar": {}},
        "constraints": [
            {"id": "same", "connection": {"ends": "cable_end", "sockets": "socket", "slots": 3}},
            {"id": "bar", "measure": {"width": "bar", "at_least": 0.1}},
        ],
    }
)


def joint() -> Canvas:
    """A red cable between the middle slots of two dark sockets; a blue bar below."""
    photo = np.full((160, 300, 3), 130, np.uint8)
    photo[20:80, 10:50], photo[20:80, 250:290] = 40, 40
    photo[46:54, 40:260] = (220, 20, 20)
    photo[120:130, 100:160] = (20, 20, 220)
    boxes = [
        ("socket", Box(10, 20, 50, 80)), ("socket", Box(250, 20, 290, 80)), ("cable", Box(40, 46, 260, 54)),
        ("cable_end", Box(40, 46, 48, 54)), ("cable_end", Box(252, 46, 260, 54)), ("bar", Box(100, 120, 160, 130)),
    ]  # fmt: skip
    instances = tuple(Instance(n, name, box) for n, (name, box) in enumerate(boxes, 1))
    masks = {i.id: partial(np.ones, (round(i.box.height), round(i.box.width)), np.float32) for i in instances}
    return Canvas(photo, Scene("a.png", 300, 160, instances), masks)


@pytest.fixture
def editor(bank: InstanceBank) -> Editor:
    """An editor of joints."""
    return Editor(SPEC, bank)


def cable_row(canvas: Canvas, x: int) -> float:
    """Middle row of the cable in a column."""
    rows = np.nonzero(canvas.photo[:100, x, 0].astype(int) - canvas.photo[:100, x, 1] > 90)[0]
    return float(rows.mean())


def test_a_cable_bends_to_its_new_slot(editor: Editor) -> None:
    """The end lies in the other slot, the far half stays, and the cable connects both."""
    out = editor.apply(Reroute(5, 0.0, 20.0), joint(), np.random.default_rng(0))

    assert out is not None
    assert [i.box for i in out.scene.instances if i.id in (4, 5)] == [Box(40, 46, 48, 54), Box(252, 66, 260, 74)]
    assert [cable_row(out, 60), cable_row(out, 255)] == pytest.approx([49.5, 69.5], abs=1)
    assert 52 < cable_row(out, 210) < 68
    cable = next(i for i in out.scene.instances if i.component == "cable")
    assert (cable.box.y1, cable.box.y2) == pytest.approx((46, 74), abs=1.5)


def test_an_end_without_a_cable_is_moved(editor: Editor) -> None:
    """If no cable is annotated, the end alone moves."""
    kit = joint()
    without_cable = Canvas(
        kit.photo, Scene("a.png", 300, 160, tuple(i for i in kit.scene.instances if i.id != 3)), kit.masks
    )

    out = editor.apply(Reroute(5, 0.0, 20.0), without_cable, np.random.default_rng(0))

    assert out is not None
    assert out.scene.instances[-2].box == Box(252, 66, 260, 74)


def test_rotation_updates_the_box(editor: Editor) -> None:
    """A horizontal bar rotated by 90 degrees is vertical."""
    out = editor.apply(Rotate(6, 90.0), joint(), np.random.default_rng(0))

    assert out is not None
    box = out.scene.instances[-1].box
    assert (box.width, box.height) == pytest.approx((10, 60), abs=2)
    x, y = (round(v) for v in box.centre)
    assert out.photo[y, x, 2] > 200
    assert abs(int(out.photo[125, 105, 2]) - 130) < 12


def test_a_rotated_disc_keeps_its_box() -> None:
    """The box fits the rotated mask, not the rotated box."""
    y, x = np.mgrid[:41, :41]
    disc = ((x - 20) ** 2 + (y - 20) ** 2 <= 400).astype(np.float32)

    box = RotatedPatch.compute(disc, Box(10, 10, 51, 51), 30).box

    assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx((10, 10, 51, 51), abs=1.5)
