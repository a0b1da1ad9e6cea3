"""How many: what the quantity family says, and what its check comes to."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from logicls.constraints.families.context import FailureMode, NotApplicable, RuleResult, UnreadableAnswer
from logicls.constraints.families.quantity import Quantity
from logicls.records import Answer

from ..readings import TRAY, at, attribute_answer, locate_answer, make_context, pins


def quantity(**body: Any) -> Quantity:
    """A rule about pins, where it is about nothing else."""
    return Quantity.model_validate({"of": "pin", **body})


SUM = {"of": {"pin": 2, "my_cap": 1}}


@pytest.mark.parametrize(
    ("rule", "text", "kinds"),
    [
        (quantity(exactly=2), "2 pins", ("below", "above")),
        (quantity(exactly=0), "0 pins", ("above",)),
        (quantity(at_least=2), "at least 2 pins", ("below",)),
        (quantity(at_least=0), "at least 0 pins", ()),
        (quantity(at_most=2), "at most 2 pins", ("above",)),
        (quantity(between=(1, 3)), "1 to 3 pins", ("below", "above")),
        (quantity(exactly=1, **{"in": "my_tray"}), "1 pin in the my tray", ("below", "above")),
        (quantity(exactly=1, **{"with": {"colour": "dark_red"}}), "1 pin with colour dark red", ("below", "above")),
        (
            quantity(at_most=1, **{"with": {"colour": ["red", "blue"], "size": "s"}, "in": "tray"}),
            "at most 1 pin with colour red or blue and size s in the tray",
            ("above",),
        ),
        (quantity(of=["pin", "my_cap"], exactly=2), "2 pins and my caps", ("below", "above")),
        (quantity(**SUM, between=(3, 5)), "sum over pin (each 2) and my cap (each 1): 3 to 5", ("below", "above")),
        (
            quantity(**SUM, at_least=1, **{"in": "tray"}),
            "sum over pin (each 2) and my cap (each 1) in the tray: at least 1",
            ("below",),
        ),
    ],
)
def test_text_and_failure_kinds(rule: Quantity, text: str, kinds: tuple[str, ...]) -> None:
    """Plain English, and the ways in which it can be broken."""
    assert (rule.to_text(), rule.failure_kinds()) == (text, kinds)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, "write exactly one of: exactly, at_least, at_most, between"),
        ({"exactly": 1, "at_most": 1}, "write exactly one of: exactly, at_least, at_most, between"),
        ({"between": [3, 1]}, "between: 3 is more than 1"),
        (
            {"of": ["pin", "cap"], "exactly": 1, "with": {"colour": "red"}},
            "with: applies to a single component; declare the others under variants",
        ),
    ],
)
def test_invalid_body_is_rejected(body: dict[str, Any], wrong: str) -> None:
    """One limit, in order; an attribute belongs to one thing."""
    with pytest.raises(ValidationError, match=wrong):
        quantity(**body)


@pytest.mark.parametrize(
    ("count", "check"),
    [
        (0, RuleResult("broken", "0 pins", (FailureMode("below", 2),))),
        (1, RuleResult("broken", "1 pin", (FailureMode("below", 1),))),
        (2, RuleResult("holds", "2 pins")),
        (3, RuleResult("holds", "3 pins")),
        (5, RuleResult("broken", "5 pins", (FailureMode("above", 2),))),
    ],
)
def test_counts(count: int, check: RuleResult) -> None:
    """Fewer is broken below, more is broken above, and by how many is told."""
    assert quantity(between=(2, 3)).evaluate(make_context(pins(count))) == check


PINS = (pins(3), attribute_answer("pin.colour", "red", "blue", "red"), attribute_answer("pin.size", "s", "l", "xs"))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"with": {"colour": "red"}}, "2 pins with colour red"),
        ({"with": {"colour": ["red", "blue"]}}, "3 pins with colour red or blue"),
        ({"with": {"colour": "red", "size": ["s", "l"]}}, "1 pin with colour red and size s or l"),
        ({"of": "red_pin"}, "2 red pins"),
        ({"of": "red_pin", "with": {"size": "xs"}}, "1 red pin with size xs"),
        ({"of": ["red_pin", "small_pin"]}, "4 red pins and small pins"),
        ({"of": {"red_pin": 3, "my_cap": 2}}, "sum over red pin (each 3) and my cap (each 2): 8"),
    ],
)
def test_counts_instances_with_the_attributes(body: dict[str, Any], found: str) -> None:
    """One value or several, all attributes; a variant has its own; weights multiply."""
    answers = make_context(*PINS, locate_answer("my_cap", at(20, 20)))

    assert quantity(at_least=1, **body).evaluate(answers) == RuleResult("holds", found)


def test_weighted_sum_below_its_limit() -> None:
    """The amount is that of the sum, not the number of things."""
    rule = quantity(**SUM, exactly=9)

    assert rule.evaluate(make_context(pins(2), locate_answer("my_cap"))) == RuleResult(
        "broken", "sum over pin (each 2) and my cap (each 1): 4", (FailureMode("below", 5),)
    )


@pytest.mark.parametrize(
    ("place", "found"), [("tray", "2 pins"), ("corner", "2 pins"), ("left", "1 pin"), ("bays", "2 pins")]
)
def test_centres_in_the_location_count(place: str, found: str) -> None:
    """A component, a part of the photo or of a component, and a grid are places; the edge belongs to them."""
    there = locate_answer("pin", at(100, 150), at(250, 150), at(20, 20), at(350, 350))

    check = quantity(at_least=1, **{"in": place}).evaluate(make_context(there, locate_answer("tray", TRAY)))

    assert check == RuleResult("holds", found)


@pytest.mark.parametrize("place", ["tray", "left", "bays"])
def test_missing_location(place: str) -> None:
    """Without the tray, nothing can be text of what is in it."""
    with pytest.raises(NotApplicable, match=f"no {place}"):
        quantity(exactly=1, **{"in": place}).evaluate(make_context(locate_answer("pin"), locate_answer("tray")))


@pytest.mark.parametrize(
    ("body", "answers", "missing"),
    [
        ({}, (), "locate:pin"),
        ({"of": "red_pin"}, (pins(1),), "attribute:pin.colour"),
        ({"with": {"size": "s"}}, (pins(1),), "attribute:pin.size"),
        ({"in": "left"}, (pins(1),), "locate:tray"),
        ({"of": "red_pin"}, (pins(3), attribute_answer("pin.colour", "red", "red")), "pin: 2 or 3 of them"),
        ({}, (Answer("locate:pin", readable=False),), "locate:pin"),
    ],
)
def test_unreadable_answer_makes_the_rule_unknown(
    body: dict[str, Any], answers: tuple[Answer, ...], missing: str
) -> None:
    """No answer is not the same as none there, and two answers that differ in number say nothing of either."""
    with pytest.raises(UnreadableAnswer, match=missing):
        quantity(exactly=0, **body).evaluate(make_context(*answers))
