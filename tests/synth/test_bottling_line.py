"""Edits on a bottling line, where bottles overlap: what they change, and what stays, is known from the drawing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from logicls.constraints.families.edits import Edit, Move, Remove, Resize
from logicls.constraints.spec.loader import load_spec
from logicls.data.coco import Dataset
from logicls.records import Box, Instance, Scene
from logicls.synth.compositor import Canvas
from logicls.synth.editor import Editor
from logicls.synth.instance_bank import InstanceBank

from .bottles import CAP, JUICE, SPEC, Bottle, draw_line, draw_silhouette

APART = (Bottle(80), Bottle(330), Bottle(205))
OVERLAPPING = (Bottle(128, level=150), Bottle(282, level=140), Bottle(205))
"""The last one stands in front of both others."""
OPEN = (Bottle(90), Bottle(320, level=120), Bottle(205, has_cap=False))


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> InstanceBank:
    """Photos of the line."""
    folder = tmp_path_factory.mktemp("line")
    (folder / "images").mkdir()
    scenes = []
    for number, bottles in enumerate((OVERLAPPING, APART, OPEN)):
        photo, scene = draw_line(bottles, number)
        instances = tuple(replace(i, id=i.id + 100 * number) for i in scene.instances)
        cv2.imwrite(str(folder / "images" / scene.photo), photo[..., ::-1])
        scenes.append(replace(scene, instances=instances))
    (folder / "line.yaml").write_text(SPEC)
    return InstanceBank(Dataset(folder, tuple(scenes), ""))


@pytest.fixture(scope="module")
def editor(bank: InstanceBank) -> Editor:
    """Edits of the line."""
    return Editor(load_spec(Path(bank.dataset.root) / "line.yaml"), bank)


def find(scene: Scene, component: str, number: int) -> Instance:
    """The instance of a bottle, in the order in which bottles are drawn."""
    return [i for i in scene.instances if i.component == component][number]


def apply(editor: Editor, bank: InstanceBank, plan: Callable[[Scene], Edit], photo: int = 0) -> Canvas | None:
    """Apply an edit to a photo of the line."""
    scene = bank.dataset.scenes[photo]
    return editor.apply(plan(scene), Canvas(bank.load_photo(scene), scene), np.random.default_rng(0))


def level_to(row: float, number: int) -> Callable[[Scene], Edit]:
    """The edit that brings the filling of a bottle to that row."""

    def plan(scene: Scene) -> Edit:
        filling = find(scene, "filling", number)
        return Resize(filling.id, replace(filling.box, y1=row))

    return plan


def is_like(photo: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Pixels of about that colour."""
    return np.abs(photo.astype(int) - colour).max(2) < 60


def test_an_underfilled_bottle_in_front_is_empty_above_the_level(editor: Editor, bank: InstanceBank) -> None:
    """Neither its own juice nor that of bottles behind it is put back."""
    out = apply(editor, bank, level_to(182, 2))

    assert out is not None
    inside = cv2.erode(draw_silhouette(205).astype(np.uint8), np.ones((5, 11), np.uint8)).astype(bool)[140:178]
    before = bank.load_photo(bank.dataset.scenes[0])[140:178]
    assert is_like(before, JUICE)[inside].mean() > 0.95
    assert is_like(out.photo[140:178], JUICE)[inside].mean() < 0.02


def test_an_underfilled_bottle_behind_leaves_the_one_in_front(editor: Editor, bank: InstanceBank) -> None:
    """The bottle in front keeps its pixels."""
    out = apply(editor, bank, level_to(230, 0))

    assert out is not None
    front = cv2.erode(draw_silhouette(205).astype(np.uint8), np.ones((5, 9), np.uint8)).astype(bool)
    before = bank.load_photo(bank.dataset.scenes[0])
    assert (np.abs(out.photo.astype(int) - before).max(2)[front] > 30).mean() < 0.01
    assert is_like(out.photo[160:186, 100:150], JUICE).mean() < 0.02


