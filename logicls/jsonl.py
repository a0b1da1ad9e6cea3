"""Files that survive being interrupted: whole or not at all, and jsonl that can be continued.

A line of jsonl counts once it is complete. A run that was killed while writing leaves a torn last line: reading drops
it, continuing cuts it off.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from logicls.errors import DataError, Problem, relative


@contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """A text file to write to that takes the place of `path` when the block ends, and leaves it alone if it raises.

    Folders are made as needed. UTF-8; line ends are written as they are given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `path` as a whole: a reader sees the old text or the new one, never a part."""
    with replacing(path) as file:
        file.write(text)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `path` as a whole, in a folder that is there; not forced onto the disk, for there may be thousands."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read(path: Path) -> Iterator[dict[str, object]]:
    """The records of a jsonl file in order, one in memory at a time; a torn last line is left out.

    Raises:
        DataError: A line before the last is not a JSON object (LC250), or the file cannot be opened (LC251).
    """
    try:
        with path.open("rb") as file:
            number, line = 0, b""
            for number, following in enumerate(file):
                if number:
                    yield _whole(path, number, line)
                line = following
            if line.endswith(b"\n"):
                yield _whole(path, number + 1, line)
            elif (last := _parsed(line)) is not None:
                yield last
    except OSError as error:
        problem = Problem("LC251", f"cannot be read: {error.strerror}.", relative(path))
        raise DataError(problem) from error


class Appender:
    """Adds records to a jsonl file, each on the disk's queue before `append` returns.

    Opening continues what is there: a torn last line is cut off first. Use it in a `with` block.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab+")
        _mend(self._file)

    def append(self, record: Mapping[str, object]) -> None:
        """Write one record as one line; ValueError for NaN and infinity, which JSON does not have."""
        line = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        self._file.write(line.encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Let go of the file; harmless the second time."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _whole(path: Path, number: int, line: bytes) -> dict[str, object]:
    record = _parsed(line)
    if record is None:
        start = line[:40].decode(errors="replace").strip()
        advice = "Delete the line, or make the file anew."
        raise DataError(Problem("LC250", f'not a JSON object: "{start}".', relative(path), number, 1, advice))
    return record


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
