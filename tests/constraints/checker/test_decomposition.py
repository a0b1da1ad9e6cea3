"""A spec's questions: the smallest set from which every rule can be checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logicls.constraints.checker.decomposition import VERDICT, decompose, locate_query_id, query_component
from logicls.constraints.checker.evaluation import compute_answers, evaluate, index_answers
from logicls.constraints.spec.loader import load_spec
from logicls.constraints.spec.models import Spec
from logicls.io.resources import resource_path
from logicls.records import Answer, Scene, Subquery

Good = Callable[[str], st.SearchStrategy[Scene]]


def spec(*constraints: dict[str, Any]) -> Spec:
    """A box with pins on a tray; the region `corner` is a part of the tray, `middle` one of the photo."""
    return Spec.model_validate(
        {
            "logicls": 1,
            "product": {"name": "box"},
            "components": {"pin": {"attributes": {"colour": ["red", "blue"]}}, "tray": {}},
            "regions": {"corner": {"box": [0, 0, 0.5, 0.5], "of": "tray"}, "middle": {"box": [0.2, 0.2, 0.8, 0.8]}},
            "constraints": [{"id": f"c{number}", **body} for number, body in enumerate(constraints)],
        }
    )


def test_queries_are_distinct() -> None:
    """Two rules about the same component rest on one question; the verdict comes last with every defect as option."""
    two = spec({"quantity": {"of": "pin", "at_least": 1}}, {"quantity": {"of": "pin", "at_most": 3}})

    assert decompose(two) == (
        Subquery("locate:pin", "locate", "pin"),
        Subquery("verdict", "verdict", options=("c0", "c1")),
    )


@pytest.mark.parametrize(
    ("rule", "ids"),
    [
        ({"quantity": {"of": "pin", "exactly": 1, "in": "tray"}}, ["locate:pin", "locate:tray"]),
        ({"quantity": {"of": "pin", "exactly": 1, "in": "corner"}}, ["locate:pin", "locate:tray"]),
        ({"quantity": {"of": "pin", "exactly": 1, "in": "middle"}}, ["locate:pin"]),
        ({"layout": {"subject": "pin", "relation": "inside", "object": "tray"}}, ["locate:pin", "locate:tray"]),
        ({"layout": {"subject": "pin", "relation": "inside", "object": "corner"}}, ["locate:pin", "locate:tray"]),
        ({"layout": {"subject": "pin", "relation": "inside", "object": "middle"}}, ["locate:pin"]),
        ({"measure": {"height": "pin", "relative_to": "corner", "at_most": 1}}, ["locate:pin", "locate:tray"]),
        ({"measure": {"height": "pin", "at_most": 1}}, ["locate:pin"]),
    ],
)
def test_region_needs_the_query_of_its_frame(rule: dict[str, Any], ids: list[str]) -> None:
    """A component is located; of a region, what it is a part of; a part of the photo needs no question."""
    one = spec(rule)

    assert [query.id for query in one.queries_by_constraint["c0"]] == ids


def test_an_attribute_has_the_values_of_the_spec() -> None:
    """The options of an attribute question are closed."""
    match = {"match": {"left": "pin.colour", "right": "pin.colour", "pairs": {"red": "red"}}}

    assert decompose(spec(match))[0] == Subquery("attribute:pin.colour", "attribute", "pin", "colour", ("red", "blue"))


SPECS = sorted(resource_path("constraints").glob("*.yaml"))
ASKED = {
    "breakfast_box": [
        "locate:fruit",
        "attribute:fruit.kind",
        "locate:muesli",
        "locate:cereals",
        "locate:banana_chips",
        "locate:almonds",
        "verdict",
    ],
    "dice": ["locate:die", "attribute:die.face", "verdict"],
    "dosing_kit": [
        "locate:liquid",
        "locate:vial",
        "locate:tablet",
        "locate:spoon",
        "locate:label",
        "locate:mark",
        "orientation:spoon",
        "attribute:mark.shape",
        "attribute:liquid.colour",
        "verdict",
    ],
    "juice_bottle": [
        "locate:juice",
        "locate:bottle",
        "locate:fruit_label",
        "locate:text_label",
        "locate:fruit_icon",
        "attribute:fruit_icon.fruit",
        "attribute:juice.colour",
        "verdict",
    ],
    "pushpins": ["locate:pushpin", "locate:case", "locate:separator", "verdict"],
    "screw_bag": ["locate:washer", "locate:nut", "locate:screw", "attribute:screw.length", "verdict"],
    "screws_block": ["locate:screw", "verdict"],
    "splicing_connectors": [
        "locate:connector",
        "attribute:connector.clamps",
        "locate:cable",
        "attribute:cable.state",
        "attribute:cable.colour",
        "locate:cable_end",
        "verdict",
    ],
}


QUESTIONS = [(path, query) for path in SPECS for query in ASKED[path.stem] if query != VERDICT]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_the_questions_of_the_shipped_specs(path) -> None:
    """A change here asks every trained model something else than it was trained on."""
    assert [query.id for query in decompose(load_spec(path))] == ASKED[path.stem]


def test_query_id_contains_its_component():
    """Every question but the verdict is about its component, and the component is located by one question."""
    shipped = [
        query for path in sorted(resource_path("constraints").glob("*.yaml")) for query in decompose(load_spec(path))
    ]

    assert shipped != []
    assert [query_component(query.id) for query in shipped] == [query.component for query in shipped]
    places = [query.id for query in shipped if query.kind == "locate"]
    assert [locate_query_id(query) for query in places] == places


@pytest.mark.parametrize(("path", "query"), QUESTIONS, ids=lambda value: getattr(value, "stem", value))
def test_no_question_is_superfluous(good: Good, path: Path, query: str) -> None:
    """With every answer each rule of a good scene is known; without this one, one of them at least is unknown."""
    one, unknown = load_spec(path), []

    @settings(max_examples=3)
    @given(good(path.stem))
    def leaves_out(scene: Scene) -> None:
        answers = dict(index_answers(compute_answers(one, scene)))
        assert statuses(one, answers, scene) == {"holds"}
        del answers[query]
        unknown.append("unknown" in statuses(one, answers, scene))

    leaves_out()

    assert any(unknown)


def statuses(one: Spec, answers: dict[str, Answer], scene: Scene) -> set[str]:
    """What the rules come to."""
    return {finding.status for finding in evaluate(one, answers, scene.width, scene.height)}