def test_an_overfilled_bottle_keeps_its_shape(editor: Editor, bank: InstanceBank) -> None:
    """The filling follows shoulder and neck."""
    out = apply(editor, bank, level_to(66, 2), photo=1)

    assert out is not None
    before = bank.load_photo(bank.dataset.scenes[1])
    changed = np.abs(out.photo.astype(int) - before).max(2) > 30
    bottle = draw_silhouette(205)
    assert changed[72:126][bottle[72:126]].mean() > 0.75
    assert not changed[~cv2.dilate(bottle.astype(np.uint8), np.ones((5, 7), np.uint8)).astype(bool)].any()


@pytest.mark.parametrize("number", [0, 2])
def test_where_a_cap_was_nothing_of_it_stays(editor: Editor, bank: InstanceBank, number: int) -> None:
    """The mouth of a bottle without a cap is not red, and what surrounds the cap hardly changes."""
    out = apply(editor, bank, lambda scene: Remove(find(scene, "cap", number).id))

    assert out is not None
    box = find(bank.dataset.scenes[0], "cap", number).box
    x1, y1, x2, y2 = (round(edge) for edge in (box.x1, box.y1, box.x2, box.y2))
    before = bank.load_photo(bank.dataset.scenes[0])
    assert is_like(before[y1:y2, x1:x2], CAP).mean() > 0.9
    patch = out.photo[y1:y2, x1:x2].astype(int)
    assert (patch[..., 0] - patch[..., 1] > 30).mean() < 0.01
    changed = np.abs(out.photo.astype(int) - before).max(2) > 12
    changed[y1 - 4 : y2 + 4, x1 - 4 : x2 + 4] = False
    assert not changed.any()


EDITS_OF_HIDING = {
    "move": lambda scene: Move(find(scene, "bottle", 2).id, 6, 0),
    "remove": lambda scene: Remove(find(scene, "bottle", 2).id),
}


@pytest.mark.parametrize("plan", EDITS_OF_HIDING.values(), ids=list(EDITS_OF_HIDING))
def test_what_is_hidden_cannot_be_made_up(editor: Editor, bank: InstanceBank, plan: Callable[[Scene], Edit]) -> None:
    """A bottle that hides parts of others stays in its place; one that stands apart may go."""
    assert apply(editor, bank, plan) is None
    assert apply(editor, bank, plan, photo=1) is not None


def test_a_label_is_removed_where_all_bottles_overlap(editor: Editor, bank: InstanceBank) -> None:
    """Bottles behind it keep nothing of the label, although their boxes reach into it."""
    crowded = InstanceBank(replace(bank.dataset, scenes=bank.dataset.scenes[:1]))
    out = apply(Editor(editor.spec, crowded), crowded, lambda scene: Remove(find(scene, "label", 2).id))

    assert out is not None
    assert is_like(out.photo[192:248, 160:250], JUICE).mean() > 0.9


def test_a_wider_bottle_does_not_cover_its_neighbours(editor: Editor, bank: InstanceBank) -> None:
    """An edit of the size is refused where the result would hide something else."""

    def widen(pixels: float) -> Callable[[Scene], Edit]:
        def plan(scene: Scene) -> Edit:
            bottle = find(scene, "bottle", 2)
            box = bottle.box
            return Resize(bottle.id, Box(box.x1 - pixels, box.y1, box.x2 + pixels, box.y2))

        return plan

    assert apply(editor, bank, widen(12), photo=1) is not None
    assert apply(editor, bank, widen(150), photo=1) is None


def test_an_outline_that_misses_empty_glass_does_not_narrow_the_filling(
    editor: Editor, bank: InstanceBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the outline ends in a stripe above the level, a raised filling is as wide as below it."""

    def find_stripe(component: str) -> np.ndarray:
        outline = np.zeros((258, 92), np.float32)
        outline[98:, :], outline[:98, 44:48] = 1, 1
        return outline

    photo = np.full((320, 420, 3), 8, np.uint8)
    photo[130:288, 162:248] = JUICE
    scene = Scene("dark.png", 420, 320, (Instance(1, "bottle", Box(159, 34, 251, 292)),
                                         Instance(2, "filling", Box(162, 130, 248, 288))))  # fmt: skip
    monkeypatch.setattr(bank, "find_typical_mask", find_stripe)

    out = editor.apply(Resize(2, Box(162, 100, 248, 288)), Canvas(photo, scene), np.random.default_rng(0))

    assert out is not None
    assert is_like(out.photo[104:128, 168:242], JUICE).mean() > 0.9
