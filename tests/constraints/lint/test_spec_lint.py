"""What is wrong with rules that can be read: each code with what gives it, and with what comes close and does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logicls.constraints.checker.evaluation import compute_answers
from logicls.constraints.lint.spec_lint import lint_spec
from logicls.constraints.spec.models import Spec
from logicls.constraints.spec.references import find_faults
from logicls.records import Box, Instance, Scene

Body = dict[str, Any]
ALWAYS = [{"quantity": {"of": thing, "at_least": 1}} for thing in ("pin", "cap", "tray")]
"""Rules that use every component."""


def spec(*constraints: Body, **more: Any) -> Spec:
    """A box of pins and caps on a tray; constraints are numbered."""
    return Spec.model_validate(
        {
            "logicls": 1,
            "product": {"name": "box"},
            "components": {
                "pin": {"attributes": {"colour": ["red", "blue"]}},
                "cap": {"attributes": {"colour": ["red", "blue", "green"]}},
                "tray": {},
            },
            "constraints": [{"id": f"c{number}", **body} for number, body in enumerate(constraints)],
            **more,
        }
    )


def said(rules: Spec, *codes: str) -> list[tuple[str, str]]:
    """Code and message of what lint says, of these codes."""
    assert find_faults(rules) == []
    return [(f.code, f.message) for f in lint_spec(rules) if not codes or f.code in codes]


def pin(**body: Any) -> Body:
    """A quantity of pins."""
    return {"quantity": {"of": "pin", **body}}


def layout(subject: str, relation: str, target: str, **body: Any) -> Body:
    """A layout rule."""
    return {"layout": {"subject": subject, "relation": relation, "object": target, **body}}


def height(**body: Any) -> Body:
    """A measure of pins."""
    return {"measure": {"height": "pin", **body}}


def colour(thing: str = "pin", **body: Any) -> Body:
    """A rule about a colour."""
    return {"attribute": {"of": f"{thing}.colour", **body}}


def match(pairs: Body) -> Body:
    """Which pins go with which caps."""
    return {"match": {"left": "pin.colour", "right": "cap.colour", "pairs": pairs}}


UNUSED: dict[str, Any] = {
    "variants": {"red_pin": {"of": "pin", "with": {"colour": "red"}}},
    "regions": {"corner": {"box": [0, 0, 0.5, 0.5]}, "rim": {"of": "tray", "box": [0, 0, 1, 0.1]}},
}


@pytest.mark.parametrize(
    ("constraints", "unused"),
    [
        (ALWAYS, ['variant "red_pin"', 'region "corner"', 'region "rim"']),
        (ALWAYS[:2], ['component "tray"', 'variant "red_pin"', 'region "corner"', 'region "rim"']),
        ([*ALWAYS[:2], pin(at_least=1, **{"in": "rim"})], ['variant "red_pin"', 'region "corner"']),
        ([*ALWAYS[1:], {"quantity": {"of": "red_pin", "at_most": 9}, "each": "corner"}], ['region "rim"']),
        (
            [*ALWAYS[1:], {**ALWAYS[1], "when": {"quantity": {"of": "red_pin", "at_least": 1}}}],
            ['region "corner"', 'region "rim"'],
        ),
        (
            [{"all": [{"not": match({"red": "red"})}, layout("pin", "at", "rim")]}],
            ['variant "red_pin"', 'region "corner"'],
        ),
    ],
)
def test_what_no_rule_speaks_about(constraints: list[Body], unused: list[str]) -> None:
    """LC040: names that no rule, condition or place uses, itself or by way of a variant or a region."""
    expected = [("LC040", f"no rule speaks about {what}") for what in unused]

    assert said(spec(*constraints, **UNUSED), "LC040") == expected


def test_what_fills_and_what_is_left_are_used() -> None:
    """A component that is only seen where another one is taken away is spoken about."""
    components = {"pin": {"leaves": "hole", "fills": "tray"}, "hole": {}, "tray": {}, "nut": {}}

    assert said(spec(pin(at_least=1), components=components)) == [("LC040", 'no rule speaks about component "nut"')]


ROW = {"layout": {"subject": ["pin", "cap"], "relation": "in_order", "axis": "x"}}


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (pin(exactly=2), pin(at_least=3), "2 pin; at least 3 pin"),
        (pin(at_most=1), pin(between=[2, 3]), "at most 1 pin; 2 to 3 pin"),
        (pin(exactly=1, **{"in": "tray"}), pin(exactly=2, **{"in": "tray"}), "1 pin in the tray; 2 pin in the tray"),
        (pin(exactly=1, **{"with": {"colour": "red"}}), pin(exactly=2, **{"with": {"colour": ["red"]}}),
         "1 pin with colour red; 2 pin with colour red"),
        (pin(at_most=1), pin(at_least=2, **{"in": "tray"}), "at least 2 pin in the tray; at most 1 pin"),
        (height(at_most=0.2), height(at_least=0.3), "height of the pin at most 20.0% of the photo; "
         "height of the pin at least 30.0% of the photo"),
        (colour(**{"is": "red"}), colour(is_not="red"), "pin's colour is red; pin's colour is not red"),
        (colour(**{"is": "red"}), colour(**{"is": "blue"}), "pin's colour is red; pin's colour is blue"),
        (match({"red": "red"}), match({"red": ["blue", "green"]}), "nothing goes with red"),
        ({"composition": {"required": ["pin"]}}, pin(exactly=0), "there must be pin; 0 pin"),
        ({"composition": {"required": {"pin": 2}}}, pin(at_least=3), "there must be 2 pin; at least 3 pin"),
        (layout("pin", "above", "cap"), layout("cap", "above", "pin"), "with 'c0' it goes in a circle"),
        (layout("pin", "left_of", "cap"), layout("pin", "right_of", "cap"), "with 'c0' it goes in a circle"),
        (ROW, layout("cap", "left_of", "pin"), "with 'c0' it goes in a circle"),
    ],
)  # fmt: skip
def test_rules_that_contradict_each_other(one: Body, other: Body, told: str) -> None:
    """LC042, in either order; not where they apply in different places, or under different conditions."""
    condition = {"when": {"quantity": {"of": "tray", "at_least": 1}}}

    found = said(spec(one, other), "LC042", "LC043")
    apart = [said(spec(one, {**other, **scope}), "LC042", "LC043") for scope in (condition, {"each": "tray"})]
    together = said(spec({**one, **condition}, {**other, **condition}), "LC042")

    assert len(found) == 1
    assert {code for code, _ in said(spec(other, one), "LC042", "LC043")} == {"LC042"}
    assert found[0][0] == "LC042"
    assert sorted(found[0][1].partition(": ")[2].split("; ")) == sorted(told.split("; "))
    assert apart == [[], []]
    assert len(together) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pin(at_least=2), pin(at_most=2)),
        (pin(exactly=1), {"quantity": {"of": "cap", "exactly": 2}}),
        (pin(exactly=1, **{"in": "tray"}), pin(exactly=2)),
        (pin(exactly=1, **{"with": {"colour": "red"}}), pin(exactly=2, **{"with": {"colour": "blue"}})),
        (pin(at_most=2), pin(at_least=2, **{"in": "tray"})),
        (height(at_most=0.3), height(at_least=0.3)),
        (height(at_most=0.2), height(at_least=0.3, relative_to="tray")),
        (height(at_most=2, unit="px"), height(at_least=3, unit="mm")),
        (colour(**{"is": "red"}), colour("cap", is_not="red")),
        (colour(**{"is": ["red"]}), colour(same=True)),
        (match({"red": ["red", "blue"]}), match({"red": ["blue", "green"]})),
        (match({"red": "red"}), match({"blue": "blue"})),
        ({"composition": {"required": ["cap"]}}, pin(exactly=0)),
        ({"composition": {"required": ["pin"]}}, pin(exactly=0, **{"in": "tray"})),
        ({"composition": {"required": {"pin": 2}}}, pin(at_least=2)),
        (layout("pin", "above", "cap"), layout("cap", "left_of", "pin")),
        (layout("pin", "above", "cap", tolerance=0.1), layout("cap", "above", "pin", tolerance=0.1)),
        (layout("pin", "above", "cap"), layout("cap", "above", "tray")),
    ],
)  # fmt: skip
def test_rules_that_only_come_close(one: Body, other: Body) -> None:
    """Limits that meet, other things, places, units, axes and tolerances do not contradict."""
    product = {"name": "box", "px_per_mm": 2.0}

    assert said(spec(one, other, product=product), "LC042", "LC043") == []


def test_a_circle_may_be_long_and_may_be_alone() -> None:
    """All that it goes through are named; a thing that must be before itself contradicts itself."""
    long = spec(layout("pin", "above", "cap"), layout("cap", "above", "tray"), layout("pin", "below", "tray"))
    alone = spec({"layout": {"subject": ["pin", "cap", "pin"], "relation": "in_order", "axis": "x"}})
    itself = spec(layout("pin", "left_of", "pin"))

    assert said(long, "LC042") == [("LC042", "'c2' contradicts 'c0': with 'c0' and 'c1' it goes in a circle")]
    assert said(alone, "LC042") == [("LC042", "'c0' contradicts itself: it goes in a circle")]
    assert said(itself, "LC042") == [("LC042", "'c0' contradicts itself: it goes in a circle")]


@pytest.mark.parametrize(
    ("one", "other", "superfluous"),
    [
        (pin(exactly=2), pin(exactly=2), "c1"),
        (pin(exactly=2), pin(at_least=1), "c1"),
        (pin(between=[1, 5]), pin(exactly=2), "c0"),
        (pin(at_most=3), pin(at_most=3, **{"in": "tray"}), "c1"),
        (height(at_most=0.3), height(between=[0.1, 0.2]), "c0"),
        (colour(**{"is": ["red", "blue"]}), colour(is_not="red"), "c0"),
        (colour(is_not="red"), colour(**{"is": "blue"}), "c1"),
        (layout("pin", "above", "cap"), layout("pin", "above", "cap"), "c1"),
        ({"not": pin(exactly=2)}, {"not": pin(exactly=2)}, "c1"),
    ],
)
def test_rules_that_another_one_says(one: Body, other: Body, superfluous: str) -> None:
    """LC043: the wider one says nothing that the narrower one does not say."""
    found = said(spec(one, other), "LC042", "LC043")
    kept = "c0" if superfluous == "c1" else "c1"

    assert found == [("LC043", f"'{superfluous}' says nothing that '{kept}' does not say")]


INTERVALS = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(sorted)


@given(INTERVALS, INTERVALS)
def test_limits_clash_where_no_count_obeys_both(one: list[int], other: list[int]) -> None:
    """Over all counts: a contradiction where none is right for both, superfluous where one's counts are the other's."""
    rules = spec(pin(between=one), pin(between=other))
    right = [
        {n for n in range(9) if "c" + str(index) not in compute_answers(rules, scene(n))[-1].values} for index in (0, 1)
    ]

    codes = [code for code, _ in said(rules, "LC042", "LC043")]

    assert (codes == ["LC042"]) == (not right[0] & right[1])
    assert (codes == ["LC043"]) == (right[0] <= right[1] or right[1] <= right[0])


def scene(pins: int) -> Scene:
    """So many pins."""
    return Scene("a.png", 100, 100, tuple(Instance(n, "pin", Box(n, 0, n + 1, 1)) for n in range(pins)))
