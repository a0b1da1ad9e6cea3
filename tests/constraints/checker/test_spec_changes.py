"""What changes between the spec that a model was trained with and the one that its answers are judged with."""

from __future__ import annotations

from pathlib import Path

import pytest

from logicls.constraints.checker.spec_changes import compare_specs, find_new_questions
from logicls.constraints.spec.loader import load_spec, load_spec_file

TRAINED = """\
logicls: 1
product: {name: tray, px_per_mm: 4}
components:
  pin: {attributes: {colour: [red, blue]}}
  cap: {}
  lid: {}
variants:
  red_pin: {of: pin, with: {colour: red}}
regions:
  left: {box: [0, 0, 0.5, 1]}
constraints:
  - id: pins
    quantity: {of: pin, exactly: 4}
    violation: {below: missing_pin, above: extra_pin}
  - id: red-pins
    quantity: {of: red_pin, at_least: 1, in: left}
    violation: no_red_pin
  - id: width
    measure: {width: cap, unit: mm, between: [2, 3]}
    violation: {below: narrow_cap, above: wide_cap}
    unless_broken: [pins]
  - id: centred
    layout: {subject: cap, relation: centred_in, object: left, tolerance: 0.1}
    violation: cap_off
"""


@pytest.fixture
def write(tmp_path):
    """Return a function that writes the spec with replacements, and returns its file."""

    def call(*replacements: tuple[str, str], add: str = "") -> Path:
        text = TRAINED
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "new.yaml"
        path.write_text(text + add)
        return path

    return call


@pytest.fixture
def trained(write):
    """Return the trained spec."""
    return load_spec(write())


def changes_of(trained, path):
    """Return constraint → change."""
    return compare_specs(trained, load_spec(path)).by_rule


def test_the_same_spec_has_no_changes(trained, write):
    """Every rule states its own violations."""
    found = compare_specs(trained, load_spec(write()))

    assert found.removed == ()
    assert all(rule.is_same_rule and rule.is_same_severity and rule.trained == rule.constraint for rule in found.rules)
    assert dict(found.by_rule["pins"].stated) == {"missing_pin": ("missing_pin",), "extra_pin": ("extra_pin",)}


def test_names_severity_and_reason_leave_a_rule_the_same(trained, write):
    """A renamed violation is what the model stated under its old name, by rule and failure mode."""
    path = write(
        ("missing_pin, above", "pin_gone, above"), ("violation: cap_off", "violation: cap_off\n    severity: minor")
    )
    found = compare_specs(trained, load_spec(path))

    assert all(rule.is_same_rule for rule in found.rules)
    assert not found.by_rule["centred"].is_same_severity
    assert found.stated_probabilities("pins", {"missing_pin": 0.7, "extra_pin": 0.2}) == {
        "pin_gone": 0.7,
        "extra_pin": 0.2,
    }
    assert found.translate_stated(["missing_pin"]) == ("pin_gone",)


@pytest.mark.parametrize(
    ("replacement", "rule"),
    [
        (("exactly: 4", "exactly: 5"), "pins"),
        (("between: [2, 3]", "between: [2, 4]"), "width"),
        (("px_per_mm: 4", "px_per_mm: 5"), "width"),
        (("tolerance: 0.1", "tolerance: 0.2"), "centred"),
        (("[0, 0, 0.5, 1]", "[0, 0, 0.6, 1]"), "centred"),
        (("[0, 0, 0.5, 1]", "[0, 0, 0.6, 1]"), "red-pins"),
        (("with: {colour: red}", "with: {colour: blue}"), "red-pins"),
        (("    unless_broken: [pins]\n", ""), "width"),
        (("exactly: 4", "exactly: 5"), "width"),  # which does not apply where `pins` is broken
        (("violation: cap_off", "violation: cap_off\n    when: {quantity: {of: pin, at_least: 1}}"), "centred"),
    ],
)
def test_a_rule_that_other_photos_break_has_changed(trained, write, replacement, rule):
    """The model states nothing about it, whatever it is called."""
    change = changes_of(trained, write(replacement))[rule]

    assert change.trained == rule
    assert not change.is_same_rule
    assert change.stated == ()


