"""Necessity and sufficiency tests, with readers of known faithfulness."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.evaluation.necessity import (
    CitationCase,
    blank_boxes,
    blur_outside,
    draw_case,
    is_answer_lost,
    is_answer_unchanged,
    run_citation_trials,
)
from logicls.predict.readers.protocol import Prediction, unpack_pixels
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
    """Load a spec with a count and a colour of pins."""
    (tmp_path / "box.yaml").write_text(SPEC)
    return load_spec(tmp_path / "box.yaml")


def photo(*pins):
    """Render squares of 12 pixels in these colours on a noisy grey background, 120 x 60."""
    out = np.random.default_rng(0).integers(118, 123, (60, 120, 3), np.uint8)
    for number, colour in enumerate(pins):
        out[24:36, 10 + 40 * number : 22 + 40 * number] = colour
    return out


def read_pins(pixels):
    """Detect red and blue squares and their colours, left to right."""
    values = pixels.astype(int)
    strong = (np.abs(values[..., 0] - values[..., 2]) > 80).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(strong)
    found = sorted((x, y, w, h) for x, y, w, h, area in stats[1:].tolist() if area > 30)
    boxes = tuple(Box(x, y, x + w, y + h) for x, y, w, h in found)
    colours = tuple("red" if values[y + h // 2, x + w // 2, 0] > 128 else "blue" for x, y, w, h in found)
    return Answer("locate:pin", boxes=boxes), Answer("attribute:pin.colour", colours)


@dataclass
class PinReader:
    """Reader that detects the pins, or returns constant `answers`."""

    bundle: object
    answers: tuple[Answer, ...] = ()
    needs_corner: bool = False
    """Whether it detects nothing if the photo's corner is blurred."""
    input_size = None

    def predict_raw(self, photos):
        """Return the answers about each photo."""
        return [
            Prediction(self.answers or self.read(pixels), Answer("verdict"), ()) for pixels in unpack_pixels(photos)
        ]

    def read(self, pixels):
        """Return the pins; none if it needs the corner and that is blurred."""
        blurred = self.needs_corner and float(pixels[:8, :8, 1].std()) < 0.7
        return read_pins(np.full_like(pixels, 120) if blurred else pixels)


def verdict(pixels, name="a.png"):
    """Return the verdict of a reader that detects the pins."""
    return Verdict(name, "pass", answers=read_pins(pixels), width=pixels.shape[1], height=pixels.shape[0])


def count_passed(spec, reader, count=8):
    """Count the passed necessity and sufficiency trials on photos with a red and a blue pin."""
    pixels = photo(RED, BLUE)
    rng = np.random.default_rng(0)
    verdicts = [verdict(pixels, f"{number}.png") for number in range(count)]
    cases = [(draw_case(spec, one, rng), one) for one in verdicts]
    tests = run_citation_trials(reader, cases, lambda _: pixels, seed=0, batch=3)
    assert {trial.kind for trial in tests[0]} == {"locate", "attribute"}
    return tuple(sum(trial.has_passed for trial in trials) for trials in tests)


def test_faithful_reader_passes_both(spec):
    """Blanked pins are lost, sharp ones stay."""
    assert count_passed(spec, PinReader(SimpleNamespace(spec=spec))) == (8, 8)


def test_constant_reader_fails_necessity(spec):
    """Its answers do not depend on the photo."""
    assert count_passed(spec, PinReader(SimpleNamespace(spec=spec), answers=read_pins(photo(RED, BLUE)))) == (0, 8)


def test_reader_of_uncited_pixels_fails_sufficiency(spec):
    """Its answers need a corner that it does not cite."""
    assert count_passed(spec, PinReader(SimpleNamespace(spec=spec), needs_corner=True)) == (8, 0)


def case(query, answer, blank=(0,)):
    """Return a case about two pins."""
    boxes = (Box(10, 24, 22, 36), Box(50, 24, 62, 36))
    return CitationCase("a.png", query, answer, boxes, blank)


@pytest.mark.parametrize(
    ("pins", "expected"),
    [((1,), True), ((0, 1), False), ((), False), ((0,), False)],
)
def test_exactly_the_blanked_instance_is_lost(spec, pins, expected):
    """No other instance may be lost, and nothing may be detected at the blanked box."""
    tested = case(spec.queries[0], Answer("locate:pin"))

    found = {"locate:pin": Answer("locate:pin", boxes=tuple(tested.boxes[number] for number in pins))}

    assert is_answer_lost(tested, found) is expected


