"""What people see when verdicts cannot be shown or made again."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path

import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.io.jsonl import Appender
from logicls.io.resources import resource_path
from logicls.models.bundle import Bundle
from logicls.predict.folder.replay import find_result, find_origin, replay
from logicls.predict.serialization import verdict_to_json
from logicls.records import Verdict
from logicls.report.card_view import Labels
from logicls.report.summary import read_reliability
from logicls.report.xlsx import open_workbook, write_xlsx

VERDICT = Verdict("a.png", "pass", width=8, height=8, sha256="ab" * 32, bundle="9a8b7c6d5e4f", spec="c0ffee")


def bundle(name: str) -> Bundle:
    """A bundle as far as it is looked at before a photo is."""
    return Bundle(Path("bundle"), name, load_spec(resource_path("constraints/dosing_kit.yaml")), None, None, 5)


def unknown_result() -> object:
    """A result that no verdict has."""
    with Appender(Path("verdicts/verdicts.jsonl")) as file:
        file.append(verdict_to_json(VERDICT))
    return find_result("4f2a", Path("verdicts"))


def changed_photo() -> object:
    """A photo with other bytes than when the verdict was made."""
    Path("photos").mkdir()
    Path("photos/a.png").write_bytes(b"other bytes")
    return replay(VERDICT, bundle("9a8b7c6d5e4f"), Path("photos"))


def many_rows() -> object:
    """More verdicts than rows."""
    return write_xlsx([VERDICT, VERDICT], Path("verdicts.xlsx"), Labels("box"), max_rows=1)


def strange_bins() -> object:
    """Reliability without its figures."""
    Path("metrics.json").write_text('{"reliability": [{"low": 0.0}]}')
    return read_reliability(Path("metrics.json"))


TRIGGERS: dict[str, Callable[[], object]] = {
    "LC640": unknown_result,
    "LC641": changed_photo,
    "LC642": lambda: replay(VERDICT, bundle("0c1d2e3f4a5b"), Path("photos")),
    "LC643": lambda: find_origin(Path("verdicts")),
    "LC645": strange_bins,
}


@pytest.mark.parametrize("code", TRIGGERS)
@pytest.mark.usefixtures("desk")
def test_what_is_shown(look_right, code):
    """The text that people see, word for word."""
    look_right(code, TRIGGERS[code])


@pytest.mark.usefixtures("desk")
def test_what_is_shown_without_openpyxl(look_right, monkeypatch):
    """It is an extra: what to install is said."""
    real = builtins.__import__

    def without(name: str, *more: object) -> object:
        if name.startswith("openpyxl"):
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)

    look_right("LC644", open_workbook)


@pytest.mark.usefixtures("desk")
def test_what_is_shown_of_too_many_rows(look_right):
    """A worksheet ends somewhere."""
    pytest.importorskip("openpyxl", reason="the extra xlsx is not installed")

    look_right("LC646", many_rows)
