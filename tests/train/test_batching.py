"""Batches: packed questions, and training batches with their waiting time."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from logicls.models.nano import NanoImageProcessor, NanoProcessor
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.models.nano.processor import train_tokenizer
from logicls.train.batching import TimedBatches, TrainingBatches, apply_color_jitter, collate
from logicls.train.encoding import EncodedExample
from logicls.train.preflight import preflight, select_epoch_batch


@pytest.fixture(scope="module")
def codec() -> NanoAnswerCodec:
    """Inputs of 32 x 32 pixels: four visual tokens."""
    return NanoAnswerCodec(NanoProcessor(NanoImageProcessor((32, 32)), train_tokenizer(["a b"], ["red"])))


def test_a_label_stands_where_its_token_is_predicted(codec):
    """One position before it; prompts, photo and padding are not learned; short rows are padded on the right."""
    long = EncodedExample(((50, 51, 52), (60, 61)), ((70, 71), (80,)), (1.0, 3.0), ((), ()), (True, False))
    short = EncodedExample(((50, 51),), ((70,),), (1.0,), ((),), (True,))
    photos = np.zeros((2, 32, 32, 3), np.uint8)

    batch = collate([long, short], photos, codec, 4)

    i, p, no = codec.image, codec.pad, IGNORE_INDEX
    assert batch["input_ids"].tolist() == [
        [i, i, i, i, 50, 51, 52, 70, 71, 60, 61, 80],
        [i, i, i, i, 50, 51, 70, p, p, p, p, p],
    ]
    assert batch["branch_ids"].tolist() == [
        [0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2],
        [0, 0, 0, 0, 1, 1, 1, -1, -1, -1, -1, -1],
    ]
    assert batch["labels"].tolist() == [
        [no, no, no, no, no, no, 70, 71, no, no, 80, no],
        [no, no, no, no, no, 70, no, no, no, no, no, no],
    ]
    assert batch["weights"].tolist() == [[1, 3], [1, 0]]
    assert batch["located"].tolist() == [[True, False], [True, False]]


def test_things_go_with_their_questions(codec):
    """Boxes, numbers of questions and words to be read, padded to the most on one photo."""
    box, other = (1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)
    many = EncodedExample(
        ((50,), (51,)),
        ((70,), (80,)),
        (1.0, 1.0),
        (((box, IGNORE_INDEX), (other, IGNORE_INDEX)), ((box, 80),)),
        (True, False),
    )
    none = EncodedExample(((50,),), ((70,),), (1.0,), ((),), (True,))

    batch = collate([many, none], np.zeros((2, 32, 32, 3), np.uint8), codec, 4)

    assert batch["boxes"][0].tolist() == [list(box), list(other), list(box)]
    assert batch["box_question"].tolist() == [[0, 0, 1], [-1, -1, -1]]
    assert batch["box_value"].tolist() == [[IGNORE_INDEX, IGNORE_INDEX, 80], [IGNORE_INDEX] * 3]


def test_pixels_go_in_unchanged(codec):
    """Colours second, still bytes."""
    photos = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)

    pixels = collate([EncodedExample(((50,),), ((70,),), (1.0,), ((),), (True,))], photos, codec, 4)["pixel_values"]

    assert pixels.dtype == torch.uint8
    assert np.array_equal(pixels.permute(0, 2, 3, 1).numpy(), photos)


@pytest.mark.parametrize(("count", "batch"), [(20, 4), (7, 3), (3, 8), (1, 2)])
def test_every_example_once_before_any_twice(count, batch):
    """Rounds follow one another without a gap, also where a batch spans two of them."""
    steps = [select_epoch_batch(step, count, batch, seed=5) for step in range(4 * count)]

    order = [number for step in steps for number in step]
    rounds = [order[at : at + count] for at in range(0, len(order), count)]
    assert [len(step) for step in steps] == [batch] * (4 * count)
    assert [sorted(r) for r in rounds] == [list(range(count))] * len(rounds)


def test_rounds_have_orders_of_their_own():
    """One round is not the next one again, nor that of another seed."""
    orders = [select_epoch_batch(step, 20, 20, seed) for step, seed in ((0, 0), (1, 0), (0, 1))]

    assert len({tuple(order) for order in orders}) == 3


def test_a_batch_is_independent_of_the_start(synth, tmp_path):
    """To the last pixel, brightness and contrast included; the run ends where it would have ended."""
    flight = preflight(synth, tmp_path, visual_tokens=16)
    settings = {"stop": 6, "jitter": 0.3, "seed": 0}

    def choose(step):
        return select_epoch_batch(step, len(flight.examples), 4, seed=0)

    whole, later = (
        list(TrainingBatches(flight, NanoAnswerCodec(flight.processor), choose, start=s, **settings)) for s in (0, 4)
    )

    assert (len(whole), len(later)) == (6, 2)
    assert all(torch.equal(a[key], b[key]) for a, b in zip(whole[4:], later, strict=True) for key in a)


def test_light_changes_within_bounds():
    """Without jitter nothing changes; with it, each photo as a whole does."""
    photos = np.full((8, 4, 4, 3), 100, np.uint8)

    still, changed = (apply_color_jitter(photos, jitter, np.random.default_rng(0)) for jitter in (0.0, 0.2))

    assert np.array_equal(still, photos)
    assert len({photo.min() for photo in changed}) > 4
    assert all(photo.min() == photo.max() for photo in changed)
    assert np.abs(changed.astype(int) - 100).max() <= 18


def test_light_keeps_the_order_of_values():
    """What was brighter than something is not darker than it afterwards, nor is anything beyond what a byte holds."""
    photo = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)

    seen = apply_color_jitter(photo, 0.5, np.random.default_rng(3))[0].reshape(256, 3)

    assert (np.diff(seen.astype(int), axis=0) >= 0).all()
    assert (seen[:, :1] == seen).all()
    assert np.array_equal(photo.reshape(256, 3)[:, 0], np.arange(256))


PAUSE = 0.05


def made(count, closed):
    """So many batches, each after a pause; tells when it is closed."""
    try:
        for number in range(count):
            time.sleep(PAUSE)
            yield {"step": torch.tensor(number)}
    finally:
        closed.append(True)


def test_waiting_is_the_time_that_batches_take_to_make():
    """Not the time that the model takes between two of them."""
    feed, steps = TimedBatches(made(3, [])), []

    began = time.perf_counter()
    for batch in feed:
        steps.append(int(batch["step"]))
        time.sleep(4 * PAUSE)
    whole = time.perf_counter() - began

    assert steps == [0, 1, 2]
    assert 3 * PAUSE <= feed.wait_seconds <= whole - 12 * PAUSE


def test_a_feed_that_is_left_ends_what_makes_batches():
    """Processes that make examples would go on otherwise."""
    closed = []
    batches = iter(TimedBatches(made(3, closed)))
    next(batches)

    batches.close()

    assert closed == [True]
