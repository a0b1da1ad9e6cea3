"""Verdicts on a small product, and the labels of its rules."""

from dataclasses import replace
from datetime import datetime

from logicls.records import Answer, Box, Finding, Verdict
from logicls.report.card_view import Labels

LABELS = Labels(
    title="lid box",
    rules={"one-lid": "exactly 1 lid", "pin-in-box": "every pin is in the box"},
    reasons={"one-lid": "customer complaint"},
    questions={"locate:lid": "where is every lid?", "locate:pin": "where is every pin?", "verdict": "what is broken?"},
    severities={"gone": "critical", "stray": "minor"},
)
NOW = datetime(2026, 3, 1, 12, 30)
HOLDS = Finding("pin-in-box", "holds", (), "every pin in the box", "1 of 1", ("locate:pin",), 0.8)
FAILED = Verdict(
    "bad.jpg", "fail", ("gone",), ("gone",), 0.9, (("gone", 0.9), ("stray", 0.1)),
    (Finding("one-lid", "broken", ("gone",), "1 lid", "0 lids", ("locate:lid",), 0.93), HOLDS),
    (Answer("locate:lid"), Answer("locate:pin", boxes=(Box(10, 10, 60, 50),), confidence=0.8),
     Answer("verdict", ("gone",))),
    (), 80, 60, "ab" * 32, "kit", "c0ffee", "7", "t1", 0.02,
)  # fmt: skip
PASSED = replace(
    FAILED, photo="good.jpg", outcome="pass", violations=(), stated=(), score=0.1, sha256="cd" * 32, findings=(HOLDS,)
)
REVIEW = replace(FAILED, photo="unsure.jpg", outcome="review", reasons=("the answers differ",), sha256="ef" * 32)
UNREADABLE = Verdict("truncated.jpg", "review", reasons=("the file is truncated",), bundle="kit", spec="c0ffee")
