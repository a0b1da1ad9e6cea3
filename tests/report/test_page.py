"""The page: complete, self-contained, and safe with any name."""

import re

import numpy as np
from PIL import Image

from logicls.records import Answer, Box, Finding, Verdict
from logicls.report.page import write_report

FAILED = Verdict(
    "bad.jpg", "fail", ("gone",), ("gone",), 0.9, (("gone", 0.9),),
    (Finding("one-lid", "broken", ("gone",), "1 lid", "0 lid", ("locate:lid",), 0.93),),
    (Answer("locate:lid"), Answer("locate:box", boxes=(Box(10, 10, 60, 50),)), Answer("verdict", ("gone",))),
    (), 80, 60,
)  # fmt: skip
BROKEN = Verdict("torn.jpg", "review", reasons=("the file is truncated",))


def page(tmp_path, *verdicts, rule="1 lid"):
    """The HTML of a report on those verdicts."""
    Image.fromarray(np.full((60, 80, 3), 128, np.uint8)).save(tmp_path / "bad.jpg")
    out = write_report(
        verdicts,
        spec_lines={"one-lid": rule},
        questions={
            "locate:lid": "where is every lid?",
            "locate:box": "where is the box?",
            "verdict": "what is broken?",
        },
        photos=tmp_path,
        out=tmp_path / "report" / "index.html",
        title="lid box",
    )
    return out.read_text(encoding="utf-8")


def test_a_card_shows_question_answer_rule_and_box(tmp_path):
    """What was asked, what was seen, which rule it breaks, and where it looked."""
    html = page(tmp_path, FAILED)

    for text in ("bad.jpg", "where is every lid?", "1 lid", "0 lid", "gone"):
        assert text in html
    assert "<svg" in html
    assert "data:image/jpeg;base64," in html


def test_the_page_needs_nothing_else(tmp_path):
    """No link to another file or host."""
    html = page(tmp_path, FAILED, BROKEN)

    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]+"', html) == []


def test_a_broken_photo_has_a_card_with_its_reason(tmp_path):
    """It is counted, and shown without a picture."""
    html = page(tmp_path, BROKEN)

    assert "torn.jpg" in html
    assert "the file is truncated" in html
    assert "data:image/jpeg" not in html


def test_markup_in_a_name_is_text(tmp_path):
    """What people wrote in a rule cannot become part of the page."""
    html = page(tmp_path, FAILED, rule="<script>alert(1)</script>")

    assert "<script>alert(1)</script>" not in html
    assert "&lt;script&gt;alert(1)" in html
