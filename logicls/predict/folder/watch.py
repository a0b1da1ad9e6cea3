"""A folder that a camera writes into: each photo gets its verdict soon after it is complete.

The folder is listed again and again. Notices of the system (inotify and its like) would not do: they say nothing of
what another machine writes to a shared disk, where lines put their photos, and nothing of when a file is complete.
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
from logicls.predict.readers.factory import make_reader
from logicls.records import Verdict

POLL_SECONDS = 0.5
"""Seconds between two looks at the folder, at least."""
PAUSE_FACTOR = 10
"""A look that takes long is followed by a pause so many times as long."""
REFRESH_SECONDS = 30.0
"""Seconds after which what is shown is made anew, at least; where that takes long, `SHARE` times as long."""
UNREACHABLE_SECONDS = 60.0
"""Seconds for which a folder may be out of reach, as one on the network is at times."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How long to watch, and what of."""

    seconds: float | None = None
    """Ends after so many; None for never."""
    idle: float | None = None
    """Ends when nothing has come for so many; None for never."""
    only: tuple[str, ...] = ()
    """Globs relative to the folder; a photo must match one of them."""
    batch: int = 16
    workers: int = 0
    settle_seconds: float = SETTLE_SECONDS
    """Seconds that a photo must not change before it is looked at."""
    retry_seconds: float = RETRY_SECONDS
    """The same for one that cannot be read, before it is called broken."""


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
    """Write a verdict for every photo that is in `photos` or comes into it; returns how many it wrote.

    Ends as `watch` says, or by KeyboardInterrupt, which is the way to end it and no error. `told` gets each verdict,
    `shown` is called where a report is to be made anew: now and then, and at the end, each time after `verdicts.csv`.

    Raises:
        DataError: As `predict_folder` does, but a folder without photos is no error; one that cannot be listed is, if
            that lasts for `LOST` seconds.
    """
    list_photos(photos)
    reader = make_reader(bundle, plugins.retriever)
    inspected = BatchInspector(reader, photos, options.workers, plugins)
    with open_verdict_writer(bundle, photos, out, plugins.manifest) as file, inspected as inspector:
        arrivals = ArrivalTracker(photos, read_predicted_names(out), options.settle_seconds, options.retry_seconds)
        watcher = _Watcher(inspector, file, arrivals, options, on_verdict)

        def refresh() -> None:
            write_folder_csv(bundle, out)
            on_refresh()

        with suppress(KeyboardInterrupt):
            watcher.run(lambda: list_photos(photos, patterns=options.only, exclude=out), refresh)
        refresh()
        return watcher.count


class _Watcher:
    """Looks at a folder in rounds, and keeps the time."""

    def __init__(
        self,
        inspector: BatchInspector,
        file: VerdictWriter,
        arrivals: ArrivalTracker,
        watch: WatchOptions,
        told: Callable[[Verdict], None],
    ) -> None:
        self._inspector, self._file, self._arrivals = inspector, file, arrivals
        self._watch, self._told = watch, told
        self._began = self._news = self._listed = time.monotonic()
        self.count = 0

    def run(self, listed: Callable[[], Iterator[str]], refresh: Callable[[], None]) -> None:
        """Rounds until time is up; `refresh` is called after those that brought something, not too often."""
        refreshed, pause, shown = self._began, REFRESH_SECONDS, 0
        while not self._is_over():
            began = time.monotonic()
            due = self._find_complete(listed)
            took = time.monotonic() - began
            self._inspect(due)
            if self.count > shown and time.monotonic() - refreshed > pause:
                began = time.monotonic()
                refresh()
                refreshed, shown = time.monotonic(), self.count
                pause = max(REFRESH_SECONDS, PAUSE_FACTOR * (refreshed - began))
            time.sleep(max(min(max(POLL_SECONDS, PAUSE_FACTOR * took), self._left()), 0.0))

    def _find_complete(self, listed: Callable[[], Iterator[str]]) -> list[str]:
        """The photos that are new and complete."""
        now = time.monotonic()
        try:
            due = self._arrivals.find_complete(listed(), now)
        except DataError:
            if now - self._listed > UNREACHABLE_SECONDS:
                raise
            return []
        self._listed = now
        if self._arrivals.pending_count:
            self._news = now
        return due

    def _inspect(self, names: Sequence[str]) -> None:
        photos = (photo for photo in self._inspector.load(names) if self._is_ready(photo))
        for loaded in iterate_batches(photos, self._watch.batch):
            verdicts = self._inspector.inspect(loaded)
            self._file.add(verdicts)
            for photo, verdict in zip(loaded, verdicts, strict=True):
                self._arrivals.mark_processed(photo.name)
                self._told(verdict)
            self.count += len(loaded)
            if self._is_over():
                break

    def _is_ready(self, photo: LoadedPhoto) -> bool:
        """False for one that may not be written to its end yet."""
        return photo.pixels is not None or self._arrivals.is_final_failure(photo.name)

    def _is_over(self) -> bool:
        return self._left() <= 0

    def _left(self) -> float:
        """Seconds until it is time to end."""
        now, watch = time.monotonic(), self._watch
        ends = ((self._began, watch.seconds), (self._news, watch.idle))
        return min((start + length - now for start, length in ends if length is not None), default=math.inf)
