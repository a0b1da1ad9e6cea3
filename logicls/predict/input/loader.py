"""Decoding of photos ahead of the model, in order, by other processes or by threads. Needs no torch.

A process letterboxes photos to the model's input before it sends them, with the function that is used everywhere
(`logicls.data.image_io`), so that the pixels do not depend on where a photo was decoded.

A fault of the machine stops the run; it never becomes a verdict about a product (`convert_faults`).
"""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from jaxtyping import UInt8

from logicls.data.image_io import MAX_PIXELS, StorageIssue, file_sha256, letterbox, load_photo
from logicls.errors import DataError, InferenceError, PhotoError, Problem
from logicls.io.processes import block_sigint, exit_with_parent

_MEMORY_ADVICE = "Use a smaller --batch or fewer --workers; the same command continues the run."
_ADVICE = "Check the machine and its GPU driver; the same command continues the run."


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether main memory or GPU memory is exhausted, without importing torch."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def to_inference_error(error: BaseException) -> InferenceError:
    """Convert an exception of the model or the machine into one with a code and advice (LC609)."""
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if is_out_of_memory(error):
        return InferenceError(Problem("LC609", f"out of memory: {reason.rstrip('.')}.", advice=_MEMORY_ADVICE))
    return InferenceError(Problem("LC609", f"the model failed: {reason.rstrip('.')}.", advice=_ADVICE))


@contextmanager
def convert_faults() -> Iterator[None]:
    """Raise `InferenceError` for exceptions of torch, of a GPU or of the operating system in the block.

    `torch.AcceleratorError` and `torch.OutOfMemoryError` are `RuntimeError`s. Errors with a code pass unchanged.
    """
    try:
        yield
    except (RuntimeError, MemoryError, ValueError, ArithmeticError) as error:
        raise to_inference_error(error) from error


DECODE_THREADS = 2
"""Threads that decode photos in this process where there are no other processes."""
CHUNK_SIZE = 4
"""Photos per task of a worker."""
PREFETCH_CHUNKS = 4
"""Tasks per worker that are submitted ahead: the limit keeps memory constant however slow the model is."""
MAX_CONSECUTIVE_CRASHES = 3
"""Photos in a row whose process dies before the run is stopped: then photos are not the cause."""
Size = tuple[int, int]
LoadFunction = Callable[[str], "LoadedPhoto"]
"""Loads the photo of a name. Must be picklable: a function of a module, or a `partial` of one."""


@dataclass(frozen=True, slots=True)
class LoadedPhoto:
    """A decoded photo, or the reason why it could not be decoded."""

    name: str
    pixels: UInt8[np.ndarray, "height width 3"] | None
    """RGB, letterboxed to the model's input where the loader was given its size."""
    size: Size = (0, 0)
    """(width, height) of the photo file."""
    storage_issues: tuple[StorageIssue, ...] = ()
    """Unusual properties of the file."""
    sha256: str = ""
    error: str = ""
    """Reason why there are no pixels."""
    seconds: float = 0.0
    """Time to decode the photo."""


def decode_photo(
    photos: Path, size: Size | None, name: str, data: bytes | None = None, max_pixels: int = MAX_PIXELS
) -> LoadedPhoto:
    """Decode the photo `name` below the folder; one that cannot be decoded is returned with an error.

    Args:
        photos: The folder.
        size: (height, width) to letterbox it to; None for its own size.
        name: Path relative to the folder.
        data: Content of the file, if it is in memory.
        max_pixels: Limit of its number of pixels.

    Raises:
        InferenceError: Memory is exhausted (LC609).
    """
    start, path = time.perf_counter(), photos / name
    try:
        photo = load_photo(path, max_pixels=max_pixels, data=data)
        pixels = letterbox(size, photo.pixels) if size is not None else photo.pixels
        shape = photo.pixels.shape[1], photo.pixels.shape[0]
        loaded = LoadedPhoto(name, pixels, shape, photo.storage_issues, photo.sha256)
    except PhotoError as error:
        loaded = LoadedPhoto(name, None, error="; ".join(problem.message for problem in error.problems))
        with suppress(PhotoError, OSError):
            loaded = replace(loaded, sha256=_hash(path, data))
    except MemoryError as error:
        raise to_inference_error(error) from error
    except (OSError, ValueError, cv2.error) as error:
        loaded = LoadedPhoto(name, None, error=f"cannot be read: {str(error) or type(error).__name__}")
    return replace(loaded, seconds=time.perf_counter() - start)