def test_a_name_that_is_split_by_amount_is_not_stated(trained, write):
    """Nobody knows how many pins the stated verdict means; names that are merged have the higher probability."""
    split = compare_specs(trained, load_spec(write(("below: missing_pin", "below: {1: missing_pin, 2: no_pins}"))))
    merged = compare_specs(
        trained, load_spec(write(("missing_pin, above: extra_pin", "wrong_pins, above: wrong_pins")))
    )

    assert split.stated_probabilities("pins", {"missing_pin": 0.7, "extra_pin": 0.2}) == {"extra_pin": 0.2}
    assert merged.stated_probabilities("pins", {"missing_pin": 0.7, "extra_pin": 0.2}) == {"wrong_pins": 0.7}


def test_a_renamed_rule_is_found_by_its_meaning(trained, write):
    """Another id with the same rule is the same rule; one with other limits is new, and the old one is gone."""
    renamed = compare_specs(trained, load_spec(write(("id: centred", "id: cap-centred"))))
    replaced = compare_specs(
        trained, load_spec(write(("id: centred", "id: cap-centred"), ("tolerance: 0.1", "tolerance: 0.2")))
    )

    assert (renamed.by_rule["cap-centred"].trained, renamed.removed) == ("centred", ())
    assert (replaced.by_rule["cap-centred"].trained, replaced.removed) == ("", ("centred",))


def test_an_id_of_another_family_is_a_new_rule(trained, write):
    """A quantity that is called like a layout has neither its noise nor its thresholds."""
    path = write(
        (
            "layout: {subject: cap, relation: centred_in, object: left, tolerance: 0.1}",
            "quantity: {of: cap, exactly: 1}",
        )
    )

    assert changes_of(trained, path)["centred"].trained == ""


def test_noise_is_converted_to_the_dead_zone_of_other_limits(trained, write):
    """Half the tolerance, twice the noise; below the smallest zone nothing changes any more."""
    found = [
        changes_of(trained, write(("tolerance: 0.1", f"tolerance: {tolerance}")))["centred"].noise_scale
        for tolerance in (0.2, 0.05, 0.02, 0.001)
    ]

    assert found == pytest.approx([0.5, 2.0, 5.0, 5.0])


@pytest.mark.parametrize(
    ("replacements", "add", "expected"),
    [
        (
            (),
            "  - {id: lid, quantity: {of: lid, exactly: 1}}\n",
            [(25, "'lid' needs each lid (question `locate:lid`)")],
        ),
        (
            (("  lid: {}", "  lid: {attributes: {size: [s, l]}}"),),
            "  - {id: lid, attribute: {of: lid.size, is: s}}\n",
            [(25, "'lid' needs the size of each lid (question `attribute:lid.size`)")],
        ),
        ((("[red, blue]", "[red, blue, green]"),), "", [(16, "'red-pins' needs the value \"green\" of pin.colour")]),
        (
            (),
            "  - {id: turned, orientation: {of: cap, tolerance: 10}}\n",
            [(25, "'turned' needs the orientation of each cap (question `orientation:cap`)")],
        ),
    ],
)
def test_what_needs_new_questions_is_named_with_its_place(trained, write, replacements, add, expected):
    """A component, an attribute, a value, and an angle that the model was never asked about."""
    problems = find_new_questions(trained, load_spec_file(write(*replacements, add=add)))

    found = [
        (problem.line, problem.message.removesuffix(", which the model was not trained to answer."))
        for problem in problems
    ]
    assert found == expected
    assert {problem.code for problem in problems} == {"LC630"}


def test_rules_on_what_is_read_already_need_no_question(trained, write):
    """Further rules, fewer values and other regions are judged from the answers that there are."""
    path = write(
        ("regions:\n", "regions:\n  right: {box: [0.5, 0, 1, 1]}\n"),
        add="  - {id: cap-right, layout: {subject: cap, relation: at, object: right}}\n"
        "  - {id: reds, attribute: {of: pin.colour, is: [red]}, when: {quantity: {of: cap, at_least: 1}}}\n",
    )

    assert find_new_questions(trained, load_spec_file(path)) == []
