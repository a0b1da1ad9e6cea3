"""Photos that come one by one: taken, decoded, looked at together, answered.

What the server counts, as Prometheus reads it.

Requests that come at the same time are looked at together.

One thread has the model. While it works, photos gather; a photo that comes alone waits a few milliseconds for others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from logicls.models.bundle import Bundle
from logicls.predict.input.loader import THREADS, Loaded, Size, load
from logicls.predict.inspector import Inspector
from logicls.predict.plugin_protocols import PlugIns
from logicls.predict.readers.protocol import Reader, input_size, reader_of
from logicls.predict.self_test import open_bundle
from logicls.records import PluginInfo, Verdict
from logicls.serve.uploads import Limits

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self._all = CollectorRegistry()
        self.answers = Counter(
            "logicls_answers", "Answers to POST /predict by HTTP status.", ["status"], registry=self._all
        )
        self.verdicts = Counter("logicls_verdicts", "Verdicts by outcome.", ["outcome"], registry=self._all)
        self.seconds = Histogram(
            "logicls_answer_seconds", "From a request to its verdict.", buckets=SECONDS, registry=self._all
        )
        self.model = Histogram(
            "logicls_model_seconds", "What a batch takes the model.", buckets=SECONDS, registry=self._all
        )
        self.batch = Histogram("logicls_batch_photos", "Photos of a batch.", buckets=SIZES, registry=self._all)
        self.taken = Gauge("logicls_taken_photos", "Photos taken and not answered yet.", registry=self._all)
        self.ready = Gauge("logicls_ready", "1 once the bundle gave its probe's answers.", registry=self._all)

    def text(self) -> bytes:
        """The page that Prometheus fetches."""
        page: bytes = generate_latest(self._all)
        return page


class Counting:
    """Middleware that counts the answers to requests for one path by their status."""

    def __init__(self, app: ASGIApp, metrics: Metrics, path: str) -> None:
        self.app, self.metrics, self.path = app, metrics, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes everything on."""
        if scope["type"] != "http" or scope["path"] != self.path:
            await self.app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.answers.labels(message["status"]).inc()
            await send(message)

        try:
            await self.app(scope, receive, counted)
        except Exception:
            self.metrics.answers.labels(500).inc()  # whoever stands around this answers it
            raise


Asked = TypeVar("Asked")
Told = TypeVar("Told")


@dataclass(slots=True)
class _Waiting(Generic[Asked, Told]):
    asked: Asked
    told: asyncio.Future[Told]


@dataclass(slots=True)
class Gatherer(Generic[Asked, Told]):
    """Hands what was asked to `work` in batches, in the order in which it came, and each its own answer back."""

    work: Callable[[Sequence[Asked]], Sequence[Told]]
    """Runs in a thread of its own; gives as many answers as it is asked."""
    batch: int
    wait: float
    """Seconds."""
    _waiting: asyncio.Queue[_Waiting[Asked, Told] | None] = field(default_factory=asyncio.Queue)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "model"))

    async def ask(self, asked: Asked) -> Told:
        """The answer; raises what `work` raised for the batch that it was in."""
        told: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait(_Waiting(asked, told))
        return await told

    async def run(self) -> None:
        """Answer until `end` is called, then what is left."""
        try:
            while (first := await self._waiting.get()) is not None:
                gathered, ended = await self._gathered(first)
                await self._answer(gathered)
                if ended:
                    break
        finally:
            self._thread.shutdown()

    def end(self) -> None:
        """Nothing is asked any more; what was asked is answered."""
        self._waiting.put_nowait(None)

    async def _gathered(self, first: _Waiting[Asked, Told]) -> tuple[list[_Waiting[Asked, Told]], bool]:
        """A batch, and whether it is the last one."""
        gathered = [first]
        if self._drained(gathered):
            return gathered, True
        if len(gathered) < self.batch:
            await asyncio.sleep(self.wait)
        return gathered, self._drained(gathered)

    def _drained(self, gathered: list[_Waiting[Asked, Told]]) -> bool:
        """Add what is there until the batch is full; True where nothing follows any more."""
        while len(gathered) < self.batch and not self._waiting.empty():
            following = self._waiting.get_nowait()
            if following is None:
                return True
            gathered.append(following)
        return False

    async def _answer(self, gathered: Sequence[_Waiting[Asked, Told]]) -> None:
        wanted = [one for one in gathered if not one.told.done()]  # whoever went away waits no longer
        if not wanted:
            return
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._thread, self.work, [one.asked for one in wanted])
        except Exception as error:
            for one in wanted:
                if not one.told.done():
                    one.told.set_exception(error)
            return
        for one, answer in zip(wanted, answers, strict=True):
            if not one.told.done():
                one.told.set_result(answer)


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
    def plugged(self) -> tuple[PluginInfo, ...]:
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
