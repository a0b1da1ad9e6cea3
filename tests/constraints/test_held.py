"""Rules held against examples and good photos: what they do not come to, cannot be broken by, or do not name."""

from __future__ import annotations

from typing import Any

import pytest

from logicls.constraints.lint.data_audit import MAX_PHOTOS_LISTED, audit_photos
from logicls.constraints.lint.spec_lint import lint_spec
from logicls.constraints.spec.models import Spec
from logicls.constraints.spec.references import Fault, find_faults
from logicls.records import Box, Instance, Scene

from .readings import at

Body = dict[str, Any]
PINS = {"quantity": {"of": "pin", "exactly": 2}, "violation": {"below": "few", "above": "many"}}
TOP = {"layout": {"subject": "pin", "relation": "above", "object": "tray"}, "violation": "low"}
ON = {"quantity": {"of": "pin", "at_least": 1, "in": "tray"}, "violation": "off"}
LEFT = {"quantity": {"of": "pin", "at_least": 1, "in": "left"}, "violation": "right"}
RED = {"attribute": {"of": "pin.colour", "is": "red"}, "violation": "blue"}


def spec(*constraints: Body, **more: Any) -> Spec:
    """A box of pins on a tray; constraints are numbered."""
    return Spec.model_validate(
        {
            "logicls": 1,
            "product": {"name": "box"},
            "components": {"pin": {"attributes": {"colour": ["red", "blue"], "size": ["s"]}}, "tray": {}},
            "regions": {"left": {"box": [0, 0, 0.5, 1]}},
            "constraints": [{"id": f"c{number}", **body} for number, body in enumerate(constraints)],
            **more,
        }
    )


def said(rules: Spec, *codes: str) -> list[Fault]:
    """What lint says, of these codes."""
    assert find_faults(rules) == []
    return [fault for fault in lint_spec(rules) if fault.code in codes]


@pytest.mark.parametrize(
    ("scene", "found"),
    [
        ({"pin": 2, "tray": 1}, "nothing"),
        ({"pin": 3}, "many"),
        ({"pin": {"count": 1, "colour": "blue"}}, "blue, few"),
        ({"pin": {"colour": ["red", "blue"]}}, "blue"),
        ({"pin": [{"colour": "red"}, {"colour": "red", "count": 2}]}, "many"),
        ({"pin": 0, "tray": 1}, "few, off"),
        (
            {"pin": {"count": 2, "boxes": [[0, 0, 0.1, 0.1], [0.6, 0, 0.7, 0.1]]}, "tray": {"box": [0, 0.5, 1, 1]}},
            "off",
        ),
        (
            {"pin": {"boxes": [[0.6, 0.6, 0.7, 1], [0.6, 0, 0.7, 0.1]]}, "tray": {"box": [0, 0.5, 1, 1]}},
            "low, right",
        ),
        ({"pin": {"box": [0, 0.9, 0.1, 1]}, "tray": {"box": [0, 0.5, 1, 1]}}, "few, low"),
    ],
)
def test_an_example_comes_to_what_it_breaks(scene: Body, found: str) -> None:
    """LC041: without boxes all lies on one spot, and only rules that need none are held against it."""
    names = [] if found == "nothing" else found.split(", ")
    rules = PINS, TOP, ON, LEFT, RED
    right = spec(*rules, examples=[{"scene": scene, "breaks": names}])
    wrong = spec(*rules, examples=[{"scene": scene, "breaks": ["off", "few", "low"]}])

    assert said(right, "LC041") == []
    assert said(wrong, "LC041") == [
        Fault(
            ("examples", 0),
            f"example 1 should break few, low, off, but breaks {found}",
            "Mend the rule or the example.",
            "LC041",
        )
    ]


@pytest.mark.parametrize(
    ("scene", "path", "message"),
    [
        ({"pin": -1}, ("pin",), '"pin" in the scene is -1'),
        ({"pin": True}, ("pin",), '"pin" in the scene is True'),
        ({"pin": [1, [2]]}, ("pin",), '"pin" in the scene is [1, [2]]'),
        ({"pin": [{"count": "two"}]}, ("pin", 0, "count"), "count is 'two'"),
        ({"pin": {"colour": []}}, ("pin", "colour"), "colour is an empty list"),
        ({"pin": {"box": [0, 0, 1]}}, ("pin", "box"), "box is not [left, top, right, bottom]"),
        ({"pin": {"box": [0, 0, 1.1, 1]}}, ("pin", "box"), "box is not [left, top, right, bottom]"),
        (
            {"pin": {"boxes": [[0, 0, 1, 1], [0.5, 0, 0.5, 1]]}},
            ("pin", "boxes"),
            "boxes is not [left, top, right, bottom]",
        ),
    ],
)
def test_a_scene_that_is_none(scene: Body, path: tuple[Any, ...], message: str) -> None:
    """LC025: counts are whole, boxes lie in the photo, and lists hold no lists."""
    found = find_faults(spec(PINS, examples=[{"scene": scene}]))

    assert [(f.path, f.message, f.code) for f in found] == [(("examples", 0, "scene", *path), message, "LC025")]


