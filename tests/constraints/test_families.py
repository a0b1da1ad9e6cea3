"""What each family says, and what its check comes to on answers that were written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from logicls.constraints.judge import judge
from logicls.constraints.layout import Layout
from logicls.constraints.match import Match
from logicls.constraints.measure import Measure
from logicls.constraints.quantity import Quantity
from logicls.constraints.reading import Absent, Area, Check, Reading, Side, Unreadable, World
from logicls.constraints.spec import Spec
from logicls.constraints.violate import aims, violate
from logicls.records import Answer, Box, Finding, Instance, Scene

TRAY = Box(100, 100, 300, 200)
AREAS = {"corner": Area((0, 0, 0.5, 0.5)), "left": Area((0, 0, 0.5, 1), "tray")}
FRUIT = Match(left="icon.fruit", right="juice.colour", pairs={"cherry": "red", "pear": "white"})


def reading(*answers: Answer) -> Reading:
    """Answers of a photo of 400 x 400 pixels."""
    return Reading({answer.query: answer for answer in answers}, 400, 400, World(areas=AREAS))


def located(component: str, *boxes: Box) -> Answer:
    """The component is there."""
    return Answer(f"locate:{component}", boxes=boxes)


def at(x: float, y: float, side: float = 20) -> Box:
    """A square about a point."""
    return Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def quantity(**body: Any) -> Quantity:
    """A rule about pins."""
    return Quantity.model_validate({"of": "pin", **body})


@pytest.mark.parametrize(
    ("rule", "said", "sides"),
    [
        (quantity(exactly=2), "2 pin", ("below", "above")),
        (quantity(exactly=0), "0 pin", ("above",)),
        (quantity(at_least=2), "at least 2 pin", ("below",)),
        (quantity(at_most=2), "at most 2 pin", ("above",)),
        (quantity(between=(1, 3)), "1 to 3 pin", ("below", "above")),
        (quantity(exactly=1, **{"in": "my_tray"}), "1 pin in the my tray", ("below", "above")),
        (Layout(subject="a_b", relation="left_of", object="c_d"), "a b left of the c d", ("",)),
        (
            Layout(subject="a", relation="centred_in", object="b", tolerance=0.1),
            "a centred in the b, within 10 %",
            ("",),
        ),
        (FRUIT, "icon's fruit goes with juice's colour: cherry with red, pear with white", ("",)),
        (
            Measure(height="a_b", relative_to="c", between=(0.6, 0.725)),
            "height of the a b 60.0% to 72.5% of the c",
            ("below", "above"),
        ),
        (Measure(width="a", at_least=0.1), "width of the a at least 10.0% of the photo", ("below",)),
        (Measure(width="a", at_most=0.1), "width of the a at most 10.0% of the photo", ("above",)),
    ],
)
def test_a_rule_is_said_and_knows_its_sides(rule: Any, said: str, sides: tuple[str, ...]) -> None:
    """Plain English, and the ways in which it can be broken."""
    assert (rule.say(), rule.sides()) == (said, sides)


@pytest.mark.parametrize(
    ("count", "status", "sides"),
    [
        (0, "broken", (Side("below", 2),)),
        (1, "broken", (Side("below", 1),)),
        (2, "holds", ()),
        (5, "broken", (Side("above", 3),)),
    ],
)
def test_quantity_counts(count: int, status: Any, sides: Any) -> None:
    """Fewer is broken below, more is broken above."""
    rule = quantity(exactly=2)

    check = rule.check(reading(located("pin", *[at(50, 50)] * count)))

    assert check == Check(status, f"{count} pin", sides)


@pytest.mark.parametrize(
    ("place", "found"),
    [("tray", "2 pin"), ("corner", "2 pin"), ("left", "1 pin")],
)
def test_quantity_in_a_place_counts_centres(place: str, found: str) -> None:
    """A component, a part of the photo and a part of a component are places; the edge belongs to them."""
    pins = located("pin", at(100, 150), at(250, 150), at(20, 20), at(350, 350))

    check = quantity(at_least=1, **{"in": place}).check(reading(pins, located("tray", TRAY)))

    assert (check.status, check.found) == ("holds", found)


@pytest.mark.parametrize("place", ["tray", "left"])
def test_quantity_in_a_place_that_is_absent(place: str) -> None:
    """Without the tray, nothing can be said of what is in it."""
    with pytest.raises(Absent, match=f"no {place}"):
        quantity(exactly=1, **{"in": place}).check(reading(located("pin"), located("tray")))


CENTRED = {"relation": "centred_in", "tolerance": (0.1, 0.2)}


@pytest.mark.parametrize(
    ("body", "pin", "status", "found"),
    [
        ({"relation": "above"}, at(0, 149), "holds", "above"),
        ({"relation": "above"}, at(0, 151), "broken", "below"),
        ({"relation": "below"}, at(0, 151), "holds", "below"),
        ({"relation": "left_of"}, at(199, 0), "holds", "left"),
        ({"relation": "left_of"}, at(201, 0), "broken", "right"),
        ({"relation": "right_of"}, at(201, 0), "holds", "right"),
        ({"relation": "inside"}, at(110, 110), "holds", "inside"),
        ({"relation": "inside"}, at(105, 110), "broken", "sticks out by 5 px"),
        ({"relation": "inside", "tolerance": 0.05}, at(105, 110), "holds", "inside"),
        (CENTRED, at(219, 169), "holds", "off by +9.5% of its width, +19.0% of its height"),
        (CENTRED, at(222, 150), "broken", "off by +11.0% of its width, +0.0% of its height"),
        (CENTRED, at(200, 128), "broken", "off by +0.0% of its width, -22.0% of its height"),
        ({**CENTRED, "axis": "x"}, at(200, 10), "holds", "off by +0.0% of its width, -140.0% of its height"),
    ],
)
def test_layout_compares_boxes(body: dict[str, Any], pin: Box, status: str, found: str) -> None:
    """Centres for directions and centring, edges for inside; tolerances are shares of the object."""
    rule = Layout.model_validate({"subject": "pin", "object": "tray", **body})

    check = rule.check(reading(located("pin", pin), located("tray", TRAY)))

    assert (check.status, check.found) == (status, found)


@pytest.mark.parametrize(("x", "status"), [(150, "holds"), (200, "broken")])
def test_layout_in_a_region_of_a_component(x: float, status: str) -> None:
    """The region moves with the component that it is a part of."""
    rule = Layout(subject="pin", relation="centred_in", object="left", tolerance=0.1)

    assert rule.check(reading(located("pin", at(x, 150)), located("tray", TRAY))).status == status


def test_layout_of_what_is_absent() -> None:
    """Without a pin, or without the tray, nothing can be said of where the one lies to the other."""
    rule = Layout(subject="pin", relation="above", object="tray")

    with pytest.raises(Absent, match="no pin"):
        rule.check(reading(located("pin"), located("tray", TRAY)))
    with pytest.raises(Absent, match="no tray"):
        rule.check(reading(located("pin", at(1, 1)), located("tray")))


@pytest.mark.parametrize(("relation", "status"), [("above", "broken"), ("inside", "broken"), ("overlaps", "broken")])
def test_layout_is_asked_of_every_subject(relation: Any, status: str) -> None:
    """One pin that lies as it should does not make up for one that does not."""
    rule = Layout(subject="pin", relation=relation, object="tray")
    good, bad = {"above": (at(200, 20), at(200, 390))}.get(relation, (at(200, 150), at(20, 20)))

    found = [
        rule.check(reading(located("pin", *pins), located("tray", TRAY))).status for pins in ((good,), (good, bad))
    ]

    assert found == ["holds", status]


@pytest.mark.parametrize(
    ("fruit", "colour", "status"),
    [("cherry", "red", "holds"), ("pear", "white", "holds"), ("pear", "red", "broken"), ("fig", "red", "broken")],
)
def test_match_compares_two_readings(fruit: str, colour: str, status: Any) -> None:
    """A pair that is not written down is broken."""
    both = reading(Answer("attribute:icon.fruit", (fruit,)), Answer("attribute:juice.colour", (colour,)))

    check = FRUIT.check(both)

    assert (check.status, check.found) == (status, f"icon's fruit {fruit}, juice's colour {colour}")


@pytest.mark.parametrize(("icons", "status"), [(("pear", "pear"), "holds"), (("pear", "cherry"), "broken")])
def test_match_compares_every_left_one_with_every_right_one(icons: tuple[str, ...], status: Any) -> None:
    """Of two icons both must go with the juice."""
    answers = Answer("attribute:icon.fruit", icons), Answer("attribute:juice.colour", ("white",))

    assert FRUIT.check(reading(*answers)).status == status


def test_match_needs_both() -> None:
    """With no icon there is no pair to compare."""
    with pytest.raises(Absent, match="no icon"):
        FRUIT.check(reading(Answer("attribute:icon.fruit"), Answer("attribute:juice.colour", ("red",))))


@pytest.mark.parametrize(
    ("rule", "found", "status", "side"),
    [
        (Measure(height="pin", relative_to="tray", between=(0.3, 0.5)), "40.0%", "holds", ""),
        (Measure(height="pin", relative_to="tray", between=(0.5, 0.6)), "40.0%", "broken", "below"),
        (Measure(height="pin", relative_to="tray", at_most=0.3), "40.0%", "broken", "above"),
        (Measure(width="pin", relative_to="tray", at_least=0.2), "20.0%", "holds", ""),
        (Measure(width="pin", relative_to="left", at_least=0.5), "40.0%", "broken", "below"),
        (Measure(width="pin", relative_to="corner", at_least=0.2), "20.0%", "holds", ""),
        (Measure(width="pin", at_least=0.2), "10.0%", "broken", "below"),
    ],
)
def test_measure_divides(rule: Measure, found: str, status: Any, side: Any) -> None:
    """By a component, by a region of one, by a part of the photo, or by the photo."""
    check = rule.check(reading(located("pin", at(150, 150, 40)), located("tray", TRAY)))

    assert check == Check(status, found, (Side(side),) if side else ())


@pytest.mark.parametrize(
    "rule",
    [
        quantity(exactly=0),
        quantity(exactly=0, **{"in": "left"}),
        Layout(subject="pin", relation="above", object="tray"),
        FRUIT,
        Measure(width="pin", at_least=0.2),
    ],
)
def test_an_answer_that_was_never_given_is_unreadable(rule: Any) -> None:
    """No answer is not the same as none there."""
    with pytest.raises(Unreadable):
        rule.check(reading())


SPEC = Spec.model_validate(
    {
        "logicls": 1,
        "product": {"name": "box"},
        "components": {"pin": {}, "tray": {}},
        "constraints": [
            {"id": "one", "quantity": {"of": "pin", "exactly": 1}, "violation": {"below": "no-pin"}},
            {"id": "top", "layout": {"subject": "pin", "relation": "above", "object": "tray"}, "violation": "low"},
            {"id": "size", "measure": {"width": "pin", "at_most": 0.1}, "unless_broken": ["top"]},
        ],
    }
)


def came_to(*answers: Answer) -> list[tuple[str, tuple[str, ...], str]]:
    """Status, defect and what was found, for each constraint."""
    findings = judge(SPEC, {answer.query: answer for answer in answers}, 400, 400)
    return [(f.status, f.violations, f.found) for f in findings]


def test_a_finding_names_the_defect_on_its_side() -> None:
    """Where one side has no name, the constraint's id and the side make one; what is absent makes nothing broken."""
    two, none = (at(200, 50), at(200, 60)), ()

    assert [came_to(located("pin", *pins), located("tray", TRAY)) for pins in (two, none)] == [
        [("broken", ("one-above",), "2 pin"), ("holds", (), "above"), ("holds", (), "5.0%")],
        [("broken", ("no-pin",), "0 pin"), ("not_applicable", (), "no pin"), ("not_applicable", (), "no pin")],
    ]


