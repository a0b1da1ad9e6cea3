"""Edits before any pixel: what goes with what, and what is where afterwards."""

from __future__ import annotations

import pytest

from logicls.constraints.families.edits import (
    Add,
    Edit,
    Move,
    Remove,
    Replace,
    Resize,
    Swap,
    apply_edit,
    find_supported,
    get_instance,
)
from logicls.records import Box, Instance, Scene

BOTTLE = Instance(1, "bottle", Box(0, 0, 100, 200))
JUICE = Instance(2, "juice", Box(5, 40, 95, 200), (("colour", "red"),))
LABEL = Instance(3, "label", Box(20, 100, 80, 140))
ICON = Instance(4, "icon", Box(40, 110, 60, 130), (("fruit", "pear"),))
PIN = Instance(5, "pin", Box(150, 10, 170, 30))
SCENE = Scene("a.png", 300, 220, (BOTTLE, JUICE, LABEL, ICON, PIN))
NEW = Instance(-1, "pin", Box(200, 10, 220, 30))
FILLINGS = frozenset({"juice"})


@pytest.mark.parametrize(
    ("target", "along"),
    [(BOTTLE, (JUICE, LABEL, ICON)), (LABEL, (ICON,)), (JUICE, ()), (ICON, ()), (PIN, ())],
    ids=lambda value: getattr(value, "component", ""),
)
def test_supported_instances_move_with_their_support(target: Instance, along: tuple[Instance, ...]) -> None:
    """A filling counts as lying on what it fills, and nothing lies on a filling."""
    assert find_supported(SCENE, target, FILLINGS) == along


def test_barely_overlapping_instance_stays() -> None:
    """Less than most of a thing's area on another one is beside it, not on it."""
    over_the_edge = Instance(6, "icon", Box(70, 100, 90, 120))

    assert find_supported(Scene("a.png", 300, 220, (LABEL, over_the_edge)), LABEL, FILLINGS) == ()


def moved(thing: Instance, dx: float, dy: float) -> Instance:
    """The same thing elsewhere."""
    return Instance(thing.id, thing.component, thing.box.translate(dx, dy), thing.attributes)


BANANA = Instance(4, "icon", ICON.box, (("fruit", "banana"),))
SMALLER = Instance(3, "label", Box(20, 60, 50, 100))
SMALLER_ICON = Instance(4, "icon", Box(30, 70, 40, 90), ICON.attributes)
FULLER = Instance(2, "juice", Box(5, 20, 95, 200), JUICE.attributes)


@pytest.mark.parametrize(
    ("plan", "arriving", "after"),
    [
        (Remove(3), [], (BOTTLE, JUICE, PIN)),
        (Remove(2), [], (BOTTLE, LABEL, ICON, PIN)),
        (Remove(5), [NEW], (BOTTLE, JUICE, LABEL, ICON, NEW)),
        (Add("pin", NEW.box), [NEW], (*SCENE.instances, NEW)),
        (Move(3, 5, -7), [], (BOTTLE, JUICE, moved(LABEL, 5, -7), moved(ICON, 5, -7), PIN)),
        (Swap(3, 5), [], (BOTTLE, JUICE, moved(LABEL, 110, -100), moved(ICON, 110, -100), moved(PIN, -110, 100))),
        (Replace(4, "icon", (("fruit", "banana"),)), [], (BOTTLE, JUICE, LABEL, BANANA, PIN)),
        (Replace(3, "label"), [NEW], (BOTTLE, JUICE, PIN, NEW)),
        (Resize(2, FULLER.box), [], (BOTTLE, FULLER, LABEL, ICON, PIN)),
        (Resize(3, Box(20, 60, 50, 100)), [], (BOTTLE, JUICE, SMALLER, SMALLER_ICON, PIN)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Edit) else "",
)
def test_apply_edit(plan: Edit, arriving: list[Instance], after: tuple[Instance, ...]) -> None:
    """Targets change with what they carry; everything else, and the photo, stays."""
    assert apply_edit(plan, SCENE, FILLINGS, arriving) == Scene("a.png", 300, 220, after)


def test_unknown_id_raises() -> None:
    """A plan for another scene is a programming error."""
    with pytest.raises(KeyError):
        get_instance(SCENE, 99)