MATCH = {"left": "pin.size", "right": "pin.colour", "pairs": {"s": ["red", "blue"]}}
NOTHING = "nothing can break 'c0': it allows everything"
ALL = "nothing can break 'c0': every value that the spec knows is right"


@pytest.mark.parametrize(
    ("rule", "path", "message"),
    [
        ({"quantity": {"of": "pin", "at_least": 0}}, ("quantity",), NOTHING),
        ({"measure": {"height": "pin", "at_least": 0}}, ("measure",), NOTHING),
        ({"any": [PINS, {"quantity": {"of": "pin", "at_least": 0}}]}, ("any",), NOTHING),
        ({"attribute": {"of": "pin.colour", "is": ["blue", "red"]}}, ("attribute",), ALL),
        ({"match": MATCH}, ("match",), ALL),
        ({"not": {"all": [{"attribute": {"of": "pin.size", "is": "s"}}]}}, ("not", "all", 0, "attribute"), ALL),
    ],
)
def test_what_nothing_can_break(rule: Body, path: tuple[Any, ...], message: str) -> None:
    """LC044: limits that allow everything, and lists of all values."""
    body = {key: [{k: v for k, v in m.items() if k != "violation"} for m in value] if key == "any" else value
            for key, value in rule.items()}  # fmt: skip

    assert [f[:2] for f in said(spec(body), "LC044")] == [(("constraints", 0, *path), message)]


@pytest.mark.parametrize(
    "rule",
    [
        {"quantity": {"of": "pin", "at_least": 1}},
        {"quantity": {"of": "pin", "at_most": 0}},
        {"measure": {"height": "pin", "at_least": 0.1}},
        {"all": [{"quantity": {"of": "pin", "at_least": 0}}, {"quantity": {"of": "pin", "at_most": 1}}]},
        {"attribute": {"of": "pin.colour", "is": "red"}},
        {"attribute": {"of": "pin.size", "same": True}},
        {"match": {**MATCH, "pairs": {"s": "red"}}},
    ],
)
def test_what_something_can_break(rule: Body) -> None:
    """One value or count that is wrong is enough."""
    assert said(spec(rule), "LC044") == []


@pytest.mark.parametrize(
    ("rule", "violation", "path", "message"),
    [
        (PINS, {"below": "few"}, (), "'c0' has no name for the defect above its limits"),
        (PINS, {"above": {2: "many"}}, (), "'c0' has no name for the defect below its limits"),
        (ON, {"below": "off", "above": "many"}, ("above",), "'c0' cannot be broken above its limits"),
        (TOP, {"below": "low"}, ("below",), "'c0' cannot be broken below its limits"),
    ],
)
def test_names_of_sides(rule: Body, violation: Body, path: tuple[Any, ...], message: str) -> None:
    """LC045: sides without a name, and names of sides on which the rule cannot be broken."""
    found = said(spec({**rule, "violation": violation}), "LC045")

    assert [f[:2] for f in found] == [(("constraints", 0, "violation", *path), message)]


@pytest.mark.parametrize("rule", [PINS, ON, {**PINS, "violation": "wrong"}, {**ON, "violation": {"below": "off"}}])
def test_names_that_are_all_there(rule: Body) -> None:
    """One name for all sides, or one for each."""
    assert said(spec(rule), "LC045") == []


@pytest.mark.parametrize(
    ("body", "fine"),
    [
        ({"relation": "centred_in", "object": "tray", "tolerance": 0}, False),
        ({"relation": "aligned", "axis": "x", "tolerance": [0, 0]}, False),
        ({"relation": "evenly_spaced", "axis": "x", "tolerance": 0}, False),
        ({"relation": "centred_in", "object": "tray", "tolerance": [0, 0.1]}, True),
        ({"relation": "inside", "object": "tray", "tolerance": 0}, True),
        ({"relation": "aligned", "axis": "x", "tolerance": 0.01}, True),
    ],
)
def test_a_tolerance_of_nothing(body: Body, fine: bool) -> None:
    """LC046: boxes never meet exactly, where a relation is about centres."""
    found = said(spec({"layout": {"subject": "pin", **body}}), "LC046")

    message = "'c0' has a tolerance of 0, less than any pixel"
    assert [f[:2] for f in found] == ([] if fine else [(("constraints", 0, "layout", "tolerance"), message)])


def test_what_no_example_breaks() -> None:
    """LC047: every side of every rule, where there are examples at all."""
    shown = {"scene": {"pin": 3, "tray": 1}, "breaks": ["many"]}

    assert said(spec(PINS, ON), "LC047") == []
    assert [f[:2] for f in said(spec(PINS, ON, examples=[shown]), "LC047")] == [
        (("constraints", 0), "no example breaks 'c0' by few"),
        (("constraints", 1), "no example breaks 'c1' by off"),
    ]


