"""JSON Lines files survive interruptions and have one writer at a time."""

import errno
import os
import subprocess
import sys

import pytest

from logicls.errors import DataError
from logicls.io import jsonl


def test_appending_continues_a_file(tmp_path):
    """Records of an earlier run stay, new ones follow."""
    path = tmp_path / "a.jsonl"
    for number in (1, 2):
        with jsonl.Appender(path) as file:
            file.append({"n": number})

    assert list(jsonl.read_records(path)) == [{"n": 1}, {"n": 2}]


def test_truncated_last_line_is_skipped_and_removed(tmp_path):
    """A run killed while writing leaves half a line: reading skips it, appending replaces it."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"n":1}\n{"n":')

    before = list(jsonl.read_records(path))
    with jsonl.Appender(path) as file:
        file.append({"n": 2})

    assert before == [{"n": 1}]
    assert path.read_text() == '{"n":1}\n{"n":2}\n'


def test_invalid_line_before_the_last_is_an_error(tmp_path):
    """Only the last line may be truncated; the error names file and line."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"n":1}\nnonsense\n{"n":2}\n')

    with pytest.raises(DataError) as error:
        list(jsonl.read_records(path))

    assert 'a.jsonl:2:1 LC250 not a JSON object: "nonsense".' in str(error.value)


def test_full_disk_keeps_the_records_written_before(tmp_path):
    """The error names the file, the reason and the remedy."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    with jsonl.Appender(tmp_path / "a.jsonl") as file:
        file.append({"n": 1})
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
        try:
            with pytest.raises(DataError) as error:
                file.append({"text": "more than the limit allows"})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    advice = "Free some disk space, or choose another path; then run the same command again: finished work is kept."
    reason = os.strerror(errno.EFBIG)
    assert str(error.value) == f"{tmp_path / 'a.jsonl'} LC253 cannot be written: {reason}. {advice}"
    assert list(jsonl.read_records(tmp_path / "a.jsonl")) == [{"n": 1}]


def test_values_are_read_without_parsing_the_rest(tmp_path):
    """Only the first item of a line is parsed where its key is the requested one; a truncated line has no value."""
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"photo":"a \\"b\\"\\n.png","rest":not parsed}\n'
        '{"outcome":"pass","photo":"second.png"}\n'
        '{"photo":"größe.png","outcome":"pass"}\n'
        '{"photo":"torn.png","outc'
    )

    assert list(jsonl.read_values(path, "photo")) == ['a "b"\n.png', "second.png", "größe.png"]


def test_complete_last_line_needs_no_line_end(tmp_path):
    """Where only the line end was lost, the record counts."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"photo":"a.png"}')

    assert list(jsonl.read_values(path, "photo")) == ["a.png"]


def test_second_writer_is_refused(tmp_path):
    """It changes nothing; after the first has closed the file, another may write. No lock file stays."""
    path = tmp_path / "a.jsonl"
    with jsonl.Appender(path) as file:
        file.append({"n": 1})
        file.sync()
        with pytest.raises(DataError, match="LC606 another run writes to this file"):
            jsonl.Appender(path)
        file.append({"n": 2})
    with jsonl.Appender(path) as file:
        file.append({"n": 3})

    assert list(jsonl.read_records(path)) == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_second_process_is_refused(tmp_path):
    """The lock holds between processes, and a killed process leaves none."""
    path = tmp_path / "a.jsonl"
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom logicls.io.jsonl import Appender\n"
        "file = Appender(Path(sys.argv[1]))\nfile.append({'n': 1})\nprint('open', flush=True)\nsys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(DataError, match="LC606"):
            jsonl.Appender(path)
        other.kill()
        other.wait()

    with jsonl.Appender(path) as file:
        file.append({"n": 2})

    assert list(jsonl.read_records(path)) == [{"n": 1}, {"n": 2}]


def test_unusable_path_releases_the_lock(tmp_path):
    """A path that is a folder is an error (LC253) and leaves no lock file."""
    (tmp_path / "a.jsonl").mkdir()

    with pytest.raises(DataError, match="LC253"):
        jsonl.Appender(tmp_path / "a.jsonl")

    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]
