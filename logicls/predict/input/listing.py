"""Listing of photos in a folder: all at once, or as they arrive.

`list_photos` yields the photos below a folder one name at a time, sorted, each once, however folders are linked.

`ArrivalTracker` finds new photos of a watched folder once they are complete. Nothing marks a file as complete: a file
whose size and modification time have not changed for `SETTLE_SECONDS` is taken to be. If it cannot be read then, its
writer may have paused, and it is tried again after `RETRY_SECONDS`. A file that is renamed into the folder is complete
at once, and waits like all others.
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
"""Suffixes of photos. Formats that cannot be read are listed too, so that such photos are reported and not skipped."""


def list_photos(root: Path, *, patterns: Sequence[str] = (), exclude: Path | None = None) -> Iterator[str]:
    """List the photos below `root` by suffix: paths relative to it, with "/", in the order of their parts.

    Hidden files and folders are skipped. Links to photos are photos. A linked folder outside of `root` is entered once;
    one inside is found by its own name. No photo is opened, and only the names in the folders on the current path are
    in memory.

    Args:
        root: The folder.
        patterns: Globs of which a path must match one: `*`, `?` and `[...]` within a name, `**` for any folders. Empty
            for all photos.
        exclude: A folder to skip, such as the output of the run.

    Raises:
        DataError: There is no such folder (LC311), or a folder cannot be listed (LC604).
    """
    if not root.is_dir():
        raise DataError(Problem("LC311", f'"{root.name}" is not a folder.', relative_path(root)))
    return _FolderWalk(root, patterns, exclude).walk("")


def no_photos_error(root: Path, patterns: Sequence[str] = ()) -> DataError:
    """Make the error for a folder without photos (LC312), or without matching ones (LC603)."""
    if patterns:
        quoted = ", ".join(f'"{pattern}"' for pattern in patterns)
        advice = "Write patterns relative to the folder, with **/ for any folders: --only '**/*.png'."
        message = f'no photo in "{root.name}" matches {quoted}.'
        return DataError(Problem("LC603", message, relative_path(root), advice=advice))
    advice = f"Supported suffixes: {' '.join(sorted(PHOTO_SUFFIXES))}."
    return DataError(Problem("LC312", f'there is no photo in "{root.name}".', relative_path(root), advice=advice))


class NameSpool:
    """Names in a temporary file, counted before they are used, so that a million of them take no memory."""

    def __init__(self, file: IO[str], names: Iterable[str]) -> None:
        self._file = file
        self.count = 0
        for name in names:
            file.write(f"{name}\0")
            self.count += 1

    def __iter__(self) -> Iterator[str]:
        """Yield the names in order. Only one iteration at a time is possible."""
        self._file.seek(0)
        rest = ""
        while block := self._file.read(1 << 16):
            *names, rest = (rest + block).split("\0")
            yield from names


@contextmanager
def spool_names(names: Iterable[str]) -> Iterator[NameSpool]:
    """Write the names to an anonymous temporary file, which is deleted after the block."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape", newline="") as file:
        yield NameSpool(file, names)


class _FolderWalk:
    """Recursive listing of the photos below a root."""

    def __init__(self, root: Path, patterns: Sequence[str], exclude: Path | None) -> None:
        self.root, self.real = str(root), _real_path(root)
        self.patterns = [tuple(pattern.strip("/").split("/")) for pattern in patterns]
        self.entered = {self.real} | ({_real_path(exclude)} if exclude is not None else set())

    def walk(self, folder: str) -> Iterator[str]:
        """Yield the photos below a folder, given by its path relative to the root with a final "/"."""
        try:
            with os.scandir(os.path.join(self.root, folder)) as entries:
                found = sorted((e.name, _is_folder(e), e.is_symlink()) for e in entries if not e.name.startswith("."))
        except OSError as error:
            path = relative_path(Path(self.root, folder))
            raise DataError(Problem("LC604", f"cannot be listed: {error.strerror}.", path)) from error
        for name, is_folder, is_link in found:
            path = f"{folder}{name}"
            if is_folder:
                if self._should_enter(path, is_link=is_link):
                    yield from self.walk(f"{path}/")
            elif os.path.splitext(name)[1].lower() in PHOTO_SUFFIXES and self._is_selected(path):
                yield path

    def _is_selected(self, path: str) -> bool:
        return not self.patterns or any(_matches(path.split("/"), pattern) for pattern in self.patterns)

    def _should_enter(self, path: str, *, is_link: bool) -> bool:
        """Tell whether to enter a folder, and remember it as entered."""
        if self.patterns and not any(_may_contain_match(path.split("/"), pattern) for pattern in self.patterns):
            return False
        real = _real_path(os.path.join(self.root, path))
        if is_link and (self._is_reachable(real) or f"{self.real}/".startswith(f"{real.rstrip('/')}/")):
            return False
        was_entered = real in self.entered
        self.entered.add(real)
        return not was_entered

    def _is_reachable(self, real: str) -> bool:
        """Tell whether a folder below the root is reached without links; a hidden one is not."""
        inside = real.removeprefix(f"{self.real}/")
        return inside != real and not any(part.startswith(".") for part in inside.split("/"))