def _hash(path: Path, data: bytes | None) -> str:
    if data is not None:
        return hashlib.sha256(data).hexdigest()
    return file_sha256(path) if path.is_file() else ""


class PhotoLoader:
    """Decodes photos ahead of their use. A context manager: its processes end with the block.

    If the process that decodes a photo dies (a crash of the decoder, too little memory), that photo is returned with an
    error, and another process decodes the rest.
    """

    def __init__(self, load: LoadFunction, workers: int, chunk: int = CHUNK_SIZE) -> None:
        """Start the pool. `workers`: number of processes, 0 for threads; `chunk`: photos per task."""
        self._load, self._workers, self._chunk = load, workers, chunk
        self._pool = self._start_pool()
        self._has_result, self._crashes = False, 0

    def stream(self, names: Iterable[str]) -> Iterator[LoadedPhoto]:
        """Yield the photos in the order of their names, with `PREFETCH_CHUNKS` tasks per worker submitted ahead.

        Raises:
            DataError: The processes that decode photos die, whatever the photo (LC607).
        """
        rest = iter(names)
        submitted: deque[tuple[list[str], Future[list[LoadedPhoto]]]] = deque()
        while True:
            limit = (self._workers or DECODE_THREADS) * PREFETCH_CHUNKS
            while len(submitted) < limit and (chunk := list(islice(rest, self._chunk))):
                submitted.append((chunk, self._submit(chunk)))
            if not submitted:
                return
            chunk, future = submitted.popleft()
            try:
                yield from self._result(future)
            except BrokenProcessPool:
                self._restart_pool()
                yield from [self._load_alone(name) for name in chunk]
                submitted = deque((c, self._submit(c) if _is_lost(f) else f) for c, f in submitted)

    def _result(self, future: Future[list[LoadedPhoto]]) -> list[LoadedPhoto]:
        photos = future.result()
        self._has_result, self._crashes = True, 0
        return photos

    def _load_alone(self, name: str) -> LoadedPhoto:
        """Load one photo of a task during which a process died."""
        try:
            return self._result(self._submit([name]))[0]
        except BrokenProcessPool as error:
            self._restart_pool()
            self._crashes += 1
            if not self._has_result or self._crashes == MAX_CONSECUTIVE_CRASHES:
                message = "the processes that decode photos die, whatever the photo."
                advice = "Use --workers 0, or fewer workers if memory is short; finished verdicts are kept."
                raise DataError(Problem("LC607", message, advice=advice)) from error
            return LoadedPhoto(
                name, None, error="the process that decoded it died: a damaged file, or too little memory"
            )

    def _submit(self, names: list[str]) -> Future[list[LoadedPhoto]]:
        with block_sigint():
            try:
                return self._pool.submit(_load_chunk, self._load, names)
            except BrokenProcessPool as error:
                lost: Future[list[LoadedPhoto]] = Future()
                lost.set_exception(error)
                return lost

    def _start_pool(self) -> Executor:
        if not self._workers:
            return ThreadPoolExecutor(DECODE_THREADS)
        return ProcessPoolExecutor(self._workers, multiprocessing.get_context("spawn"), _initialize_worker)

    def _restart_pool(self) -> None:
        """Replace the pool; tasks of the old one are finished or lost afterwards."""
        self._pool.shutdown(cancel_futures=True)
        self._pool = self._start_pool()

    def __enter__(self) -> PhotoLoader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)


def make_loader(photos: Path, size: Size | None, workers: int) -> PhotoLoader:
    """Make a loader of the photos in a folder, letterboxed to (height, width), or in their own size for None.

    Photos in their own size may be large: they are sent one at a time.
    """
    return PhotoLoader(partial(decode_photo, photos.resolve(), size), workers, CHUNK_SIZE if size is not None else 1)


def _is_lost(future: Future[list[LoadedPhoto]]) -> bool:
    return future.cancelled() or (future.done() and future.exception() is not None)


def _initialize_worker() -> None:
    cv2.setNumThreads(1)  # the processes share the cores
    exit_with_parent()


def _load_chunk(load: LoadFunction, names: list[str]) -> list[LoadedPhoto]:
    return [load(name) for name in names]
