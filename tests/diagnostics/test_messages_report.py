"""Messages about reports and replays."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path

import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.io.jsonl import Appender
from logicls.io.resources import resource_path
from logicls.models.bundle import Bundle
from logicls.predict.folder.replay import find_origin, find_result, replay
from logicls.predict.serialization import verdict_to_json
from logicls.records import Verdict
from logicls.report.card_view import Labels
from logicls.report.summary import read_reliability
from logicls.report.xlsx import open_workbook, write_xlsx

VERDICT = Verdict("a.png", "pass", width=8, height=8, sha256="ab" * 32, bundle="9a8b7c6d5e4f", spec="c0ffee")


def bundle(name: str) -> Bundle:
    """Return a bundle without a model."""
    return Bundle(Path("bundle"), name, load_spec(resource_path("constraints/dosing_kit.yaml")), None, None, 5)


def find_unknown_result() -> object:
    """Find a result id that no verdict has."""
    with Appender(Path("verdicts/verdicts.jsonl")) as file:
        file.append(verdict_to_json(VERDICT))
    return find_result("4f2a", Path("verdicts"))


def replay_modified_photo() -> object:
    """Replay a photo whose content has changed."""
    Path("photos").mkdir()
    Path("photos/a.png").write_bytes(b"other bytes")
    return replay(VERDICT, bundle("9a8b7c6d5e4f"), Path("photos"))


def write_too_many_rows() -> object:
    """Write more verdicts than rows are allowed."""
    return write_xlsx([VERDICT, VERDICT], Path("verdicts.xlsx"), Labels("box"), max_rows=1)


def read_incomplete_bins() -> object:
    """Read reliability bins without their values."""
    Path("metrics.json").write_text('{"reliability": [{"low": 0.0}]}')
    return read_reliability(Path("metrics.json"))


TRIGGERS: dict[str, Callable[[], object]] = {
    "LC640": find_unknown_result,
    "LC641": replay_modified_photo,
    "LC642": lambda: replay(VERDICT, bundle("0c1d2e3f4a5b"), Path("photos")),
    "LC643": lambda: find_origin(Path("verdicts")),
    "LC645": read_incomplete_bins,
}


@pytest.mark.parametrize("code", TRIGGERS)
@pytest.mark.usefixtures("workdir")
def test_message(check_message, code):
    """The printed message equals the golden file."""
    check_message(code, TRIGGERS[code])


@pytest.mark.usefixtures("workdir")
def test_message_without_openpyxl(check_message, monkeypatch):
    """The message names the extra to install."""
    real = builtins.__import__

    def import_without_openpyxl(name: str, *more: object) -> object:
        if name.startswith("openpyxl"):
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", import_without_openpyxl)

    check_message("LC644", open_workbook)


@pytest.mark.usefixtures("workdir")
def test_message_about_too_many_rows(check_message):
    """The number of rows of a worksheet is limited."""
    pytest.importorskip("openpyxl", reason="the extra xlsx is not installed")

    check_message("LC646", write_too_many_rows)
