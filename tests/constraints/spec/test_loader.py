"""Every complaint about a spec points at a line, quotes what is there, and says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from logicls.constraints.spec.loader import allowed_keys, format_caret, load_spec, validate_tree
from logicls.constraints.spec.models import Spec
from logicls.constraints.spec.yaml_reader import read_yaml
from logicls.errors import Problem, SpecError

HEAD = """logicls: 1
product: {name: box}
components:
  pin: {attributes: {colour: [red, blue]}}
  tray: {}
constraints:
"""
RULE = "  - id: pins-per-box\n    quantity: {of: pin, exactly: 4}\n"


def complaints(tmp_path: Path, text: str) -> list[str]:
    """What is said of a spec, a line each, without the folder."""
    path = tmp_path / "box.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_a_good_spec_loads(tmp_path: Path) -> None:
    """What is written is what the model holds."""
    path = tmp_path / "box.yaml"
    path.write_text(HEAD + RULE)

    spec = load_spec(path)

    assert [constraint.id for constraint in spec.constraints] == ["pins-per-box"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            "  - id: pins-per-box\n    quantity: {of: pin, exacly: 4}\n",
            'box.yaml:8:25 LC021 unknown key "exacly" in quantity of \'pins-per-box\'. Did you mean "exactly"?',
        ),
        (
            RULE + "    sevrity: major\n",
            'box.yaml:9:5 LC021 unknown key "sevrity" in constraint \'pins-per-box\'. Did you mean "severity"?',
        ),
        (
            RULE + "extra: 1\n",
            'box.yaml:9:1 LC021 unknown key "extra" at the top level. '
            "Available: components, constraints, examples, logicls, product, regions, variants.",
        ),
        ("  - id: a\n    quantity: {exactly: 4}\n", "box.yaml:8:15 LC022 missing key \"of\" in quantity of 'a'."),
        ("  - quantity: {of: pin, exactly: 4}\n", 'box.yaml:7:5 LC022 missing key "id" in constraint 1.'),
        (
            "  - id: a\n    quantity: {of: pin, exactly: four}\n",
            "box.yaml:8:34 LC023 exactly of quantity of 'a': expected a whole number, got \"four\".",
        ),
        (
            "  - id: a\n    quantity: {of: pin, exactly: '4'}\n",
            "box.yaml:8:34 LC023 exactly of quantity of 'a': expected a whole number, got \"4\".",
        ),
        (
            "  - id: a\n    quantity: {of: pin, exactly: true}\n",
            "box.yaml:8:34 LC023 exactly of quantity of 'a': expected a whole number, got true.",
        ),
        (
            "  - id: 7\n    quantity: {of: pin, exactly: 4}\n",
            "box.yaml:7:9 LC023 id of constraint 1: expected text, got 7. Put it in quotes.",
        ),
        ("  - id: a\n    quantity: 3\n", "box.yaml:8:15 LC023 quantity of 'a': expected a mapping, got 3."),
        (RULE + "    why: ~\n", "box.yaml:9:10 LC023 why of 'pins-per-box': expected text, got nothing."),
        (
            RULE + "    violation: [a]\n",
            "box.yaml:9:16 LC023 violation of 'pins-per-box': expected text or a mapping, got a list.",
        ),
        (
            RULE + "    violation: {belo: a}\n",
            'box.yaml:9:17 LC021 unknown key "belo" in violation of \'pins-per-box\'. Did you mean "below"?',
        ),
        (
            RULE + "    violation: too few\n",
            "box.yaml:9:16 LC024 violation of 'pins-per-box': \"too few\" is not a name. Use letters, digits, _ and -.",
        ),
        (
            RULE + "    severity: majr\n",
            "box.yaml:9:15 LC024 severity of 'pins-per-box': \"majr\" is not one of the allowed values. "
            'Did you mean "major"?',
        ),
        (
            "  - id: a\n    quantity: {of: pin, exactly: -1}\n",
            "box.yaml:8:34 LC024 exactly of quantity of 'a': -1 should be greater than or equal to 0.",
        ),
        (
            "  - id: a\n    quantity: {of: pin, between: [1]}\n",
            "box.yaml:8:34 LC022 item 2 of between of quantity of 'a' is missing.",
        ),
        (
            "  - id: a\n    quantity: {of: pin}\n",
            "box.yaml:8:15 LC025 quantity of 'a': write exactly one of: exactly, at_least, at_most, between.",
        ),
        (
            "  - {id: a}\n",
            "box.yaml:7:5 LC025 constraint 'a': write exactly one of: quantity, layout, composition, match, "
            "connection, attribute, measure, orientation, appearance, all, any, not.",
        ),
        (
            "  - id: a\n    quantity: {of: pim, exactly: 4}\n",
            'box.yaml:8:20 LC030 unknown component "pim". Did you mean "pin"?',
        ),
        (
            RULE + RULE,
            'box.yaml:9:9 LC031 constraint id "pins-per-box" is already used by constraint 1. '
            "Give every constraint its own id.",
        ),
    ],
)
def test_problems(tmp_path: Path, rule: str, said: str) -> None:
    """Each slip has its place, its code, what was written, and advice."""
    assert complaints(tmp_path, HEAD + rule) == [said]


@pytest.mark.parametrize("key", ["all", "any", "not"])
def test_nested_rules_load_fast(tmp_path: Path, key: str) -> None:
    """The place of a slip is found below many rules of the same key; those that are too deep are refused."""
    one, last = ("{not: ", "}") if key == "not" else (f"{{{key}: [", "]}")
    rules = [f"  - {{id: a, {one[1:]}{one * n}{{quantity: {{of: pin}}}}{last * n}{last}\n" for n in (16, 100)]
    column = rules[0].index("{of: pin}") + 1

    said = [complaints(tmp_path, HEAD + rule)[0].split()[:2] for rule in rules]

    assert said == [[f"box.yaml:7:{column}", "LC025"], [said[1][0], "LC011"]]


def test_unknown_key_as_a_bad_key_points_at_the_key(tmp_path: Path) -> None:
    """A component whose name is none is marked at its name, not at its value."""
    said = complaints(tmp_path, HEAD.replace("tray:", '"a tray":') + RULE)

    expected = 'box.yaml:5:3 LC024 a tray of components: "a tray" is not a name. Use letters, digits, _ and -.'
    assert said == [expected]


def test_all_at_once_by_line(tmp_path: Path) -> None:
    """One run shows everything, from the top down."""
    text = HEAD.replace("name: box", "nme: box") + "  - id: a\n    quantity: {of: 1, exactly: x}\n    why: 3\n"

    assert [line.split()[:2] for line in complaints(tmp_path, text)] == [
        ["box.yaml:2:10", "LC022"],
        ["box.yaml:2:11", "LC021"],
        ["box.yaml:8:20", "LC023"],
        ["box.yaml:8:32", "LC023"],
        ["box.yaml:9:10", "LC023"],
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "box.yaml:1:1 LC020 is empty. Start with `logicls: 1`."),
        ("- a\n", "box.yaml:1:1 LC020 is not a mapping of keys to values. Start with `logicls: 1`."),
    ],
)
def test_spec_that_is_not_a_mapping(tmp_path: Path, text: str, said: str) -> None:
    """An empty file and a list are refused before the model sees them."""
    assert complaints(tmp_path, text) == [said]


def test_caret_marks_the_column() -> None:
    """The terminal shows the line with a mark under the place."""
    problem = Problem("LC021", "unknown key.", "box.yaml", 2, 4)

    assert format_caret(problem, "a: 1\nb: cd\n") == "2 | b: cd\n  |    ^"
    assert format_caret(Problem("LC001", "cannot be read."), "a: 1\n") == ""


def test_allowed_keys_follow_lists_mappings_unions_and_aliases() -> None:
    """Keys are those that a person may write at that place."""
    assert {"of", "in", "exactly"} <= allowed_keys(Spec, ("constraints", 3, "quantity"))
    assert "in_" not in allowed_keys(Spec, ("constraints", 3, "quantity"))
    assert allowed_keys(Spec, ("constraints", 0, "violation")) == {"below", "above", "turned", "tilted"}
    assert "optional" in allowed_keys(Spec, ("components", "pin"))
    assert allowed_keys(Spec, ("nowhere",)) == set()


class _Left(BaseModel, extra="forbid"):
    left: int


class _Right(BaseModel, extra="forbid"):
    right: int


class _Either(BaseModel, extra="forbid"):
    side: _Left | _Right


def test_union_reports_one_fault_per_value() -> None:
    """Two branches that refuse the same key do not say so twice, and both their keys are offered."""
    tree = read_yaml(Path("box.yaml"), "side: {lft: 1}\n")

    with pytest.raises(SpecError) as caught:
        validate_tree(_Either, tree, "box.yaml")

    said = [p.message + p.advice for p in caught.value.problems if p.code == "LC021"]
    assert said == ['unknown key "lft" in side.Did you mean "left"?']


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_near_misses_raise_nothing_but_spec_errors(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A good spec with a few characters changed loads, or is refused with a place in the file."""
    text = HEAD + RULE + "    violation: {below: few, above: many}\n"
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        put = data.draw(st.sampled_from(["", "x", "1", "~", "[]", "{}", "true", '"', ":", "- ", "\n", " ", "é", "\0"]))
        text = text[:start] + put + text[start + data.draw(st.integers(0, 8)) :]
    path = tmp_path_factory.getbasetemp() / "near.yaml"
    path.write_text(text)

    try:
        load_spec(path)
    except SpecError as error:
        assert error.problems
        assert all(problem.line >= 1 for problem in error.problems)
