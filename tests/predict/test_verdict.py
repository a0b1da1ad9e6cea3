"""The verdict: logic decides on what was read, and a person where two readings differ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from logicls.constraints.load import load_spec
from logicls.predict.one_pass import Look
from logicls.predict.verdict import decide
from logicls.records import Answer, Box

SPEC = """logicls: 1
product: {name: box}
components:
  pin: {}
  lid: {}
constraints:
  - {id: two-pins, quantity: {of: pin, exactly: 2}, violation: {below: missing_pin, above: extra_pin}}
  - {id: one-lid, quantity: {of: lid, exactly: 1}, violation: missing_lid}
"""
NAMES = ("missing_pin", "extra_pin", "missing_lid")


@pytest.fixture
def spec(tmp_path):
    """Two rules, three defects."""
    (tmp_path / "box.yaml").write_text(SPEC)
    return load_spec(tmp_path / "box.yaml")


def seen(pins: int, lids: int, stated: tuple[str, ...] = (), sure: float = 0.9, **chances: float) -> Look:
    """A look at so many pins and lids. Chances that are not given are 0.1 less than certain on what is stated."""
    boxes = [tuple(Box(10.0 * k, 0, 10.0 * k + 5, 5) for k in range(count)) for count in (pins, lids)]
    answers = (
        Answer("locate:pin", boxes=boxes[0], confidence=sure),
        Answer("locate:lid", boxes=boxes[1], confidence=sure),
    )
    told = {name: chances.get(name, 0.9 if name in stated else 0.1) for name in NAMES}
    return Look(answers, Answer("verdict", stated, confidence=sure), tuple(told.items()))


def test_a_good_photo_passes(spec):
    """Nothing derived, nothing stated: pass."""
    verdict = decide(spec, seen(2, 1), "a.jpg", (100, 80))

    assert (verdict.outcome, verdict.violations, verdict.stated, verdict.reasons) == ("pass", (), (), ())
    assert (verdict.photo, verdict.width, verdict.height, verdict.spec) == ("a.jpg", 100, 80, spec.hash)
    assert [a.query for a in verdict.answers] == ["locate:pin", "locate:lid", "verdict"]


def test_a_bad_photo_fails(spec):
    """Derived and stated alike, in whatever order they are stated: fail, with the defects sorted."""
    verdict = decide(spec, seen(1, 0, ("missing_pin", "missing_lid")), "a.jpg", (100, 80))

    broken = ("missing_lid", "missing_pin")
    assert (verdict.outcome, verdict.violations, verdict.stated, verdict.reasons) == ("fail", broken, broken, ())
    assert [(f.constraint, f.status) for f in verdict.findings] == [("two-pins", "broken"), ("one-lid", "broken")]


@pytest.mark.parametrize(
    ("look", "reason"),
    [
        (seen(2, 1, ("missing_pin",)), "the answers say nothing is broken, the stated verdict says missing_pin"),
        (seen(3, 1), "the answers say extra_pin is broken, the stated verdict says nothing"),
        (seen(3, 1, ("missing_pin",)), "the answers say extra_pin is broken, the stated verdict says missing_pin"),
    ],
)
def test_two_readings_that_differ_go_to_review(spec, look, reason):
    """Whichever of them names more, a person looks, and is told what each said."""
    verdict = decide(spec, look, "a.jpg", (100, 80))

    assert (verdict.outcome, verdict.reasons) == ("review", (reason,))


def test_an_answer_that_cannot_be_read_goes_to_review(spec):
    """A rule that could not be checked is a reason, and names the question."""
    look = seen(2, 1)
    unread = replace(look, answers=(replace(look.answers[0], readable=False), look.answers[1]))

    verdict = decide(spec, unread, "a.jpg", (100, 80))

    assert (verdict.outcome, verdict.violations) == ("review", ())
    assert verdict.reasons == ("two-pins: no readable answer to locate:pin",)


def test_a_stated_verdict_that_cannot_be_read_goes_to_review(spec):
    """There is then no second reading to agree with."""
    look = seen(2, 1)

    verdict = decide(spec, replace(look, stated=replace(look.stated, readable=False)), "a.jpg", (100, 80))

    assert (verdict.outcome, verdict.stated) == ("review", None)
    assert verdict.reasons == ("the stated verdict could not be read",)


def test_the_photos_score_is_its_worst_violations(spec):
    """Each defect is scored by the mean of what is stated and what is derived; the photo by the largest."""
    verdict = decide(spec, seen(1, 1, ("missing_pin",), sure=0.8), "a.jpg", (100, 80))

    scores = dict(verdict.scores)
    assert tuple(scores) == NAMES
    assert scores == pytest.approx({"missing_pin": 0.85, "extra_pin": 0.15, "missing_lid": 0.15})
    assert verdict.score == max(scores.values())


@pytest.mark.parametrize("sure", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("pins", [0, 1, 2, 3])
def test_scores_are_between_0_and_1(spec, pins, chance, sure):
    """Whatever was read and however surely."""
    verdict = decide(spec, seen(pins, 1, sure=sure, missing_pin=chance), "a.jpg", (100, 80))

    assert all(0 <= score <= 1 for score in (verdict.score, *dict(verdict.scores).values()))


def test_worse_photos_score_higher(spec):
    """Good, good but unsure, readings that differ, bad but unsure, bad: in this order."""
    looks = [
        seen(2, 1, sure=0.99, missing_pin=0.01, extra_pin=0.01, missing_lid=0.01),
        seen(2, 1, sure=0.8),
        seen(1, 1, sure=0.8),
        seen(1, 1, ("missing_pin",), sure=0.8),
        seen(1, 1, ("missing_pin",), sure=0.99, missing_pin=0.99),
    ]

    scores = [decide(spec, look, "a.jpg", (100, 80)).score for look in looks]

    assert scores == sorted(set(scores))


@pytest.mark.parametrize(("right", "outcome"), [(None, "review"), (0.8, "review"), (0.79, "pass")])
def test_a_stated_verdict_is_heard_where_it_is_mostly_right(spec, right, outcome):
    """A second reader that is known to be wrong often sends nothing to a person; an unknown one does."""
    verdict = decide(spec, seen(2, 1, ("missing_pin",)), "a.jpg", (100, 80), stated_right=right)

    assert verdict.outcome == outcome


@pytest.mark.parametrize(("sure", "outcome"), [(0.51, "fail"), (0.49, "review")])
def test_answers_that_are_likelier_wrong_go_to_review(spec, sure, outcome):
    """Whatever the stated verdict says; the reason names the rule."""
    verdict = decide(spec, seen(1, 1, ("missing_pin",), sure=sure), "a.jpg", (100, 80), stated_right=0.1)

    assert verdict.outcome == outcome
    assert outcome == "fail" or verdict.reasons[0] == "two-pins: 1 pin, but sure to 49% only"
