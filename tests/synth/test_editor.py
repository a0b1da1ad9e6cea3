"""Plans carried out on pixels: the photo and the annotations change together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from logicls.constraints.families.edits import Add, Edit, Move, Remove, Replace, Resize, Swap
from logicls.constraints.spec.models import Spec
from logicls.records import Box, Instance, Scene
from logicls.synth.compositor import Canvas
from logicls.synth.editor import Editor
from logicls.synth.instance_bank import InstanceBank


@pytest.fixture
def editor(spec: Spec, bank: InstanceBank) -> Editor:
    """An editor of dosing kits."""
    return Editor(spec, bank)


@pytest.fixture
def kit(bank: InstanceBank) -> Canvas:
    """The first good photo."""
    scene = bank.dataset.scenes[0]
    return Canvas(bank.photo(scene), scene)


@pytest.fixture
def board() -> Canvas:
    """A grey tray with a white tablet and a black one."""
    photo = np.full((100, 160, 3), 120, np.uint8)
    photo[20:40, 20:40] = 240
    photo[60:80, 100:120] = 10
    tablets = Instance(1, "tablet", Box(20, 20, 40, 40)), Instance(2, "tablet", Box(100, 60, 120, 80))
    return Canvas(
        photo, Scene("a.png", 160, 100, tablets), {i.id: lambda: np.ones((20, 20), np.float32) for i in tablets}
    )


def core(canvas: Canvas, box: Box) -> float:
    """Mean brightness well inside the box."""
    x1, y1, x2, y2 = (round(edge) for edge in (box.x1, box.y1, box.x2, box.y2))
    return float(canvas.photo[y1 + 5 : y2 - 5, x1 + 5 : x2 - 5].mean())


def boxes(canvas: Canvas) -> dict[int, Box]:
    """Id → box."""
    return {i.id: i.box for i in canvas.scene.instances}


def test_a_removed_thing_leaves_the_ground(editor: Editor, board: Canvas) -> None:
    """Its pixels and its annotation go; the other's stay."""
    out = editor.apply(Remove(1), board, np.random.default_rng(0))

    assert out is not None
    assert np.abs(out.photo[15:45, 15:45].astype(int) - 120).max() <= 2
    assert boxes(out) == {2: Box(100, 60, 120, 80)}
    assert core(out, Box(100, 60, 120, 80)) == 10


def test_a_moved_thing_is_where_its_box_says(editor: Editor, board: Canvas) -> None:
    """It is there, and where it was is ground."""
    out = editor.apply(Move(1, 50, 30), board, np.random.default_rng(0))

    assert out is not None
    assert boxes(out)[1] == Box(70, 50, 90, 70)
    assert [core(out, Box(70, 50, 90, 70)), core(out, Box(20, 20, 40, 40))] == [240, pytest.approx(120, abs=2)]


def test_swapped_things_change_places(editor: Editor, board: Canvas) -> None:
    """Pixels follow the boxes."""
    out = editor.apply(Swap(1, 2), board, np.random.default_rng(0))

    assert out is not None
    assert boxes(out) == {1: Box(100, 60, 120, 80), 2: Box(20, 20, 40, 40)}
    assert [core(out, box) for box in boxes(out).values()] == [240, 10]


def liquid(canvas: Canvas) -> Instance:
    """The filling of the vial."""
    return canvas.scene.instances_of("liquid")[0]


def test_a_lower_level_shows_the_empty_vial(editor: Editor, kit: Canvas) -> None:
    """The uncovered rows look like the vial above the level, not like the liquid; below the level nothing changes."""
    box = liquid(kit).box
    lower = Box(box.x1, box.y1 + 40, box.x2, box.y2)
    x, y = int(box.centre[0]), int(box.y1)
    empty, full = (kit.photo[a:b, x - 10 : x + 10].mean((0, 1)) for a, b in ((y - 12, y - 4), (y + 8, y + 30)))

    out = editor.apply(Resize(liquid(kit).id, lower), kit, np.random.default_rng(0))

    assert out is not None
    assert liquid(out).box == lower
    shown = out.photo[y + 8 : y + 30, x - 10 : x + 10].mean((0, 1))
    assert np.abs(shown - empty).sum() < np.abs(shown - full).sum() / 2
    assert np.array_equal(out.photo[y + 44 :], kit.photo[y + 44 :])


