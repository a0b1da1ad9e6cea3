"""What belongs together: what the composition family says, and what its check comes to."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from logicls.constraints.families.composition import Composition
from logicls.constraints.families.context import FailureMode, NotApplicable, RuleResult, UnreadableAnswer
from logicls.records import Answer, Box

from ..readings import TRAY, at, attribute_answer, locate_answer, make_context, pins


def composition(**body: Any) -> Composition:
    """A rule."""
    return Composition.model_validate(body)


def counted(pin: int, cap: int, nut: int = 0) -> tuple[Answer, ...]:
    """So many of each."""
    return tuple(locate_answer(name, *[at(50, 50)] * n) for name, n in (("pin", pin), ("cap", cap), ("nut", nut)))


def broken(found: str, kind: str = "") -> RuleResult:
    """Another set, or a wrong one that has a name."""
    return RuleResult("broken", found, (FailureMode(kind),))


@pytest.mark.parametrize(
    ("rule", "text", "kinds"),
    [
        (composition(required=["a_b", "c", "d"]), "there must be a b, c and d", ("",)),
        (
            composition(required={"a": 2, "c": 0}, **{"in": "my_tray"}),
            "there must be 2 as and 0 cs in the my tray",
            ("",),
        ),
        (composition(one_of=[["a"], {"b": 1, "c": 2}]), "one of these sets: a; 1 b and 2 cs", ("",)),
        (composition(**{"if": ["a"], "then": {"b": 1}}), "where there is a, there must be 1 b", ("",)),
        (composition(exclusive=["a", "b"]), "at most one kind of a and b", ("",)),
        (composition(required=["a"], wrong={"no-a": {"a": 0}}), "there must be a", ("no-a", "")),
    ],
)
def test_text_and_failure_kinds(rule: Composition, text: str, kinds: tuple[str, ...]) -> None:
    """Plain English; the wrong sets that have names, and any other."""
    assert (rule.to_text(), rule.failure_kinds()) == (text, kinds)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, "write exactly one of: required, one_of, if with then, exclusive"),
        (
            {"required": ["a"], "exclusive": ["a", "b"]},
            "write exactly one of: required, one_of, if with then, exclusive",
        ),
        ({"if": ["a"]}, "if and then go together"),
        ({"required": ["a"], "then": ["b"]}, "if and then go together"),
        ({"exclusive": ["a"]}, "at least 2 items"),
        ({"required": []}, "at least 1 item"),
        ({"required": {"a": -1}}, "greater than or equal to 0"),
    ],
)
def test_invalid_body_is_rejected(body: dict[str, Any], wrong: str) -> None:
    """One way to say what belongs together, and sets that are not empty."""
    with pytest.raises(ValidationError, match=wrong):
        composition(**body)


LIST, EXACT = composition(required=["pin", "cap"]), composition(required={"pin": 2, "cap": 0})
ONE_OF = composition(one_of=[["cap"], {"pin": 2, "cap": 0}])
GOES_WITH = composition(**{"if": ["pin"], "then": {"cap": 1}})
TWO = composition(**{"if": {"pin": 2}, "then": ["cap"]})
KINDS = composition(exclusive=["pin", "cap", "nut"])
NAMED = composition(
    required={"pin": 1, "cap": 1}, wrong={"no-cap": {"pin": 1, "cap": 0}, "bare": {"cap": 0}, "both": ["pin", "cap"]}
)


@pytest.mark.parametrize(
    ("rule", "counts", "check"),
    [
        (LIST, (3, 1), RuleResult("holds", "3 pins, 1 cap")),
        (LIST, (3, 0), broken("3 pins, 0 caps")),
        (EXACT, (2, 0), RuleResult("holds", "2 pins, 0 caps")),
        (EXACT, (3, 0), broken("3 pins, 0 caps")),
        (EXACT, (2, 1), broken("2 pins, 1 cap")),
        (ONE_OF, (0, 1), RuleResult("holds", "1 cap, 0 pins")),
        (ONE_OF, (2, 0), RuleResult("holds", "0 caps, 2 pins")),
        (ONE_OF, (1, 0), broken("0 caps, 1 pin")),
        (GOES_WITH, (1, 1), RuleResult("holds", "1 pin, 1 cap")),
        (GOES_WITH, (3, 2), broken("3 pins, 2 caps")),
        (TWO, (2, 3), RuleResult("holds", "2 pins, 3 caps")),
        (TWO, (2, 0), broken("2 pins, 0 caps")),
        (KINDS, (0, 0, 0), RuleResult("holds", "0 pins, 0 caps, 0 nuts")),
        (KINDS, (0, 4, 0), RuleResult("holds", "0 pins, 4 caps, 0 nuts")),
        (KINDS, (1, 0, 1), broken("1 pin, 0 caps, 1 nut")),
        (NAMED, (1, 0), broken("1 pin, 0 caps", "no-cap")),
        (NAMED, (2, 0), broken("2 pins, 0 caps", "bare")),
        (NAMED, (2, 1), broken("2 pins, 1 cap", "both")),
        (NAMED, (0, 1), broken("0 pins, 1 cap")),
    ],
)
def test_sets(rule: Composition, counts: tuple[int, ...], check: RuleResult) -> None:
    """At least one of each of a list, exactly so many of a mapping; the first wrong set that fits gives the name."""
    assert rule.evaluate(make_context(*counted(*counts))) == check


@pytest.mark.parametrize(
    ("rule", "counts", "found"), [(GOES_WITH, (0, 3), "0 pins, 3 caps"), (TWO, (1, 0), "1 pin, 0 caps")]
)
def test_condition_set_that_is_absent_demands_nothing(rule: Composition, counts: tuple[int, ...], found: str) -> None:
    """The rule does not apply."""
    with pytest.raises(NotApplicable, match=found):
        rule.evaluate(make_context(*counted(*counts)))


@pytest.mark.parametrize(("cap", "status"), [(at(350, 50), "broken"), (at(300, 200), "holds")])
def test_only_centres_in_the_location_count(cap: Box, status: str) -> None:
    """A cap beside the tray is none in it."""
    rule = composition(required=["pin", "cap"], **{"in": "tray"})

    assert rule.evaluate(make_context(pins(1), locate_answer("cap", cap), locate_answer("tray", TRAY))).status == status


def test_missing_location() -> None:
    """Without the tray, nothing can be text of what is in it."""
    with pytest.raises(NotApplicable, match="no tray"):
        composition(required=["pin"], **{"in": "tray"}).evaluate(make_context(pins(1), locate_answer("tray")))


def test_variants_count_as_components() -> None:
    """A red pin is counted as one, and as a pin."""
    rule = composition(required={"red_pin": 1, "pin": 2})

    assert rule.evaluate(make_context(pins(2), attribute_answer("pin.colour", "red", "blue"))) == RuleResult(
        "holds", "1 red pin, 2 pins"
    )


def test_unreadable_answer_makes_the_rule_unknown() -> None:
    """Every thing must have been looked for."""
    with pytest.raises(UnreadableAnswer, match="locate:cap"):
        LIST.evaluate(make_context(pins(0)))
