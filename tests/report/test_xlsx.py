"""verdicts.xlsx, as a spreadsheet reads it."""

from dataclasses import replace

import pytest

from logicls.errors import DataError
from logicls.report.xlsx import write_xlsx

from .cases import FAILED, PASSED, TORN, WORDS

openpyxl = pytest.importorskip("openpyxl", reason="the extra xlsx is not installed")


@pytest.fixture
def book(tmp_path):
    """Writes verdicts and opens what was written."""

    def write(*verdicts):
        write_xlsx(iter(verdicts), tmp_path / "v.xlsx", WORDS)
        return openpyxl.load_workbook(tmp_path / "v.xlsx")

    return write


def test_a_row_a_photo_with_its_origin(book):
    """Numbers are numbers; the worst severity stands beside the violations."""
    sheet = book(replace(FAILED, violations=("gone", "stray")), TORN)["verdicts"]

    rows = [dict(zip([c.value for c in sheet[1]], [c.value for c in row], strict=True)) for row in sheet.iter_rows(2)]
    assert rows[0] == {
        "photo": "bad.jpg", "outcome": "fail", "violations": "gone;stray", "severity": "critical", "stated": "gone",
        "score": 0.9, "reasons": None, "score:gone": 0.9, "score:stray": 0.1, "seconds": 0.02,
        "result": rows[0]["result"], "sha256": "ab" * 32, "bundle": "kit", "thresholds": "t1", "version": "7",
        "spec": "c0ffee",
    }  # fmt: skip
    assert len(rows[0]["result"]) == 12
    assert (rows[1]["stated"], rows[1]["severity"], rows[1]["reasons"]) == ("unreadable", None, "the file is truncated")


def test_the_head_stays_and_filters(book):
    """Frozen, bold, with a filter over every column; outcome and severity have their colours."""
    sheet = book(FAILED, PASSED)["verdicts"]

    assert sheet.freeze_panes == "B2"
    assert sheet.auto_filter.ref == f"A1:{sheet.cell(1, sheet.max_column).coordinate[:-1]}3"
    assert all(cell.font.bold for cell in sheet[1])
    assert [sheet[place].fill.fgColor.rgb for place in ("B2", "B3", "D2")] == ["00F6C9C7", "00C6E7D3", "00E58B8B"]


def test_no_text_is_a_formula(book):
    """A photo may be called anything; characters that no workbook holds are replaced."""
    sheet = book(replace(TORN, photo='=HYPERLINK("evil").jpg', reasons=("a\x00b",)))["verdicts"]

    assert (sheet["A2"].value, sheet["A2"].data_type) == ('=HYPERLINK("evil").jpg', "s")
    assert "a\N{REPLACEMENT CHARACTER}b" in [cell.value for cell in sheet[2]]


def test_a_second_sheet_says_what_made_them(book):
    """Product, spec, bundle, thresholds, and how many of each outcome."""
    facts = {row[0].value: row[1].value for row in book(FAILED, PASSED, TORN)["run"].iter_rows()}

    assert facts == {
        "product": "lid box", "spec version": "7", "spec": "c0ffee", "bundle": "kit", "thresholds": "t1", "photos": 3,
        "pass": 1, "fail": 1, "review": 1, "critical violations": "gone", "major violations": None,
        "minor violations": "stray",
    }  # fmt: skip


def test_more_rows_than_a_sheet_has_are_refused(tmp_path):
    """Nothing is written then."""
    with pytest.raises(DataError, match="LC646 there are more than 1 verdicts"):
        write_xlsx([FAILED, PASSED], tmp_path / "v.xlsx", WORDS, max_rows=1)

    assert list(tmp_path.iterdir()) == []
