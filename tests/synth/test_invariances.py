"""The rules and the photos determine which augmentations are allowed."""

from __future__ import annotations

import numpy as np
import pytest

from logicls.constraints.spec.models import Spec
from logicls.records import Box, Instance, Scene
from logicls.synth.invariances import AugmentationRestrictions, find_restrictions, is_orientation_free

COUNT = {"quantity": {"of": "pin", "exactly": 2}}


def restrictions_of(rule: dict[str, object], **keys: object) -> AugmentationRestrictions:
    """Restrictions of a spec with that rule."""
    body = {
        "logicls": 1,
        "product": {"name": "box"},
        "components": {"pin": {"attributes": {"colour": ["red"]}}, "cup": {}},
    }
    return find_restrictions(Spec.model_validate({**body, "constraints": [{"id": "rule", **rule}], **keys}))


def layout(relation: str, **keys: object) -> dict[str, object]:
    """A layout rule."""
    return {"layout": {"subject": "pin", "relation": relation, "object": "cup", **keys}}


@pytest.mark.parametrize(
    ("rule", "rotation", "x", "y"),
    [
        (COUNT, "", "", ""),
        (layout("left_of"), "", "rule says left of", ""),
        (layout("below"), "", "", "rule says below"),
        (layout("centred_in", tolerance=0.1), "", "", ""),
        (layout("inside"), "rule says inside", "", ""),
        (layout("not_touching"), "rule says not touching", "", ""),
        ({"measure": {"height": "pin", "at_least": 0.1}}, "rule measures height", "", ""),
        ({"measure": {"angle": ["pin", "cup"], "between": [0, 90]}}, "rule measures angle",
         "rule measures an angle", "rule measures an angle"),
        ({"layout": {"subject": ["pin", "cup"], "relation": "in_order", "axis": "y"}}, "", "", "rule says in order"),
        ({"any": [COUNT, layout("right_of")]}, "", "rule says right of", ""),
        ({**COUNT, "when": layout("above")}, "", "", "rule says above"),
        ({"not": layout("touching")}, "rule says touching", "", ""),
    ],
)  # fmt: skip
def test_rules_restrict_augmentation(rule: dict[str, object], rotation: str, x: str, y: str) -> None:
    """A rule forbids the transforms that would falsify its answers, and no others, also inside other rules."""
    assert restrictions_of(rule) == AugmentationRestrictions("", rotation, {"x": x, "y": y})


def test_a_queried_attribute_forbids_hue_shifts() -> None:
    """An attribute that no rule queries does not count."""
    assert restrictions_of({"attribute": {"of": "pin.colour", "is": "red"}}).hue == "pin.colour is queried"
    assert restrictions_of(COUNT).hue == ""


@pytest.mark.parametrize(
    ("keys", "x", "y"),
    [
        ({"regions": {"left": {"box": [0, 0.1, 0.5, 0.9]}}}, "region left is on one side", ""),
        ({"regions": {"middle": {"box": [0.2, 0.1, 0.8, 0.9]}}}, "", ""),
        ({"components": {"pin": {}, "cup": {}, "text_label": {}}}, *["text_label is not mirror-symmetric"] * 2),
        ({"components": {"pin": {"attributes": {"turn": ["left"]}}}}, *["left is not mirror-symmetric"] * 2),
        ({"components": {"pin": {"fills": "cup"}, "cup": {}}}, "", "pin fills cup"),
    ],
)  # fmt: skip
def test_names_and_regions_forbid_flips(keys: dict[str, object], x: str, y: str) -> None:
    """Regions on one side, writing and liquids are not symmetric."""
    assert restrictions_of(COUNT, **keys).flip == {"x": x, "y": y}


