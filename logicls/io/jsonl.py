"""Files that survive being interrupted: whole or not at all, and jsonl that can be continued.

A line of jsonl counts once it is complete. A run that was killed while writing leaves a torn last line: reading drops
it, continuing cuts it off.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from logicls.errors import DataError, Problem, relative

TEMPORARY = ".tmp"
"""How the names of half-written files end; they begin with a dot."""


@contextmanager
def in_place_of(path: Path, *, forced: bool = True) -> Iterator[Path]:
    """A file to write that takes the place of `path` when the block ends, and leaves it alone if it raises.

    Folders are made as needed. Where it is `forced`, it is on the disk before it takes the place: not even a power
    failure leaves half a file.

    Raises:
        DataError: It cannot be written, because the disk is full for example (LC253).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if forced:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def sweep(folder: Path) -> None:
    """Delete what runs that were killed left half-written in the folder; nobody may be writing to it."""
    for left in folder.glob(f".*{TEMPORARY}"):
        left.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """The same as an open text file: UTF-8, line ends as they are given."""
    with in_place_of(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        yield file


def write_text(path: Path, text: str) -> None:
    """Write `path` as a whole: a reader sees the old text or the new one, never a part."""
    with replacing(path) as file:
        file.write(text)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `path` as a whole; not forced onto the disk, for there may be thousands."""
    with in_place_of(path, forced=False) as temporary:
        temporary.write_bytes(data)


def read(path: Path) -> Iterator[dict[str, object]]:
    """The records of a jsonl file in order, one in memory at a time; a torn last line is left out.

    Raises:
        DataError: A line before the last is not a JSON object (LC250), or the file cannot be opened (LC251).
    """
    return (_whole(path, number, line) for number, line in _lines(path))


def read_names(path: Path, key: str) -> Iterator[str]:
    """The text that each record has under `key`; where that stands first, nothing else of a line is parsed.

    Raises:
        DataError: As `read` does, as far as lines are parsed.
    """
    head = re.compile(rb'\{"%s":("(?:[^"\\]|\\.)*+")' % key.encode())
    for number, line in _lines(path):
        found = head.match(line)
        yield json.loads(found[1]) if found else str(_whole(path, number, line).get(key))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers; a last one that was cut short is left out."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n") or _parsed(line) is not None:
                    yield number, line
    except OSError as error:
        problem = Problem("LC251", f"cannot be read: {error.strerror}.", relative(path))
        raise DataError(problem) from error


class Appender:
    """Adds records to a jsonl file, each on the disk's queue before `append` returns.

    Opening continues what is there: a torn last line is cut off first. Use it in a `with` block. Raises `DataError`
    where the file cannot be written (LC253), or is being written (LC606); the records before stay.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab+", buffering=0)
            _hold(self._file, path)
            _mend(self._file)
        except OSError as error:
            raise _cannot_write(path, error) from error

    def append(self, record: Mapping[str, object]) -> None:
        """Write one record as one line; ValueError for NaN and infinity, which JSON does not have."""
        line = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        rest = line.encode() + b"\n"
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise _cannot_write(self._path, error) from error

    def force(self) -> None:
        """Have the records on the disk itself: not even a power failure takes them."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _cannot_write(self._path, error) from error

    def close(self) -> None:
        """Let go of the file; harmless the second time."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _hold(file: IO[bytes], path: Path) -> None:
    """Have the file to oneself; the system lets go of it however the process ends, `kill -9` included.

    Where there is nothing to lock with (Windows, some network disks) two at a time are not noticed.
    """
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        advice = "Wait for it to end, or choose another --out."
        raise DataError(Problem("LC606", "another run writes to it.", relative(path), advice=advice)) from error
    except (ImportError, OSError):
        return


def _whole(path: Path, number: int, line: bytes) -> dict[str, object]:
    record = _parsed(line)
    if record is None:
        start = line[:40].decode(errors="replace").strip()
        advice = "Delete the line, or make the file anew."
        raise DataError(Problem("LC250", f'not a JSON object: "{start}".', relative(path), number, 1, advice))
    return record


def _cannot_write(path: Path, error: OSError) -> DataError:
    advice = "Make room, or choose another place; then run the same command again: what is finished stays."
    return DataError(Problem("LC253", f"cannot be written: {error.strerror or error}.", relative(path), advice=advice))


def _parsed(line: bytes) -> dict[str, object] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _mend(file: IO[bytes]) -> None:
    """Leave the file at the end of a complete line."""
    torn = _after_last_newline(file)
    if not torn:
        return
    if _parsed(torn) is not None:
        file.write(b"\n")
    else:
        file.truncate(file.seek(0, os.SEEK_END) - len(torn))


def _after_last_newline(file: IO[bytes], step: int = 1 << 16) -> bytes:
    end = place = file.seek(0, os.SEEK_END)
    while place > 0:
        place = max(0, place - step)
        file.seek(place)
        _, newline, tail = file.read(end - place).rpartition(b"\n")
        if newline or not place:
            return tail
    return b""
