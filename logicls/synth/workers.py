"""Processes that make examples: in order, a few ahead of whoever takes them, and none left behind."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

import cv2

from logicls.constraints.spec.models import Spec
from logicls.data.coco import Dataset
from logicls.data.segmentation import Outline
from logicls.errors import DataError, PhotoError, Problem
from logicls.io.processes import deaf, end_with_parent
from logicls.synth.augmentation import Strength
from logicls.synth.example_generator import Maker
from logicls.synth.instance_bank import Bank
from logicls.synth.sampling_plan import Balance

CHUNK = 4
"""Examples that a process is sent to make at a time."""
AHEAD = 4
"""Chunks a process that are asked for before they are taken: memory stays flat however slow the taker is."""
GO_ON = "Then run the same command again: what is finished stays."
Made = TypeVar("Made")
Job = Callable[[Maker, int, int], Made]
"""Makes something of a maker, the set's seed and an example's number. Travels to processes: a function of a module."""


@dataclass(frozen=True, slots=True)
class Source:
    """What examples are made from. It is read once, and sent to each process."""

    spec: Spec
    dataset: Dataset
    outlines: Mapping[int, Outline]
    strength: Strength
    balance: Balance
    seed: int

    def maker(self) -> Maker:
        """Makes the examples of this source."""
        return Maker(self.spec, Bank(self.dataset, self.outlines), self.strength, self.balance)


def produce(source: Source, job: Job[Made], numbers: Sequence[int], workers: int) -> Generator[Made, None, None]:
    """The job done for each number, in the order of the numbers; the same whatever the number of `workers`.

    Without workers it is done here, when it is taken. Close the iterator to end the processes before the last number;
    they end by themselves where this process dies.

    Raises:
        DataError: A photo cannot be read (LC301 to LC307), or a process died (LC404).
    """
    if not workers:
        maker = source.maker()
        yield from (_done(job, maker, source.seed, number) for number in numbers)
        return
    chunks = iter([numbers[at : at + CHUNK] for at in range(0, len(numbers), CHUNK)])
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (source, job))
    try:
        with deaf():
            waiting = deque(pool.submit(_work, chunk) for chunk in islice(chunks, workers * AHEAD))
        while waiting:
            yield from waiting.popleft().result()
            waiting.extend(pool.submit(_work, chunk) for chunk in islice(chunks, 1))
    except BrokenProcessPool as error:
        message = "a process that makes examples died; most likely the memory was used up."
        raise DataError(Problem("LC404", message, advice=f"Use fewer workers. {GO_ON}")) from error
    finally:
        pool.shutdown(cancel_futures=True)


_at_work: tuple[Job[Any], Maker, int]
"""In a process that makes examples: what it does, with what, for which seed."""


def _begin(source: Source, job: Job[Any]) -> None:
    global _at_work
    cv2.setNumThreads(1)  # processes share the cores among themselves
    end_with_parent()
    _at_work = job, source.maker(), source.seed


def _work(numbers: Sequence[int]) -> list[Any]:
    job, maker, seed = _at_work
    return [_done(job, maker, seed, number) for number in numbers]


def _done(job: Job[Made], maker: Maker, seed: int, number: int) -> Made:
    try:
        return job(maker, seed, number)
    except PhotoError as error:
        problems = [replace(p, advice=f"{p.advice} {GO_ON}".strip()) for p in error.problems]
        raise DataError(problems) from error
