"""Where: what the layout family says, and what its check comes to."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from logicls.constraints.families.context import FailureMode, NotApplicable, RuleResult
from logicls.constraints.families.layout import Layout
from logicls.constraints.families.relations import GROUPS
from logicls.records import Answer, Box

from ..readings import TRAY, at, attribute_answer, locate_answer, make_context


def layout(**body: Any) -> Layout:
    """A rule about pins and the tray, where it is about nothing else."""
    to = {} if body.get("relation") in GROUPS else {"object": "tray"}
    return Layout.model_validate({"subject": "pin", **to, **body})


def checked(rule: Layout, *pins: Box) -> RuleResult:
    """What it comes to of these pins, the tray, and a cap at 350, 50."""
    return rule.evaluate(
        make_context(locate_answer("pin", *pins), locate_answer("tray", TRAY), locate_answer("cap", at(350, 50)))
    )


def broken(found: str) -> RuleResult:
    """The only way to be broken."""
    return RuleResult("broken", found, (FailureMode(),))


CENTRED = {"relation": "centred_in", "tolerance": (0.1, 0.2)}
ROW: dict[str, Any] = {"relation": "aligned", "axis": "x", "tolerance": 0.5}
ORDER = {"relation": "in_order", "axis": "x", "subject": ["pin", "nut"]}
EVEN: dict[str, Any] = {"relation": "evenly_spaced", "axis": "x", "tolerance": 0.1}


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (layout(subject="a_b", relation="left_of", object="c_d"), "a b left of the c d"),
        (layout(**CENTRED), "pin centred in the tray, within 10 % across and 20 % down"),
        (layout(relation="at"), "pin in the tray"),
        (layout(relation="overlaps"), "pin overlapping the tray"),
        (layout(relation="touching"), "pin touching the tray"),
        (layout(relation="not_touching", object="pin"), "pin not touching another"),
        (layout(**ROW), "pin aligned in a row, within 50 %"),
        (layout(**ROW | {"axis": "y", "subject": ["pin", "cap"]}), "pin and cap aligned in a column, within 50 %"),
        (layout(**EVEN), "pin evenly spaced from left to right, within 10 %"),
        (layout(**EVEN | {"axis": "y"}), "pin evenly spaced from top to bottom, within 10 %"),
        (
            layout(subject=["pin", "my_cap", "nut"], relation="in_order", axis="x"),
            "pin, my cap and nut in this order from left to right",
        ),
    ],
)
def test_text_and_single_failure_kind(rule: Layout, text: str) -> None:
    """Plain English; there is one way to be broken."""
    assert (rule.to_text(), rule.failure_kinds()) == (text, ("",))


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"relation": "above", "object": None}, "above needs an object"),
        ({"relation": "above", "subject": ["pin", "cap"]}, "above takes a single subject"),
        ({"relation": "aligned", "axis": "x"}, "aligned needs a tolerance"),
        ({"relation": "aligned", "tolerance": 0.1}, "aligned needs axis: x .left to right. or y .top to bottom."),
        (
            {"relation": "aligned", "axis": "x", "object": "tray"},
            "aligned has no object: name all components in subject",
        ),
        ({"relation": "in_order", "axis": "x"}, "in_order needs a list of at least two components in subject"),
        ({"relation": "overlaps", "tolerance": 0.1}, "overlaps takes no tolerance"),
        ({"relation": "centred_in"}, "centred_in needs a tolerance"),
        ({"relation": "inside", "tolerance": -0.1}, "greater than or equal to 0"),
    ],
)
def test_invalid_body_is_rejected(body: dict[str, Any], wrong: str) -> None:
    """Every relation has the keys that it needs, and no others."""
    with pytest.raises(ValidationError, match=wrong):
        layout(**body)


@pytest.mark.parametrize(
    ("body", "pin", "check"),
    [
        ({"relation": "above"}, at(0, 149), RuleResult("holds", "above")),
        ({"relation": "above"}, at(0, 150), broken("below")),
        ({"relation": "above", "tolerance": 0.1}, at(0, 160), RuleResult("holds", "below")),
        ({"relation": "above", "tolerance": 0.1}, at(0, 161), broken("below")),
        ({"relation": "below"}, at(0, 151), RuleResult("holds", "below")),
        ({"relation": "below", "tolerance": 0.1, "relative_to": "cap"}, at(0, 149), RuleResult("holds", "above")),
        ({"relation": "below", "tolerance": 0.1, "relative_to": "cap"}, at(0, 147), broken("above")),
        ({"relation": "left_of"}, at(199, 0), RuleResult("holds", "left")),
        ({"relation": "left_of"}, at(201, 0), broken("right")),
        ({"relation": "right_of"}, at(201, 0), RuleResult("holds", "right")),
        ({"relation": "right_of", "tolerance": 0.01}, at(197, 0), broken("left")),
        ({"relation": "inside"}, at(110, 110), RuleResult("holds", "inside")),
        ({"relation": "inside"}, at(105, 110), broken("sticks out by 5 px")),
        ({"relation": "inside", "tolerance": 0.05}, at(105, 110), RuleResult("holds", "inside")),
        ({"relation": "inside", "tolerance": (0.01, 0.5)}, at(105, 110), broken("sticks out by 3 px")),
        ({"relation": "inside", "tolerance": 0.25, "relative_to": "cap"}, at(105, 110), RuleResult("holds", "inside")),
        (CENTRED, at(219, 169), RuleResult("holds", "off by +9.5% of its width, +19.0% of its height")),
        (CENTRED, at(222, 150), broken("off by +11.0% of its width, +0.0% of its height")),
        (CENTRED, at(200, 128), broken("off by +0.0% of its width, -22.0% of its height")),
        (
            {**CENTRED, "axis": "x"},
            at(200, 10),
            RuleResult("holds", "off by +0.0% of its width, -140.0% of its height"),
        ),
        ({**CENTRED, "axis": "y"}, at(0, 150), RuleResult("holds", "off by -100.0% of its width, +0.0% of its height")),
        ({**CENTRED, "relative_to": "cap"}, at(203, 150), broken("off by +1.5% of its width, +0.0% of its height")),
        ({"relation": "at"}, at(100, 200), RuleResult("holds", "at 100, 200 px")),
        ({"relation": "at"}, at(95, 150), broken("at 95, 150 px")),
        ({"relation": "at", "tolerance": 0.05}, at(90, 205), RuleResult("holds", "at 90, 205 px")),
        ({"relation": "at", "tolerance": 0.05}, at(90, 206), broken("at 90, 206 px")),
        ({"relation": "overlaps"}, at(91, 150), RuleResult("holds", "touching")),
        ({"relation": "overlaps"}, at(90, 150), broken("touching")),
        ({"relation": "touching"}, at(90, 150), RuleResult("holds", "touching")),
        ({"relation": "touching"}, at(80, 150), broken("10 px apart")),
        ({"relation": "touching", "tolerance": 0.05}, at(80, 150), RuleResult("holds", "10 px apart")),
        ({"relation": "not_touching"}, at(80, 150), RuleResult("holds", "10 px apart")),
        ({"relation": "not_touching"}, at(90, 150), broken("touching")),
        ({"relation": "not_touching", "tolerance": 0.05}, at(80, 150), RuleResult("holds", "10 px apart")),
        ({"relation": "not_touching", "tolerance": 0.05}, at(81, 150), broken("9 px apart")),
    ],
)
def test_boxes_are_compared(body: dict[str, Any], pin: Box, check: RuleResult) -> None:
    """Centres for directions, centring and at, else edges; a tolerance is a share of the object or another place."""
    assert checked(layout(**body), pin) == check


@pytest.mark.parametrize(
    ("body", "good", "bad"),
    [
        ({"relation": "above"}, at(200, 20), at(200, 390)),
        ({"relation": "inside"}, at(200, 150), at(20, 20)),
        ({"relation": "overlaps"}, at(100, 100), at(20, 20)),
        ({"relation": "not_touching"}, at(20, 20), at(200, 150)),
    ],
)
def test_every_subject_must_satisfy_the_relation(body: dict[str, Any], good: Box, bad: Box) -> None:
    """One pin that lies as it should does not make up for one that does not."""
    assert [checked(layout(**body), *pins).status for pins in ((good,), (good, bad))] == ["holds", "broken"]


@pytest.mark.parametrize(
    ("relation", "status"),
    [("above", "broken"), ("inside", "holds"), ("at", "holds"), ("touching", "holds"), ("not_touching", "broken")],
)
def test_relation_to_one_or_every_object(relation: str, status: str) -> None:
    """A direction and not_touching are about every object; the other relations are about one of them."""
    trays = locate_answer("tray", TRAY, Box(0, 300, 50, 400))

    check = layout(relation=relation).evaluate(make_context(locate_answer("pin", at(200, 150)), trays))

    assert check.status == status


@pytest.mark.parametrize(("x", "status"), [(150, "holds"), (200, "broken")])
def test_a_region_moves_with_its_component(x: float, status: str) -> None:
    """Half of the tray is where the tray is."""
    assert checked(layout(relation="centred_in", object="left", tolerance=0.1), at(x, 150)).status == status


@pytest.mark.parametrize(
    ("subject", "target", "colours", "check"),
    [
        ("pin", "pin", "red red blue", broken("touching")),
        ("pin", "red_pin", "red blue blue", broken("touching")),
        ("red_pin", "pin", "blue blue red", RuleResult("holds", "95 px apart")),
        ("red_pin", "red_pin", "red blue red", RuleResult("holds", "95 px apart")),
        ("pin", "red_pin", "blue blue red", RuleResult("holds", "95 px apart")),
    ],
)
def test_subject_is_not_compared_with_itself(subject: str, target: str, colours: str, check: RuleResult) -> None:
    """By whatever names it goes: as a component, or as one of its variants."""
    three = locate_answer("pin", at(50, 50), at(65, 60), at(165, 155)), attribute_answer("pin.colour", *colours.split())

    assert layout(relation="not_touching", subject=subject, object=target).evaluate(make_context(*three)) == check


def test_single_instance_has_no_other() -> None:
    """A rule about a thing and another of its kind does not apply to one alone."""
    with pytest.raises(NotApplicable, match="1 pin"):
        checked(layout(relation="not_touching", object="pin"), at(50, 50))


@pytest.mark.parametrize(
    ("body", "pins", "check"),
    [
        (ROW, (at(50, 50), at(100, 54), at(150, 44)), RuleResult("holds", "as specified")),
        (ROW, (at(50, 50), at(100, 54), at(150, 43)), broken("off by 11 px, 10 px allowed")),
        (ROW | {"tolerance": (0.9, 0.1)}, (at(50, 50), at(100, 53)), broken("off by 3 px, 2 px allowed")),
        (
            ROW | {"relative_to": "tray", "tolerance": 0.1},
            (at(50, 50), at(100, 60)),
            RuleResult("holds", "as specified"),
        ),
        (
            ROW | {"relative_to": "tray", "tolerance": 0.1},
            (at(5, 50), at(90, 61)),
            broken("off by 11 px, 10 px allowed"),
        ),
        (ROW | {"axis": "y"}, (at(50, 50), at(61, 90)), broken("off by 11 px, 10 px allowed")),
        (ROW | {"subject": ["pin", "cap"]}, (at(50, 50), at(100, 61)), broken("off by 11 px, 10 px allowed")),
        (EVEN, (at(50, 0), at(160, 90), at(100, 9)), RuleResult("holds", "as specified")),
        (EVEN | {"tolerance": 0.05}, (at(50, 0), at(160, 90), at(100, 9)), broken("off by 5 px, 3 px allowed")),
        (EVEN | {"axis": "y"}, (at(50, 0), at(50, 40), at(50, 90)), broken("off by 5 px, 4 px allowed")),
        (EVEN | {"subject": ["pin", "cap"]}, (at(50, 0), at(200, 90)), RuleResult("holds", "as specified")),
        (
            EVEN | {"relative_to": "tray", "tolerance": 0.01},
            (at(50, 0), at(160, 90), at(100, 9)),
            broken("off by 5 px, 2 px allowed"),
        ),
    ],
)
def test_groups_lie_in_a_row_and_evenly(body: dict[str, Any], pins: tuple[Box, ...], check: RuleResult) -> None:
    """How far centres spread, and how much a distance differs from the mean, in shares of a size or of that mean."""
    assert checked(layout(**body), *pins) == check


def test_instance_with_two_names_counts_once_in_a_row() -> None:
    """A red pin is no neighbour of itself."""
    three = (
        locate_answer("pin", at(50, 50), at(100, 50), at(150, 50)),
        attribute_answer("pin.colour", "red", "red", "blue"),
    )

    assert layout(**EVEN | {"subject": ["pin", "red_pin"]}).evaluate(make_context(*three)) == RuleResult(
        "holds", "as specified"
    )


@pytest.mark.parametrize(
    ("subject", "axis", "check"),
    [
        (["pin", "tray", "cap"], "x", RuleResult("holds", "as specified")),
        (["pin", "cap", "tray"], "x", broken("cap not before tray")),
        (["pin", "nut", "cap"], "x", RuleResult("holds", "as specified")),
        (["cap", "pin"], "y", RuleResult("holds", "as specified")),
        (["pin", "cap"], "y", broken("pin not before cap")),
    ],
)
def test_in_order(subject: list[str], axis: str, check: RuleResult) -> None:
    """All of one before all of the next; what is absent is left out."""
    there = (
        locate_answer("pin", at(50, 60), at(90, 300)),
        locate_answer("tray", TRAY),
        locate_answer("cap", at(350, 50)),
        locate_answer("nut"),
    )

    assert layout(subject=subject, relation="in_order", axis=axis).evaluate(make_context(*there)) == check


@pytest.mark.parametrize(
    ("body", "answers", "absent"),
    [
        ({"relation": "above"}, (locate_answer("pin"), locate_answer("tray", TRAY)), "no pin"),
        ({"relation": "above"}, (locate_answer("pin", at(1, 1)), locate_answer("tray")), "no tray"),
        ({"relation": "above", "object": "left"}, (locate_answer("pin", at(1, 1)), locate_answer("tray")), "no left"),
        (ROW, (locate_answer("pin", at(1, 1)),), "1 of them"),
        (EVEN, (locate_answer("pin", at(1, 1), at(50, 1)),), "2 of them"),
        (ORDER, (locate_answer("pin", at(1, 1)), locate_answer("nut")), "fewer than two of them"),
    ],
)
def test_missing_component_makes_the_rule_not_applicable(
    body: dict[str, Any], answers: tuple[Answer, ...], absent: str
) -> None:
    """Without one of the two, or with too few for a group, the rule does not apply."""
    with pytest.raises(NotApplicable, match=absent):
        layout(**body).evaluate(make_context(*answers))
