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
from logicls.data.segmentation import Segmentation
from logicls.errors import DataError, PhotoError, Problem
from logicls.io.processes import block_sigint, exit_with_parent
from logicls.synth.augmentation import AugmentationSettings
from logicls.synth.example_generator import ExampleGenerator
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.sampling_plan import BalanceSettings

CHUNK_SIZE = 4
"""Examples that a process is sent to make at a time."""
PREFETCHED_CHUNKS = 4
"""Chunks a process that are asked for before they are taken: memory stays flat however slow the taker is."""
RESUME_ADVICE = "Then run the same command again: what is finished stays."
Output = TypeVar("Output")
ExampleTask = Callable[[ExampleGenerator, int, int], Output]
"""Makes something of a maker, the set's seed and an example's number. Travels to processes: a function of a module."""


@dataclass(frozen=True, slots=True)
class SynthesisSource:
    """What examples are made from. It is read once, and sent to each process."""

    spec: Spec
    dataset: Dataset
    segmentations: Mapping[int, Segmentation]
    augmentation: AugmentationSettings
    balance: BalanceSettings
    seed: int

    def create_generator(self) -> ExampleGenerator:
        """Makes the examples of this source."""
        return ExampleGenerator(
            self.spec, InstanceBank(self.dataset, self.segmentations), self.augmentation, self.balance
        )


def run_tasks(
    source: SynthesisSource, task: ExampleTask[Output], numbers: Sequence[int], workers: int
) -> Generator[Output, None, None]:
    """The job done for each number, in the order of the numbers; the same whatever the number of `workers`.

    Without workers it is done here, when it is taken. Close the iterator to end the processes before the last number;
    they end by themselves where this process dies.

    Raises:
        DataError: A photo cannot be read (LC301 to LC307), or a process died (LC404).
    """
    if not workers:
        maker = source.create_generator()
        yield from (_run_task(task, maker, source.seed, number) for number in numbers)
        return
    chunks = iter([numbers[at : at + CHUNK_SIZE] for at in range(0, len(numbers), CHUNK_SIZE)])
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _initialize_worker, (source, task))
    try:
        with block_sigint():
            waiting = deque(pool.submit(_run_chunk, chunk) for chunk in islice(chunks, workers * PREFETCHED_CHUNKS))
        while waiting:
            yield from waiting.popleft().result()
            waiting.extend(pool.submit(_run_chunk, chunk) for chunk in islice(chunks, 1))
    except BrokenProcessPool as error:
        message = "a process that makes examples died; most likely the memory was used up."
        raise DataError(Problem("LC404", message, advice=f"Use fewer workers. {RESUME_ADVICE}")) from error
    finally:
        pool.shutdown(cancel_futures=True)


_worker_state: tuple[ExampleTask[Any], ExampleGenerator, int]
"""In a process that makes examples: what it does, with what, for which seed."""


def _initialize_worker(source: SynthesisSource, job: ExampleTask[Any]) -> None:
    global _worker_state
    cv2.setNumThreads(1)  # processes share the cores among themselves
    exit_with_parent()
    _worker_state = job, source.create_generator(), source.seed


def _run_chunk(numbers: Sequence[int]) -> list[Any]:
    job, maker, seed = _worker_state
    return [_run_task(job, maker, seed, number) for number in numbers]


def _run_task(job: ExampleTask[Output], maker: ExampleGenerator, seed: int, number: int) -> Output:
    try:
        return job(maker, seed, number)
    except PhotoError as error:
        problems = [replace(p, advice=f"{p.advice} {RESUME_ADVICE}".strip()) for p in error.problems]
        raise DataError(problems) from error