def test_what_cannot_be_read_is_unknown() -> None:
    """Only the rules that need the answer are unknown."""
    unread = Answer("locate:tray", readable=False)

    assert came_to(located("pin", at(200, 50)), unread) == [
        ("holds", (), "1 pin"),
        ("unknown", (), "no readable answer to locate:tray"),
        ("holds", (), "5.0%"),
    ]


@pytest.mark.parametrize(
    ("y", "last"),
    [(50, ("broken", ("size",), "15.0%")), (300, ("not_applicable", (), "top is broken"))],
)
def test_a_broken_rule_may_say_it_all(y: float, last: tuple[str, tuple[str, ...], str]) -> None:
    """While the named constraint is broken this one does not apply; while it holds, it does."""
    assert came_to(located("pin", at(200, y, 60)), located("tray", TRAY))[-1] == last


def test_a_finding_is_as_sure_as_its_least_sure_answer() -> None:
    """It says which questions it rests on."""
    pin = Answer("locate:pin", boxes=(at(200, 50),), confidence=0.9)
    tray = Answer("locate:tray", boxes=(TRAY,), confidence=0.7)

    found = judge(SPEC, {"locate:pin": pin, "locate:tray": tray}, 400, 400)

    asked = ("locate:pin", "locate:tray")
    assert found[1] == Finding("top", "holds", (), "pin above the tray", "above", asked, 0.7)


def test_nothing_can_be_added_to_a_place_that_is_absent() -> None:
    """A rule that forbids pins on the tray is not broken by an edit where there is no tray."""
    rule = {"id": "none", "quantity": {"of": "pin", "exactly": 0, "in": "tray"}}
    spec = Spec.model_validate({**SPEC.model_dump(by_alias=True), "constraints": [rule]})
    scene = Scene("a.png", 400, 400, (Instance(1, "pin", at(50, 50)),))

    assert violate(spec, aims(spec)[0], scene, np.random.default_rng(0)) is None
