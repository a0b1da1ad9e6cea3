"""Rules of rules, conditions, places, and rules that say it all: what a whole spec comes to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from logicls.constraints.checker.counterexamples import find_counterexample, list_targets
from logicls.constraints.checker.evaluation import evaluate
from logicls.constraints.families.context import FailureMode
from logicls.constraints.spec.models import Constraint, Spec
from logicls.records import Answer, Box, Finding, Instance, Scene

from ..readings import TRAY, at, attribute_answer, locate_answer

CAPS = {"quantity": {"of": "cap", "at_most": 1}}
PIN = {"quantity": {"of": "pin", "exactly": 1}}
TRAYS = {"quantity": {"of": "tray", "exactly": 1}}
ABOVE = {"layout": {"subject": "pin", "relation": "above", "object": "tray"}}
TOLD = {
    "holds": (CAPS, "1 cap"),
    "broken": (PIN, "2 pins"),
    "unknown": (TRAYS, "no readable answer to locate:tray"),
    "not_applicable": ({"measure": {"height": "nut", "at_most": 1}}, "no nut"),
}
"""Status → a rule that comes to it on `THERE`, and what is found."""
THERE = (locate_answer("pin", at(20, 20), at(80, 20)), locate_answer("cap", at(90, 90)), locate_answer("nut"))


def spec(*constraints: dict[str, Any]) -> Spec:
    """A box of pins, caps and nuts on a tray."""
    return Spec.model_validate(
        {
            "logicls": 1,
            "product": {"name": "box"},
            "components": {"pin": {"attributes": {"colour": ["red", "blue"]}}, "cap": {}, "nut": {}, "tray": {}},
            "variants": {"red_pin": {"of": "pin", "with": {"colour": "red"}}},
            "regions": {
                "bays": {"box": [0, 0, 1, 1], "of": "tray", "grid": [2, 1]},
                "quarters": {"box": [0, 0, 1, 1], "grid": [2, 2]},
            },
            "constraints": [{"id": f"c{number}", **body} for number, body in enumerate(constraints)],
        }
    )


def findings(rules: Spec, *answers: Answer) -> tuple[Finding, ...]:
    """What it comes to on a photo of 400 x 400 pixels."""
    return evaluate(rules, {answer.query: answer for answer in answers}, 400, 400)


def came_to(
    *constraints: dict[str, Any], answers: tuple[Answer, ...] = THERE
) -> list[tuple[str, tuple[str, ...], str]]:
    """Status, defects and what was found, for each constraint."""
    return [(f.status, f.violations, f.found) for f in findings(spec(*constraints), *answers)]


@pytest.mark.parametrize(
    ("body", "said", "kinds"),
    [
        ({"all": [CAPS, PIN]}, "at most 1 cap; and 1 pin", ("",)),
        ({"any": [CAPS, PIN]}, "at most 1 cap; or 1 pin", ("",)),
        ({"not": CAPS}, "not: at most 1 cap", ("",)),
        ({"any": [{"all": [CAPS, PIN]}, {"not": PIN}]}, "at most 1 cap; and 1 pin; or not: 1 pin", ("",)),
        ({"all": [{"quantity": {"of": "cap", "at_least": 0}}]}, "at least 0 caps", ()),
        ({"any": [PIN, {"quantity": {"of": "cap", "at_least": 0}}]}, "1 pin; or at least 0 caps", ()),
        (PIN | {"when": CAPS}, "where at most 1 cap: 1 pin", ("below", "above")),
        (PIN | {"each": "bays", "when": CAPS}, "in each bays, where at most 1 cap: 1 pin", ("below", "above")),
    ],
)
def test_text_and_failure_kinds(body: dict[str, Any], said: str, kinds: tuple[str, ...]) -> None:
    """Plain English; rules of rules can be broken in one way, where their members can be."""
    constraint = spec(body).constraints[0]

    assert (constraint.text, tuple(side.kind for side in constraint.failure_modes)) == (said, kinds)


@pytest.mark.parametrize(
    ("key", "members", "status", "found"),
    [
        ("all", "holds holds", "holds", "1 cap; 1 cap"),
        ("all", "holds broken", "broken", "2 pins"),
        ("all", "unknown broken", "broken", "2 pins"),
        ("all", "holds unknown", "unknown", "no readable answer to locate:tray"),
        ("all", "holds not_applicable", "holds", "1 cap"),
        ("all", "not_applicable not_applicable", "not_applicable", "no nut; no nut"),
        ("any", "broken holds", "holds", "1 cap"),
        ("any", "broken broken", "broken", "2 pins; 2 pins"),
        ("any", "unknown holds", "holds", "1 cap"),
        ("any", "broken unknown", "unknown", "no readable answer to locate:tray"),
        ("any", "broken not_applicable", "broken", "2 pins"),
        ("any", "not_applicable", "not_applicable", "no nut"),
        ("not", "broken", "holds", "2 pins"),
        ("not", "holds", "broken", "1 cap"),
        ("not", "unknown", "unknown", "no readable answer to locate:tray"),
        ("not", "not_applicable", "not_applicable", "no nut"),
    ],
)
def test_rules_of_rules(key: str, members: str, status: str, found: str) -> None:
    """Kleene's logic over those that apply; what decided is told."""
    rules = [TOLD[member][0] for member in members.split()]

    defects = ("c0",) if status == "broken" else ()
    assert came_to({key: rules[0] if key == "not" else rules}) == [(status, defects, found)]


