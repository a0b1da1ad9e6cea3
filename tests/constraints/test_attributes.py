"""What things are like, what goes with what, and what is joined to what: match, attribute and connection."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from logicls.constraints.families.attribute import Attribute
from logicls.constraints.families.connection import Connection
from logicls.constraints.families.context import FailureMode, NotApplicable, RuleResult, UnreadableAnswer
from logicls.constraints.families.match import Match
from logicls.records import Answer, Box

from .readings import attribute_answer, locate_answer, make_context, pins

FRUIT = Match(left="icon.fruit", right="my_juice.colour", pairs={"cherry": ["red", "dark_red"], "pear": "white"})
SAME = Match(left="cap.colour", right="gel.colour")


def attribute(**body: Any) -> Attribute:
    """A rule about the colour of pins, where it is about nothing else."""
    return Attribute.model_validate({"of": "pin.colour", **body})


def broken(found: str) -> RuleResult:
    """The only way to be broken."""
    return RuleResult("broken", found, (FailureMode(),))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (FRUIT, "icon's fruit goes with my juice's colour: cherry with red or dark red, pear with white"),
        (SAME, "cap's colour is the same as gel's colour"),
        (attribute(**{"is": "dark_red"}), "pin's colour is dark red"),
        (attribute(is_not=["red", "blue"]), "pin's colour is not red or blue"),
        (attribute(same=True), "every pin's colour is the same"),
        (Connection(ends="plug", sockets="my_socket", slots=3), "the plugs sit in the same slots of every my socket"),
    ],
)
def test_text_and_single_failure_kind(rule: Any, text: str) -> None:
    """Plain English; there is one way to be broken."""
    assert (rule.to_text(), rule.failure_kinds()) == (text, ("",))


@pytest.mark.parametrize(
    ("make", "body", "wrong"),
    [
        (attribute, {}, "write exactly one of: is, is_not, same: true"),
        (attribute, {"is": "red", "same": True}, "write exactly one of: is, is_not, same: true"),
        (attribute, {"is": []}, "at least 1 item"),
        (attribute, {"of": "pin", "is": "red"}, "should match pattern"),
        (Match, {"left": "a.b", "right": "c.d.e"}, "should match pattern"),
        (Match, {"left": "a.b", "right": "c.d", "pairs": {}}, "at least 1 item"),
        (Connection, {"ends": "a", "sockets": "b", "slots": 0}, "greater than or equal to 1"),
    ],
)
def test_invalid_body_is_rejected(make: Any, body: dict[str, Any], wrong: str) -> None:
    """One way to say it, with values, of thing.attribute."""
    with pytest.raises(ValidationError, match=wrong):
        make(**body)


@pytest.mark.parametrize(
    ("icons", "colours", "found"),
    [
        ("cherry", "red", ("holds", "cherry", "red")),
        ("cherry", "dark_red", ("holds", "cherry", "dark red")),
        ("pear", "white", ("holds", "pear", "white")),
        ("pear", "red", ("broken", "pear", "red")),
        ("fig", "red", ("broken", "fig", "red")),
        ("pear pear", "white white", ("holds", "pear", "white")),
        ("pear cherry", "white", ("broken", "cherry", "white")),
        ("pear", "white red", ("broken", "pear", "red")),
    ],
)
def test_match_compares_all_pairs_of_values(icons: str, colours: str, found: tuple[str, ...]) -> None:
    """A pair that is not written down is broken; the first wrong one is told."""
    both = make_context(
        attribute_answer("icon.fruit", *icons.split()), attribute_answer("my_juice.colour", *colours.split())
    )
    status, left, right = found

    assert FRUIT.evaluate(both) == RuleResult(
        status, f"icon's fruit {left}, my juice's colour {right}", (FailureMode(),) if status == "broken" else ()
    )


@pytest.mark.parametrize(("colour", "status"), [("red", "holds"), ("blue", "broken")])
def test_match_without_pairs_is_equality(colour: str, status: str) -> None:
    """Whatever the values are."""
    assert (
        SAME.evaluate(
            make_context(attribute_answer("cap.colour", "red"), attribute_answer("gel.colour", colour))
        ).status
        == status
    )


def test_match_of_a_variant_reads_only_its_instances() -> None:
    """The size of the red pins, not of the blue one."""
    rule = Match(left="red_pin.size", right="cap.size")
    answers = make_context(
        pins(2),
        attribute_answer("pin.colour", "blue", "red"),
        attribute_answer("pin.size", "s", "l"),
        attribute_answer("cap.size", "l"),
    )

    assert rule.evaluate(answers) == RuleResult("holds", "red pin's size l, cap's size l")


@pytest.mark.parametrize(("icons", "colours", "absent"), [("", "red", "no icon"), ("pear", "", "no my juice")])
def test_match_needs_both(icons: str, colours: str, absent: str) -> None:
    """With no icon there is no pair to compare."""
    with pytest.raises(NotApplicable, match=absent):
        FRUIT.evaluate(
            make_context(
                attribute_answer("icon.fruit", *icons.split()), attribute_answer("my_juice.colour", *colours.split())
            )
        )


@pytest.mark.parametrize(
    ("body", "colours", "check"),
    [
        ({"is": "red"}, "red red", RuleResult("holds", "red, red")),
        ({"is": "red"}, "red dark_red", broken("red, dark red")),
        ({"is": ["red", "blue"]}, "red blue", RuleResult("holds", "red, blue")),
        ({"is_not": "red"}, "blue green", RuleResult("holds", "blue, green")),
        ({"is_not": ["red", "blue"]}, "green blue", broken("green, blue")),
        ({"same": True}, "blue blue", RuleResult("holds", "blue, blue")),
        ({"same": True}, "blue red blue", broken("blue, red, blue")),
    ],
)
def test_attribute_compares_every_value(body: dict[str, Any], colours: str, check: RuleResult) -> None:
    """All must be right, none wrong, or all alike."""
    assert attribute(**body).evaluate(make_context(attribute_answer("pin.colour", *colours.split()))) == check


@pytest.mark.parametrize(
    ("body", "colours", "absent"),
    [({"is": "red"}, "", "no pin"), ({"same": True}, "red", "1 pin"), ({"same": True}, "", "no pin")],
)
def test_attribute_of_too_few(body: dict[str, Any], colours: str, absent: str) -> None:
    """Without a pin there is nothing to be right, and one alone is like no other."""
    with pytest.raises(NotApplicable, match=absent):
        attribute(**body).evaluate(make_context(attribute_answer("pin.colour", *colours.split())))


@pytest.mark.parametrize(
    "rule", [FRUIT, SAME, attribute(same=True), Connection(ends="plug", sockets="socket", slots=3)]
)
def test_unreadable_answer_makes_the_rule_unknown(rule: Any) -> None:
    """No answer is not the same as none there."""
    with pytest.raises(UnreadableAnswer):
        rule.evaluate(make_context())


SOCKETS = locate_answer("socket", Box(0, 0, 30, 90), Box(100, 0, 130, 90))


def joined(ends: tuple[tuple[float, float], ...], *more: Answer, sockets: Answer = SOCKETS, **body: Any) -> RuleResult:
    """What plugs at these points come to in two sockets of three slots, one slot below the other."""
    rule = Connection.model_validate({"ends": "plug", "sockets": "socket", "slots": 3, **body})
    plugs = locate_answer("plug", *(Box(x - 5, y - 5, x + 5, y + 5) for x, y in ends))
    return rule.evaluate(make_context(plugs, sockets, *more))


@pytest.mark.parametrize(
    ("ends", "body", "check"),
    [
        (((15, 15), (115, 15)), {}, RuleResult("holds", "slot 1, slot 1")),
        (((15, 29), (115, 31)), {}, broken("slot 1, slot 2")),
        (((15, 15), (15, 75), (115, 75), (115, 15)), {}, RuleResult("holds", "slot 1 and 3, slot 1 and 3")),
        (((15, 15), (15, 75), (115, 15)), {}, broken("slot 1 and 3, slot 1")),
        (((15, -20), (115, 15)), {}, RuleResult("holds", "slot 1, slot 1")),
        (((50, 80), (80, 200)), {}, RuleResult("holds", "slot 3, slot 3")),
        (((5, 15), (105, 75)), {"axis": "x"}, RuleResult("holds", "slot 1, slot 1")),
        (((5, 15), (125, 15)), {"axis": "x"}, broken("slot 1, slot 3")),
        (((15, 29), (115, 31)), {"slots": 1}, RuleResult("holds", "slot 1, slot 1")),
    ],
)
def test_connection_compares_slots(
    ends: tuple[tuple[float, float], ...], body: dict[str, Any], check: RuleResult
) -> None:
    """An end sits in the slot that its centre is nearest to, of the socket that it is nearest to."""
    assert joined(ends, **body) == check


@pytest.mark.parametrize(
    ("slots", "check"),
    [
        ("3 3", broken("slot 2, slot 3")),
        ("2 2", RuleResult("holds", "slot 2, slot 2")),
        ("3 2", RuleResult("holds", "slot 2, slot 2")),
    ],
)
def test_number_of_slots_from_an_attribute(slots: str, check: RuleResult) -> None:
    """Each socket has as many as stands with it."""
    ends = (15, 59), (115, 61)

    assert joined(ends, attribute_answer("socket.slots", *slots.split()), slots="socket.slots") == check


@pytest.mark.parametrize(
    ("ends", "sockets", "absent"),
    [
        (((15, 15), (15, 75)), SOCKETS, "a socket without plug"),
        ((), SOCKETS, "a socket without plug"),
        (((15, 15),), locate_answer("socket", Box(0, 0, 30, 90)), "1 socket"),
        (((15, 15),), locate_answer("socket"), "0 sockets"),
    ],
)
def test_connection_needs_two_ends(ends: tuple[tuple[float, float], ...], sockets: Answer, absent: str) -> None:
    """What is not plugged in is not in the wrong slot: that it is there is for another rule to say."""
    with pytest.raises(NotApplicable, match=absent):
        joined(ends, sockets=sockets)
