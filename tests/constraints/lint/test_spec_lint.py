"""Spec lint: each code with specs that trigger it, and near misses that do not."""

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
ALWAYS = [{"quantity": {"of": component, "at_least": 1}} for component in ("pin", "cap", "tray")]
"""Rules that use every component."""


def spec(*constraints: Body, **more: Any) -> Spec:
    """Spec of a box of pins and caps on a tray with constraints c0, c1, ..."""
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


def messages_of(rules: Spec, *codes: str) -> list[tuple[str, str]]:
    """Codes and messages of the lint faults with these codes."""
    assert find_faults(rules) == []
    return [(f.code, f.message) for f in lint_spec(rules) if not codes or f.code in codes]


def pin(**body: Any) -> Body:
    """A rule on the number of pins."""
    return {"quantity": {"of": "pin", **body}}


def layout(subject: str, relation: str, target: str, **body: Any) -> Body:
    """A layout rule."""
    return {"layout": {"subject": subject, "relation": relation, "object": target, **body}}


def height(**body: Any) -> Body:
    """A rule on the height of pins."""
    return {"measure": {"height": "pin", **body}}


def colour(component: str = "pin", **body: Any) -> Body:
    """A rule on a colour."""
    return {"attribute": {"of": f"{component}.colour", **body}}


def match(pairs: Body) -> Body:
    """A rule on colours of pins and caps."""
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
def test_unused_names(constraints: list[Body], unused: list[str]) -> None:
    """LC040: names that no rule, condition or scope uses, directly or through a variant or a region."""
    expected = [("LC040", f"no rule uses {name}") for name in unused]

    assert messages_of(spec(*constraints, **UNUSED), "LC040") == expected


def test_components_used_by_other_components() -> None:
    """`fills` and `leaves` of a used component count as uses."""
    components = {"pin": {"leaves": "hole", "fills": "tray"}, "hole": {}, "tray": {}, "nut": {}}

    assert messages_of(spec(pin(at_least=1), components=components)) == [("LC040", 'no rule uses component "nut"')]


ROW = {"layout": {"subject": ["pin", "cap"], "relation": "in_order", "axis": "x"}}


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (pin(exactly=2), pin(at_least=3), "2 pins; at least 3 pins"),
        (pin(at_most=1), pin(between=[2, 3]), "at most 1 pin; 2 to 3 pins"),
        (pin(exactly=1, **{"in": "tray"}), pin(exactly=2, **{"in": "tray"}), "1 pin in the tray; 2 pins in the tray"),
        (pin(exactly=1, **{"with": {"colour": "red"}}), pin(exactly=2, **{"with": {"colour": ["red"]}}),
         "1 pin with colour red; 2 pins with colour red"),
        (pin(at_most=1), pin(at_least=2, **{"in": "tray"}), "at least 2 pins in the tray; at most 1 pin"),
        (height(at_most=0.2), height(at_least=0.3), "height of the pin at most 20.0% of the photo; "
         "height of the pin at least 30.0% of the photo"),
        (colour(**{"is": "red"}), colour(is_not="red"), "pin's colour is red; pin's colour is not red"),
        (colour(**{"is": "red"}), colour(**{"is": "blue"}), "pin's colour is red; pin's colour is blue"),
        (match({"red": "red"}), match({"red": ["blue", "green"]}), "nothing goes with red"),
        ({"composition": {"required": ["pin"]}}, pin(exactly=0), "there must be pin; 0 pins"),
        ({"composition": {"required": {"pin": 2}}}, pin(at_least=3), "there must be 2 pins; at least 3 pins"),
        (layout("pin", "above", "cap"), layout("cap", "above", "pin"), "together with 'c0' it demands a cyclic order"),
        (layout("pin", "left_of", "cap"), layout("pin", "right_of", "cap"),
         "together with 'c0' it demands a cyclic order"),
        (ROW, layout("cap", "left_of", "pin"), "together with 'c0' it demands a cyclic order"),
    ],
)  # fmt: skip
def test_contradictions(first: Body, second: Body, reason: str) -> None:
    """LC042 in either order, but not with different scopes or conditions."""
    condition = {"when": {"quantity": {"of": "tray", "at_least": 1}}}

    found = messages_of(spec(first, second), "LC042", "LC043")
    separate = [
        messages_of(spec(first, {**second, **scope}), "LC042", "LC043") for scope in (condition, {"each": "tray"})
    ]
    together = messages_of(spec({**first, **condition}, {**second, **condition}), "LC042")

    assert len(found) == 1
    assert {code for code, _ in messages_of(spec(second, first), "LC042", "LC043")} == {"LC042"}
    assert found[0][0] == "LC042"
    assert sorted(found[0][1].partition(": ")[2].split("; ")) == sorted(reason.split("; "))
    assert separate == [[], []]
    assert len(together) == 1


@pytest.mark.parametrize(
    ("first", "second"),
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
def test_near_misses(first: Body, second: Body) -> None:
    """Touching limits, and other components, regions, units, axes or tolerances are no contradiction."""
    product = {"name": "box", "px_per_mm": 2.0}

    assert messages_of(spec(first, second, product=product), "LC042", "LC043") == []


def test_cycles_of_any_length() -> None:
    """All rules of the cycle are named; a component before itself contradicts itself."""
    long = spec(layout("pin", "above", "cap"), layout("cap", "above", "tray"), layout("pin", "below", "tray"))
    alone = spec({"layout": {"subject": ["pin", "cap", "pin"], "relation": "in_order", "axis": "x"}})
    itself = spec(layout("pin", "left_of", "pin"))

    assert messages_of(long, "LC042") == [
        ("LC042", "'c2' contradicts 'c0': together with 'c0' and 'c1' it demands a cyclic order")
    ]
    assert messages_of(alone, "LC042") == [("LC042", "'c0' contradicts itself: it demands a cyclic order")]
    assert messages_of(itself, "LC042") == [("LC042", "'c0' contradicts itself: it demands a cyclic order")]


@pytest.mark.parametrize(
    ("first", "second", "redundant"),
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
def test_redundant_rules(first: Body, second: Body, redundant: str) -> None:
    """LC043: a narrower rule implies a wider one."""
    found = messages_of(spec(first, second), "LC042", "LC043")
    other = "c0" if redundant == "c1" else "c1"

    assert found == [("LC043", f"'{redundant}' is redundant: '{other}' implies it")]


INTERVALS = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(sorted)


@given(INTERVALS, INTERVALS)
def test_limits_contradict_if_no_count_satisfies_both(first: list[int], second: list[int]) -> None:
    """A contradiction if no count is valid for both, redundant if the valid counts of one include the other's."""
    rules = spec(pin(between=first), pin(between=second))
    valid = [
        {n for n in range(9) if "c" + str(index) not in compute_answers(rules, scene(n))[-1].values} for index in (0, 1)
    ]

    codes = [code for code, _ in messages_of(rules, "LC042", "LC043")]

    assert (codes == ["LC042"]) == (not valid[0] & valid[1])
    assert (codes == ["LC043"]) == (valid[0] <= valid[1] or valid[1] <= valid[0])


def scene(pins: int) -> Scene:
    """A photo of pins."""
    return Scene("a.png", 100, 100, tuple(Instance(n, "pin", Box(n, 0, n + 1, 1)) for n in range(pins)))
