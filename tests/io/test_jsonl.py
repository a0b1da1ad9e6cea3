"""Files that survive being interrupted."""

import errno
import os

import pytest

from logicls.errors import DataError
from logicls.io import jsonl


def test_appending_continues_a_file(tmp_path):
    """What was written stays, what is added follows."""
    path = tmp_path / "a.jsonl"
    for number in (1, 2):
        with jsonl.Appender(path) as file:
            file.append({"n": number})

    assert list(jsonl.read(path)) == [{"n": 1}, {"n": 2}]


def test_a_torn_last_line_is_dropped_and_cut_off(tmp_path):
    """A run killed while it wrote leaves half a line: reading skips it, appending replaces it."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"n":1}\n{"n":')

    before = list(jsonl.read(path))
    with jsonl.Appender(path) as file:
        file.append({"n": 2})

    assert before == [{"n": 1}]
    assert path.read_text() == '{"n":1}\n{"n":2}\n'


def test_a_broken_line_in_the_middle_is_pointed_at(tmp_path):
    """Only the last line may be torn; another is an error with its place."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"n":1}\nnonsense\n{"n":2}\n')

    with pytest.raises(DataError) as caught:
        list(jsonl.read(path))

    assert 'a.jsonl:2:1 LC250 not a JSON object: "nonsense".' in str(caught.value)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """Whole or not at all."""
    path = tmp_path / "a.txt"
    jsonl.write_text(path, "old")

    with pytest.raises(ZeroDivisionError), jsonl.replacing(path) as file:
        file.write(f"new {1 / 0}")

    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_a_file_is_not_there_before_it_is_whole(tmp_path):
    """Folders are made; meanwhile there is a hidden file, which takes the place of the old one in the end."""
    path = tmp_path / "deep" / "a.bin"

    with jsonl.in_place_of(path) as temporary:
        temporary.write_bytes(b"new")
        before = path.exists(), temporary.name[0], temporary.parent == path.parent

    assert before == (False, ".", True)
    assert [(p.name, p.read_bytes()) for p in path.parent.iterdir()] == [("a.bin", b"new")]


def test_what_cannot_be_written_is_said(tmp_path):
    """The file, why, and what to do; in a folder that cannot be made, and where the disk takes no more."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError) as folder:
        jsonl.write_text(tmp_path / "file" / "a.txt", "new")

    with jsonl.Appender(tmp_path / "a.jsonl") as file:
        file.append({"n": 1})
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
        try:
            with pytest.raises(DataError) as disk:
                file.append({"text": "more than there is room for"})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    advice = "Make room, or choose another place; then run the same command again: what is finished stays."
    assert [str(error.value) for error in (folder, disk)] == [
        f"{tmp_path / 'file' / 'a.txt'} LC253 cannot be written: {os.strerror(errno.EEXIST)}. {advice}",
        f"{tmp_path / 'a.jsonl'} LC253 cannot be written: {os.strerror(errno.EFBIG)}. {advice}",
    ]
    assert list(jsonl.read(tmp_path / "a.jsonl")) == [{"n": 1}]


def test_left_overs_are_swept_away(tmp_path):
    """Only those of files that were never finished."""
    for name in (".a.txt.77.tmp", "a.txt", "b.tmp", ".hidden"):
        (tmp_path / name).write_text("")

    jsonl.sweep(tmp_path)

    assert sorted(p.name for p in tmp_path.iterdir()) == [".hidden", "a.txt", "b.tmp"]


def test_bytes_are_whole_or_not_there(tmp_path):
    """A file of bytes takes the place of the old one, and nothing is left beside it."""
    path = tmp_path / "a.jpg"
    jsonl.write_bytes(path, b"old")
    jsonl.write_bytes(path, b"new")

    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.jpg": b"new"}


def test_names_are_read_without_the_rest(tmp_path):
    """Only the first text of a line is parsed where it is the one asked for; a torn last line has no name yet."""
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"photo":"a \\"b\\"\\n.png","rest":not parsed}\n'
        '{"outcome":"pass","photo":"second.png"}\n'
        '{"photo":"größe.png","outcome":"pass"}\n'
        '{"photo":"torn.png","outc'
    )

    assert list(jsonl.read_names(path, "photo")) == ['a "b"\n.png', "second.png", "größe.png"]


def test_a_whole_last_line_has_a_name_without_its_line_end(tmp_path):
    """Only the line end was lost: appending adds it."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"photo":"a.png"}')

    assert list(jsonl.read_names(path, "photo")) == ["a.png"]


def test_one_run_at_a_time_adds_to_a_file(tmp_path):
    """A second one is refused and changes nothing; when the first has let go, it may."""
    path = tmp_path / "a.jsonl"
    with jsonl.Appender(path) as file:
        file.append({"n": 1})
        file.force()
        with pytest.raises(DataError, match="LC606 another run writes to it"):
            jsonl.Appender(path)
        file.append({"n": 2})
    with jsonl.Appender(path) as file:
        file.append({"n": 3})

    assert list(jsonl.read(path)) == [{"n": 1}, {"n": 2}, {"n": 3}]