def _real_path(path: str | Path) -> str:
    """Resolve links, and write the path with "/"."""
    return os.path.realpath(path).replace(os.sep, "/")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a folder or a link to one; False for a broken or circular link."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[k:], pattern[1:]) for k in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _may_contain_match(folder: Sequence[str], pattern: Sequence[str]) -> bool:
    """Tell whether a path below the folder can match."""
    for part, glob in zip(folder, pattern, strict=False):
        if glob == "**":
            return True
        if not fnmatchcase(part, glob):
            return False
    return len(folder) < len(pattern)


def escape_name(name: str) -> str:
    """Escape the bytes of a file name that are not UTF-8, as records contain it."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


SETTLE_SECONDS = 1.0
"""Seconds without a change after which a photo is taken to be complete."""
RETRY_SECONDS = 20.0
"""Seconds without a change after which an unreadable photo is tried a last time."""
MAX_PENDING = 4096
"""Pending photos that are tracked at a time; others are found in a later round."""
FileStamp = tuple[int, int]


@dataclass(slots=True)
class _PendingFile:
    stamp: FileStamp
    """Size in bytes, modification time in nanoseconds."""
    since: float
    """Time at which it was first found with this stamp."""
    wait: float
    """Seconds without a change that it needs."""


class ArrivalTracker:
    """Tracks which photos of a folder are new and complete."""

    def __init__(
        self,
        photos: Path,
        processed: set[str],
        settle_seconds: float = SETTLE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """Start tracking. `processed`: escaped names of photos that are not new; processed ones are added to it."""
        self._photos, self._processed = photos, processed
        self._settle_seconds, self._retry_seconds = settle_seconds, retry_seconds
        self._pending: dict[str, _PendingFile] = {}

    @property
    def pending_count(self) -> int:
        """Number of photos that were found and are not processed yet."""
        return len(self._pending)

    def find_complete(self, names: Iterable[str], now: float) -> list[str]:
        """Select the new photos that are complete, in order. `now`: time in seconds.

        A photo is returned by every call until `mark_processed`.
        """
        before, self._pending = self._pending, {}
        complete = []
        for name in names:
            stamp = _read_stamp(self._photos / name) if escape_name(name) not in self._processed else None
            if stamp is None:
                continue
            file = before.get(name)
            is_unchanged = file is not None and file.stamp == stamp
            file = file if file is not None and is_unchanged else _PendingFile(stamp, now, self._settle_seconds)
            self._pending[name] = file
            if now - file.since >= file.wait:
                complete.append(name)
            if len(self._pending) == MAX_PENDING:
                break
        return complete

    def mark_processed(self, name: str) -> None:
        """Do not return this photo again."""
        self._processed.add(escape_name(name))
        self._pending.pop(name, None)

    def is_final_failure(self, name: str) -> bool:
        """Tell whether an unreadable photo has been tried twice; if not, it is returned again after the retry time."""
        file = self._pending[name]
        is_final, file.wait = file.wait == self._retry_seconds, self._retry_seconds
        return is_final


def _read_stamp(path: Path) -> FileStamp | None:
    """Read size and modification time; None for a file that is gone, such as a temporary name during writing."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
