"""Rewards, held against values that were worked out by hand."""

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


def task(query: str, truth: tuple[Answer, ...] = TRUTH, violations: tuple[str, ...] = ()) -> Task:
    """A question about a photo of 40 x 40 pixels that breaks no rule."""
    return Task(0, "?", query, truth, violations, (40, 40))


def broken(*names: str) -> Task:
    """The verdict on a photo that breaks these rules; the answers are those of one with a single pin."""
    truth = (Answer("locate:pin", boxes=PINS[:1]), *TRUTH[1:3], Answer("verdict", names))
    return task("verdict", truth, names)


COLOUR, WHERE, VERDICT = "attribute:pin.colour", "locate:pin", "verdict"
FIVE_BOXES = tuple(Box(k, 0, k + 1, 1) for k in range(5))


@pytest.mark.parametrize(
    ("one", "given", "worth"),
    [
        (task(COLOUR), Answer(COLOUR, ("red", "red")), 1.0),
        (task(COLOUR), Answer(COLOUR, ("red", "blue")), 1 / 2),
        (task(COLOUR), Answer(COLOUR, ("red", "red", "red")), 2 / 3),
        (task(COLOUR), Answer(COLOUR, ("blue",)), 0.0),
        (task(COLOUR), Answer(COLOUR), 0.0),
        (task(COLOUR), None, 0.0),
        (task(VERDICT), Answer(VERDICT), 1.0),
        (task(VERDICT), Answer(VERDICT, ("missing_pin",)), 0.0),
        (broken("a", "b"), Answer(VERDICT, ("b", "a")), 1.0),
        (broken("a", "b"), Answer(VERDICT, ("a", "c")), 1 / 3),
        (broken("a", "b"), Answer(VERDICT), 0.0),
        (task(WHERE), Answer(WHERE, boxes=(Box(1, 1, 2, 2), Box(3, 3, 4, 4))), 1.0),
        (task(WHERE), Answer(WHERE, boxes=PINS[:1]), 0.0),
    ],
)
def test_slots_are_worth_what_of_them_is_right(spec, one, given, worth):
    """Values where they stand, names of a verdict as a set, boxes by their number."""
    assert score_slots(spec, one, given) == pytest.approx(worth)


@pytest.mark.parametrize(
    ("one", "given", "worth"),
    [
        (task(WHERE), Answer(WHERE, boxes=PINS), 1.0),
        (task(WHERE), Answer(WHERE, boxes=PINS[::-1]), 1.0),
        # 5 of 15 columns are shared with the first; the second has no partner.
        (task(WHERE), Answer(WHERE, boxes=(Box(5, 0, 15, 10),)), (1 / 3) / 2),
        (task(WHERE), Answer(WHERE, boxes=(*PINS, Box(35, 35, 40, 40))), 2 / 3),
        (task(WHERE), Answer(WHERE, boxes=FIVE_BOXES), (1 / 100) / 5),
        (task(WHERE), Answer(WHERE), 0.0),
        (task(WHERE), None, 0.0),
        (task(WHERE, (Answer(WHERE), *TRUTH[1:])), Answer(WHERE), 1.0),
        (task(WHERE, (Answer(WHERE), *TRUTH[1:])), Answer(WHERE, boxes=PINS), 0.0),
        (task(COLOUR), Answer(COLOUR, ("red", "red")), None),
        (task(VERDICT), None, None),
    ],
)
def test_boxes_are_worth_their_overlap(spec, one, given, worth):
    """Mean of the best pairing; what is too much or too little counts 0; nothing where no box is asked for."""
    assert score_boxes(spec, one, given) == (None if worth is None else pytest.approx(worth))


@pytest.mark.parametrize(
    ("one", "given", "worth"),
    [
        (task(COLOUR), Answer(COLOUR, ("red", "red")), 1.0),
        # A round lid on blue pins: the checker finds lid-goes-with-pin broken.
        (task(COLOUR), Answer(COLOUR, ("blue", "blue")), 0.0),
        # Two pins elsewhere are still two: the verdict is the same.
        (task(WHERE), Answer(WHERE, boxes=(Box(1, 1, 9, 9), Box(21, 1, 29, 9))), 1.0),
        (task(WHERE), Answer(WHERE, boxes=PINS[:1]), 0.0),
        (task(VERDICT), Answer(VERDICT), 1.0),
        (task(VERDICT), Answer(VERDICT, ("missing_pin",)), 0.0),
        (broken("missing_pin"), Answer(VERDICT, ("missing_pin",)), 1.0),
        (broken("missing_pin"), Answer(VERDICT, ("missing_pin", "extra_pin")), 0.0),
        (task(VERDICT), None, 0.0),
    ],
)
def test_what_the_checker_derives_is_worth_all_or_nothing(spec, one, given, worth):
    """With this answer among true ones it comes to the true violations, or it does not."""
    assert score_verdict(spec, one, given) == worth


@pytest.mark.parametrize(
    ("one", "given", "worth"),
    [
        (task(COLOUR), Answer(COLOUR, ("red", "red")), 1.0),
        (task(COLOUR), Answer(COLOUR, ("green",)), 0.0),
        (task(COLOUR), Answer("attribute:lid.shape", ("round",)), 0.0),
        (task(VERDICT), Answer(VERDICT, ("missing_pin", "extra_pin")), 1.0),
        (task(VERDICT), Answer(VERDICT, ("missing_pin", "missing_pin")), 0.0),
        (task(VERDICT), Answer(VERDICT, ("green",)), 0.0),
        (task(WHERE), Answer(WHERE, boxes=PINS), 1.0),
        (task(WHERE), None, 0.0),
    ],
)
def test_form_is_worth_something_by_itself(spec, one, given, worth):
    """An answer to the question that was asked, in words that there are, and no name twice."""
    assert score_format(spec, one, given) == worth


def test_a_row_is_as_many_tasks_as_it_has_questions(spec):
    """Each with the truth about the whole photo; the true answers are worth everything."""
    row = {
        "queries": [answer.query for answer in TRUTH], "questions": ["a?", "b?", "c?", "d?"],
        "values": [list(answer.values) for answer in TRUTH],
        "boxes": [[[b.x1, b.y1, b.x2, b.y2] for b in answer.boxes] for answer in TRUTH],
        "width": 40, "height": 40, "violations": [],
    }  # fmt: skip

    found = make_tasks(row, 7)

    assert found[2] == replace(task(COLOUR), number=7, question="c?")
    assert [one.true_answer for one in found] == list(TRUTH)
    assert {worth(spec, one, one.true_answer) for one in found for worth in REWARDS.values()} == {1.0, None}
    assert {worth(spec, one, None) for one in found for worth in REWARDS.values()} == {0.0, None}
