"""Blanking and keeping what was cited, with readers whose faithfulness is known."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.evaluation.necessity import (
    CitationCase,
    draw_case,
    is_answer_lost,
    is_answer_unchanged,
    run_citation_trials,
)
from logicls.predict.readers.protocol import Prediction
from logicls.records import Answer, Box, Verdict

SPEC = """logicls: 1
product: {name: box}
components:
  pin: {attributes: {colour: [red, blue]}}
constraints:
  - {id: two-pins, quantity: {of: pin, exactly: 2}}
  - {id: red-pins, attribute: {of: pin.colour, is: red}}
"""
RED, BLUE = (200, 30, 30), (30, 30, 200)


@pytest.fixture
def spec(tmp_path):
    """Pins that are counted and whose colour is read."""
    (tmp_path / "box.yaml").write_text(SPEC)
    return load_spec(tmp_path / "box.yaml")


def photo(*pins):
    """Squares of 12 pixels in these colours on grey ground with some grain, 120 x 60."""
    out = np.random.default_rng(0).integers(118, 123, (60, 120, 3), np.uint8)
    for number, colour in enumerate(pins):
        out[24:36, 10 + 40 * number : 22 + 40 * number] = colour
    return out


def seen(pixels):
    """Where something red or blue is, and which; left to right."""
    values = pixels.astype(int)
    strong = (np.abs(values[..., 0] - values[..., 2]) > 80).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(strong)
    found = sorted((x, y, w, h) for x, y, w, h, area in stats[1:].tolist() if area > 30)
    boxes = tuple(Box(x, y, x + w, y + h) for x, y, w, h in found)
    colours = tuple("red" if values[y + h // 2, x + w // 2, 0] > 128 else "blue" for x, y, w, h in found)
    return Answer("locate:pin", boxes=boxes), Answer("attribute:pin.colour", colours)


@dataclass
class Looking:
    """A reader that says what it sees, or (`says`) always the same."""

    bundle: object
    says: tuple[Answer, ...] = ()
    afar: bool = False
    """Whether it sees nothing where the photo's corner is out of focus."""

    def look(self, photos):
        """What is on each photo."""
        return [Prediction(self.says or self.sees(pixels), Answer("verdict"), ()) for pixels in photos]

    def sees(self, pixels):
        """The pins; none where it looks at the corner and that is out of focus."""
        blurred = self.afar and float(pixels[:8, :8, 1].std()) < 0.7
        return seen(np.full_like(pixels, 120) if blurred else pixels)


def verdict(pixels, name="a.png"):
    """What a reader that sees says of the photo."""
    return Verdict(name, "pass", answers=seen(pixels), width=pixels.shape[1], height=pixels.shape[0])


def tried(spec, reader, count=8):
    """Necessity and sufficiency of cases on photos with a red and a blue pin: how many passed."""
    pixels = photo(RED, BLUE)
    rng = np.random.default_rng(0)
    verdicts = [verdict(pixels, f"{number}.png") for number in range(count)]
    cases = [(draw_case(spec, one, rng), one) for one in verdicts]
    tests = run_citation_trials(reader, cases, lambda _: pixels, seed=0, batch=3)
    assert {trial.kind for trial in tests[0]} == {"locate", "attribute"}
    return tuple(sum(trial.has_passed for trial in trials) for trials in tests)


def test_a_reader_that_looks_where_it_says_passes_both(spec):
    """Blanked pins are gone, kept ones stay."""
    assert tried(spec, Looking(SimpleNamespace(spec=spec))) == (8, 8)


def test_a_reader_that_does_not_look_fails_necessity(spec):
    """It says the same whatever is blanked."""
    assert tried(spec, Looking(SimpleNamespace(spec=spec), says=seen(photo(RED, BLUE)))) == (0, 8)


def test_a_reader_that_looks_elsewhere_fails_sufficiency(spec):
    """Its answers need a corner that it does not cite."""
    assert tried(spec, Looking(SimpleNamespace(spec=spec), afar=True)) == (8, 0)


def case(query, answer, blank=(0,)):
    """A case about two pins."""
    boxes = (Box(10, 24, 22, 36), Box(50, 24, 62, 36))
    return CitationCase("a.png", query, answer, boxes, blank)


@pytest.mark.parametrize(
    ("pins", "gone"),
    [((1,), True), ((0, 1), False), ((), False), ((0,), False)],
)
def test_the_count_falls_by_one_and_it_is_the_blanked_one(spec, pins, gone):
    """Nothing else may go, and nothing may be seen where it was."""
    tested = case(spec.questions[0], Answer("locate:pin"))

    found = {"locate:pin": Answer("locate:pin", boxes=tuple(tested.boxes[number] for number in pins))}

    assert is_answer_lost(tested, found) is gone


@pytest.mark.parametrize(
    ("pins", "values", "gone"),
    [((1,), ("blue",), True), ((0, 1), ("red", "blue"), False), ((0, 1), ("blue", "blue"), True), ((), (), True)],
)
def test_a_value_is_read_no_more_or_is_another(spec, pins, values, gone):
    """What counts is the value at the blanked place; others may go, too."""
    tested = case(spec.questions[1], Answer("attribute:pin.colour", ("red", "blue")))

    found = {
        "locate:pin": Answer("locate:pin", boxes=tuple(tested.boxes[number] for number in pins)),
        "attribute:pin.colour": Answer("attribute:pin.colour", values),
    }

    assert is_answer_lost(tested, found) is gone


def test_an_answer_stays_where_places_and_values_do(spec):
    """A box may move a little; a count, a place and a value may not change."""
    where = case(spec.questions[0], Answer("locate:pin"))
    what = case(spec.questions[1], Answer("attribute:pin.colour", ("red", "blue")))

    def located(*boxes):
        return {"locate:pin": Answer("locate:pin", boxes=boxes)}

    def coloured(*values):
        return {"attribute:pin.colour": Answer("attribute:pin.colour", values)}

    assert is_answer_unchanged(where, located(*(box.translate(2, 0) for box in where.boxes)))
    assert not is_answer_unchanged(where, located(where.boxes[0]))
    assert not is_answer_unchanged(where, located(where.boxes[0], where.boxes[1].translate(12, 0)))
    assert is_answer_unchanged(what, coloured("red", "blue"))
    assert not is_answer_unchanged(what, coloured("blue", "red"))


def test_things_that_overlap_are_blanked_together(spec):
    """One of them cannot be taken away without the other."""
    stacked = (Box(10, 24, 22, 36), Box(14, 24, 26, 36))
    one = replace(verdict(photo(RED)), answers=(Answer("locate:pin", boxes=stacked),))

    assert draw_case(spec, one, np.random.default_rng(0)).blank_numbers == (0, 1)


def test_answers_that_cite_nothing_are_left_out(spec):
    """Nothing found, nothing readable, or nothing but the thing on the photo."""
    empty = verdict(photo())
    whole = replace(empty, answers=(Answer("locate:pin", boxes=(Box(0, 0, 120, 50),)),))
    unread = replace(empty, answers=(Answer("locate:pin", boxes=(Box(0, 0, 9, 9),), readable=False),))

    assert [draw_case(spec, one, np.random.default_rng(0)) for one in (empty, whole, unread)] == [None] * 3
