"""What a perfect reader answers: the truth of every photo."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logicls.constraints.checker.evaluation import collect_violations, compute_answers, evaluate, index_answers
from logicls.constraints.spec.loader import load_spec
from logicls.constraints.spec.models import Spec
from logicls.io.resources import resource_path
from logicls.records import Answer, Box, Instance, Scene

SPEC = Spec.model_validate(
    {
        "logicls": 1,
        "product": {"name": "box"},
        "components": {"pin": {"attributes": {"colour": ["red", "blue"]}}, "cap": {"attributes": {"size": ["s", "l"]}}},
        "constraints": [
            {"id": "b-pins", "quantity": {"of": "pin", "exactly": 2}},
            {"id": "a-cap", "quantity": {"of": "cap", "at_least": 1}},
            {
                "id": "pin-fits-cap",
                "match": {"left": "pin.colour", "right": "cap.size", "pairs": {"red": "s", "blue": "l"}},
            },
        ],
    }
)


def test_answers_in_the_order_of_the_questions() -> None:
    """Boxes and values come in reading order, the verdict last."""
    low = Instance(1, "pin", Box(10, 80, 20, 90), (("colour", "blue"),))
    top = Instance(2, "pin", Box(10, 10, 20, 20), (("colour", "red"),))

    answers = compute_answers(SPEC, Scene("a.png", 100, 100, (low, top)))

    assert answers == (
        Answer("locate:pin", boxes=(top.box, low.box)),
        Answer("locate:cap"),
        Answer("attribute:pin.colour", ("red", "blue")),
        Answer("attribute:cap.size"),
        Answer("verdict", ("a-cap",)),
    )


def test_the_verdict_names_defects_in_the_order_of_the_spec() -> None:
    """The verdict's order is that of the constraints; that of a photo's violations is the alphabet's."""
    answers = compute_answers(SPEC, Scene("a.png", 100, 100, ()))

    findings = evaluate(SPEC, index_answers(answers), 100, 100)

    assert answers[-1].values == ("b-pins", "a-cap")
    assert collect_violations(findings) == ("a-cap", "b-pins")


def test_missing_annotation_is_unreadable() -> None:
    """An instance without its attribute makes that answer unreadable, and no other."""
    bare = Instance(1, "pin", Box(10, 10, 20, 20))

    answers = index_answers(compute_answers(SPEC, Scene("a.png", 100, 100, (bare,))))

    assert {query: answer.readable for query, answer in answers.items()} == {
        "locate:pin": True,
        "locate:cap": True,
        "attribute:pin.colour": False,
        "attribute:cap.size": True,
        "verdict": True,
    }


@pytest.mark.parametrize("path", sorted(resource_path("constraints").glob("*.yaml")), ids=lambda path: path.stem)
def test_good_scenes_have_no_violations(good: Callable[[str], st.SearchStrategy[Scene]], path) -> None:
    """Every rule of a shipped spec holds on a good scene of its product, and the verdict says so."""
    spec = load_spec(path)

    @given(good(path.stem))
    def holds(scene: Scene) -> None:
        answers = compute_answers(spec, scene)
        findings = evaluate(spec, index_answers(answers), scene.width, scene.height)
        assert {finding.status for finding in findings} == {"holds"}
        assert answers[-1] == Answer("verdict")

    holds()
