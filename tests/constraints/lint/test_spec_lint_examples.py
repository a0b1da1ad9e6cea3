"""Spec lint on examples, failure modes and tolerances."""

from __future__ import annotations

from typing import Any

import pytest

from logicls.constraints.lint.spec_lint import lint_spec
from logicls.constraints.spec.models import Spec
from logicls.constraints.spec.references import Fault, find_faults

from .pins import LEFT, ON, PINS, RED, TOP, Body, spec


def find_faults_of(rules: Spec, *codes: str) -> list[Fault]:
    """Lint faults with these codes."""
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
def test_example_must_break_what_it_names(scene: Body, found: str) -> None:
    """LC041: without boxes only rules that need none are evaluated."""
    names = [] if found == "nothing" else found.split(", ")
    rules = PINS, TOP, ON, LEFT, RED
    right = spec(*rules, examples=[{"scene": scene, "breaks": names}])
    wrong = spec(*rules, examples=[{"scene": scene, "breaks": ["off", "few", "low"]}])

    assert find_faults_of(right, "LC041") == []
    assert find_faults_of(wrong, "LC041") == [
        Fault(
            ("examples", 0),
            f"example 1 should break few, low, off, but breaks {found}",
            "Correct the rule or the example.",
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
def test_invalid_scene(scene: Body, path: tuple[Any, ...], message: str) -> None:
    """LC025: counts are integers, boxes lie in the photo, and lists contain no lists."""
    found = find_faults(spec(PINS, examples=[{"scene": scene}]))

    assert [(f.path, f.message, f.code) for f in found] == [(("examples", 0, "scene", *path), message, "LC025")]


MATCH = {"left": "pin.size", "right": "pin.colour", "pairs": {"s": ["red", "blue"]}}
ALLOWS_EVERYTHING = "'c0' cannot be broken: it allows everything"
ALLOWS_ALL_VALUES = "'c0' cannot be broken: it allows every value in the spec"


@pytest.mark.parametrize(
    ("rule", "path", "message"),
    [
        ({"quantity": {"of": "pin", "at_least": 0}}, ("quantity",), ALLOWS_EVERYTHING),
        ({"measure": {"height": "pin", "at_least": 0}}, ("measure",), ALLOWS_EVERYTHING),
        ({"any": [PINS, {"quantity": {"of": "pin", "at_least": 0}}]}, ("any",), ALLOWS_EVERYTHING),
        ({"attribute": {"of": "pin.colour", "is": ["blue", "red"]}}, ("attribute",), ALLOWS_ALL_VALUES),
        ({"match": MATCH}, ("match",), ALLOWS_ALL_VALUES),
        (
            {"not": {"all": [{"attribute": {"of": "pin.size", "is": "s"}}]}},
            ("not", "all", 0, "attribute"),
            ALLOWS_ALL_VALUES,
        ),
    ],
)
def test_unbreakable_rules(rule: Body, path: tuple[Any, ...], message: str) -> None:
    """LC044: limits that allow everything, and lists of all values."""
    body = {key: [{k: v for k, v in m.items() if k != "violation"} for m in value] if key == "any" else value
            for key, value in rule.items()}  # fmt: skip

    assert [f[:2] for f in find_faults_of(spec(body), "LC044")] == [(("constraints", 0, *path), message)]


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
def test_breakable_rules(rule: Body) -> None:
    """One wrong value or count is sufficient."""
    assert find_faults_of(spec(rule), "LC044") == []


@pytest.mark.parametrize(
    ("rule", "violation", "path", "message"),
    [
        (PINS, {"below": "few"}, (), "'c0' has no violation name for values above its limits"),
        (PINS, {"above": {2: "many"}}, (), "'c0' has no violation name for values below its limits"),
        (ON, {"below": "off", "above": "many"}, ("above",), "'c0' cannot be broken above its limits"),
        (TOP, {"below": "low"}, ("below",), "'c0' cannot be broken below its limits"),
    ],
)
def test_names_of_failure_modes(rule: Body, violation: Body, path: tuple[Any, ...], message: str) -> None:
    """LC045: failure modes without a name, and names of failure modes that the rule does not have."""
    found = find_faults_of(spec({**rule, "violation": violation}), "LC045")

    assert [f[:2] for f in found] == [(("constraints", 0, "violation", *path), message)]


@pytest.mark.parametrize("rule", [PINS, ON, {**PINS, "violation": "wrong"}, {**ON, "violation": {"below": "off"}}])
def test_complete_names(rule: Body) -> None:
    """One name for all failure modes, or one for each."""
    assert find_faults_of(spec(rule), "LC045") == []


@pytest.mark.parametrize(
    ("body", "is_valid"),
    [
        ({"relation": "centred_in", "object": "tray", "tolerance": 0}, False),
        ({"relation": "aligned", "axis": "x", "tolerance": [0, 0]}, False),
        ({"relation": "evenly_spaced", "axis": "x", "tolerance": 0}, False),
        ({"relation": "centred_in", "object": "tray", "tolerance": [0, 0.1]}, True),
        ({"relation": "inside", "object": "tray", "tolerance": 0}, True),
        ({"relation": "aligned", "axis": "x", "tolerance": 0.01}, True),
    ],
)
def test_zero_tolerance(body: Body, is_valid: bool) -> None:
    """LC046: centres never agree exactly."""
    found = find_faults_of(spec({"layout": {"subject": "pin", **body}}), "LC046")

    message = "'c0' has a tolerance of 0, less than a pixel"
    assert [f[:2] for f in found] == ([] if is_valid else [(("constraints", 0, "layout", "tolerance"), message)])


def test_violations_without_example() -> None:
    """LC047: every failure mode of every rule, if there are examples."""
    example = {"scene": {"pin": 3, "tray": 1}, "breaks": ["many"]}

    assert find_faults_of(spec(PINS, ON), "LC047") == []
    assert [f[:2] for f in find_faults_of(spec(PINS, ON, examples=[example]), "LC047")] == [
        (("constraints", 0), "no example shows few ('c0')"),
        (("constraints", 1), "no example shows off ('c1')"),
    ]
