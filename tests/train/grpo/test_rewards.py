"""Rewards, compared with values worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.records import Answer, Box
from logicls.train.grpo.rewards import REWARDS, Task, make_tasks, score_boxes, score_format, score_slots, score_verdict

PINS = (Box(0, 0, 10, 10), Box(20, 0, 30, 10))
TRUTH = (
    Answer("locate:pin", boxes=PINS),
    Answer("attribute:lid.shape", ("round",)),
    Answer("attribute:pin.colour", ("red", "red")),
    Answer("verdict"),
)


@pytest.fixture(scope="module")
def spec(box_spec):
    """Two pins, and a lid of the shape that goes with their colour."""
    return load_spec(box_spec)


def make_task(query: str, truth: tuple[Answer, ...] = TRUTH, violations: tuple[str, ...] = ()) -> Task:
    """Make a task about a photo of 40 x 40 pixels that breaks no rule."""
    return Task(0, "?", query, truth, violations, (40, 40))


def make_verdict_task(*names: str) -> Task:
    """Make a verdict task about a photo that breaks these rules; the answers are those of a photo with one pin."""
    truth = (Answer("locate:pin", boxes=PINS[:1]), *TRUTH[1:3], Answer("verdict", names))
    return make_task("verdict", truth, names)


COLOUR, WHERE, VERDICT = "attribute:pin.colour", "locate:pin", "verdict"
FIVE_BOXES = tuple(Box(k, 0, k + 1, 1) for k in range(5))


@pytest.mark.parametrize(
    ("one", "given", "worth"),
    [
        (make_task(COLOUR), Answer(COLOUR, ("red", "red")), 1.0),
        (make_task(COLOUR), Answer(COLOUR, ("red", "blue")), 1 / 2),
        (make_task(COLOUR), Answer(COLOUR, ("red", "red", "red")), 2 / 3),
        (make_task(COLOUR), Answer(COLOUR, ("blue",)), 0.0),
        (make_task(COLOUR), Answer(COLOUR), 0.0),
        (make_task(COLOUR), None, 0.0),
        (make_task(VERDICT), Answer(VERDICT), 1.0),
        (make_task(VERDICT), Answer(VERDICT, ("missing_pin",)), 0.0),
        (make_verdict_task("a", "b"), Answer(VERDICT, ("b", "a")), 1.0),
        (make_verdict_task("a", "b"), Answer(VERDICT, ("a", "c")), 1 / 3),
        (make_verdict_task("a", "b"), Answer(VERDICT), 0.0),
        (make_task(WHERE), Answer(WHERE, boxes=(Box(1, 1, 2, 2), Box(3, 3, 4, 4))), 1.0),
        (make_task(WHERE), Answer(WHERE, boxes=PINS[:1]), 0.0),
    ],
)
def test_slot_score_is_the_share_of_correct_slots(spec, one, given, worth):
    """Values by position, violations as sets, boxes by their number."""
    assert score_slots(spec, one, given) == pytest.approx(worth)


@pytest.mark.parametrize(
    ("one", "given", "worth"),
    [
        (make_task(WHERE), Answer(WHERE, boxes=PINS), 1.0),
        (make_task(WHERE), Answer(WHERE, boxes=PINS[::-1]), 1.0),
        # 5 of 15 columns are shared with the first; the second has no partner.
        (make_task(WHERE), Answer(WHERE, boxes=(Box(5, 0, 15, 10),)), (1 / 3) / 2),
        (make_task(WHERE), Answer(WHERE, boxes=(*PINS, Box(35, 35, 40, 40))), 2 / 3),
        (make_task(WHERE), Answer(WHERE, boxes=FIVE_BOXES), (1 / 100) / 5),
        (make_task(WHERE), Answer(WHERE), 0.0),
        (make_task(WHERE), None, 0.0),
        (make_task(WHERE, (Answer(WHERE), *TRUTH[1:])), Answer(WHERE), 1.0),
        (make_task(WHERE, (Answer(WHERE), *TRUTH[1:])), Answer(WHERE, boxes=PINS), 0.0),
        (make_task(COLOUR), Answer(COLOUR, ("red", "red")), None),
        (make_task(VERDICT), None, None),
    ],
)
def test_box_score_is_the_mean_iou_of_the_best_matching(spec, one, given, worth):
    """Unmatched boxes count 0; None where no box is requested."""
    assert score_boxes(spec, one, given) == (None if worth is None else pytest.approx(worth))


@pytest.mark.parametrize(
    ("one", "given", "worth"),
    [
        (make_task(COLOUR), Answer(COLOUR, ("red", "red")), 1.0),
        # A round lid on blue pins: the checker finds lid-goes-with-pin broken.
        (make_task(COLOUR), Answer(COLOUR, ("blue", "blue")), 0.0),
        # Two pins elsewhere are still two: the verdict is the same.
        (make_task(WHERE), Answer(WHERE, boxes=(Box(1, 1, 9, 9), Box(21, 1, 29, 9))), 1.0),
        (make_task(WHERE), Answer(WHERE, boxes=PINS[:1]), 0.0),
        (make_task(VERDICT), Answer(VERDICT), 1.0),
        (make_task(VERDICT), Answer(VERDICT, ("missing_pin",)), 0.0),
        (make_verdict_task("missing_pin"), Answer(VERDICT, ("missing_pin",)), 1.0),
        (make_verdict_task("missing_pin"), Answer(VERDICT, ("missing_pin", "extra_pin")), 0.0),
        (make_task(VERDICT), None, 0.0),
    ],
)
def test_verdict_score_is_one_if_the_checker_derives_the_true_violations(spec, one, given, worth):
    """With this answer among true ones, the checker derives the true violations, or the score is 0."""
    assert score_verdict(spec, one, given) == worth


@pytest.mark.parametrize(
    ("one", "given", "worth"),
    [
        (make_task(COLOUR), Answer(COLOUR, ("red", "red")), 1.0),
        (make_task(COLOUR), Answer(COLOUR, ("green",)), 0.0),
        (make_task(COLOUR), Answer("attribute:lid.shape", ("round",)), 0.0),
        (make_task(VERDICT), Answer(VERDICT, ("missing_pin", "extra_pin")), 1.0),
        (make_task(VERDICT), Answer(VERDICT, ("missing_pin", "missing_pin")), 0.0),
        (make_task(VERDICT), Answer(VERDICT, ("green",)), 0.0),
        (make_task(WHERE), Answer(WHERE, boxes=PINS), 1.0),
        (make_task(WHERE), None, 0.0),
    ],
)
def test_format_score_needs_allowed_unique_values(spec, one, given, worth):
    """The answer is to this question, has allowed values, and no violation twice."""
    assert score_format(spec, one, given) == worth


def test_a_row_makes_a_task_per_question(spec):
    """Each has all labels of the photo; true answers get the highest rewards."""
    row = {
        "queries": [answer.query for answer in TRUTH], "questions": ["a?", "b?", "c?", "d?"],
        "values": [list(answer.values) for answer in TRUTH],
        "boxes": [[[b.x1, b.y1, b.x2, b.y2] for b in answer.boxes] for answer in TRUTH],
        "width": 40, "height": 40, "violations": [],
    }  # fmt: skip

    found = make_tasks(row, 7)

    assert found[2] == replace(make_task(COLOUR), number=7, question="c?")
    assert [one.true_answer for one in found] == list(TRUTH)
    assert {worth(spec, one, one.true_answer) for one in found for worth in REWARDS.values()} == {1.0, None}
    assert {worth(spec, one, None) for one in found for worth in REWARDS.values()} == {0.0, None}
