"""Made photos: what is asked of them is true, can be said, and comes out the same again."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from logicls.pretraining.scene_generator import SyntheticScene, generate_scene
from logicls.pretraining.vocabulary import list_answer_words, list_tokenizer_texts
from logicls.records import reading_order

SIZES = ((256, 128), (128, 256), (192, 192), (128, 128))
COUNT = 160


@pytest.fixture(scope="module")
def worlds() -> list[tuple[SyntheticScene, tuple[int, int]]]:
    """Many worlds of several sizes."""
    return [(generate_scene(np.random.default_rng([5, n]), SIZES[n % 4]), SIZES[n % 4]) for n in range(COUNT)]


def test_a_world_is_a_photo_of_the_size_with_five_to_nine_questions(worlds):
    """Pixels are RGB bytes of the size asked for; no question is there twice."""
    for world, size in worlds:
        assert world.pixels.shape == (*size, 3)
        assert world.pixels.dtype == np.uint8
        assert 5 <= len(world.asked) <= 9
        assert len({asked.text for asked in world.asked}) == len(world.asked)


def test_boxes_lie_on_the_photo_in_reading_order(worlds):
    """Every box has an area and lies within the photo; an answer's boxes are in reading order."""
    for world, (height, width) in worlds:
        for asked in world.asked:
            for box in asked.boxes:
                assert 0 <= box.x1 < box.x2 <= width
                assert 0 <= box.y1 < box.y2 <= height
            keys = [reading_order(box, width, height) for box in asked.boxes]
            assert keys == sorted(keys)


def test_the_same_generator_makes_the_same_world():
    """Equal seeds give equal bytes and questions, other seeds others."""
    one, same, other = (generate_scene(np.random.default_rng(seed), (128, 128)) for seed in (3, 3, 4))

    assert one.pixels.tobytes() == same.pixels.tobytes()
    assert one.questions == same.questions
    assert one.pixels.tobytes() != other.pixels.tobytes()


def test_every_answer_is_a_known_word(worlds):
    """Attributes and verdicts are answered with words of the closed set, places with boxes alone.

    The boxes of an attribute are its bearers', one a value.
    """
    known = set(list_answer_words())
    kinds = Counter(asked.kind for world, _ in worlds for asked in world.asked)

    assert set(kinds) == {"locate", "attribute", "verdict"}
    for world, _ in worlds:
        for asked in world.asked:
            assert set(asked.values) <= known, asked
            assert bool(asked.values) == (asked.kind != "locate"), asked
            assert asked.kind == "locate" or len(asked.boxes) in (0, len(asked.values))
            assert asked.kind != "verdict" or not asked.boxes


def test_every_word_of_a_question_is_in_the_wordings(worlds):
    """A tokenizer that learns from the wordings has seen every word of every question."""
    known = set(re.findall(r"[a-z]+", " ".join(list_tokenizer_texts()).lower()))
    asked = {word for world, _ in worlds for asked in world.asked for word in re.findall(r"[a-z]+", asked.text.lower())}

    assert len(known) >= 600
    assert len(asked) > 100
    assert asked <= known, asked - known


def test_places_are_asked_for_none_to_thirty_things(worlds):
    """Answers range from no box, about one in seven, to many."""
    counts = [len(asked.boxes) for world, _ in worlds for asked in world.asked if asked.kind == "locate"]

    assert 0.08 < counts.count(0) / len(counts) < 0.25
    assert set(range(13)) <= set(counts)
    assert 20 <= max(counts) <= 30
