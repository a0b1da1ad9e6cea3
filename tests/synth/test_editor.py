"""Edits change photo and annotations together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from logicls.constraints.families.edits import Add, Damage, Edit, Move, Remove, Replace, Resize, Swap, Vary
from logicls.constraints.spec.models import Spec
from logicls.data.coco import Dataset
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
    return Canvas(bank.load_photo(scene), scene)


@pytest.fixture
def board() -> Canvas:
    """A grey tray with a white and a black tablet."""
    photo = np.full((100, 160, 3), 120, np.uint8)
    photo[20:40, 20:40] = 240
    photo[60:80, 100:120] = 10
    tablets = Instance(1, "tablet", Box(20, 20, 40, 40)), Instance(2, "tablet", Box(100, 60, 120, 80))
    return Canvas(
        photo, Scene("a.png", 160, 100, tablets), {i.id: lambda: np.ones((20, 20), np.float32) for i in tablets}
    )


def mean_inside(canvas: Canvas, box: Box) -> float:
    """Mean brightness well inside the box."""
    x1, y1, x2, y2 = (round(edge) for edge in (box.x1, box.y1, box.x2, box.y2))
    return float(canvas.photo[y1 + 5 : y2 - 5, x1 + 5 : x2 - 5].mean())


def boxes(canvas: Canvas) -> dict[int, Box]:
    """Id → box."""
    return {i.id: i.box for i in canvas.scene.instances}


def test_remove_inpaints_the_background(editor: Editor, board: Canvas) -> None:
    """Pixels and annotation disappear; the other instance stays."""
    out = editor.apply(Remove(1), board, np.random.default_rng(0))

    assert out is not None
    assert np.abs(out.photo[15:45, 15:45].astype(int) - 120).max() <= 2
    assert boxes(out) == {2: Box(100, 60, 120, 80)}
    assert mean_inside(out, Box(100, 60, 120, 80)) == 10


def test_move_relocates_pixels_and_box(editor: Editor, board: Canvas) -> None:
    """The instance is at its new box, and its old location shows the background."""
    out = editor.apply(Move(1, 50, 30), board, np.random.default_rng(0))

    assert out is not None
    assert boxes(out)[1] == Box(70, 50, 90, 70)
    assert [mean_inside(out, Box(70, 50, 90, 70)), mean_inside(out, Box(20, 20, 40, 40))] == [
        240,
        pytest.approx(120, abs=2),
    ]


def test_swap_exchanges_two_instances(editor: Editor, board: Canvas) -> None:
    """Pixels follow the boxes."""
    out = editor.apply(Swap(1, 2), board, np.random.default_rng(0))

    assert out is not None
    assert boxes(out) == {1: Box(100, 60, 120, 80), 2: Box(20, 20, 40, 40)}
    assert [mean_inside(out, box) for box in boxes(out).values()] == [240, 10]


def liquid(canvas: Canvas) -> Instance:
    """Liquid of the vial."""
    return canvas.scene.instances_of("liquid")[0]


def test_a_lower_level_reveals_the_empty_vial(editor: Editor, kit: Canvas) -> None:
    """The uncovered rows look like the vial above the level, not like the liquid; below the level nothing changes."""
    box = liquid(kit).box
    lower_box = Box(box.x1, box.y1 + 40, box.x2, box.y2)
    x, y = int(box.centre[0]), int(box.y1)
    empty, full = (kit.photo[a:b, x - 10 : x + 10].mean((0, 1)) for a, b in ((y - 12, y - 4), (y + 8, y + 30)))

    out = editor.apply(Resize(liquid(kit).id, lower_box), kit, np.random.default_rng(0))

    assert out is not None
    assert liquid(out).box == lower_box
    revealed = out.photo[y + 8 : y + 30, x - 10 : x + 10].mean((0, 1))
    assert np.abs(revealed - empty).sum() < np.abs(revealed - full).sum() / 2
    assert np.array_equal(out.photo[y + 44 :], kit.photo[y + 44 :])


def test_recolouring_is_confined_to_the_liquid(editor: Editor, kit: Canvas) -> None:
    """Neither the label in front nor anything beside the vial changes."""
    out = editor.apply(Replace(liquid(kit).id, "liquid", (("colour", "red"),)), kit, np.random.default_rng(0))

    assert out is not None
    assert liquid(out).attribute("colour") == "red"
    changed = np.abs(out.photo.astype(int) - kit.photo).max(2) > 3
    box = liquid(kit).box
    assert changed[int(box.y1) + 5 : int(box.y1) + 30, int(box.centre[0]) - 10 : int(box.centre[0]) + 10].mean() > 0.9
    changed[int(box.y1) - 4 : int(box.y2) + 5, int(box.x1) - 4 : int(box.x2) + 5] = False
    assert not changed.any()
    label = kit.scene.instances_of("label")[0].box
    interior = slice(int(label.y1) + 6, int(label.y2) - 6), slice(int(label.x1) + 6, int(label.x2) - 6)
    assert np.array_equal(out.photo[interior], kit.photo[interior])


EDITS: list[Callable[[Canvas], Edit]] = [
    lambda kit: Remove(kit.scene.instances_of("label")[0].id),
    lambda kit: Remove(liquid(kit).id),
    lambda kit: Add("tablet", Box(165, 250, 193, 278)),
    lambda kit: Move(kit.scene.instances_of("spoon")[0].id, -5, 9),
    lambda kit: Swap(kit.scene.instances_of("tablet")[0].id, kit.scene.instances_of("mark")[0].id),
    lambda kit: Replace(kit.scene.instances_of("mark")[0].id, "mark", (("shape", "drop"),)),
    lambda kit: Resize(kit.scene.instances_of("spoon")[0].id, Box(205, 100, 230, 220)),
]


@pytest.mark.parametrize("plan", EDITS, ids=["label", "liquid", "add", "move", "swap", "replace", "resize"])
def test_edits_do_not_modify_their_input(editor: Editor, kit: Canvas, plan: Callable[[Canvas], Edit]) -> None:
    """An edit creates a new photo of the same size, and never writes to the photos of the bank."""
    before = kit.photo.copy()

    out = editor.apply(plan(kit), kit, np.random.default_rng(1))

    assert out is not None
    assert np.array_equal(kit.photo, before)
    assert out.photo.shape == before.shape
    assert not np.array_equal(out.photo, before)


def test_pixels_are_rendered_lazily(editor: Editor, kit: Canvas) -> None:
    """An edit changes annotations without reading the photo, and later random draws do not depend on rendering."""

    def fail() -> np.ndarray:
        raise AssertionError("the photo was read")

    lazy, rngs = Canvas(fail, kit.scene), [np.random.default_rng(0) for _ in range(2)]

    for plan in (plan(kit) for plan in EDITS):
        lazy_edit, edited = editor.apply(plan, lazy, rngs[0]), editor.apply(plan, kit, rngs[1])
        assert lazy_edit is not None
        assert edited is not None
        assert lazy_edit.scene == edited.scene
        assert edited.photo.shape == kit.photo.shape
        assert rngs[0].bit_generator.state == rngs[1].bit_generator.state


def test_an_edit_without_a_donor_is_impossible(editor: Editor, kit: Canvas) -> None:
    """A value that no photo has cannot be pasted."""
    rng = np.random.default_rng(0)

    assert editor.apply(Replace(liquid(kit).id, "liquid", (("colour", "green"),)), kit, rng) is None
    assert editor.apply(Add("cork", Box(0, 0, 9, 9)), kit, rng) is None


@pytest.fixture
def loose_bars(tmp_path: Path) -> InstanceBank:
    """Bars that lie at different angles on a grainy ground."""
    photo = np.random.default_rng(0).normal(170, 4, (300, 400, 3)).clip(0, 255).astype(np.uint8)
    ends = (((30, 40), (80, 40)), ((150, 30), (150, 80)), ((230, 40), (270, 70)), ((330, 30), (360, 90)),
            ((40, 150), (90, 120)), ((150, 130), (200, 140)))  # fmt: skip
    instances = []
    for number, (first, second) in enumerate(ends, start=1):
        cv2.line(photo, first, second, (60, 70, 90), 9)
        (x1, x2), (y1, y2) = (sorted(pair) for pair in zip(first, second, strict=True))
        instances.append(Instance(number, "bar", Box(x1 - 5, y1 - 5, x2 + 6, y2 + 6)))
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "bars.png"), photo[..., ::-1])
    return InstanceBank(Dataset(tmp_path, (Scene("bars.png", 400, 300, tuple(instances)),), ""))


@pytest.mark.parametrize("names", [("bar", "bolt"), ("bar", "upright_bolt")], ids=["free", "a name says how it lies"])
def test_loose_things_turn_by_any_angle(loose_bars: InstanceBank, names: tuple[str, str]) -> None:
    """Added and moved things lie at new angles, with boxes around them, unless a rule or a name forbids it."""
    body = {"logicls": 1, "product": {"name": "kit", "version": "1"}, "components": {name: {} for name in names}}
    rules = [{"id": "bars", "quantity": {"of": "bar", "exactly": 6}, "violation": {"below": "few", "above": "many"}}]
    spec = Spec.model_validate({**body, "constraints": rules})
    editor, rng, scene = Editor(spec, loose_bars), np.random.default_rng(0), loose_bars.dataset.scenes[0]
    canvas, is_free = Canvas(loose_bars.load_photo(scene), scene), "upright_bolt" not in names
    known = {(round(i.box.width), round(i.box.height)) for i in scene.instances}

    added = [editor.apply(Add("bar", Box(180, 200, 240, 240)), canvas, rng) for _ in range(8)]
    moved = [editor.apply(Move(1, 200, 180), canvas, rng) for _ in range(8)]

    is_new: list[bool] = []
    for out, number in [(out, -1) for out in added if out] + [(out, 1) for out in moved if out]:
        box = boxes(out)[number]
        is_new.append((round(box.width), round(box.height)) not in known)
        x1, y1, x2, y2 = (round(edge) for edge in (box.x1, box.y1, box.x2, box.y2))
        rows, columns = np.nonzero(out.photo[y1 - 6 : y2 + 6, x1 - 6 : x2 + 6].mean(2) < 120)
        assert abs(rows.min() - 6) <= 5
        assert abs(columns.min() - 6) <= 5
        assert abs(rows.max() - 6 - (y2 - y1)) <= 7
    assert np.mean(is_new) > 0.7 if is_free else not any(is_new)
    angles = {i.angle for out in moved if out for i in out.scene.instances if i.id == 1}
    assert (len(angles) > 4) == is_free
    assert len([out for out in (*added, *moved) if out]) >= 12


def test_an_addition_does_not_hide_other_things(loose_bars: InstanceBank) -> None:
    """A thing that would disappear behind the new one is still annotated: such an edit is not made."""
    body = {"logicls": 1, "product": {"name": "kit", "version": "1"}, "components": {"bar": {}, "bolt": {}}}
    rules = [{"id": "bars", "quantity": {"of": "bar", "exactly": 6}, "violation": "few"}]
    photo, scene = loose_bars.load_photo(loose_bars.dataset.scenes[0]), loose_bars.dataset.scenes[0]
    small = Instance(70, "bolt", Box(206, 226, 214, 234))
    masks = {70: lambda: np.ones((8, 8), np.float32)}
    canvas = Canvas(photo, Scene("bars.png", 400, 300, (*scene.instances, small)), masks)
    editor = Editor(Spec.model_validate({**body, "constraints": rules}), loose_bars)

    rng = np.random.default_rng(0)
    placed = [editor.apply(Add("bar", Box(180, 205, 240, 255)), canvas, rng) for _ in range(6)]
    beside = [editor.apply(Add("bar", Box(280, 205, 340, 255)), canvas, rng) for _ in range(6)]

    assert (placed, None in beside) == ([None] * 6, False)


@pytest.mark.parametrize("seed", range(6))
def test_damage_is_visible_and_stays_on_the_part(editor: Editor, board: Canvas, seed: int) -> None:
    """A damaged instance is marked and looks different inside its box, and nothing changes outside."""
    damaged = editor.apply(Damage(2), board, np.random.default_rng(seed))

    assert damaged is not None
    change = np.abs(damaged.photo.astype(int) - board.photo).max(-1)
    assert [i.is_damaged for i in damaged.scene.instances] == [False, True]
    assert boxes(damaged) == boxes(board)
    assert change[60:80, 100:120].max() > 20
    change[60:80, 100:120] = 0
    assert not change.any()


def test_damage_spares_what_lies_on_the_part(editor: Editor, kit: Canvas) -> None:
    """Flaws of a label leave the mark on it as it is."""
    label = kit.scene.instances_of("label")[0]
    mark = kit.scene.instances_of("mark")[0]

    damaged = [editor.apply(Damage(label.id), kit, np.random.default_rng(seed)) for seed in range(4)]

    x1, y1, x2, y2 = (round(edge) for edge in (mark.box.x1, mark.box.y1, mark.box.x2, mark.box.y2))
    made = [canvas for canvas in damaged if canvas is not None]
    assert made
    for canvas in made:
        assert np.array_equal(canvas.photo[y1:y2, x1:x2], kit.photo[y1:y2, x1:x2])
        assert not np.array_equal(canvas.photo, kit.photo)


def test_variation_is_slight_and_no_damage(editor: Editor, board: Canvas) -> None:
    """A varied instance is not damaged; its levels change by some per cent."""
    varied = editor.apply(Vary(1), board, np.random.default_rng(3))

    assert varied is not None
    assert varied.scene == board.scene
    assert 0 < np.abs(varied.photo.astype(int) - board.photo).max() <= 12


def test_a_covered_part_cannot_be_damaged(editor: Editor, board: Canvas) -> None:
    """Where another instance covers all of a part, no flaw is visible."""
    cover = Instance(3, "label", Box(19, 19, 40, 38))
    carrier = Instance(4, "vial", Box(18, 18, 42, 42))
    scene = Scene("a.png", 160, 100, (carrier, Instance(5, "label", Box(18, 18, 41.9, 41.9)), cover))
    canvas = Canvas(board.photo, scene, {4: lambda: np.ones((24, 24), np.float32)})

    assert editor.apply(Damage(4), canvas, np.random.default_rng(0)) is None


def test_a_replacement_neither_uncovers_nor_hides_other_things(loose_bars: InstanceBank) -> None:
    """A thing that crosses another cannot be exchanged, and the new one must not lie over a third."""
    body = {"logicls": 1, "product": {"name": "kit", "version": "1"}, "components": {"bar": {}, "bolt": {}}}
    rules = [{"id": "bars", "quantity": {"of": "bar", "exactly": 6}, "violation": "few"}]
    editor = Editor(Spec.model_validate({**body, "constraints": rules}), loose_bars)
    scene, photo = loose_bars.dataset.scenes[0], loose_bars.load_photo(loose_bars.dataset.scenes[0])

    def replace_bolt(bolt: Box, *others: Instance) -> list[Canvas | None]:
        bolts = (Instance(70, "bolt", bolt), *others)
        masks = {i.id: partial(np.ones, (round(i.box.height), round(i.box.width)), np.float32) for i in bolts}
        canvas = Canvas(photo, Scene("bars.png", 400, 300, (*scene.instances, *bolts)), masks)
        return [editor.apply(Replace(70, "bar"), canvas, np.random.default_rng(seed)) for seed in range(6)]

    free = replace_bolt(Box(280, 200, 310, 220))
    beside = replace_bolt(Box(280, 200, 310, 220), Instance(71, "bolt", Box(290, 222, 300, 228)))

    assert None not in free
    assert None in beside
    crossing = Canvas(photo, Scene("bars.png", 400, 300, (*scene.instances, Instance(70, "bolt", Box(50, 30, 60, 50)))),
                      {70: partial(np.ones, (20, 10), np.float32)})  # fmt: skip
    assert editor.apply(Replace(1, "bar"), crossing, np.random.default_rng(0)) is None
