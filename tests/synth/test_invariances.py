"""What photos may go through follows from the rules."""

from __future__ import annotations

import numpy as np
import pytest

from logicls.constraints.spec.models import Spec
from logicls.records import Box, Instance, Scene
from logicls.synth.invariances import AugmentationRestrictions, find_restrictions, is_orientation_free

COUNT = {"quantity": {"of": "pin", "exactly": 2}}


def of(rule: dict[str, object], **keys: object) -> AugmentationRestrictions:
    """What a spec with that rule allows."""
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
    ("rule", "turn", "x", "y"),
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
def test_rules_decide(rule: dict[str, object], turn: str, x: str, y: str) -> None:
    """A rule forbids what would falsify its answers, and nothing else, also inside of other rules."""
    assert of(rule) == AugmentationRestrictions("", turn, {"x": x, "y": y})


def test_an_attribute_that_is_asked_keeps_its_hue() -> None:
    """The attribute of a component that no rule asks about does not count."""
    assert of({"attribute": {"of": "pin.colour", "is": "red"}}).hue == "pin.colour is asked for"
    assert of(COUNT).hue == ""


@pytest.mark.parametrize(
    ("keys", "x", "y"),
    [
        ({"regions": {"left": {"box": [0, 0.1, 0.5, 0.9]}}}, "region left lies to one side", ""),
        ({"regions": {"middle": {"box": [0.2, 0.1, 0.8, 0.9]}}}, "", ""),
        ({"components": {"pin": {}, "cup": {}, "text_label": {}}}, *["text_label looks different in a mirror"] * 2),
        ({"components": {"pin": {"attributes": {"turn": ["left"]}}}}, *["left looks different in a mirror"] * 2),
        ({"components": {"pin": {"fills": "cup"}, "cup": {}}}, "", "pin fills cup"),
    ],
)  # fmt: skip
def test_names_and_places_decide_about_mirrors(keys: dict[str, object], x: str, y: str) -> None:
    """Regions to one side, writing and liquids are not the same in a mirror."""
    assert of(COUNT, **keys).flip == {"x": x, "y": y}


@pytest.mark.parametrize(
    ("rule", "attribute", "anyhow"),
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
def test_what_may_lie_any_way_round(rule: dict[str, object], attribute: str, anyhow: bool) -> None:
    """Where no rule tells sides apart, and no name speaks of them."""
    body = {
        "logicls": 1,
        "product": {"name": "box"},
        "components": {"pin": {"attributes": {attribute: ["one", "two"]}}, "cup": {}},
    }
    assert is_orientation_free(Spec.model_validate({**body, "constraints": [{"id": "rule", **rule}]})) == anyhow


def strewn(x: tuple[float, float], photos: int = 30) -> list[Scene]:
    """Photos with six pins each, evenly between those shares of the width, anywhere from top to bottom."""
    rng = np.random.default_rng(0)
    low, high = (x[0], 0.1), (x[1], 0.9)
    places = rng.uniform(low, high, (photos, 6, 2)) * (200, 100)
    return [
        Scene(
            f"{n}.png",
            200,
            100,
            tuple(Instance(k, "pin", Box(a - 4, b - 4, a + 4, b + 4)) for k, (a, b) in enumerate(some)),
        )
        for n, some in enumerate(places.tolist())
    ]


@pytest.mark.parametrize(
    ("x", "said"),
    [((0.05, 0.95), ""), ((0.45, 0.55), "pin does not lie anywhere"), ((0.05, 0.65), "pin does not lie anywhere")],
    ids=["anywhere", "in the middle", "to one side"],
)
def test_photos_decide_about_mirrors(x: tuple[float, float], said: str) -> None:
    """Things that keep to a place, or to a side, are not to be seen elsewhere."""
    body = {"logicls": 1, "product": {"name": "box"}, "components": {"pin": {}}}
    spec = Spec.model_validate({**body, "constraints": [{"id": "rule", **COUNT}]})

    assert find_restrictions(spec, strewn(x)).flip == {"x": said, "y": ""}
    assert find_restrictions(spec).flip == {"x": "", "y": ""}
