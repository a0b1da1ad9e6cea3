"""Watching of a folder that a camera writes to: each photo has its verdict soon after it is complete.

The folder is polled. File system events (inotify and similar) do not report what another machine writes to a network
share, where production lines store their photos, nor when a file is complete.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from logicls.errors import DataError
from logicls.models.bundle import Bundle
from logicls.predict.folder.runner import (
    VerdictWriter,
    iterate_batches,
    open_verdict_writer,
    read_predicted_names,
    write_folder_csv,
)
from logicls.predict.input.listing import RETRY_SECONDS, SETTLE_SECONDS, ArrivalTracker, list_photos
from logicls.predict.input.loader import LoadedPhoto
from logicls.predict.inspector import BatchInspector
from logicls.predict.plugin_protocols import Plugins
from logicls.predict.readers import make_reader
from logicls.records import Verdict

POLL_SECONDS = 0.5
"""Seconds between two listings of the folder, at least."""
PAUSE_FACTOR = 10
"""Length of the pause after a listing, or a refresh, relative to its duration."""
REFRESH_SECONDS = 30.0
"""Seconds between two refreshes of table and report, at least; longer by `PAUSE_FACTOR` if a refresh is slow."""
UNREACHABLE_SECONDS = 60.0
"""Seconds for which a folder may be unreachable, as network shares are at times."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """Duration of the watch, and which photos it inspects."""

    seconds: float | None = None
    """Duration; None for no limit."""
    idle: float | None = None
    """Seconds without a new photo after which the watch ends; None for no limit."""
    only: tuple[str, ...] = ()
    """Globs relative to the folder; a photo must match one of them, if there are any."""
    batch: int = 16
    """Number of photos that are predicted together."""
    workers: int = 0
    """Number of processes that decode photos."""
    settle_seconds: float = SETTLE_SECONDS
    """Seconds that a photo must not change before it is inspected."""
    retry_seconds: float = RETRY_SECONDS
    """Seconds that an unreadable photo must not change before it counts as damaged."""


def watch_folder(
    bundle: Bundle,
    photos: Path,
    out: Path,
    options: WatchOptions,
    *,
    plugins: Plugins = Plugins(),  # noqa: B008  frozen
    on_verdict: Callable[[Verdict], None] = lambda verdict: None,
    on_refresh: Callable[[], None] = lambda: None,
) -> int:
    """Write a verdict for every present and future photo in `photos`, and return the number of verdicts.

    The watch ends by its options or by KeyboardInterrupt, which is not raised. `on_verdict` is called with each
    verdict, `on_refresh` from time to time and at the end, after `verdicts.csv` was written.

    Raises:
        DataError: As `predict_folder`, but a folder without photos is no error; a folder that cannot be listed for
            `UNREACHABLE_SECONDS` is one.
    """
    list_photos(photos)
    reader = make_reader(bundle, plugins.retriever)
    inspecting = BatchInspector(reader, photos, options.workers, plugins)
    with open_verdict_writer(bundle, photos, out, plugins.manifest) as writer, inspecting as inspector:
        arrivals = ArrivalTracker(photos, read_predicted_names(out), options.settle_seconds, options.retry_seconds)
        watcher = _Watcher(inspector, writer, arrivals, options, on_verdict)

        def refresh() -> None:
            write_folder_csv(bundle, out)
            on_refresh()

        with suppress(KeyboardInterrupt):
            watcher.run(lambda: list_photos(photos, patterns=options.only, exclude=out), refresh)
        refresh()
        return watcher.count


class _Watcher:
    """Polling loop of a watch."""

    def __init__(
        self,
        inspector: BatchInspector,
        writer: VerdictWriter,
        arrivals: ArrivalTracker,
        options: WatchOptions,
        on_verdict: Callable[[Verdict], None],
    ) -> None:
        self._inspector, self._writer, self._arrivals = inspector, writer, arrivals
        self._options, self._on_verdict = options, on_verdict
        self._started_at = self._last_arrival = self._last_listing = time.monotonic()
        self.count = 0

    def run(self, list_names: Callable[[], Iterator[str]], refresh: Callable[[], None]) -> None:
        """Poll until the watch ends; `refresh` is called after new verdicts, at limited intervals."""
        last_refresh, interval, refreshed_count = self._started_at, REFRESH_SECONDS, 0
        while not self._is_over():
            start = time.monotonic()
            names = self._find_complete(list_names)
            duration = time.monotonic() - start
            self._inspect(names)
            if self.count > refreshed_count and time.monotonic() - last_refresh > interval:
                start = time.monotonic()
                refresh()
                last_refresh, refreshed_count = time.monotonic(), self.count
                interval = max(REFRESH_SECONDS, PAUSE_FACTOR * (last_refresh - start))
            time.sleep(max(min(max(POLL_SECONDS, PAUSE_FACTOR * duration), self._remaining_seconds()), 0.0))

    def _find_complete(self, list_names: Callable[[], Iterator[str]]) -> list[str]:
        """Return the names of the new and complete photos."""
        now = time.monotonic()
        try:
            names = self._arrivals.find_complete(list_names(), now)
        except DataError:
            if now - self._last_listing > UNREACHABLE_SECONDS:
                raise
            return []
        self._last_listing = now
        if self._arrivals.pending_count:
            self._last_arrival = now
        return names

    def _inspect(self, names: Sequence[str]) -> None:
        photos = (photo for photo in self._inspector.load(names) if self._is_ready(photo))
        for loaded in iterate_batches(photos, self._options.batch):
            verdicts = self._inspector.inspect(loaded)
            self._writer.add(verdicts)
            for photo, verdict in zip(loaded, verdicts, strict=True):
                self._arrivals.mark_processed(photo.name)
                self._on_verdict(verdict)
            self.count += len(loaded)
            if self._is_over():
                break

    def _is_ready(self, photo: LoadedPhoto) -> bool:
        """Return False for a photo whose file may still be incomplete."""
        return photo.pixels is not None or self._arrivals.is_final_failure(photo.name)

    def _is_over(self) -> bool:
        return self._remaining_seconds() <= 0

    def _remaining_seconds(self) -> float:
        now, options = time.monotonic(), self._options
        ends = ((self._started_at, options.seconds), (self._last_arrival, options.idle))
        return min((start + length - now for start, length in ends if length is not None), default=math.inf)
