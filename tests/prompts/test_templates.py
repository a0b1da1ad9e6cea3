"""Answers as text, in several wordings."""

from __future__ import annotations

import jinja2
import numpy as np
import pytest

from logicls import answer_format
from logicls.constraints.checker.decomposition import decompose
from logicls.constraints.checker.evaluation import compute_answers, evaluate, index_answers
from logicls.constraints.spec.models import Spec
from logicls.prompts.templates import (
    _render_phrasings,
    build_response,
    canonical_question,
    sample_reasoning,
    question_phrasings,
)
from logicls.records import Finding, Scene
from logicls.synth.instance_bank import InstanceBank


def test_five_wordings_of_every_question(spec: Spec) -> None:
    """No two alike, and the first is the one that prediction uses."""
    for query in decompose(spec):
        ways = question_phrasings(query, spec)
        assert len(set(ways)) == len(ways) >= 5
        assert canonical_question(query, spec) == ways[0]


@pytest.mark.parametrize("status", ["holds", "broken", "not_applicable"])
def test_five_wordings_of_every_finding(status) -> None:
    """Each says what was found, and none of them is drawn never."""
    finding = Finding("rule", status, ("bad_thing",) if status == "broken" else (), "4 tablet", "3 tablet")
    rng = np.random.default_rng(0)

    said = {sample_reasoning(finding, rng) for _ in range(100)}

    assert len(said) >= 5
    assert [line for line in said if "3 tablet" not in line] == []


@pytest.mark.parametrize("broken", [(), ("missing label", "wrong mark")])
def test_five_wordings_of_the_verdict(broken: tuple[str, ...]) -> None:
    """Those for a bad product name every defect."""
    lines = _render_phrasings("verdicts", product="kit", violations=broken)

    assert len(set(lines)) >= 5
    assert [line for line in lines if not all(name in line for name in broken)] == []


@pytest.mark.parametrize("name", ["questions", "reasoning", "verdicts"])
def test_an_undefined_name_is_an_error(name: str) -> None:
    """A template never leaves a hole in a sentence."""
    with pytest.raises(jinja2.UndefinedError):
        _render_phrasings(name)


def test_the_chain_holds_the_answers(spec: Spec, bank: InstanceBank) -> None:
    """Between the sentences, the reader finds what was written, boxes to tenths of a pixel, and nothing strange."""
    full = bank.dataset.scenes[0]
    bare = Scene(full.photo, full.width, full.height, full.instances[:6])
    for scene in (full, bare):
        answers = compute_answers(spec, scene)
        text = build_response(spec, answers, (scene.width, scene.height), np.random.default_rng(0))
        found = answer_format.parse_answers(text)
        rules = evaluate(spec, index_answers(answers), scene.width, scene.height)
        assert found == answer_format.parse_answers(answer_format.format_answers(answers))
        assert (len(found.answers), found.invalid_lines) == (len(answers), ())
        assert len(text.splitlines()) == len(answers) + len(rules) + 1
