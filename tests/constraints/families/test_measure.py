"""How much: what the measure family says, and what its check comes to."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from logicls.constraints.families.context import FailureMode, NotApplicable, RuleResult, UnreadableAnswer
from logicls.constraints.families.measure import Measure
from logicls.records import Answer, Box

from ..readings import TRAY, at, attribute_answer, locate_answer, make_context

PIN = Box(100, 100, 140, 130)


def measure(**body: Any) -> Measure:
    """A rule; everything is right where it gives no limit."""
    limit = {} if body.keys() & {"between", "at_least", "at_most"} else {"at_most": 1e6}
    return Measure.model_validate({**body, **limit})


@pytest.mark.parametrize(
    ("rule", "text", "kinds"),
    [
        (
            measure(height="a_b", relative_to="c_d", between=(0.6, 0.725)),
            "height of the a b 60.0% to 72.5% of the c d",
            ("below", "above"),
        ),
        (measure(width="a", at_least=0.1), "width of the a at least 10.0% of the photo", ("below",)),
        (measure(width="a", at_most=0.1), "width of the a at most 10.0% of the photo", ("above",)),
        (measure(length="a", unit="mm", at_most=12.5), "length of the a at most 12.5 mm", ("above",)),
        (measure(area="a", between=(-1, 0.5)), "area of the a -100.0% to 50.0% of the photo", ("above",)),
        (measure(fill="gel", at_least=0.5), "fill of the gel at least 50.0% of what it fills", ("below",)),
        (measure(fill="gel", relative_to="cup", at_least=0.5), "fill of the gel at least 50.0% of the cup", ("below",)),
        (
            measure(distance=["a_b", "c"], unit="px", between=(1, 20)),
            "distance from a b to c 1.0 px to 20.0 px",
            ("below", "above"),
        ),
        (measure(angle=["a", "b"], between=(-10, 0)), "angle from a to b -10.0° to 0.0°", ("below", "above")),
    ],
)
def test_text_and_failure_kinds(rule: Measure, text: str, kinds: tuple[str, ...]) -> None:
    """Plain English, and the ways in which it can be broken: nothing is less than nothing, but for angles."""
    assert (rule.to_text(), rule.failure_kinds()) == (text, kinds)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, "write exactly one of: height, width, length, area, aspect, fill, distance, angle"),
        ({"aspect": "a", "unit": "px"}, "aspect has no unit"),
        ({"aspect": "a", "relative_to": "b"}, "aspect is a ratio of two sides, and is relative to nothing"),
        ({"height": "a", "width": "a"}, "write exactly one of: height"),
        ({"height": "a", "at_least": 1, "at_most": 2}, "write exactly one of: between, at_least, at_most"),
        ({"height": "a", "between": [2, 1]}, "between: 2.0 is not less than 1.0"),
        (
            {"height": "a", "unit": "px", "relative_to": "b"},
            "unit: gives an absolute size, relative_to: a relative one",
        ),
        ({"area": "a", "unit": "px"}, "area has no unit"),
        ({"angle": ["a", "b"], "at_least": 3}, "angle takes between: .from, to. in degrees"),
        ({"angle": ["a", "b"], "between": [0, 360]}, "between: contains every angle"),
        ({"distance": ["a"]}, "Field required"),
    ],
)
def test_invalid_body_is_rejected(body: dict[str, Any], wrong: str) -> None:
    """One kind, one limit, one way to say how large 1 is."""
    with pytest.raises(ValidationError, match=wrong):
        measure(**body)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"height": "pin"}, "7.5%"),
        ({"height": "pin", "relative_to": "tray"}, "30.0%"),
        ({"height": "pin", "relative_to": "corner"}, "15.0%"),
        ({"height": "pin", "unit": "px"}, "30.0 px"),
        ({"height": "pin", "unit": "mm"}, "7.5 mm"),
        ({"width": "pin", "relative_to": "tray"}, "20.0%"),
        ({"width": "pin", "relative_to": "left"}, "40.0%"),
        ({"width": "pin", "unit": "mm"}, "10.0 mm"),
        ({"length": "pin"}, "8.8%"),
        ({"length": "pin", "unit": "px"}, "50.0 px"),
        ({"area": "pin", "relative_to": "tray"}, "6.0%"),
        ({"fill": "pin", "relative_to": "tray"}, "6.0%"),
        ({"fill": "pin", "relative_to": "left"}, "12.0%"),
        ({"fill": "gel"}, "75.0%"),
        ({"distance": ["pin", "tray"], "unit": "px"}, "87.3 px"),
        ({"distance": ["pin", "corner"], "unit": "mm"}, "6.2 mm"),
        ({"distance": ["pin", "tray"], "relative_to": "tray"}, "39.1%"),
        ({"distance": ["corner", "left"], "unit": "px"}, "70.7 px"),
    ],
)
def test_sizes(body: dict[str, Any], found: str) -> None:
    """Heights of heights, widths of widths, areas of areas, lengths and distances of diagonals; or pixels, or mm."""
    jar, gel = locate_answer("jar", Box(0, 300, 40, 400)), locate_answer("gel", Box(0, 325, 40, 400))
    answers = make_context(locate_answer("pin", PIN), locate_answer("tray", TRAY), jar, gel)

    assert measure(**body).evaluate(answers) == RuleResult("holds", found)


@pytest.mark.parametrize(
    ("limit", "side"),
    [
        ({"between": (0.2, 0.4)}, ""),
        ({"between": (0.3, 0.4)}, ""),
        ({"between": (0.31, 0.4)}, "below"),
        ({"between": (0.1, 0.29)}, "above"),
        ({"at_least": 0.3}, ""),
        ({"at_least": 0.31}, "below"),
        ({"at_most": 0.3}, ""),
        ({"at_most": 0.29}, "above"),
    ],
)
def test_limits_are_inclusive(limit: dict[str, Any], side: str) -> None:
    """Below the least it is broken below, above the most above."""
    check = measure(height="pin", relative_to="tray", **limit).evaluate(
        make_context(locate_answer("pin", PIN), locate_answer("tray", TRAY))
    )

    assert check == RuleResult("broken" if side else "holds", "30.0%", (FailureMode(side),) if side else ())


@pytest.mark.parametrize(
    ("pins", "check"),
    [
        ((at(50, 50), at(90, 50)), RuleResult("holds", "20.0 px")),
        ((at(50, 50), at(90, 50, 40)), RuleResult("broken", "40.0 px", (FailureMode("above"),))),
        ((at(90, 50, 40), at(50, 50, 5)), RuleResult("broken", "5.0 px", (FailureMode("below"),))),
    ],
)
def test_every_instance_is_measured(pins: tuple[Box, ...], check: RuleResult) -> None:
    """The first that is wrong, in the order of the answer, is told."""
    rule = measure(width="pin", unit="px", between=(10, 30))

    assert rule.evaluate(make_context(locate_answer("pin", *sorted(pins, key=lambda b: b.centre)))) == check


def test_each_instance_is_measured_relative_to_its_location() -> None:
    """Of two trays, a pin is a share of the one it is in."""
    trays = locate_answer("tray", TRAY, Box(0, 300, 400, 400))
    there = locate_answer("pin", PIN, Box(200, 310, 240, 340))

    found = measure(width="pin", relative_to="tray").measure_values(make_context(there, trays))

    assert found == [0.2, 0.1]


def test_location_filled_by_several_instances() -> None:
    """Their shares add up, in each place."""
    trays = locate_answer("tray", TRAY, Box(0, 300, 400, 400))
    there = locate_answer("pin", PIN, Box(200, 150, 300, 250), Box(0, 390, 400, 400))

    found = measure(fill="pin", relative_to="tray").measure_values(make_context(there, trays))

    assert found == [pytest.approx(0.31), pytest.approx(0.1)]


@pytest.mark.parametrize(
    ("other", "limits", "check"),
    [
        ((300, 200), (-10, 10), RuleResult("holds", "0.0°")),
        ((200, 100), (80, 100), RuleResult("holds", "90.0°")),
        ((100, 200), (170, 190), RuleResult("holds", "180.0°")),
        ((100, 210), (170, 190), RuleResult("holds", "185.7°")),
        ((100, 190), (-190, -170), RuleResult("holds", "-185.7°")),
        ((200, 300), (260, 280), RuleResult("holds", "270.0°")),
        ((300, 100), (50, 80), RuleResult("broken", "45.0°", (FailureMode("below"),))),
        ((300, 100), (10, 40), RuleResult("broken", "45.0°", (FailureMode("above"),))),
        ((200, 300), (0, 170), RuleResult("broken", "-90.0°", (FailureMode("below"),))),
        ((200, 300), (10, 190), RuleResult("broken", "270.0°", (FailureMode("above"),))),
        ((100, 200), (-10, 20), RuleResult("broken", "180.0°", (FailureMode("above"),))),
    ],
)
def test_angles_turn(other: tuple[float, float], limits: tuple[float, float], check: RuleResult) -> None:
    """0 to the right, 90 up; what is wrong belongs to the nearer limit, the whole turn round."""
    rule = measure(angle=["pin", "cap"], between=limits)

    assert rule.evaluate(make_context(locate_answer("pin", at(200, 200)), locate_answer("cap", at(*other)))) == check


def test_the_nearest_other_counts() -> None:
    """From every one to the nearest that is not itself; one that has no other is left out."""
    there = (
        locate_answer("pin", at(50, 50), at(50, 90), at(50, 200)),
        attribute_answer("pin.colour", "red", "blue", "blue"),
    )

    found = [
        measure(distance=pair, unit="px").measure_values(make_context(*there))
        for pair in (["pin", "pin"], ["pin", "red_pin"], ["red_pin", "pin"])
    ]

    assert found == [[40.0, 40.0, 110.0], [40.0, 150.0], [40.0]]


@pytest.mark.parametrize(
    ("body", "answers", "absent"),
    [
        ({"height": "pin"}, (locate_answer("pin"),), "no pin"),
        ({"height": "pin", "relative_to": "tray"}, (locate_answer("pin", PIN), locate_answer("tray")), "no tray"),
        ({"fill": "gel"}, (locate_answer("gel", PIN), locate_answer("jar")), "no jar"),
        ({"fill": "gel"}, (locate_answer("gel"), locate_answer("jar", TRAY)), "no gel"),
        ({"distance": ["pin", "tray"]}, (locate_answer("pin"), locate_answer("tray", TRAY)), "no pin"),
        ({"distance": ["pin", "tray"]}, (locate_answer("pin", PIN), locate_answer("tray")), "no tray"),
        ({"distance": ["pin", "pin"]}, (locate_answer("pin", PIN),), "no pin"),
    ],
)
def test_missing_component_makes_the_rule_not_applicable(
    body: dict[str, Any], answers: tuple[Answer, ...], absent: str
) -> None:
    """What is not there has no size."""
    with pytest.raises(NotApplicable, match=absent):
        measure(**body).evaluate(make_context(*answers))


def test_unreadable_answer_makes_the_rule_unknown() -> None:
    """The place that is 1 must have been looked for, too."""
    with pytest.raises(UnreadableAnswer, match="locate:tray"):
        measure(height="pin", relative_to="tray").evaluate(make_context(locate_answer("pin", PIN)))
