"""The feed of a run: its batches as they are made, and the time that the model waits for them."""

from __future__ import annotations

import time

import torch

from logicls.train.batching import TimedBatches

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
