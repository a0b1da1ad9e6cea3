"""Errors as people see them."""

from __future__ import annotations

from pathlib import Path

import pytest

from logicls.constraints.yaml_tree import MAX_BYTES
from logicls.errors import Problem
from logicls.report.complaints import show


def test_a_problem_is_shown_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line stands below it with a mark under the column, whatever ends the lines."""
    path = tmp_path / "box.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\rb: cd\r\n")

    show([Problem("LC021", "unknown key.", str(path), 2, 4)])

    assert capsys.readouterr().err == f"{path}:2:4 LC021 unknown key.\n2 | b: cd\n  |    ^\n"


def test_a_file_that_cannot_be_read_is_shown_without_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder, a file that is not there, and one that is far too large are only named."""
    folder, absent, large = (tmp_path / name for name in ("a.yaml", "b.yaml", "c.yaml"))
    folder.mkdir()
    large.write_bytes(b"#" * (MAX_BYTES + 1))

    show([Problem("LC001", "cannot be read.", str(path), 1, 1) for path in (folder, absent, large)])

    assert capsys.readouterr().err == "".join(f"{path}:1:1 LC001 cannot be read.\n" for path in (folder, absent, large))