def test_rules_of_rules_of_rules() -> None:
    """They nest: neither both a cap and two pins, nor no nut."""
    both = {"all": [CAPS, {"not": PIN}]}

    assert came_to({"not": {"any": [both, {"quantity": {"of": "nut", "at_least": 1}}]}}) == [
        ("broken", ("c0",), "1 cap; 2 pins")
    ]


@pytest.mark.parametrize(
    ("condition", "rule", "status", "found"),
    [
        ("holds", "broken", "broken", "2 pins"),
        ("holds", "holds", "holds", "1 cap"),
        ("holds", "unknown", "unknown", "no readable answer to locate:tray"),
        ("broken", "broken", "not_applicable", "the condition: 2 pins"),
        ("broken", "not_applicable", "not_applicable", "no nut"),
        ("not_applicable", "broken", "not_applicable", "the condition: no nut"),
        ("unknown", "broken", "unknown", "the condition: no readable answer to locate:tray"),
        ("unknown", "holds", "holds", "1 cap"),
    ],
)
def test_when(condition: str, rule: str, status: str, found: str) -> None:
    """A constraint applies where its condition holds; where that is unknown, only a broken one is left open."""
    constraint = TOLD[rule][0] | {"when": TOLD[condition][0], "violation": "wrong"}

    assert came_to(constraint) == [(status, ("wrong",) if status == "broken" else (), found)]


EACH = PIN | {"each": "bays", "violation": {"below": "few", "above": {1: "one-more", 2: "more"}}}


@pytest.mark.parametrize(
    ("pins", "finding"),
    [
        ((110, 250), ("holds", (), "in all 2")),
        ((110, 120, 250), ("broken", ("one-more",), "bays 1: 2 pins")),
        ((110, 120, 250, 260), ("broken", ("more",), "bays 1: 2 pins; bays 2: 2 pins")),
        ((110, 120, 130), ("broken", ("more", "few"), "bays 1: 3 pins; bays 2: 0 pins")),
        ((20, 110, 250), ("holds", (), "in all 2")),
        ((), ("broken", ("few",), "bays 1: 0 pins; bays 2: 0 pins")),
    ],
)
def test_in_each_cell_of_a_grid(pins: tuple[float, ...], finding: tuple[Any, ...]) -> None:
    """By itself on what has its centre there; how much is too many adds up over the cells."""
    there = locate_answer("pin", *(at(x, 150, 5) for x in pins)), locate_answer("tray", TRAY)

    assert came_to(EACH, answers=there) == [finding]


def test_many_locations_are_summarised() -> None:
    """Four are told, the others counted; a variant is counted in each."""
    trays = [Box(40.0 * n, 100, 40.0 * n + 30, 200) for n in range(6)]
    there = (
        locate_answer("tray", *trays),
        locate_answer("pin", at(15, 150), at(55, 150)),
        attribute_answer("pin.colour", "red", "blue"),
    )

    assert came_to({"quantity": {"of": "red_pin", "exactly": 1}, "each": "tray"}, answers=there) == [
        (
            "broken",
            ("c0",),
            "tray 2: 0 red pins; tray 3: 0 red pins; tray 4: 0 red pins; tray 5: 0 red pins; and 1 more",
        )
    ]


@pytest.mark.parametrize(
    ("body", "answers", "status", "found"),
    [
        (
            ABOVE,
            (locate_answer("pin", at(350, 350)), locate_answer("tray", TRAY)),
            "not_applicable",
            "quarters 1: no pin",
        ),
        (PIN, (locate_answer("pin", at(50, 50)),), "broken", "quarters 2: 0 pins"),
        (ABOVE, (locate_answer("pin", at(50, 50)), locate_answer("tray", at(90, 90))), "holds", "quarters 1: above"),
    ],
)
def test_in_each_quarter(body: dict[str, Any], answers: tuple[Answer, ...], status: str, found: str) -> None:
    """Where it does not apply it is left out; it does not apply if that is so everywhere."""
    (finding,) = findings(spec(body | {"each": "quarters"}), *answers)

    assert (finding.status, finding.found.partition(";")[0]) == (status, found)


