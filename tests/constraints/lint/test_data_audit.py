"""Rules on photos of good products: photos that break them, and rules that no edit can break."""

from __future__ import annotations

import pytest

from logicls.constraints.families.protocol import Fault
from logicls.constraints.lint.data_audit import ANY_VIOLATION, MAX_PHOTOS_EDITED, MIN_SUSPICIOUS, audit_photos
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

    advice = "Correct the annotation or the rule, declare the defect in truth.csv, or remove the photo."
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


def test_all_photos_that_break_a_rule_are_listed() -> None:
    """LC050 lists every photo, and six of its seven annotations; a rule that most of many photos break is doubted."""
    photos = [photo(f"{n:02}.png", *[at(20.0 + 50 * i, 50) for i in range(7)]) for n in range(MIN_SUSPICIOUS + 3)]

    found = audit_photos(spec(PINS), photos)

    assert [f.message for f in found[:-1]] == [
        f"{n:02}.png (annotations 1, 2, 3, 4, 5, 6 ...) breaks 'c0': found 7 pins; expected 2 pins"
        for n in range(MIN_SUSPICIOUS + 3)
    ]
    assert found[-1][1:3] == (
        f"{MIN_SUSPICIOUS + 3} of {MIN_SUSPICIOUS + 3} photos break 'c0'",
        "A rule that so many good photos break is probably wrong.",
    )
    assert len(audit_photos(spec(PINS), photos[:5])) == 5


@pytest.mark.parametrize(
    ("declared", "codes"),
    [
        ([], ["LC050", "LC050"]),
        (["many", "low"], ["LC057", "LC057"]),
        ([ANY_VIOLATION], ["LC057", "LC057"]),
        (["many"], ["LC057", "LC050"]),
        (["of_another_spec"], ["LC050", "LC050"]),
        (["few"], ["LC050", "LC058", "LC050"]),
    ],
)
def test_declared_defects(declared: list[str], codes: list[str]) -> None:
    """Declared violations are notes (LC057); others on the photo are reported, and declared ones that are not there."""
    bad, good = photo("bad.png", at(200, 300), at(220, 300), at(240, 300)), photo("good.png", at(200, 50), at(220, 50))

    found = audit_photos(spec(PINS, TOP), [good, bad], {"bad.png": declared})

    assert [fault.code for fault in found] == codes


def test_declared_photos_are_not_edited() -> None:
    """A photo that is declared to be defective, and whose annotations break no rule, is no good photo."""
    good = photo("good.png", at(200, 50), at(220, 50))

    found = audit_photos(spec(PINS), [good], {"good.png": [ANY_VIOLATION]})

    assert [(fault.code, fault.message) for fault in found] == [
        ("LC058", "good.png is declared to be defective, and its annotations break no rule")
    ]


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


def test_what_no_photo_shows_cannot_be_pasted() -> None:
    """LC044: a hole can neither be added nor uncovered where no photo has one; one photo is enough."""
    rules = Spec.model_validate(
        {
            "logicls": 1,
            "product": {"name": "block"},
            "components": {"pin": {"leaves": "hole"}, "hole": {"optional": True}, "tray": {"optional": True}},
            "constraints": [
                {"id": "no-hole", "quantity": {"of": "hole", "exactly": 0}, "violation": "open_hole"},
                {"id": "two-pins", "quantity": {"of": "pin", "at_least": 2}, "violation": "missing_pin"},
            ],
        }
    )
    good = photo("good.png", at(60, 60), at(350, 60))
    open_hole = Scene("open.png", 400, 400, (*good.instances, Instance(8, "hole", at(60, 350))))

    assert [fault.path for fault in audit_photos(rules, [good]) if fault.code == "LC044"] == [
        ("constraints", 0),
        ("constraints", 1),
    ]
    assert not [fault for fault in audit_photos(rules, [good, open_hole]) if fault.code == "LC044"]


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
