"""Inference service: decode single photos, collect them into batches, predict, and count metrics.

One thread runs the model. Photos that arrive while it is busy form the next batch; a photo that arrives at an idle
model waits a few milliseconds for others.
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
from logicls.predict.input.loader import DECODE_THREADS, LoadedPhoto, Size, decode_photo
from logicls.predict.inspector import BatchInspector
from logicls.predict.plugin_protocols import Plugins
from logicls.predict.readers import make_reader
from logicls.predict.readers.protocol import Reader
from logicls.predict.self_test import open_bundle
from logicls.records import PluginInfo, Verdict
from logicls.serve.uploads import Limits

LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH_SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Prometheus metrics of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.answers = Counter(
            "logicls_answers", "Responses to POST /predict by HTTP status.", ["status"], registry=self._registry
        )
        self.verdicts = Counter("logicls_verdicts", "Verdicts by outcome.", ["outcome"], registry=self._registry)
        self.seconds = Histogram(
            "logicls_answer_seconds",
            "Time from receiving a request to its verdict.",
            buckets=LATENCY_BUCKETS,
            registry=self._registry,
        )
        self.model = Histogram(
            "logicls_model_seconds", "Inference time of a batch.", buckets=LATENCY_BUCKETS, registry=self._registry
        )
        self.batch = Histogram(
            "logicls_batch_photos", "Photos per batch.", buckets=BATCH_SIZE_BUCKETS, registry=self._registry
        )
        self.pending = Gauge("logicls_taken_photos", "Accepted photos without a response.", registry=self._registry)
        self.ready = Gauge("logicls_ready", "1 once the bundle has passed its self-test.", registry=self._registry)

    def text(self) -> bytes:
        """Return the metrics in the Prometheus text format."""
        page: bytes = generate_latest(self._registry)
        return page


class StatusCountMiddleware:
    """ASGI middleware that counts the responses of one path by HTTP status."""

    def __init__(self, app: ASGIApp, metrics: Metrics, path: str) -> None:
        self.app, self.metrics, self.path = app, metrics, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request and count its status."""
        if scope["type"] != "http" or scope["path"] != self.path:
            await self.app(scope, receive, send)
            return

        async def count_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.answers.labels(message["status"]).inc()
            await send(message)

        try:
            await self.app(scope, receive, count_status)
        except Exception:
            self.metrics.answers.labels(500).inc()  # the server sends this response
            raise


ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(slots=True)
class PendingItem(Generic[ItemT, ResultT]):
    """An item in the queue, and the future that its result is set on."""

    item: ItemT
    result: asyncio.Future[ResultT]


@dataclass(slots=True)
class MicroBatcher(Generic[ItemT, ResultT]):
    """Collects submitted items into batches, in order, and returns to each caller the result of its item."""

    process: Callable[[Sequence[ItemT]], Sequence[ResultT]]
    """Function from items to results, in the same order; runs in a separate thread."""
    batch: int
    """Largest number of items per batch."""
    wait: float
    """Time that the first item of a batch waits for others, seconds."""
    _queue: asyncio.Queue[PendingItem[ItemT, ResultT] | None] = field(default_factory=asyncio.Queue)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "model"))

    async def submit(self, item: ItemT) -> ResultT:
        """Return the result of an item; raise the exception that `process` raised for its batch."""
        result: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(PendingItem(item, result))
        return await result

    async def run(self) -> None:
        """Process batches until `close` is called and the queue is empty."""
        try:
            while (first := await self._queue.get()) is not None:
                batch, is_last = await self._collect_batch(first)
                await self._process_batch(batch)
                if is_last:
                    break
        finally:
            self._thread.shutdown()

    def close(self) -> None:
        """Accept no more items; `run` returns after the items in the queue."""
        self._queue.put_nowait(None)

    async def _collect_batch(
        self, first: PendingItem[ItemT, ResultT]
    ) -> tuple[list[PendingItem[ItemT, ResultT]], bool]:
        """Return the next batch, and whether it is the last one."""
        batch = [first]
        if self._drain_queue(batch):
            return batch, True
        if len(batch) < self.batch:
            await asyncio.sleep(self.wait)
        return batch, self._drain_queue(batch)

    def _drain_queue(self, batch: list[PendingItem[ItemT, ResultT]]) -> bool:
        """Move items from the queue to the batch until it is full; return whether the queue is closed."""
        while len(batch) < self.batch and not self._queue.empty():
            following = self._queue.get_nowait()
            if following is None:
                return True
            batch.append(following)
        return False

    async def _process_batch(self, batch: Sequence[PendingItem[ItemT, ResultT]]) -> None:
        pending = [one for one in batch if not one.result.done()]  # skip items whose caller was cancelled
        if not pending:
            return
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._thread, self.process, [one.item for one in pending])
        except Exception as error:
            for one in pending:
                if not one.result.done():
                    one.result.set_exception(error)
            return
        for one, answer in zip(pending, answers, strict=True):
            if not one.result.done():
                one.result.set_result(answer)


