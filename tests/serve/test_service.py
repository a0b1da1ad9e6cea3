from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from logicls.serve.service import MicroBatcher


class SquareWorker:
    """Squares numbers and records the batches; fails for 13. Waits until `go` is set."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, items: Sequence[int]) -> list[int]:
        """Return the squares of a batch."""
        self.go.wait()
        self.batches.append(list(items))
        if 13 in items:
            raise ValueError("thirteen")
        return [number**2 for number in items]


def test_simultaneous_items_form_batches_and_each_gets_its_result():
    """Batches are as large as possible; no result is lost, duplicated or swapped."""
    work = SquareWorker()

    async def many() -> list[int]:
        batcher = MicroBatcher[int, int](work, 4, 0.001)
        running = asyncio.create_task(batcher.run())
        answers = await asyncio.gather(*(batcher.submit(number) for number in range(10)))
        batcher.close()
        await running
        return answers

    assert asyncio.run(many()) == [number**2 for number in range(10)]
    assert work.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_an_item_within_the_waiting_time_joins_the_batch():
    """The first item waits for others for the waiting time."""
    work = SquareWorker()

    async def two() -> None:
        batcher = MicroBatcher[int, int](work, 4, 0.2)
        running = asyncio.create_task(batcher.run())
        first = asyncio.create_task(batcher.submit(1))
        await asyncio.sleep(0.02)
        await asyncio.gather(first, batcher.submit(2))
        batcher.close()
        await running

    asyncio.run(two())

    assert work.batches == [[1, 2]]


def test_a_failure_reaches_the_whole_batch_and_processing_continues():
    """Every caller of the batch gets the exception; the next batch is processed."""
    work = SquareWorker()

    async def after() -> tuple[list[int | BaseException], int]:
        batcher = MicroBatcher[int, int](work, 4, 0.001)
        running = asyncio.create_task(batcher.run())
        failed = await asyncio.gather(batcher.submit(12), batcher.submit(13), return_exceptions=True)
        answer = await batcher.submit(3)
        batcher.close()
        await running
        return failed, answer

    failed, answer = asyncio.run(after())

    assert [str(error) for error in failed] == ["thirteen", "thirteen"]
    assert answer == 9


def test_close_processes_the_remaining_items():
    """More than one batch may be in the queue when the batcher is closed."""
    work = SquareWorker()
    work.go.clear()

    async def close_while_waiting() -> list[int]:
        batcher = MicroBatcher[int, int](work, 2, 0.001)
        tasks = [asyncio.create_task(batcher.submit(number)) for number in range(5)]
        running = asyncio.create_task(batcher.run())
        await asyncio.sleep(0.02)
        batcher.close()
        work.go.set()
        await running
        return [await one for one in tasks]

    assert asyncio.run(close_while_waiting()) == [0, 1, 4, 9, 16]


def test_a_cancelled_item_is_not_processed():
    """A client that disconnected costs no inference time."""
    work = SquareWorker()

    async def cancel_one() -> int:
        batcher = MicroBatcher[int, int](work, 4, 0.001)
        tasks = [asyncio.create_task(batcher.submit(number)) for number in (1, 2)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        running = asyncio.create_task(batcher.run())
        answer = await tasks[1]
        batcher.close()
        await running
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        return answer

    assert asyncio.run(cancel_one()) == 4
    assert work.batches == [[2]]