@pytest.mark.parametrize(
    ("rule", "attribute", "is_free"),
    [
        (COUNT, "face", True),
        (COUNT, "supplier", True),  # speaks of no way up, though it has the letters
        (COUNT, "up_side", False),
        (COUNT, "orientation", False),
        (COUNT, "digit", False),  # six or nine
        (layout("left_of"), "face", False),
        (layout("above"), "face", False),
    ],
)
def test_orientation_free_specs(rule: dict[str, object], attribute: str, is_free: bool) -> None:
    """No rule tells sides apart, and no name mentions an orientation."""
    body = {
        "logicls": 1,
        "product": {"name": "box"},
        "components": {"pin": {"attributes": {attribute: ["one", "two"]}}, "cup": {}},
    }
    assert is_orientation_free(Spec.model_validate({**body, "constraints": [{"id": "rule", **rule}]})) == is_free


PIN_SPEC = Spec.model_validate(
    {"logicls": 1, "product": {"name": "box"}, "components": {"pin": {}}, "constraints": [{"id": "rule", **COUNT}]}
)


def scatter_pins(x: tuple[float, float], photos: int = 30, pins: int = 6, seed: int = 0) -> list[Scene]:
    """Photos with some pins each, uniform between those shares of the width, and over the height."""
    rng = np.random.default_rng(seed)
    lowest, highest = (x[0], 0.1), (x[1], 0.9)
    positions = rng.uniform(lowest, highest, (photos, pins, 2)) * (200, 100)
    return [
        Scene(
            f"{n}.png",
            200,
            100,
            tuple(Instance(k, "pin", Box(a - 4, b - 4, a + 4, b + 4)) for k, (a, b) in enumerate(centres)),
        )
        for n, centres in enumerate(positions.tolist())
    ]


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        ((0.05, 0.95), ""),
        ((0.45, 0.55), "pin has a fixed position"),
        ((0.05, 0.65), "pin does not lie on both sides alike"),
    ],
    ids=["anywhere", "in the middle", "to one side"],
)
def test_fixed_positions_forbid_flips(x: tuple[float, float], reason: str) -> None:
    """Components with a fixed position, or on one side, must not appear elsewhere."""
    assert find_restrictions(PIN_SPEC, scatter_pins(x)).flip == {"x": reason, "y": ""}
    assert find_restrictions(PIN_SPEC).flip == {"x": "", "y": ""}


def test_chance_does_not_forbid_flips() -> None:
    """One pin on each of 30 photos, anywhere: nearly all sets of photos may be flipped; on one side, hardly any."""
    anywhere = [find_restrictions(PIN_SPEC, scatter_pins((0.02, 0.98), pins=1, seed=s)).flip["x"] for s in range(60)]
    one_side = [find_restrictions(PIN_SPEC, scatter_pins((0.02, 0.6), pins=1, seed=s)).flip["x"] for s in range(60)]

    assert anywhere.count("") >= 57
    assert one_side.count("") <= 3


def test_piles_are_one_observation_each() -> None:
    """Twenty pins that lie together on each photo, anywhere, count as one: only photos can be mirrored."""
    rng, allowed = np.random.default_rng(0), 0
    for _ in range(40):
        scenes = []
        for number, scene in enumerate(scatter_pins((0.0, 0.05), photos=12, pins=20, seed=int(rng.integers(1 << 30)))):
            shift = float(rng.uniform(0, 190))
            moved = tuple(Instance(i.id, "pin", i.box.translate(shift, 0)) for i in scene.instances)
            scenes.append(Scene(f"{number}.png", 200, 100, moved))
        allowed += not find_restrictions(PIN_SPEC, scenes).flip["x"]

    assert allowed >= 37


def test_a_slight_asymmetry_of_many_photos_does_not_matter() -> None:
    """With 400 photos a shift by 5 % of the width is significant, and no reason."""
    assert find_restrictions(PIN_SPEC, scatter_pins((0.05, 0.85), photos=400)).flip["x"] == ""


def test_few_photos_show_nothing() -> None:
    """Seven photos cannot show that a component lies on both sides alike."""
    few = find_restrictions(PIN_SPEC, scatter_pins((0.05, 0.95), photos=7)).flip

    assert few["x"] == "7 photos do not show whether pin lies on both sides alike"
