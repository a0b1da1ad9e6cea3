"""Fixtures that compare printed messages with the golden files in `tests/golden/codes/`."""

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
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty working directory, so that messages contain relative paths."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def check_message(workdir: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str, Trigger], None]:
    """Function that triggers a code and compares the printed message with the golden file.

    With `LOGICLS_REWRITE_GOLDEN=1` the file is written first.
    """

    def check(code: str, trigger: Trigger) -> None:
        problems = collect_problems(trigger)
        assert {problem.code for problem in problems} == {code}
        capsys.readouterr()
        print_problems(problems)
        text = capsys.readouterr().err
        assert str(workdir) not in text
        golden = GOLDEN / f"{code}.txt"
        if os.environ.get("LOGICLS_REWRITE_GOLDEN") == "1":
            golden.write_text(text, encoding="utf-8")
        assert text == golden.read_text(encoding="utf-8")

    return check


def collect_problems(trigger: Trigger) -> list[Problem]:
    """Return the problems that a trigger raises or returns."""
    try:
        problems = trigger()
    except LogiClsError as error:
        return list(error.problems)
    assert isinstance(problems, Iterable)
    return list(problems)
