"""What people see of a problem, held against a file in `tests/golden/codes/`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from logicls.diagnostics.console import print_problems
from logicls.errors import LogiClsError, Problem

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "codes"
Trigger = Callable[[], object]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that one works in, so that files are named without it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def look_right(desk: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str, Trigger], None]:
    """Runs what brings a code about, and holds the text shown against the code's golden file.

    With `LOGICLS_REWRITE_GOLDEN=1` the file is written instead.
    """

    def check(code: str, trigger: Trigger) -> None:
        found = problems_of(trigger)
        assert {problem.code for problem in found} == {code}
        capsys.readouterr()
        print_problems(found)
        text = capsys.readouterr().err
        assert str(desk) not in text
        golden = GOLDEN / f"{code}.txt"
        if os.environ.get("LOGICLS_REWRITE_GOLDEN") == "1":
            golden.write_text(text, encoding="utf-8")
        assert text == golden.read_text(encoding="utf-8")

    return check


def problems_of(trigger: Trigger) -> list[Problem]:
    """The problems that it raises or returns."""
    try:
        found = trigger()
    except LogiClsError as error:
        return list(error.problems)
    assert isinstance(found, Iterable)
    return list(found)
