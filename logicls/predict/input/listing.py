"""The photos below a folder, one name at a time: sorted, each once, however folders are linked to one another.

Photos that come into a folder while one looks: each is handed out once, when whoever writes it is done.

Nothing says of a file that it is complete. One whose size and time of change stay the same for `SETTLED` seconds is
taken to be; where it cannot be read then, that may have been a pause of its writer, and it is given `PATIENCE` seconds.
A file that is renamed into the folder is complete at once, and waits no longer than others.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO

from logicls.errors import DataError, Problem, relative_path

PHOTO_SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jfif", ".png", ".apng", ".bmp", ".tif", ".tiff", ".webp", ".gif",
        ".heic", ".heif", ".avif", ".jp2",
    }
)  # fmt: skip
"""How photos' names end. Some of them cannot be read: they are listed all the same, so that nobody takes them for
inspected."""


def list_photos(root: Path, *, patterns: Sequence[str] = (), exclude: Path | None = None) -> Iterator[str]:
    """The paths of the photos below `root`, relative to it, with "/", by suffix, in the order of their parts.

    Hidden files and folders are left out, and so is the folder `without`. Links to photos are photos. A linked folder
    outside of `root` is entered once; one inside is found by its own name. No photo is opened, and no more names are
    in memory than those of the folders on the way to the present one.

    Args:
        root: The folder.
        only: Globs that a path must match one of: `*`, `?` and `[...]` within a name, `**` for any folders. All if
            empty.
        without: What the run itself writes.

    Raises:
        DataError: There is no such folder (LC311).
    """
    if not root.is_dir():
        raise DataError(Problem("LC311", f'"{root.name}" is not a folder.', relative_path(root)))
    return _FolderWalk(root, patterns, exclude).below("")


def no_photos_error(root: Path, patterns: Sequence[str] = ()) -> DataError:
    """What is wrong where none were listed (LC312, LC603)."""
    if patterns:
        asked = ", ".join(f'"{glob}"' for glob in patterns)
        advice = "Write globs relative to the folder, with **/ for any folders: --only '**/*.png'."
        message = f'no photo in "{root.name}" matches {asked}.'
        return DataError(Problem("LC603", message, relative_path(root), advice=advice))
    advice = f"Known suffixes: {' '.join(sorted(PHOTO_SUFFIXES))}."
    return DataError(Problem("LC312", f'there is no photo in "{root.name}".', relative_path(root), advice=advice))


class NameSpool:
    """Names on disk, to be counted before they are gone through: a million of them take no memory."""

    def __init__(self, file: IO[str], names: Iterable[str]) -> None:
        self._file = file
        self.count = 0
        for name in names:
            file.write(f"{name}\0")
            self.count += 1

    def __iter__(self) -> Iterator[str]:
        """The names, in the order given; one pass at a time."""
        self._file.seek(0)
        rest = ""
        while block := self._file.read(1 << 16):
            *names, rest = (rest + block).split("\0")
            yield from names


@contextmanager
def spool_names(names: Iterable[str]) -> Iterator[NameSpool]:
    """The names in a file that has none itself, and is gone with the block."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape", newline="") as file:
        yield NameSpool(file, names)


class _FolderWalk:
    def __init__(self, root: Path, only: Sequence[str], without: Path | None) -> None:
        self.root, self.real = str(root), _real(root)
        self.only = [tuple(glob.strip("/").split("/")) for glob in only]
        self.entered = {self.real} | ({_real(without)} if without is not None else set())

    def below(self, folder: str) -> Iterator[str]:
        """The photos below a folder, given by its path relative to the root, with "/" at its end."""
        try:
            with os.scandir(os.path.join(self.root, folder)) as entries:
                found = sorted((e.name, _is_folder(e), e.is_symlink()) for e in entries if not e.name.startswith("."))
        except OSError as error:
            where = Path(self.root, folder)
            raise DataError(Problem("LC604", f"cannot be listed: {error.strerror}.", relative_path(where))) from error
        for name, is_folder, is_link in found:
            path = f"{folder}{name}"
            if is_folder:
                if self._leads_on(path, is_link=is_link):
                    yield from self.below(f"{path}/")
            elif os.path.splitext(name)[1].lower() in PHOTO_SUFFIXES and self._wanted(path):
                yield path

    def _wanted(self, path: str) -> bool:
        return not self.only or any(_matches(path.split("/"), glob) for glob in self.only)

    def _leads_on(self, path: str, *, is_link: bool) -> bool:
        """True where a folder is to be entered."""
        if self.only and not any(_may_lead_to(path.split("/"), glob) for glob in self.only):
            return False
        real = _real(os.path.join(self.root, path))
        if is_link and (self._has_own_name(real) or f"{self.real}/".startswith(f"{real.rstrip('/')}/")):
            return False
        known = real in self.entered
        self.entered.add(real)
        return not known

    def _has_own_name(self, real: str) -> bool:
        """True for a folder below the root that is reached without links; a hidden one is not."""
        inside = real.removeprefix(f"{self.real}/")
        return inside != real and not any(part.startswith(".") for part in inside.split("/"))


