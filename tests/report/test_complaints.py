"""Problems on the screen; what each code looks like is in `tests/codes/`."""

from __future__ import annotations

from logicls.errors import Problem
from logicls.report.complaints import counted, show

NOTE = Problem("LC047", "no example breaks it.", "box.yaml", 6, 3, "Add one.")
WARNING = Problem("LC040", "no rule speaks about it.")


def test_a_note_is_called_one(capsys):
    """It explains why the exit code is 0; of errors and warnings the level adds nothing."""
    show([NOTE, WARNING])

    assert capsys.readouterr().err.splitlines() == [
        "box.yaml:6:3 LC047 note: no example breaks it. Add one.",
        "LC040 no rule speaks about it.",
    ]


def test_notes_are_counted_apart():
    """Nobody should look for a problem that is only a note."""
    assert [counted(found) for found in ([], [WARNING], [NOTE], [WARNING, NOTE, NOTE, WARNING])] == [
        "0 problems",
        "1 problem",
        "0 problems, 1 note",
        "2 problems, 2 notes",
    ]
