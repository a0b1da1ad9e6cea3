"""Photos that come into a folder while one looks: each is handed out once, when whoever writes it is done.

Nothing says of a file that it is complete. One whose size and time of change stay the same for `SETTLED` seconds is
taken to be; where it cannot be read then, that may have been a pause of its writer, and it is given `PATIENCE` seconds.
A file that is renamed into the folder is complete at once, and waits no longer than others.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from logicls.predict.photos.listing import printable

SETTLED = 1.0
"""Seconds that a photo must not change before it is looked at."""
PATIENCE = 20.0
"""Seconds that a photo which cannot be read must not change before it is called broken."""
MOST = 4096
"""Photos that are waited for at a time; more are met in the next round."""
Stamp = tuple[int, int]


@dataclass(slots=True)
class _Waiting:
    stamp: Stamp
    """Size in bytes, time of change in nanoseconds."""
    since: float
    """When it was first seen like that."""
    wait: float


class Arrivals:
    """Which photos of a folder are new and complete."""

    def __init__(self, photos: Path, known: set[str], settled: float = SETTLED, patience: float = PATIENCE) -> None:
        """`known` are photos that are no news, by their `printable` names; those that are finished join them."""
        self._photos, self._known = photos, known
        self._settled, self._patience = settled, patience
        self._waiting: dict[str, _Waiting] = {}

    @property
    def waiting(self) -> int:
        """Photos that were seen and are not handed out yet."""
        return len(self._waiting)

    def complete(self, names: Iterable[str], now: float) -> list[str]:
        """Of the photos that are there, the new ones that are complete, in their order; `now` in seconds.

        Each is handed out again by every call until it is `finished`.
        """
        before, self._waiting = self._waiting, {}
        due = []
        for name in names:
            stamp = _stamp(self._photos / name) if printable(name) not in self._known else None
            if stamp is None:
                continue
            seen = before.get(name)
            self._waiting[name] = seen if seen and seen.stamp == stamp else _Waiting(stamp, now, self._settled)
            if now - self._waiting[name].since >= self._waiting[name].wait:
                due.append(name)
            if len(self._waiting) == MOST:
                break
        return due

    def finished(self, name: str) -> None:
        """It is no news any more."""
        self._known.add(printable(name))
        self._waiting.pop(name, None)

    def is_broken(self, name: str) -> bool:
        """Of one that could not be read, whether that is final; if not, it is handed out again after `PATIENCE`."""
        seen = self._waiting[name]
        final, seen.wait = seen.wait == self._patience, self._patience
        return final


def _stamp(path: Path) -> Stamp | None:
    """None for a photo that is gone again, as a name that was only for the time of writing is."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