@pytest.mark.parametrize(
    ("answers", "finding"),
    [
        ((locate_answer("pin"), locate_answer("tray")), ("not_applicable", (), "no bays")),
        ((locate_answer("pin"),), ("unknown", (), "no readable answer to locate:tray")),
        (
            (Answer("locate:pin", readable=False), locate_answer("tray", TRAY)),
            ("unknown", (), "bays 1: no readable answer to locate:pin; bays 2: no readable answer to locate:pin"),
        ),
    ],
)
def test_each_without_locations(answers: tuple[Answer, ...], finding: tuple[Any, ...]) -> None:
    """Without places there is nothing to say; without an answer it is unknown, in every place."""
    assert came_to(EACH, answers=answers) == [finding]


def test_condition_per_location() -> None:
    """One pin in each bay that has a cap."""
    there = (
        locate_answer("pin", at(250, 150), at(260, 150)),
        locate_answer("cap", at(120, 150)),
        locate_answer("tray", TRAY),
    )

    assert came_to(PIN | {"each": "bays", "when": {"quantity": {"of": "cap", "at_least": 1}}}, answers=there) == [
        ("broken", ("c0",), "bays 1: 0 pins")
    ]


def stopped_by(*others: str) -> dict[str, Any]:
    """A constraint that is broken, unless others are."""
    return PIN | {"unless_broken": list(others)}


@pytest.mark.parametrize(
    ("constraints", "down"),
    [
        ((PIN, stopped_by("c0")), ["c0"]),
        ((CAPS, stopped_by("c0")), ["c1"]),
        ((TRAYS, stopped_by("c0")), ["c1"]),
        ((stopped_by("c1"), PIN), ["c1"]),
        ((PIN, stopped_by("c0"), stopped_by("c1")), ["c0", "c2"]),
        ((PIN, stopped_by("c0"), stopped_by("c1", "c0")), ["c0"]),
        ((PIN, stopped_by("c0"), stopped_by("c1"), stopped_by("c2")), ["c0", "c2"]),
        ((CAPS, stopped_by("c0"), stopped_by("c1")), ["c1"]),
    ],
)
def test_unless_broken_suppresses_a_constraint(constraints: tuple[dict[str, Any], ...], down: list[str]) -> None:
    """While the named constraint is broken this one does not apply; one that is stopped itself stops none."""
    found = findings(spec(*constraints), *THERE)

    assert [f.constraint for f in found if f.status == "broken"] == down


def test_reason_for_not_applicable() -> None:
    """The constraint that says it all is named."""
    assert came_to(PIN, stopped_by("c0"))[1] == ("not_applicable", (), "c0 is broken")


def test_confidence_is_that_of_the_least_confident_answer() -> None:
    """It says which questions it rests on."""
    pin = Answer("locate:pin", boxes=(at(200, 50),), confidence=0.9)
    tray = Answer("locate:tray", boxes=(TRAY,), confidence=0.7)

    found = findings(spec(ABOVE), pin, tray)

    assert found == (Finding("c0", "holds", (), "pin above the tray", "above", ("locate:pin", "locate:tray"), 0.7),)


@pytest.mark.parametrize(
    ("violation", "names"),
    [
        (None, ["c", "c", "c", "c"]),
        ("wrong", ["wrong"] * 4),
        ({"below": "few"}, ["few", "few", "c-above", "c-above"]),
        ({"below": {1: "one-less", 3: "less"}, "above": {2: "more"}}, ["one-less", "less", "more", "more"]),
    ],
)
def test_defects_have_names(violation: Any, names: list[str]) -> None:
    """One for all, for each side, or by how many: the last that is reached, or the first; else made from the id."""
    rule = Constraint.model_validate({"id": "c", "quantity": {"of": "pin", "exactly": 5}, "violation": violation})
    kinds = FailureMode("below", 2), FailureMode("below", 4), FailureMode("above", 1), FailureMode("above", 9)

    assert [rule.violation_name(side) for side in kinds] == names


def test_rule_without_limits_has_a_single_violation() -> None:
    """Names for kinds that it does not have are not its defect's; a wrong set's name goes before the constraint's."""
    sided = {"id": "c", "violation": {"below": "low", "above": "high"}}
    set_ = Constraint.model_validate({**sided, "composition": {"required": ["pin"], "wrong": {"none": {"pin": 0}}}})

    assert Constraint.model_validate({**sided, **ABOVE}).violation_name(FailureMode()) == "c"
    assert [set_.violation_name(side) for side in set_.failure_modes] == ["none", "c"]


def test_no_addition_without_the_location() -> None:
    """A rule that forbids pins on the tray is not broken by an edit where there is no tray."""
    rules = spec({"quantity": {"of": "pin", "exactly": 0, "in": "tray"}})
    scene = Scene("a.png", 400, 400, (Instance(1, "pin", at(50, 50)),))

    assert find_counterexample(rules, list_targets(rules)[0], scene, np.random.default_rng(0)) is None
