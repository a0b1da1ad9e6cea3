"""What a spec's schema cannot see, and what is derived from it."""

from __future__ import annotations

from typing import Any

import pytest

from logicls.constraints.spec.models import Spec
from logicls.constraints.spec.references import find_faults

PINS = {"id": "pins", "quantity": {"of": "pin", "exactly": 4}}


def spec(*constraints: dict[str, Any], **more: Any) -> Spec:
    """A box of pins with these rules."""
    return Spec.model_validate(
        {
            "logicls": 1,
            "product": {"name": "box"},
            "components": {"pin": {"attributes": {"colour": ["red", "blue"]}}, "tray": {}},
            "regions": {"corner": {"box": [0, 0, 0.5, 0.5]}},
            "constraints": list(constraints),
            **more,
        }
    )


def test_a_good_spec_has_no_faults() -> None:
    """Names that resolve are not complained about."""
    assert find_faults(spec(PINS, {"id": "there", "quantity": {"of": "pin", "at_least": 1, "in": "corner"}})) == []


@pytest.mark.parametrize(
    ("rule", "path", "message", "advice"),
    [
        ({"quantity": {"of": "pim", "exactly": 1}}, ("quantity", "of"), 'component "pim"', 'Did you mean "pin"?'),
        (
            {"quantity": {"of": "corner", "exactly": 1}},
            ("quantity", "of"),
            'component "corner"',
            "Available: pin, tray.",
        ),
        (
            {"quantity": {"of": "pin.colour", "exactly": 1}},
            ("quantity", "of"),
            'component "pin.colour"',
            "Available: pin, tray.",
        ),
        (
            {"quantity": {"of": "pin", "exactly": 1, "in": "korner"}},
            ("quantity", "in"),
            'component or region "korner"',
            'Did you mean "corner"?',
        ),
        (
            {"quantity": {"of": "pin", "exactly": 1, "in": "corner.left"}},
            ("quantity", "in"),
            'component or region "corner.left"',
            'Did you mean "corner"?',
        ),
        (
            {"layout": {"subject": "pin", "relation": "above", "object": "trey"}},
            ("layout", "object"),
            'component or region "trey"',
            'Did you mean "tray"?',
        ),
        (
            {"measure": {"width": "pin", "relative_to": "tary", "at_least": 0.1}},
            ("measure", "relative_to"),
            'component or region "tary"',
            'Did you mean "tray"?',
        ),
        (
            {"match": {"left": "pin.color", "right": "pin.colour", "pairs": {"red": "red"}}},
            ("match", "left"),
            'attribute of "pin": "color"',
            'Did you mean "colour"?',
        ),
        (
            {"match": {"left": "pin.colour", "right": "pin.colour", "pairs": {"red": "bleu"}}},
            ("match", "pairs", "red"),
            'value of pin.colour: "bleu"',
            'Did you mean "blue"?',
        ),
    ],
)
def test_a_name_that_does_not_resolve(rule: dict[str, Any], path: tuple[str, ...], message: str, advice: str) -> None:
    """It is quoted, with its place and the name that was probably meant."""
    found = find_faults(spec({"id": "rule", **rule}))

    assert found == [(("constraints", 0, *path), f"unknown {message}", advice, "LC030")]


def test_unknown_names_outside_the_rules() -> None:
    """Regions, components, stoppers and examples are looked at as well."""
    found = find_faults(
        spec(
            {**PINS, "unless_broken": ["pins", "order"]},
            {"id": "ordr", "quantity": {"of": "tray", "exactly": 1}},
            components={"pin": {"leaves": "hole"}, "tray": {"fills": "pins"}},
            regions={"corner": {"box": [0, 0, 1, 1], "of": "try"}, "pin": {"box": [0, 0, 1, 1]}},
            examples=[{"scene": {"pen": 1}, "breaks": ["pin"]}],
        )
    )

    assert sorted(found, key=str) == [
        (("components", "pin", "leaves"), 'unknown component "hole"', "Available: pin, tray.", "LC030"),
        (("components", "tray", "fills"), 'unknown component "pins"', 'Did you mean "pin"?', "LC030"),
        (("constraints", 0, "unless_broken", 0), 'unknown constraint "pins"', "Available: ordr.", "LC030"),
        (("constraints", 0, "unless_broken", 1), 'unknown constraint "order"', 'Did you mean "ordr"?', "LC030"),
        (("examples", 0, "breaks", 0), 'unknown violation "pin"', 'Did you mean "pins"?', "LC030"),
        (("examples", 0, "scene", "pen"), 'unknown component "pen"', 'Did you mean "pin"?', "LC030"),
        (("regions", "corner", "of"), 'unknown component "try"', 'Did you mean "tray"?', "LC030"),
        (("regions", "pin"), 'region "pin" has the name of a component', "Rename one of them.", "LC032"),
    ]


def test_cycle_of_unless_broken() -> None:
    """Two that stop each other, also by way of others, would both be silent; one after the other they may stand."""
    a, b, c = ({**PINS, "id": name} for name in "abc")
    advice = "Remove one of the two.", "LC037"

    found = [
        find_faults(
            spec({**a, "unless_broken": list(one)}, {**b, "unless_broken": list(two)}, {**c, "unless_broken": ["b"]})
        )
        for one, two in (("c", ""), ("b", "a"), ("c", "a"))
    ]

    circles = [[], ["a", "b"], ["a", "b", "c"]]
    assert [[f.message.split("'")[1] for f in fault] for fault in found] == circles
    assert found[1][0] == (
        ("constraints", 0, "unless_broken"),
        "'a' and the rules in unless_broken suppress each other: none is reported",
        *advice,
    )


def test_duplicate_id() -> None:
    """The second one is the problem, and it says where the first is."""
    assert find_faults(spec(PINS, {"id": "other", "quantity": {"of": "tray", "exactly": 1}}, PINS)) == [
        (
            ("constraints", 2, "id"),
            'constraint id "pins" is already used by constraint 1',
            "Give every constraint its own id.",
            "LC031",
        )
    ]


def test_violations_are_in_the_order_of_the_constraints() -> None:
    """Below before above, each name once, made from the id where none is given."""
    two = spec(
        {**PINS, "violation": {"above": "extra"}},
        {"id": "tray", "quantity": {"of": "tray", "at_least": 1}},
        {"id": "again", "quantity": {"of": "pin", "at_most": 9}, "violation": "extra"},
    )

    assert two.violations == ("pins-below", "extra", "tray")


def test_the_hash_is_of_the_content() -> None:
    """Neither the order of keys nor what a default says changes it; a limit does."""
    one = spec(PINS)
    same = spec({"quantity": {"exactly": 4, "of": "pin"}, "severity": "major", "id": "pins"}, examples=[])
    other = spec({"id": "pins", "quantity": {"of": "pin", "exactly": 5}})

    assert one.hash == same.hash
    assert one.hash != other.hash
    assert len(one.hash) == 12
