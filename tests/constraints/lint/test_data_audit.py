"""Rules on photos of good products: photos that break them, and rules that no edit can break."""

from __future__ import annotations

import pytest

from logicls.constraints.families.protocol import Fault
from logicls.constraints.lint.data_audit import MAX_PHOTOS_EDITED, MAX_PHOTOS_LISTED, audit_photos
from logicls.constraints.spec.models import Spec
from logicls.records import Box, Instance, Scene

from ..readings import at
from .pins import PINS, RED, TOP, Body, spec

TRAY = Instance(9, "tray", Box(100, 100, 300, 200))


def photo(name: str, *pins: Box, colour: str = "red") -> Scene:
    """A photo of a tray and pins."""
    return Scene(name, 400, 400, (*(Instance(n, "pin", b, (("colour", colour),)) for n, b in enumerate(pins, 1)), TRAY))


def test_good_photo_that_breaks_a_rule() -> None:
    """LC050 names the photo, its annotations, the actual and the expected value, rule by rule."""
    bad = photo("bad.png", at(200, 300), at(220, 300), at(240, 300))

    found = audit_photos(spec(PINS, TOP), [photo("good.png", at(200, 50), at(220, 50)), bad])

    advice = "Correct the annotation or the rule, or remove the photo."
    assert found == [
        Fault(
            ("constraints", 0),
            "bad.png (annotations 1, 2, 3) breaks 'c0': found 3 pins; expected 2 pins",
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


def test_many_photos_that_break_a_rule_are_counted() -> None:
    """LC050 lists 20 photos, and six of their seven annotations."""
    photos = [photo(f"{n}.png", *[at(20.0 + 50 * i, 50) for i in range(7)]) for n in range(MAX_PHOTOS_LISTED + 3)]

    found = audit_photos(spec(PINS), photos)

    assert [f.message for f in found[:MAX_PHOTOS_LISTED]] == [
        f"{n}.png (annotations 1, 2, 3, 4, 5, 6 ...) breaks 'c0': found 7 pins; expected 2 pins"
        for n in range(MAX_PHOTOS_LISTED)
    ]
    assert found[MAX_PHOTOS_LISTED][1:3] == (
        f"and 3 more of {MAX_PHOTOS_LISTED + 3} photos break 'c0'",
        "A rule that so many good photos break is probably wrong.",
    )


def test_missing_component_has_no_annotation() -> None:
    """LC050 names only the photo."""
    found = audit_photos(spec({"quantity": {"of": "pin", "at_least": 1}}), [photo("a.png")])

    assert found[0].message == "a.png breaks 'c0': found 0 pins; expected at least 1 pin"


def test_rule_that_applies_to_no_photo() -> None:
    """LC051 is reported if there are photos and none has the components of the rule."""
    rules = spec(RED, {"quantity": {"of": "tray", "exactly": 1}})

    message = "'c0' applies to no photo (2 checked): its components are missing"
    assert [f[:2] for f in audit_photos(rules, [photo("a.png"), photo("b.png")]) if f.code == "LC051"] == [
        (("constraints", 0), message)
    ]
    assert audit_photos(rules, []) == []


def test_rule_that_no_edit_breaks() -> None:
    """LC044: every failure mode is tried on some photos; no pin can leave a tray that fills the photo."""
    full = [Scene("a.png", 400, 400, (Instance(1, "pin", at(200, 200)), Instance(2, "tray", Box(0, 0, 400, 400))))]
    inside = {"layout": {"subject": "pin", "relation": "at", "object": "tray"}, "violation": "astray"}

    found = audit_photos(spec(inside, {"quantity": {"of": "pin", "exactly": 1}}), full)

    advice = "Synthesis cannot show it: check whether the rule can be broken, or add photos."
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
def test_tolerance_below_a_pixel(body: Body, message: str) -> None:
    """LC046: the median over the photos counts, along the shorter side of the region."""
    row = photo("a.png", at(160, 150), at(200, 150), at(240, 150))

    found = audit_photos(spec({"layout": {"subject": "pin", **body}}), [row])

    text = f"{message} on these photos, less than a pixel"
    expected = [(("constraints", 0, "layout", "tolerance"), text, "No annotation is that exact: increase it.", "LC046")]
    assert [f for f in found if f.code == "LC046"] == (expected if message else [])


PIN_COUNT_SPEC = Spec.model_validate(
    {
        "logicls": 1,
        "product": {"name": "tray"},
        "components": {"pin": {}},
        "constraints": [{"id": "pins", "quantity": {"of": "pin", "between": [2, 20]}, "violation": {"below": "few"}}],
    }
)


def tray_photo(pins: int) -> Scene:
    """A photo of pins in a row."""
    return Scene(
        "a.png", 400, 40, tuple(Instance(n, "pin", Box(19 * n, 9, 19 * n + 9, 19)) for n in range(1, pins + 1))
    )


def test_sample_covers_the_whole_dataset() -> None:
    """Photos that allow all edits are found even after many that do not."""
    full, sparse = [tray_photo(20)] * MAX_PHOTOS_EDITED, [tray_photo(3)] * MAX_PHOTOS_EDITED

    assert [fault.code for fault in audit_photos(PIN_COUNT_SPEC, full)] == ["LC048"]
    assert audit_photos(PIN_COUNT_SPEC, [*full, *sparse]) == []


def test_photos_that_break_a_rule_are_not_sampled() -> None:
    """They are reported and do not replace good photos in the sample."""
    codes = [
        fault.code for fault in audit_photos(PIN_COUNT_SPEC, [tray_photo(0)] * 15 + [tray_photo(3), tray_photo(20)])
    ]

    assert codes == ["LC050"] * 15