def _real(path: str | Path) -> str:
    """Where it leads, with "/"."""
    return os.path.realpath(path).replace(os.sep, "/")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """False for a link that leads nowhere, or to itself."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _matches(parts: Sequence[str], glob: Sequence[str]) -> bool:
    if not glob:
        return not parts
    if glob[0] == "**":
        return any(_matches(parts[k:], glob[1:]) for k in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], glob[0]) and _matches(parts[1:], glob[1:])


def _may_lead_to(folder: Sequence[str], glob: Sequence[str]) -> bool:
    """True where something below the folder can match."""
    for part, wanted in zip(folder, glob, strict=False):
        if wanted == "**":
            return True
        if not fnmatchcase(part, wanted):
            return False
    return len(folder) < len(glob)


def escape_name(name: str) -> str:
    """The name as records have it: bytes of it that are no UTF-8 are escaped, every other name is left as it is."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


SETTLE_SECONDS = 1.0
"""Seconds that a photo must not change before it is looked at."""
RETRY_SECONDS = 20.0
"""Seconds that a photo which cannot be read must not change before it is called broken."""
MAX_PENDING = 4096
"""Photos that are waited for at a time; more are met in the next round."""
FileStamp = tuple[int, int]


@dataclass(slots=True)
class _PendingFile:
    stamp: FileStamp
    """Size in bytes, time of change in nanoseconds."""
    since: float
    """When it was first seen like that."""
    wait: float


class ArrivalTracker:
    """Which photos of a folder are new and complete."""

    def __init__(
        self,
        photos: Path,
        processed: set[str],
        settle_seconds: float = SETTLE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """`known` are photos that are no news, by their `printable` names; those that are finished join them."""
        self._photos, self._known = photos, processed
        self._settled, self._patience = settle_seconds, retry_seconds
        self._waiting: dict[str, _PendingFile] = {}

    @property
    def pending_count(self) -> int:
        """Photos that were seen and are not handed out yet."""
        return len(self._waiting)

    def find_complete(self, names: Iterable[str], now: float) -> list[str]:
        """Of the photos that are there, the new ones that are complete, in their order; `now` in seconds.

        Each is handed out again by every call until it is `finished`.
        """
        before, self._waiting = self._waiting, {}
        due = []
        for name in names:
            stamp = _stamp(self._photos / name) if escape_name(name) not in self._known else None
            if stamp is None:
                continue
            seen = before.get(name)
            self._waiting[name] = seen if seen and seen.stamp == stamp else _PendingFile(stamp, now, self._settled)
            if now - self._waiting[name].since >= self._waiting[name].wait:
                due.append(name)
            if len(self._waiting) == MAX_PENDING:
                break
        return due

    def mark_processed(self, name: str) -> None:
        """It is no news any more."""
        self._known.add(escape_name(name))
        self._waiting.pop(name, None)

    def is_final_failure(self, name: str) -> bool:
        """Of one that could not be read, whether that is final; if not, it is handed out again after `PATIENCE`."""
        seen = self._waiting[name]
        final, seen.wait = seen.wait == self._patience, self._patience
        return final


def _stamp(path: Path) -> FileStamp | None:
    """None for a photo that is gone again, as a name that was only for the time of writing is."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
