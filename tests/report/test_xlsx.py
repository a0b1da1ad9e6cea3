"""Excel workbook of verdicts, read with openpyxl."""

from dataclasses import replace

import pytest

from logicls.errors import DataError
from logicls.report.xlsx import write_xlsx

from .cases import FAILED, LABELS, PASSED, UNREADABLE

openpyxl = pytest.importorskip("openpyxl", reason="the extra xlsx is not installed")


@pytest.fixture
def write_and_open(tmp_path):
    """Function that writes verdicts and opens the workbook."""

    def write(*verdicts):
        write_xlsx(iter(verdicts), tmp_path / "v.xlsx", LABELS)
        return openpyxl.load_workbook(tmp_path / "v.xlsx")

    return write


def test_each_verdict_has_a_row_with_provenance(write_and_open):
    """Numbers are numeric cells; the highest severity follows the violations."""
    sheet = write_and_open(replace(FAILED, violations=("gone", "stray")), UNREADABLE)["verdicts"]

    rows = [dict(zip([c.value for c in sheet[1]], [c.value for c in row], strict=True)) for row in sheet.iter_rows(2)]
    assert rows[0] == {
        "photo": "bad.jpg", "outcome": "fail", "violations": "gone;stray", "severity": "critical",
        "stated_violations": "gone", "anomaly_score": 0.9, "review_reasons": None, "score:gone": 0.9,
        "score:stray": 0.1, "seconds": 0.02, "result_id": rows[0]["result_id"], "sha256": "ab" * 32, "bundle_id": "kit",
        "thresholds_id": "t1", "spec_version": "7", "spec_hash": "c0ffee",
        "trained_spec_hash": "c0ffee",
    }  # fmt: skip
    assert len(rows[0]["result_id"]) == 12
    texts = [rows[1][key] for key in ("stated_violations", "severity", "review_reasons")]
    assert texts == ["unreadable", None, "the file is truncated"]


def test_the_header_is_frozen_and_filtered(write_and_open):
    """The header is frozen and bold and has filters; outcomes and severities are coloured."""
    sheet = write_and_open(FAILED, PASSED)["verdicts"]

    assert sheet.freeze_panes == "B2"
    assert sheet.auto_filter.ref == f"A1:{sheet.cell(1, sheet.max_column).coordinate[:-1]}3"
    assert all(cell.font.bold for cell in sheet[1])
    assert [sheet[place].fill.fgColor.rgb for place in ("B2", "B3", "D2")] == ["00F6C9C7", "00C6E7D3", "00E58B8B"]


def test_texts_are_never_formulas(write_and_open):
    """Photo names that look like formulas stay text; invalid characters are replaced."""
    sheet = write_and_open(replace(UNREADABLE, photo='=HYPERLINK("evil").jpg', reasons=("a\x00b",)))["verdicts"]

    assert (sheet["A2"].value, sheet["A2"].data_type) == ('=HYPERLINK("evil").jpg', "s")
    assert "a\N{REPLACEMENT CHARACTER}b" in [cell.value for cell in sheet[2]]


def test_the_second_sheet_describes_the_run(write_and_open):
    """It lists product, spec, bundle, thresholds, and the number of photos per outcome."""
    rows = {row[0].value: row[1].value for row in write_and_open(FAILED, PASSED, UNREADABLE)["run"].iter_rows()}

    assert rows == {
        "product": "lid box", "spec version": "7", "spec": "c0ffee", "bundle": "kit", "thresholds": "t1", "photos": 3,
        "pass": 1, "fail": 1, "review": 1, "critical violations": "gone", "major violations": None,
        "minor violations": "stray",
    }  # fmt: skip


def test_too_many_verdicts_are_rejected(tmp_path):
    """No file is left behind."""
    with pytest.raises(DataError, match="LC646 there are more than 1 verdicts"):
        write_xlsx([FAILED, PASSED], tmp_path / "v.xlsx", LABELS, max_rows=1)

    assert list(tmp_path.iterdir()) == []
