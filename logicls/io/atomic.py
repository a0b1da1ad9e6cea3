"""Write files atomically: a reader sees the old file or the complete new one, never a part.

The new file is written beside the old one under a hidden temporary name and then renamed over it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from logicls.errors import DataError, Problem, relative_path

TEMPORARY_SUFFIX = ".tmp"
"""Suffix of the names of unfinished files; the names start with a dot."""


@contextmanager
def atomic_path(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path to write to; it replaces `path` when the block ends and is deleted if the block raises.

    Args:
        path: The file to write; missing folders are created.
        sync: True to flush the file to the disk before the rename, so that even a power failure leaves no partial file.

    Raises:
        DataError: The file cannot be written, for example because the disk is full (LC253).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if sync:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary path for a folder; it is renamed to `path` when the block ends, or deleted if the block raises.

    Raises:
        DataError: The folder cannot be written, for example because `path` exists (LC253).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.rename(path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def open_atomic(path: Path) -> Iterator[IO[str]]:
    """Open `path` for an atomic write of text: UTF-8, line ends written as given. Raises as `atomic_path` does."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        yield file


def write_text(path: Path, text: str) -> None:
    """Write text to `path` atomically. Raises as `atomic_path` does."""
    with open_atomic(path) as file:
        file.write(text)


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes to `path` atomically, without a flush to the disk: datasets have thousands of such files."""
    with atomic_path(path, sync=False) as temporary:
        temporary.write_bytes(data)


def delete_temporary_files(folder: Path) -> None:
    """Delete the unfinished files that killed runs left in `folder`; no other run may be writing to it."""
    for path in folder.glob(f".*{TEMPORARY_SUFFIX}"):
        path.unlink(missing_ok=True)


def write_error(path: Path, error: OSError) -> DataError:
    """Convert the operating system's error to one that names the file and the remedy (LC253)."""
    advice = "Free some disk space, or choose another path; then run the same command again: finished work is kept."
    return DataError(
        Problem("LC253", f"cannot be written: {error.strerror or error}.", relative_path(path), advice=advice)
    )
