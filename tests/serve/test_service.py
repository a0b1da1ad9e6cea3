from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from logicls.serve.service import MicroBatcher


class Work:
    """Squares, and remembers what came together; 13 it cannot do. It does not begin before `go`."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, asked: Sequence[int]) -> list[int]:
        """Square."""
        self.go.wait()
        self.batches.append(list(asked))
        if 13 in asked:
            raise ValueError("thirteen")
        return [number**2 for number in asked]


def test_what_comes_together_is_done_together_and_each_gets_its_own_answer():
    """Batches are full while there is enough; nothing is lost, doubled or given to another."""
    work = Work()

    async def many() -> list[int]:
        gatherer = MicroBatcher[int, int](work, 4, 0.001)
        running = asyncio.create_task(gatherer.run())
        answers = await asyncio.gather(*(gatherer.submit(number) for number in range(10)))
        gatherer.close()
        await running
        return answers

    assert asyncio.run(many()) == [number**2 for number in range(10)]
    assert work.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_one_that_comes_a_little_later_is_done_with_the_first():
    """It waits for others for a moment, and no longer."""
    work = Work()

    async def two() -> None:
        gatherer = MicroBatcher[int, int](work, 4, 0.2)
        running = asyncio.create_task(gatherer.run())
        first = asyncio.create_task(gatherer.submit(1))
        await asyncio.sleep(0.02)
        await asyncio.gather(first, gatherer.submit(2))
        gatherer.close()
        await running

    asyncio.run(two())

    assert work.batches == [[1, 2]]


def test_a_failure_is_told_to_those_who_asked_and_work_goes_on():
    """Everybody of the batch hears of it; the next batch is answered."""
    work = Work()

    async def after() -> tuple[list[int | BaseException], int]:
        gatherer = MicroBatcher[int, int](work, 4, 0.001)
        running = asyncio.create_task(gatherer.run())
        failed = await asyncio.gather(gatherer.submit(12), gatherer.submit(13), return_exceptions=True)
        answer = await gatherer.submit(3)
        gatherer.close()
        await running
        return failed, answer

    failed, answer = asyncio.run(after())

    assert [str(error) for error in failed] == ["thirteen", "thirteen"]
    assert answer == 9


def test_at_the_end_what_was_asked_is_answered():
    """More than a batch may be waiting when it is told to end."""
    work = Work()
    work.go.clear()

    async def ended() -> list[int]:
        gatherer = MicroBatcher[int, int](work, 2, 0.001)
        asked = [asyncio.create_task(gatherer.submit(number)) for number in range(5)]
        running = asyncio.create_task(gatherer.run())
        await asyncio.sleep(0.02)
        gatherer.close()
        work.go.set()
        await running
        return [await one for one in asked]

    assert asyncio.run(ended()) == [0, 1, 4, 9, 16]


def test_whoever_goes_away_is_not_looked_at():
    """A client that hung up costs the model nothing, and the others nothing."""
    work = Work()

    async def gone() -> int:
        gatherer = MicroBatcher[int, int](work, 4, 0.001)
        asked = [asyncio.create_task(gatherer.submit(number)) for number in (1, 2)]
        await asyncio.sleep(0)
        asked[0].cancel()
        running = asyncio.create_task(gatherer.run())
        answer = await asked[1]
        gatherer.close()
        await running
        with pytest.raises(asyncio.CancelledError):
            await asked[0]
        return answer

    assert asyncio.run(gone()) == 4
    assert work.batches == [[2]]
