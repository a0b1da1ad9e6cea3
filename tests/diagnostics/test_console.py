"""Printing of problems; the messages of each code are in `tests/golden/codes/`."""

from __future__ import annotations

from logicls.constraints.spec.yaml_reader import MAX_BYTES
from logicls.diagnostics.console import format_counts, print_problems
from logicls.errors import Problem

NOTE = Problem("LC047", "no example breaks it.", "box.yaml", 6, 3, "Add one.")
WARNING = Problem("LC040", "no rule speaks about it.")


def test_notes_are_labelled(capsys):
    """The label explains the exit code 0; errors and warnings have no label."""
    print_problems([NOTE, WARNING])

    assert capsys.readouterr().err.splitlines() == [
        "box.yaml:6:3 LC047 note: no example breaks it. Add one.",
        "LC040 no rule speaks about it.",
    ]


def test_notes_are_counted_separately():
    """The number of problems does not include notes."""
    assert [format_counts(problems) for problems in ([], [WARNING], [NOTE], [WARNING, NOTE, NOTE, WARNING])] == [
        "0 problems",
        "1 problem",
        "0 problems, 1 note",
        "2 problems, 2 notes",
    ]


def test_a_problem_is_printed_with_its_line(tmp_path, capsys):
    """The source line follows with a caret below the column, for any line ending."""
    path = tmp_path / "box.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\rb: cd\r\n")

    print_problems([Problem("LC021", "unknown key.", str(path), 2, 4)])

    assert capsys.readouterr().err == f"{path}:2:4 LC021 unknown key.\n2 | b: cd\n  |    ^\n"


def test_an_unreadable_file_is_printed_without_a_line(tmp_path, capsys):
    """For a folder, a missing file and a file that is too large, only the path is printed."""
    folder, absent, large = (tmp_path / name for name in ("a.yaml", "b.yaml", "c.yaml"))
    folder.mkdir()
    large.write_bytes(b"#" * (MAX_BYTES + 1))

    print_problems([Problem("LC001", "cannot be read.", str(path), 1, 1) for path in (folder, absent, large)])

    assert capsys.readouterr().err == "".join(f"{path}:1:1 LC001 cannot be read.\n" for path in (folder, absent, large))
