"""Photos on their way to the model: decoded by other processes or threads, a few ahead, in order. Needs no torch.

What comes over from a process is as small as the model takes it: the photo is brought to the input's size there, by the
same function as everywhere (`logicls.data.image_io`), so that its pixels are the same whoever did it.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from jaxtyping import UInt8

from logicls.data.image_io import MAX_PIXELS, StorageIssue, letterbox, load_photo, file_sha256
from logicls.errors import DataError, PhotoError, Problem
from logicls.io.processes import block_sigint, exit_with_parent

DECODE_THREADS = 2
"""Threads that decode photos in this process where no other process does."""
CHUNK_SIZE = 4
"""Photos that are sent for at a time."""
PREFETCH_CHUNKS = 4
"""Chunks a process or thread that are asked for before they are taken: memory stays flat however slow the model is."""
MAX_CONSECUTIVE_CRASHES = 3
"""Photos in a row that end the process which decodes them, after which photos are not what is wrong."""
Size = tuple[int, int]
LoadFunction = Callable[[str], "LoadedPhoto"]
"""Reads the photo of a name. Travels to processes: a function of a module, or a `partial` of one."""


@dataclass(frozen=True, slots=True)
class LoadedPhoto:
    """A photo in memory, or why it is not."""

    name: str
    pixels: UInt8[np.ndarray, "height width 3"] | None
    """RGB, in the input's size where there is one."""
    size: Size = (0, 0)
    """(width, height) of the photo itself."""
    storage_issues: tuple[StorageIssue, ...] = ()
    """What is unusual about how it is stored."""
    sha256: str = ""
    error: str = ""
    seconds: float = 0.0
    """Time that it took."""


def decode_photo(
    photos: Path, size: Size | None, name: str, data: bytes | None = None, max_pixels: int = MAX_PIXELS
) -> LoadedPhoto:
    """The photo `name` below the folder, in that size (height, width), or in its own; never an error.

    `data` are the bytes of its file where they are in memory.
    """
    began, path = time.perf_counter(), photos / name
    try:
        photo = load_photo(path, max_pixels=max_pixels, data=data)
        pixels = letterbox(size, photo.pixels) if size is not None else photo.pixels
        shape = photo.pixels.shape[1], photo.pixels.shape[0]
        loaded = LoadedPhoto(name, pixels, shape, photo.storage_issues, photo.sha256)
    except PhotoError as error:
        loaded = LoadedPhoto(name, None, error="; ".join(problem.message for problem in error.problems))
        with suppress(PhotoError, OSError):
            loaded = replace(loaded, sha256=_sha256(path, data))
    except (OSError, ValueError, MemoryError, cv2.error) as error:
        loaded = LoadedPhoto(name, None, error=f"cannot be read: {str(error) or type(error).__name__}")
    return replace(loaded, seconds=time.perf_counter() - began)


def _sha256(path: Path, data: bytes | None) -> str:
    if data is not None:
        return hashlib.sha256(data).hexdigest()
    return file_sha256(path) if path.is_file() else ""


class PhotoLoader:
    """Loads photos ahead of whoever takes them. Use it in a `with` block, which no process outlives.

    A photo that ends the process which decodes it (a decoder's crash, memory) is a trouble of that photo; another
    process loads the rest.
    """

    def __init__(self, load: LoadFunction, workers: int, chunk: int = CHUNK_SIZE) -> None:
        """So many `workers` are processes; without any, threads of this process do it."""
        self._load, self._workers, self._chunk = load, workers, chunk
        self._pool = self._begun()
        self._answered, self._ended = False, 0

    def stream(self, names: Iterable[str]) -> Iterator[LoadedPhoto]:
        """The photos in the order of their names, as many asked for ahead as `AHEAD` says.

        Raises:
            DataError: Processes that decode photos die whatever they are given (LC607).
        """
        rest = iter(names)
        waiting: deque[tuple[list[str], Future[list[LoadedPhoto]]]] = deque()
        while True:
            while len(waiting) < (self._workers or DECODE_THREADS) * PREFETCH_CHUNKS and (
                chunk := list(islice(rest, self._chunk))
            ):
                waiting.append((chunk, self._send(chunk)))
            if not waiting:
                return
            chunk, coming = waiting.popleft()
            try:
                yield from self._answers(coming)
            except BrokenProcessPool:
                self._renew()
                yield from [self._by_itself(name) for name in chunk]
                waiting = deque((c, self._send(c) if _is_lost(f) else f) for c, f in waiting)

    def _answers(self, coming: Future[list[LoadedPhoto]]) -> list[LoadedPhoto]:
        found = coming.result()
        self._answered, self._ended = True, 0
        return found

    def _by_itself(self, name: str) -> LoadedPhoto:
        """A photo that may be the one that ended a process."""
        try:
            return self._answers(self._send([name]))[0]
        except BrokenProcessPool as error:
            self._renew()
            self._ended += 1
            if not self._answered or self._ended == MAX_CONSECUTIVE_CRASHES:
                message = "processes that decode photos die, whatever they are given."
                advice = "Use --workers 0, or fewer of them if memory is short; what is finished stays."
                raise DataError(Problem("LC607", message, advice=advice)) from error
            return LoadedPhoto(
                name, None, error="the process that decoded it died: a damaged file, or too little memory"
            )

    def _send(self, names: list[str]) -> Future[list[LoadedPhoto]]:
        with block_sigint():
            try:
                return self._pool.submit(_work, self._load, names)
            except BrokenProcessPool as error:
                lost: Future[list[LoadedPhoto]] = Future()
                lost.set_exception(error)
                return lost

    def _begun(self) -> Executor:
        if not self._workers:
            return ThreadPoolExecutor(DECODE_THREADS)
        return ProcessPoolExecutor(self._workers, multiprocessing.get_context("spawn"), _begin)

    def _renew(self) -> None:
        """Another pool; what the old one was sent for is there then, or lost."""
        self._pool.shutdown(cancel_futures=True)
        self._pool = self._begun()

    def __enter__(self) -> PhotoLoader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)


def make_loader(photos: Path, size: Size | None, workers: int) -> PhotoLoader:
    """What loads the photos of a folder, in that size (height, width), or in their own, of which few fit in memory."""
    return PhotoLoader(partial(decode_photo, photos.resolve(), size), workers, CHUNK_SIZE if size is not None else 1)


def _is_lost(future: Future[list[LoadedPhoto]]) -> bool:
    return future.cancelled() or (future.done() and future.exception() is not None)


def _begin() -> None:
    cv2.setNumThreads(1)  # processes share the cores among themselves
    exit_with_parent()


def _work(load: LoadFunction, names: list[str]) -> list[LoadedPhoto]:
    return [load(name) for name in names]
