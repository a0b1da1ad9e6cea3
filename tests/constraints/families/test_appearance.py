"""The appearance family: looks of instances, and how rare they are among good ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from logicls.constraints.checker.decomposition import decompose
from logicls.constraints.checker.evaluation import compute_answers, evaluate, index_answers
from logicls.constraints.families.appearance import DEFAULT_OVERKILL, Appearance
from logicls.constraints.families.attribute import Attribute
from logicls.constraints.families.context import (
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    UnreadableAnswer,
)
from logicls.constraints.families.edits import Damage, Edits, Vary, simulate_edits
from logicls.constraints.families.protocol import Comparison
from logicls.constraints.spec.loader import load_spec
from logicls.constraints.spec.models import Spec
from logicls.prompts.templates import build_response
from logicls.records import Answer, Box, Example, Instance, Scene
from logicls.synth.dataset import build_question_columns

from ..readings import VOCABULARY, attribute_answer, make_context, pins

SPEC = """
logicls: 1
product: {name: board}
components: {pin: {attributes: {colour: [red, blue]}}}
variants: {red_pin: {of: pin, with: {colour: red}}}
constraints:
  - {id: look, appearance: {of: red_pin}, violation: damaged_pin}
  - {id: count, quantity: {of: pin, exactly: 2}}
"""


def appearance(**body: Any) -> Appearance:
    """A rule about pins, where it is about nothing else."""
    return Appearance.model_validate({"of": "pin", **body})


def looks(*values: str, rarities: tuple[float, ...] = ()) -> Answer:
    """The look of each pin."""
    return Answer("appearance:pin", values, rarities=rarities)


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    """Load a spec with a rule about a variant."""
    path = tmp_path / "board.yaml"
    path.write_text(SPEC, encoding="utf-8")
    return load_spec(path)


def scene(*damaged: bool) -> Scene:
    """Build a scene of red pins from left to right, some of them damaged."""
    instances = tuple(
        Instance(n, "pin", Box(30 * n, 100, 30 * n + 20, 120), (("colour", "red"),), is_damaged=is_damaged)
        for n, is_damaged in enumerate(damaged, 1)
    )
    return Scene("board.png", 400, 400, instances)


@pytest.mark.parametrize(
    ("context", "result"),
    [
        (make_context(pins(2), looks("normal", "normal")), RuleResult("holds", "as on good photos")),
        (
            make_context(pins(2), looks("normal", "anomalous")),
            RuleResult("broken", "1 pin unlike good photos", (FailureMode(),)),
        ),
        (
            make_context(pins(3), looks("anomalous", "anomalous", "anomalous", rarities=(0.001, 0.01, 0.04))),
            RuleResult("broken", "2 pins unlike good photos", (FailureMode(),)),
        ),
        (
            make_context(pins(2), looks("normal", "anomalous", rarities=(0.5, 0.04))),
            RuleResult("unknown", "1 pin stranger than good photos, but 4 % of good photos may look as strange"),
        ),
        (
            make_context(pins(1), looks("normal", rarities=(0.009,))),
            RuleResult("broken", "1 pin unlike good photos", (FailureMode(),)),
        ),
    ],
)
def test_statuses(context: EvaluationContext, result: RuleResult) -> None:
    """A look rarer than the overkill breaks the rule; an anomalous one that is more frequent is left to a person."""
    assert appearance().evaluate(context) == result


def test_overkill_decides() -> None:
    """The same look holds, or is broken, by the overkill of the rule."""
    context = make_context(pins(1), looks("anomalous", rarities=(0.03,)))

    statuses = [appearance(overkill=share).evaluate(context).status for share in (0.01, 0.03, 0.1)]

    assert statuses == ["unknown", "broken", "broken"]


def test_variants_select_instances() -> None:
    """A rule about a variant compares its instances alone."""
    context = make_context(
        pins(3), attribute_answer("pin.colour", "red", "blue", "red"), looks("normal", "anomalous", "normal")
    )

    assert appearance(of="red_pin").evaluate(context).status == "holds"
    assert appearance().evaluate(context).status == "broken"


def test_not_applicable_and_unreadable() -> None:
    """Without an instance the rule does not apply; without an answer it cannot be evaluated."""
    with pytest.raises(NotApplicable, match="no pin"):
        appearance().evaluate(make_context(pins(0), looks()))
    with pytest.raises(UnreadableAnswer, match="appearance:pin"):
        appearance().evaluate(make_context(pins(1)))
    with pytest.raises(UnreadableAnswer, match="appearance:pin"):
        appearance(of="red_pin").evaluate(
            make_context(pins(2), attribute_answer("pin.colour", "red", "red"), looks("normal"))
        )


@pytest.mark.parametrize("overkill", [0, 0.5, -0.1, "few"])
def test_invalid_overkill(overkill: object) -> None:
    """The overkill is a share above 0 and below a half."""
    with pytest.raises(ValidationError, match="overkill"):
        appearance(overkill=overkill)


def test_comparison() -> None:
    """A rule that allows more overkill is broken wherever the other one is."""
    rule, stricter = appearance(overkill=0.001), appearance(overkill=0.1)

    assert stricter.compare(rule, VOCABULARY) == Comparison("implies")
    assert rule.compare(stricter, VOCABULARY) == Comparison("implied_by")
    assert rule.compare(appearance(of="jar"), VOCABULARY) is None
    assert rule.compare(Attribute.model_validate({"of": "pin.colour", "is": "red"}), VOCABULARY) is None
    assert appearance().overkill == DEFAULT_OVERKILL


def test_the_model_is_not_asked(spec: Spec) -> None:
    """Appearances are queries of a spec, and no questions for a model: neither asked, nor in training data."""
    example = Example(b"", scene(True, False), (), compute_answers(spec, scene(True, False)), ("damaged_pin",), 0)

    columns = build_question_columns(spec, example, np.random.default_rng(0))
    response = build_response(spec, example.answers, (400, 400), np.random.default_rng(0))

    asked = ["locate:pin", "attribute:pin.colour", "verdict"]
    assert [query.id for query in spec.queries] == ["locate:pin", "attribute:pin.colour", "appearance:pin"]
    assert [query.id for query in decompose(spec)] == asked
    assert columns["queries"] == asked
    assert columns["values"] == [[], ["red", "red"], ["damaged_pin"]]
    assert "appearance" not in response


def test_damage_breaks_the_rule_and_variation_does_not(spec: Spec) -> None:
    """The edits damage one instance; control edits leave the annotations as they are."""
    rule, good = spec.constraints[0].rule, scene(False, False)
    context = EvaluationContext(index_answers(compute_answers(spec, good)), 400, 400, spec.vocabulary)

    damage = list(rule.edits(good, context, FailureMode(), np.random.default_rng(1)))
    control = list(rule.control_edits(good, context, FailureMode(), np.random.default_rng(1)))

    def find_violations(edits: Edits) -> tuple[str, ...]:
        edited = simulate_edits(edits, good, frozenset(), {})
        findings = evaluate(spec, index_answers(compute_answers(spec, edited)), 400, 400)
        return tuple(name for finding in findings for name in finding.violations)

    assert sorted(edits[0].target for edits in damage if isinstance(edits[0], Damage)) == [1, 2]
    assert [find_violations(edits) for edits in damage] == [("damaged_pin",)] * 2
    assert [type(edits[0]) for edits in control] == [Vary]
    assert find_violations(control[0]) == ()
    assert simulate_edits(control[0], good, frozenset(), {}) == good
