"""Worker processes that generate examples in order, with bounded prefetching."""

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
from logicls.synth.dataset import Row, build_row
from logicls.synth.example_generator import ExampleGenerator
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.settings import AugmentationSettings, BalanceSettings

CHUNK_SIZE = 4
"""Examples that a worker process generates per call."""
PREFETCHED_CHUNKS = 4
"""Chunks per process that are submitted before they are consumed: memory stays bounded however slow the consumer is."""
RESUME_ADVICE = "Then run the same command again; finished work is kept."
Output = TypeVar("Output")
ExampleTask = Callable[[ExampleGenerator, int, int], Output]
"""Function of generator, seed of the set and number of the example. It is pickled: only functions of a module work."""


@dataclass(frozen=True, slots=True)
class SynthesisSource:
    """Inputs of example generation; loaded once, and sent to each worker process."""

    spec: Spec
    dataset: Dataset
    segmentations: Mapping[int, Segmentation]
    augmentation: AugmentationSettings
    balance: BalanceSettings
    seed: int

    def create_generator(self) -> ExampleGenerator:
        """Create a generator of examples."""
        return ExampleGenerator(
            self.spec, InstanceBank(self.dataset, self.segmentations), self.augmentation, self.balance
        )


def generate_row(generator: ExampleGenerator, seed: int, number: int) -> Row:
    """Generate example number `number` of the set `seed` as a row of the dataset."""
    return build_row(generator.spec, generator.generate(seed, number), seed)


def run_tasks(
    source: SynthesisSource, task: ExampleTask[Output], numbers: Sequence[int], workers: int
) -> Generator[Output, None, None]:
    """Run the task for each number; yields outputs in the order of the numbers, whatever the number of `workers`.

    With 0 workers the task runs in this process when its output is consumed. Close the generator to stop the processes
    early; they also end when this process dies.

    Raises:
        DataError: A photo cannot be read (LC301 to LC307), or a process died (LC404).
    """
    if not workers:
        generator = source.create_generator()
        yield from (_run_task(task, generator, source.seed, number) for number in numbers)
        return
    chunks = iter([numbers[start : start + CHUNK_SIZE] for start in range(0, len(numbers), CHUNK_SIZE)])
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _initialize_worker, (source, task))
    try:
        with block_sigint():
            pending = deque(pool.submit(_run_chunk, chunk) for chunk in islice(chunks, workers * PREFETCHED_CHUNKS))
        while pending:
            yield from pending.popleft().result()
            pending.extend(pool.submit(_run_chunk, chunk) for chunk in islice(chunks, 1))
    except BrokenProcessPool as error:
        message = "a worker process was terminated; most likely the machine ran out of memory."
        raise DataError(Problem("LC404", message, advice=f"Use fewer workers. {RESUME_ADVICE}")) from error
    finally:
        pool.shutdown(cancel_futures=True)


_worker_state: tuple[ExampleTask[Any], ExampleGenerator, int]
"""Task, generator and seed of a worker process."""


def _initialize_worker(source: SynthesisSource, task: ExampleTask[Any]) -> None:
    global _worker_state
    cv2.setNumThreads(1)  # one core per process
    exit_with_parent()
    _worker_state = task, source.create_generator(), source.seed


def _run_chunk(numbers: Sequence[int]) -> list[Any]:
    task, generator, seed = _worker_state
    return [_run_task(task, generator, seed, number) for number in numbers]


def _run_task(task: ExampleTask[Output], generator: ExampleGenerator, seed: int, number: int) -> Output:
    try:
        return task(generator, seed, number)
    except PhotoError as error:
        problems = [replace(p, advice=f"{p.advice} {RESUME_ADVICE}".strip()) for p in error.problems]
        raise DataError(problems) from error