def test_dye_stays_in_the_liquid(editor: Editor, kit: Canvas) -> None:
    """Another colour changes the liquid alone: not the label before it, and nothing beside the vial."""
    out = editor.apply(Replace(liquid(kit).id, "liquid", (("colour", "red"),)), kit, np.random.default_rng(0))

    assert out is not None
    assert liquid(out).attribute("colour") == "red"
    changed = np.abs(out.photo.astype(int) - kit.photo).max(2) > 3
    box = liquid(kit).box
    assert changed[int(box.y1) + 5 : int(box.y1) + 30, int(box.centre[0]) - 10 : int(box.centre[0]) + 10].mean() > 0.9
    changed[int(box.y1) - 4 : int(box.y2) + 5, int(box.x1) - 4 : int(box.x2) + 5] = False
    assert not changed.any()
    label = kit.scene.instances_of("label")[0].box
    inside = slice(int(label.y1) + 6, int(label.y2) - 6), slice(int(label.x1) + 6, int(label.x2) - 6)
    assert np.array_equal(out.photo[inside], kit.photo[inside])


PLANS: list[Callable[[Canvas], Edit]] = [
    lambda kit: Remove(kit.scene.instances_of("label")[0].id),
    lambda kit: Remove(liquid(kit).id),
    lambda kit: Add("tablet", Box(165, 250, 193, 278)),
    lambda kit: Move(kit.scene.instances_of("spoon")[0].id, -5, 9),
    lambda kit: Swap(kit.scene.instances_of("tablet")[0].id, kit.scene.instances_of("mark")[0].id),
    lambda kit: Replace(kit.scene.instances_of("mark")[0].id, "mark", (("shape", "drop"),)),
    lambda kit: Resize(kit.scene.instances_of("spoon")[0].id, Box(205, 100, 230, 220)),
]


@pytest.mark.parametrize("plan", PLANS, ids=["label", "liquid", "add", "move", "swap", "replace", "resize"])
def test_the_given_canvas_stays_as_it_is(editor: Editor, kit: Canvas, plan: Callable[[Canvas], Edit]) -> None:
    """An edit makes a new photo of the same size, never writes to the bank's."""
    before = kit.photo.copy()

    out = editor.apply(plan(kit), kit, np.random.default_rng(1))

    assert out is not None
    assert np.array_equal(kit.photo, before)
    assert out.photo.shape == before.shape
    assert not np.array_equal(out.photo, before)


def test_an_edit_that_nobody_looks_at_makes_no_pixels(editor: Editor, kit: Canvas) -> None:
    """The annotations are changed without a look at the photo, and what chance does next does not depend on a look."""

    def looked_at() -> np.ndarray:
        raise AssertionError("the photo was read")

    blind, rngs = Canvas(looked_at, kit.scene), [np.random.default_rng(0) for _ in range(2)]

    for plan in (plan(kit) for plan in PLANS):
        unseen, seen = editor.apply(plan, blind, rngs[0]), editor.apply(plan, kit, rngs[1])
        assert unseen is not None
        assert seen is not None
        assert unseen.scene == seen.scene
        assert seen.photo.shape == kit.photo.shape
        assert rngs[0].bit_generator.state == rngs[1].bit_generator.state


def test_no_donor_no_edit(editor: Editor, kit: Canvas) -> None:
    """A value that no photo has cannot be put there."""
    rng = np.random.default_rng(0)

    assert editor.apply(Replace(liquid(kit).id, "liquid", (("colour", "green"),)), kit, rng) is None
    assert editor.apply(Add("cork", Box(0, 0, 9, 9)), kit, rng) is None
