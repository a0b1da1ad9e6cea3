"""Photos that come one by one: taken, decoded, looked at together, answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from logicls.models.bundle import Bundle
from logicls.plugins import PlugIns
from logicls.predict.inspector import Inspector
from logicls.predict.photos.loading import THREADS, Loaded, Size, load
from logicls.predict.probe import open_bundle
from logicls.predict.read.reader import Reader, input_size, reader_of
from logicls.records import Plug, Verdict
from logicls.serve.gather import Gatherer
from logicls.serve.limits import Limits
from logicls.serve.metrics import Metrics

Make = Callable[[Bundle], PlugIns]
"""Makes what is plugged into the predictor."""


def bare(bundle: Bundle) -> PlugIns:
    """Nothing."""
    return PlugIns()


class Desk:
    """Has a bundle from when its probe gave the answers that it gave when it was made."""

    def __init__(self, path: Path, limits: Limits, metrics: Metrics, make: Make = bare) -> None:
        self.path, self.limits, self.metrics = path, limits, metrics
        self._make, self._plugins = make, PlugIns()
        self._taken = 0
        self._reader: Reader | None = None
        self._inspector: Inspector | None = None
        self._size: Size | None = None
        self._gatherer = Gatherer[Loaded, Verdict](self._look, limits.batch, limits.wait)
        self._decoders = ThreadPoolExecutor(THREADS, "decode")
        self._room = asyncio.Semaphore(2 * limits.batch)  # decoded ones: a batch at the model, a batch to follow
        self._running: asyncio.Task[None] | None = None

    @property
    def bundle(self) -> Bundle | None:
        """What answers; None as long as nothing does."""
        return None if self._reader is None else self._reader.bundle

    @property
    def plugged(self) -> tuple[Plug, ...]:
        """What is plugged in, once the bundle is opened."""
        return self._plugins.plugged.plugs

    @property
    def full(self) -> bool:
        """True where no more photos are taken for now."""
        return self._taken >= self.limits.queue

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue, from before a photo arrives until it is answered."""
        self._taken += 1
        self.metrics.taken.set(self._taken)
        try:
            yield
        finally:
            self._taken -= 1
            self.metrics.taken.set(self._taken)

    async def open(self) -> None:
        """Load the bundle and replay its probe, make what is plugged in, then begin to answer.

        Raises:
            LogiClsError: The bundle or a plug-in cannot be used.
        """
        opened = await asyncio.to_thread(open_bundle, self.path)
        self._plugins = await asyncio.to_thread(self._make, opened)
        reader = reader_of(opened, self._plugins.retriever)
        self._size = None if self._plugins else input_size(reader)  # plug-ins are shown photos as they are
        self._inspector = Inspector(reader, Path(), 0, self._plugins)
        self._reader = reader
        self._running = asyncio.create_task(self._gatherer.run())
        self.metrics.ready.set(1)

    async def close(self) -> None:
        """Answer what was taken."""
        self._gatherer.end()
        if self._running is not None:
            await self._running
        self._decoders.shutdown()

    async def judge(self, name: str, data: bytes) -> Verdict:
        """The verdict on a photo that is given as the bytes of its file. Like that of the same photo in a folder."""
        async with self._room:
            loop = asyncio.get_running_loop()
            loaded = await loop.run_in_executor(self._decoders, self._load, name, data)
            return await self._gatherer.ask(loaded)

    def _load(self, name: str, data: bytes) -> Loaded:
        return load(Path(), self._size, name, data, self.limits.pixels)

    def _look(self, loaded: Sequence[Loaded]) -> Sequence[Verdict]:
        if self._inspector is None:
            raise RuntimeError("asked before the bundle was opened")
        began = time.monotonic()
        verdicts = self._inspector.judge(loaded)
        self.metrics.model.observe(time.monotonic() - began)
        self.metrics.batch.observe(len(verdicts))
        return verdicts