TRAY = Instance(9, "tray", Box(100, 100, 300, 200))


def photo(name: str, *pins: Box, colour: str = "red") -> Scene:
    """A tray and some pins."""
    return Scene(name, 400, 400, (*(Instance(n, "pin", b, (("colour", colour),)) for n, b in enumerate(pins, 1)), TRAY))


def test_a_good_photo_that_breaks_a_rule_is_named() -> None:
    """LC050: the photo, its annotations, what was found and what was expected; rule by rule."""
    bad = photo("bad.png", at(200, 300), at(220, 300), at(240, 300))

    found = audit_photos(spec(PINS, TOP), [photo("good.png", at(200, 50), at(220, 50)), bad])

    advice = "Mend the annotation, the rule, or take the photo out."
    assert found == [
        Fault(
            ("constraints", 0),
            "bad.png (annotations 1, 2, 3) breaks 'c0': found 3 pin; expected 2 pin",
            advice,
            "LC050",
        ),
        Fault(
            ("constraints", 1),
            "bad.png (annotations 1, 2, 3) breaks 'c1': found below; expected pin above the tray",
            advice,
            "LC050",
        ),
    ]


def test_what_many_photos_break_is_counted() -> None:
    """LC050: some are named; of seven annotations six."""
    photos = [photo(f"{n}.png", *[at(20.0 + 50 * i, 50) for i in range(7)]) for n in range(MAX_PHOTOS_LISTED + 3)]

    found = audit_photos(spec(PINS), photos)

    assert [f.message for f in found[:MAX_PHOTOS_LISTED]] == [
        f"{n}.png (annotations 1, 2, 3, 4, 5, 6 ...) breaks 'c0': found 7 pin; expected 2 pin" for n in range(MAX_PHOTOS_LISTED)
    ]
    assert found[MAX_PHOTOS_LISTED][1:3] == (
        f"and 3 more of {MAX_PHOTOS_LISTED + 3} photos break 'c0'",
        "A rule that so many break is hardly one.",
    )


def test_one_that_is_missing_has_no_annotation() -> None:
    """LC050: there is nothing to point at but the photo."""
    found = audit_photos(spec({"quantity": {"of": "pin", "at_least": 1}}), [photo("a.png")])

    assert found[0].message == "a.png breaks 'c0': found 0 pin; expected at least 1 pin"


def test_a_rule_that_no_photo_exercises() -> None:
    """LC051: what it speaks of is on none of them; nothing is said of no photos at all."""
    rules = spec(RED, {"quantity": {"of": "tray", "exactly": 1}})

    message = "no photo exercises 'c0': what it speaks of is on none of the 2"
    assert [f[:2] for f in audit_photos(rules, [photo("a.png"), photo("b.png")]) if f.code == "LC051"] == [
        (("constraints", 0), message)
    ]
    assert audit_photos(rules, []) == []


def test_a_rule_that_no_edit_breaks() -> None:
    """LC044: synthesis tries each side on some photos; a tray that fills the photo cannot be left."""
    full = [Scene("a.png", 400, 400, (Instance(1, "pin", at(200, 200)), Instance(2, "tray", Box(0, 0, 400, 400))))]
    inside = {"layout": {"subject": "pin", "relation": "at", "object": "tray"}, "violation": "astray"}

    found = audit_photos(spec(inside, {"quantity": {"of": "pin", "exactly": 1}}), full)

    advice = "Synthesis will not show it: see whether the rule can be broken, or add photos of it."
    assert found == [Fault(("constraints", 0), "no edit of these photos breaks 'c0'", advice, "LC044")]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"relation": "centred_in", "object": "tray", "tolerance": 0.004}, "a tolerance of 0.004 is 0.40 px"),
        ({"relation": "aligned", "axis": "x", "tolerance": 0.04}, "a tolerance of 0.04 is 0.80 px"),
        ({"relation": "evenly_spaced", "axis": "x", "tolerance": 0.02}, "a tolerance of 0.02 is 0.80 px"),
        ({"relation": "centred_in", "object": "tray", "tolerance": 0.01}, ""),
        ({"relation": "aligned", "axis": "x", "tolerance": 0.05}, ""),
        ({"relation": "evenly_spaced", "axis": "x", "tolerance": 0.03}, ""),
    ],
)
def test_a_tolerance_below_a_pixel(body: Body, message: str) -> None:
    """LC046: in pixels of these photos, the median; of the shorter side of the place."""
    row = photo("a.png", at(160, 150), at(200, 150), at(240, 150))

    found = audit_photos(spec({"layout": {"subject": "pin", **body}}), [row])

    told = f"{message} on these photos, less than a pixel"
    expected = [(("constraints", 0, "layout", "tolerance"), told, "No annotation is that exact: widen it.", "LC046")]
    assert [f for f in found if f.code == "LC046"] == (expected if message else [])
