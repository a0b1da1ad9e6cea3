"""Atomic writes: the old file or the complete new one."""

import errno
import os

import pytest

from logicls.errors import DataError
from logicls.io.atomic import atomic_path, delete_temporary_files, open_atomic, write_bytes, write_text

ADVICE = "Free some disk space, or choose another path; then run the same command again: finished work is kept."


def test_failed_write_keeps_the_old_file(tmp_path):
    """An exception inside the block leaves the old text and no temporary file."""
    path = tmp_path / "a.txt"
    write_text(path, "old")

    with pytest.raises(ZeroDivisionError), open_atomic(path) as file:
        file.write(f"new {1 / 0}")

    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_file_appears_when_it_is_complete(tmp_path):
    """Folders are created; a hidden file holds the data until it replaces the old file."""
    path = tmp_path / "deep" / "a.bin"

    with atomic_path(path) as temporary:
        temporary.write_bytes(b"new")
        before = path.exists(), temporary.name[0], temporary.parent == path.parent

    assert before == (False, ".", True)
    assert [(p.name, p.read_bytes()) for p in path.parent.iterdir()] == [("a.bin", b"new")]


def test_write_errors_name_the_file_and_the_remedy(tmp_path):
    """A folder that cannot be created is an error with the reason and advice."""
    (tmp_path / "file").write_text("")

    with pytest.raises(DataError) as error:
        write_text(tmp_path / "file" / "a.txt", "new")

    reason = os.strerror(errno.EEXIST)
    assert str(error.value) == f"{tmp_path / 'file' / 'a.txt'} LC253 cannot be written: {reason}. {ADVICE}"


def test_only_unfinished_files_are_deleted(tmp_path):
    """Other hidden and temporary files stay."""
    for name in (".a.txt.77.tmp", "a.txt", "b.tmp", ".hidden"):
        (tmp_path / name).write_text("")

    delete_temporary_files(tmp_path)

    assert sorted(p.name for p in tmp_path.iterdir()) == [".hidden", "a.txt", "b.tmp"]


def test_bytes_replace_the_old_file(tmp_path):
    """The new bytes are there and no file is left beside them."""
    path = tmp_path / "a.jpg"
    write_bytes(path, b"old")
    write_bytes(path, b"new")

    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.jpg": b"new"}