@pytest.mark.parametrize(
    ("pins", "values", "expected"),
    [((1,), ("blue",), True), ((0, 1), ("red", "blue"), False), ((0, 1), ("blue", "blue"), True), ((), (), True)],
)
def test_value_at_the_blanked_box_is_lost(spec, pins, values, expected):
    """Only the value at the blanked box counts; others may change."""
    tested = case(spec.queries[1], Answer("attribute:pin.colour", ("red", "blue")))

    found = {
        "locate:pin": Answer("locate:pin", boxes=tuple(tested.boxes[number] for number in pins)),
        "attribute:pin.colour": Answer("attribute:pin.colour", values),
    }

    assert is_answer_lost(tested, found) is expected


def test_answer_is_unchanged(spec):
    """A box may move slightly; count, location and values may not change."""
    locate = case(spec.queries[0], Answer("locate:pin"))
    attribute = case(spec.queries[1], Answer("attribute:pin.colour", ("red", "blue")))

    def located(*boxes):
        return {"locate:pin": Answer("locate:pin", boxes=boxes)}

    def coloured(*values):
        return {"attribute:pin.colour": Answer("attribute:pin.colour", values)}

    assert is_answer_unchanged(locate, located(*(box.translate(2, 0) for box in locate.boxes)))
    assert not is_answer_unchanged(locate, located(locate.boxes[0]))
    assert not is_answer_unchanged(locate, located(locate.boxes[0], locate.boxes[1].translate(12, 0)))
    assert is_answer_unchanged(attribute, coloured("red", "blue"))
    assert not is_answer_unchanged(attribute, coloured("blue", "red"))


def test_overlapping_boxes_are_blanked_together(spec):
    """One of them cannot be inpainted without the other."""
    stacked = (Box(10, 24, 22, 36), Box(14, 24, 26, 36))
    one = replace(verdict(photo(RED)), answers=(Answer("locate:pin", boxes=stacked),))

    assert draw_case(spec, one, np.random.default_rng(0)).blank_numbers == (0, 1)


def test_answers_without_suitable_citation_are_ignored(spec):
    """No box, an unreadable answer, or a box of nearly the whole photo."""
    empty = verdict(photo())
    large = replace(empty, answers=(Answer("locate:pin", boxes=(Box(0, 0, 120, 50),)),))
    unreadable = replace(empty, answers=(Answer("locate:pin", boxes=(Box(0, 0, 9, 9),), readable=False),))

    assert [draw_case(spec, one, np.random.default_rng(0)) for one in (empty, large, unreadable)] == [None] * 3


RED_BOX = Box(40, 20, 60, 40)


def render_squares():
    """Render a red square and a blue one on a noisy grey gradient."""
    rng = np.random.default_rng(1)
    out = (np.linspace(80, 160, 120)[None, :, None] + rng.normal(0, 2, (60, 120, 3))).astype(np.uint8)
    out[20:40, 40:60] = (220, 20, 20)
    out[10:20, 90:100] = (20, 20, 220)
    return out


def test_blanked_box_is_inpainted_with_the_background():
    """No red is left, the gradient continues, and the rest of the photo is unchanged."""
    before = render_squares()

    after = blank_boxes(before, [RED_BOX], [Box(90, 10, 100, 20)], np.random.default_rng(0))

    inside = after[20:40, 40:60].reshape(-1, 3).mean(0)
    assert np.abs(inside - np.linspace(80, 160, 120)[40:60].mean()).max() < 12
    assert (after[10:20, 90:100] == before[10:20, 90:100]).all()
    assert (before[20:40, 40:60] == (220, 20, 20)).all()


def test_everything_else_is_blurred():
    """The box is unchanged, the blue square has faded, and the brightness is the same."""
    before = render_squares()

    after = blur_outside(before, [RED_BOX])

    assert (after[20:40, 40:60] == before[20:40, 40:60]).all()
    blue = after[10:20, 90:100].astype(int)
    assert (blue[..., 2] - blue[..., 0]).max() < 40
    assert abs(float(after.mean()) - float(before.mean())) < 6
