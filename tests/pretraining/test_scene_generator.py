"""Scenes: questions are correct, expressible, and reproducible."""

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
def scenes() -> list[tuple[SyntheticScene, tuple[int, int]]]:
    """Return many scenes of several sizes."""
    return [(generate_scene(np.random.default_rng([5, n]), SIZES[n % 4]), SIZES[n % 4]) for n in range(COUNT)]


def test_photo_and_questions(scenes):
    """Pixels are RGB of the requested size; there are five to nine different questions."""
    for scene, size in scenes:
        assert scene.pixels.shape == (*size, 3)
        assert scene.pixels.dtype == np.uint8
        assert 5 <= len(scene.questions) <= 9
        assert len({question.text for question in scene.questions}) == len(scene.questions)


def test_boxes_in_reading_order(scenes):
    """Boxes are inside the photo and in reading order."""
    for scene, (height, width) in scenes:
        for question in scene.questions:
            for box in question.boxes:
                assert 0 <= box.x1 < box.x2 <= width
                assert 0 <= box.y1 < box.y2 <= height
            keys = [reading_order(box, width, height) for box in question.boxes]
            assert keys == sorted(keys)


def test_seed_determines_scene():
    """Equal seeds give identical pixels and questions."""
    one, same, other = (generate_scene(np.random.default_rng(seed), (128, 128)) for seed in (3, 3, 4))

    assert one.pixels.tobytes() == same.pixels.tobytes()
    assert one.questions == same.questions
    assert one.pixels.tobytes() != other.pixels.tobytes()


def test_answers_are_in_vocabulary(scenes):
    """Answers are words of the closed vocabulary, with one box per value or none."""
    vocabulary = set(list_answer_words())
    kinds = Counter(question.kind for scene, _ in scenes for question in scene.questions)

    assert set(kinds) == {"locate", "attribute", "verdict"}
    for scene, _ in scenes:
        for question in scene.questions:
            assert set(question.values) <= vocabulary, question
            assert bool(question.values) == (question.kind != "locate"), question
            assert question.kind == "locate" or len(question.boxes) in (0, len(question.values))
            assert question.kind != "verdict" or not question.boxes


def test_questions_are_in_tokenizer_texts(scenes):
    """The tokenizer's texts cover every word of the questions."""
    vocabulary = set(re.findall(r"[a-z]+", " ".join(list_tokenizer_texts()).lower()))
    question = {
        word
        for scene, _ in scenes
        for question in scene.questions
        for word in re.findall(r"[a-z]+", question.text.lower())
    }

    assert len(vocabulary) >= 600
    assert len(question) > 100
    assert question <= vocabulary, question - vocabulary


def test_number_of_boxes(scenes):
    """Answers have zero (about one in seven) to thirty boxes."""
    counts = [len(question.boxes) for scene, _ in scenes for question in scene.questions if question.kind == "locate"]

    assert 0.08 < counts.count(0) / len(counts) < 0.25
    assert set(range(13)) <= set(counts)
    assert 20 <= max(counts) <= 30
