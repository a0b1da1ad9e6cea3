"""Text of questions, findings and verdicts in several phrasings."""

from __future__ import annotations

import jinja2
import numpy as np
import pytest

from logicls import answer_format
from logicls.constraints.checker.decomposition import decompose
from logicls.constraints.checker.evaluation import compute_answers
from logicls.constraints.spec.models import Spec
from logicls.prompts.templates import (
    _render_phrasings,
    build_response,
    canonical_question,
    question_phrasings,
    sample_reasoning,
)
from logicls.records import Finding, Scene
from logicls.synth.instance_bank import InstanceBank


def test_every_question_has_five_phrasings(spec: Spec) -> None:
    """All differ, and the first is the one that prediction uses."""
    for query in decompose(spec):
        phrasings = question_phrasings(query, spec)
        assert len(set(phrasings)) == len(phrasings) >= 5
        assert canonical_question(query, spec) == phrasings[0]


@pytest.mark.parametrize("status", ["holds", "broken", "not_applicable"])
def test_every_finding_has_five_phrasings(status) -> None:
    """Each says what was found, and each is drawn."""
    finding = Finding("rule", status, ("bad_thing",) if status == "broken" else (), "4 tablets", "3 tablets")
    rng = np.random.default_rng(0)

    sentences = {sample_reasoning(finding, rng) for _ in range(100)}

    assert len(sentences) >= 5
    assert [line for line in sentences if "3 tablets" not in line] == []


@pytest.mark.parametrize("broken", [(), ("missing label", "wrong mark")])
def test_the_verdict_has_five_phrasings(broken: tuple[str, ...]) -> None:
    """Those for a failed product name every violation."""
    lines = _render_phrasings("verdicts", product="kit", violations=broken)

    assert len(set(lines)) >= 5
    assert [line for line in lines if not all(name in line for name in broken)] == []


@pytest.mark.parametrize("name", ["questions", "reasoning", "verdicts"])
def test_an_undefined_variable_is_an_error(name: str) -> None:
    """A template never leaves a gap in a sentence."""
    with pytest.raises(jinja2.UndefinedError):
        _render_phrasings(name)


def test_the_response_contains_the_answers(spec: Spec, bank: InstanceBank) -> None:
    """The parser finds all answers between the sentences, boxes to tenths of a pixel, and no invalid line."""
    complete = bank.dataset.scenes[0]
    partial = Scene(complete.photo, complete.width, complete.height, complete.instances[:6])
    for scene in (complete, partial):
        answers = compute_answers(spec, scene)
        text = build_response(spec, answers, (scene.width, scene.height), np.random.default_rng(0))
        parsed = answer_format.parse_answers(text)
        supported = [constraint for constraint in spec.constraints if not constraint.is_compared]
        questions = {query.id for query in decompose(spec)}
        asked = tuple(answer for answer in answers if answer.query in questions)
        assert parsed == answer_format.parse_answers(answer_format.format_answers(asked))
        assert (len(parsed.answers), parsed.invalid_lines) == (len(asked), ())
        assert len(text.splitlines()) == len(asked) + len(supported) + 1
