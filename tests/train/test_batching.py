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
from logicls.train.encoding import EncodedExample, InstanceTarget
from logicls.train.preflight import preflight, select_epoch_batch


@pytest.fixture(scope="module")
def codec() -> NanoAnswerCodec:
    """Codec for inputs of 32 x 32 pixels: four visual tokens."""
    return NanoAnswerCodec(NanoProcessor(NanoImageProcessor((32, 32)), train_tokenizer(["a b"], ["red"])))


def test_labels_are_shifted_and_masked(codec):
    """A label is one position before its token; prompts, photo and padding are masked; padding is on the right."""
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


def test_instances_are_padded_with_their_questions(codec):
    """Boxes, question numbers and values are padded to the largest number per photo."""
    box, other = (1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)
    many = EncodedExample(
        ((50,), (51,)),
        ((70,), (80,)),
        (1.0, 1.0),
        ((InstanceTarget(box), InstanceTarget(other)), (InstanceTarget(box, 80, 81, 0.25),)),
        (True, False),
    )
    none = EncodedExample(((50,),), ((70,),), (1.0,), ((),), (True,))

    batch = collate([many, none], np.zeros((2, 32, 32, 3), np.uint8), codec, 4)

    assert batch["boxes"][0].tolist() == [list(box), list(other), list(box)]
    assert batch["box_question"].tolist() == [[0, 0, 1], [-1, -1, -1]]
    assert batch["box_value"].tolist() == [[IGNORE_INDEX, IGNORE_INDEX, 80], [IGNORE_INDEX] * 3]
    assert batch["box_next_value"].tolist() == [[IGNORE_INDEX, IGNORE_INDEX, 81], [IGNORE_INDEX] * 3]
    assert batch["box_next_share"].tolist() == [[0, 0, 0.25], [0, 0, 0]]


def test_pixels_stay_bytes(codec):
    """Channels come first, still uint8."""
    photos = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)

    pixels = collate([EncodedExample(((50,),), ((70,),), (1.0,), ((),), (True,))], photos, codec, 4)["pixel_values"]

    assert pixels.dtype == torch.uint8
    assert np.array_equal(pixels.permute(0, 2, 3, 1).numpy(), photos)


@pytest.mark.parametrize(("count", "batch"), [(20, 4), (7, 3), (3, 8), (1, 2)])
def test_epochs_sample_without_replacement(count, batch):
    """Epochs follow one another without a gap, also where a batch spans two of them."""
    steps = [select_epoch_batch(step, count, batch, seed=5) for step in range(4 * count)]

    order = [number for step in steps for number in step]
    rounds = [order[at : at + count] for at in range(0, len(order), count)]
    assert [len(step) for step in steps] == [batch] * (4 * count)
    assert [sorted(r) for r in rounds] == [list(range(count))] * len(rounds)


def test_epochs_and_seeds_have_different_orders():
    """Neither the next epoch nor another seed repeats a permutation."""
    orders = [select_epoch_batch(step, 20, 20, seed) for step, seed in ((0, 0), (1, 0), (0, 1))]

    assert len({tuple(order) for order in orders}) == 3


def test_a_batch_does_not_depend_on_the_start(synth, tmp_path):
    """Batches are equal to the last pixel, colour jitter included, and end at the same step."""
    flight = preflight(synth, tmp_path, visual_tokens=16)
    settings = {"stop": 6, "jitter": 0.3, "seed": 0}

    def choose(step):
        return select_epoch_batch(step, len(flight.examples), 4, seed=0)

    full, later = (
        list(TrainingBatches(flight, NanoAnswerCodec(flight.processor), choose, start=s, **settings)) for s in (0, 4)
    )

    assert (len(full), len(later)) == (6, 2)
    assert all(torch.equal(a[key], b[key]) for a, b in zip(full[4:], later, strict=True) for key in a)


def test_color_jitter_stays_within_bounds():
    """Without jitter nothing changes; with it, each photo changes as a unit."""
    photos = np.full((8, 4, 4, 3), 100, np.uint8)

    still, changed = (apply_color_jitter(photos, jitter, np.random.default_rng(0)) for jitter in (0.0, 0.2))

    assert np.array_equal(still, photos)
    assert len({photo.min() for photo in changed}) > 4
    assert all(photo.min() == photo.max() for photo in changed)
    assert np.abs(changed.astype(int) - 100).max() <= 18


def test_color_jitter_is_monotonic():
    """The order of brightness is kept, and values stay within a byte."""
    photo = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)

    jittered = apply_color_jitter(photo, 0.5, np.random.default_rng(3))[0].reshape(256, 3)

    assert (np.diff(jittered.astype(int), axis=0) >= 0).all()
    assert (jittered[:, :1] == jittered).all()
    assert np.array_equal(photo.reshape(256, 3)[:, 0], np.arange(256))


PAUSE = 0.05


def generate_batches(count, closed):
    """Generate batches, each after a pause; records when it is closed."""
    try:
        for number in range(count):
            time.sleep(PAUSE)
            yield {"step": torch.tensor(number)}
    finally:
        closed.append(True)


def test_wait_time_excludes_the_time_between_batches():
    """Only the time of making batches is counted."""
    feed, steps = TimedBatches(generate_batches(3, [])), []

    started = time.perf_counter()
    for batch in feed:
        steps.append(int(batch["step"]))
        time.sleep(4 * PAUSE)
    full = time.perf_counter() - started

    assert steps == [0, 1, 2]
    assert 3 * PAUSE <= feed.wait_seconds <= full - 12 * PAUSE


def test_closing_the_iterator_closes_the_batches():
    """Worker processes would go on otherwise."""
    closed = []
    batches = iter(TimedBatches(generate_batches(3, closed)))
    next(batches)

    batches.close()

    assert closed == [True]
