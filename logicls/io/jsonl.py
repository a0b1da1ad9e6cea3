"""Read and append to JSON Lines files that survive interruptions.

A line counts once it is complete. A run that was killed while writing leaves a truncated last line: readers skip it,
and the next `Appender` removes it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from filelock import FileLock, Timeout

from logicls.errors import DataError, Problem, relative_path
from logicls.io.atomic import write_error


def read_records(path: Path) -> Iterator[dict[str, object]]:
    """Yield the records of a JSON Lines file in order, one in memory at a time, without a truncated last line.

    Raises:
        DataError: A line before the last is not a JSON object (LC250), or the file cannot be opened (LC251).
    """
    return (_parse_record(path, number, line) for number, line in _read_lines(path))


def read_values(path: Path, key: str) -> Iterator[str]:
    """Yield the text that each record has under `key`; a line that starts with this key is not parsed further.

    Raises:
        DataError: As `read_records`, but only for the lines that are parsed.
    """
    first_item = re.compile(rb'\{"%s":("(?:[^"\\]|\\.)*+")' % key.encode())
    for number, line in _read_lines(path):
        match = first_item.match(line)
        yield json.loads(match[1]) if match else str(_parse_record(path, number, line).get(key))


def _read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the complete lines with their numbers."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n") or _parse_object(line) is not None:
                    yield number, line
    except OSError as error:
        problem = Problem("LC251", f"cannot be read: {error.strerror}.", relative_path(path))
        raise DataError(problem) from error


class Appender:
    """Append records to a JSON Lines file; each has been handed to the operating system when `append` returns.

    Opening an existing file removes a truncated last line and continues after the complete ones. Use it in a `with`
    block. One appender at a time may have a file open.

    Raises:
        DataError: The file cannot be written (LC253), or another run writes to it (LC606). Records already in the file
            are kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _acquire_lock(path)
            try:
                self._file = path.open("ab+", buffering=0)
                _repair_end(self._file)
            except OSError:
                _release_lock(self._lock)
                raise
        except OSError as error:
            raise write_error(path, error) from error

    def append(self, record: Mapping[str, object]) -> None:
        """Write one record as one line. Raises `ValueError` for NaN and infinity, which JSON cannot represent."""
        line = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        remaining = line.encode() + b"\n"
        try:
            while remaining:
                remaining = remaining[self._file.write(remaining) :]
        except OSError as error:
            raise write_error(self._path, error) from error

    def sync(self) -> None:
        """Flush the records to the disk, so that they survive a power failure."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise write_error(self._path, error) from error

    def close(self) -> None:
        """Close the file and release its lock; a second call does nothing."""
        self._file.close()
        _release_lock(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _acquire_lock(path: Path) -> FileLock:
    """Lock `path` against other runs; the operating system releases the lock however the process ends.

    The lock is on a hidden file beside it: Windows would not let others read a locked file. Some network disks cannot
    lock at all; on those two runs at a time are not detected.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout as error:
        advice = "Wait for it to finish, or choose another --out."
        raise DataError(
            Problem("LC606", "another run writes to this file.", relative_path(path), advice=advice)
        ) from error
    except (NotImplementedError, OSError):
        pass
    return lock


def _release_lock(lock: FileLock) -> None:
    if lock.is_locked:
        # Deleted while it is locked: whoever locks it afterwards notices that the file is gone and tries again.
        with suppress(OSError):
            os.unlink(lock.lock_file)
        lock.release()


def _parse_record(path: Path, number: int, line: bytes) -> dict[str, object]:
    record = _parse_object(line)
    if record is None:
        start = line[:40].decode(errors="replace").strip()
        advice = "Delete the line, or create the file again."
        raise DataError(Problem("LC250", f'not a JSON object: "{start}".', relative_path(path), number, 1, advice))
    return record


def _parse_object(line: bytes) -> dict[str, object] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _repair_end(file: IO[bytes]) -> None:
    """Make the file end with a complete line."""
    tail = _read_after_last_newline(file)
    if not tail:
        return
    if _parse_object(tail) is not None:
        file.write(b"\n")
    else:
        file.truncate(file.seek(0, os.SEEK_END) - len(tail))


def _read_after_last_newline(file: IO[bytes], step: int = 1 << 16) -> bytes:
    end = position = file.seek(0, os.SEEK_END)
    while position > 0:
        position = max(0, position - step)
        file.seek(position)
        _, newline, tail = file.read(end - position).rpartition(b"\n")
        if newline or not position:
            return tail
    return b""