PluginFactory = Callable[[Bundle], Plugins]
"""Creates the plug-ins for a bundle."""


def no_plugins(bundle: Bundle) -> Plugins:
    """Return no plug-ins."""
    return Plugins()


class InferenceService:
    """Predicts photos with a bundle, once the bundle has passed its self-test."""

    def __init__(
        self, path: Path, limits: Limits, metrics: Metrics, plugin_factory: PluginFactory = no_plugins
    ) -> None:
        self.path, self.limits, self.metrics = path, limits, metrics
        self._plugin_factory, self._plugins = plugin_factory, Plugins()
        self._pending_count = 0
        self._reader: Reader | None = None
        self._inspector: BatchInspector | None = None
        self._input_size: Size | None = None
        self._batcher = MicroBatcher[LoadedPhoto, Verdict](self._predict_batch, limits.batch, limits.wait)
        self._decoders = ThreadPoolExecutor(DECODE_THREADS, "decode")
        self._decode_slots = asyncio.Semaphore(
            2 * limits.batch
        )  # decoded photos: a batch at the model and the next one
        self._batcher_task: asyncio.Task[None] | None = None

    @property
    def bundle(self) -> Bundle | None:
        """Opened bundle; None before `open` has finished."""
        return None if self._reader is None else self._reader.bundle

    @property
    def plugins(self) -> tuple[PluginInfo, ...]:
        """Active plug-ins, once the bundle is open."""
        return self._plugins.manifest.plugins

    @property
    def is_full(self) -> bool:
        """Whether the queue accepts no more photos at the moment."""
        return self._pending_count >= self.limits.queue

    @contextmanager
    def reserve_slot(self) -> Iterator[None]:
        """Reserve a place in the queue, from before the photo is received until its response is ready."""
        self._pending_count += 1
        self.metrics.pending.set(self._pending_count)
        try:
            yield
        finally:
            self._pending_count -= 1
            self.metrics.pending.set(self._pending_count)

    async def open(self) -> None:
        """Load the bundle, run its self-test, create the plug-ins, and start processing photos.

        Raises:
            LogiClsError: The bundle or a plug-in cannot be used.
        """
        bundle = await asyncio.to_thread(open_bundle, self.path)
        self._plugins = await asyncio.to_thread(self._plugin_factory, bundle)
        reader = make_reader(bundle, self._plugins.retriever)
        self._inspector = BatchInspector(reader, Path(), 0, self._plugins)
        self._input_size = self._inspector.input_size
        self._reader = reader
        self._batcher_task = asyncio.create_task(self._batcher.run())
        self.metrics.ready.set(1)

    async def close(self) -> None:
        """Process the accepted photos and stop."""
        self._batcher.close()
        if self._batcher_task is not None:
            await self._batcher_task
        self._decoders.shutdown()

    async def predict(self, name: str, data: bytes) -> Verdict:
        """Return the verdict on a photo given as the bytes of its file, as for the same photo in a folder."""
        async with self._decode_slots:
            loop = asyncio.get_running_loop()
            loaded = await loop.run_in_executor(self._decoders, self._load, name, data)
            return await self._batcher.submit(loaded)

    def _load(self, name: str, data: bytes) -> LoadedPhoto:
        return decode_photo(Path(), self._input_size, name, data, self.limits.max_pixels)

    def _predict_batch(self, loaded: Sequence[LoadedPhoto]) -> Sequence[Verdict]:
        if self._inspector is None:
            raise RuntimeError("the bundle is not open")
        start = time.monotonic()
        verdicts = self._inspector.inspect(loaded)
        self.metrics.model.observe(time.monotonic() - start)
        self.metrics.batch.observe(len(verdicts))
        return verdicts
