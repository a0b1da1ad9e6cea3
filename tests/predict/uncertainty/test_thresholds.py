"""Thresholds: outcomes, files and ids."""

from __future__ import annotations

from dataclasses import replace

import pytest

from logicls.errors import DataError
from logicls.predict.uncertainty.thresholds import (
    RuleThresholds,
    Thresholds,
    apply_thresholds,
    read_thresholds,
    write_thresholds,
)
from logicls.records import Finding, Verdict

LIMITS = Thresholds((("a", RuleThresholds(0.1, 0.9)), ("b", RuleThresholds(0.2, 0.6))), "test data")


def verdict(a: float | None, b: float | None, broken: str = "", reasons: tuple[str, ...] = ()) -> Verdict:
    """Return a verdict of two rules with these probabilities; those named in `broken` are broken by their answers."""
    findings = tuple(
        Finding(
            name, "broken" if name in broken else "holds", (name,) if name in broken else (), probability=probability
        )
        for name, probability in (("a", a), ("b", b))
    )
    return Verdict("p.jpg", "review", tuple(broken), findings=findings, unconditional_reasons=reasons)


@pytest.mark.parametrize(
    ("one", "outcome", "reasons"),
    [
        (verdict(0.09, 0.19), "pass", ()),
        (verdict(0.9, 0.1, "a"), "fail", ()),
        (verdict(0.95, 0.7, "ab"), "fail", ()),
        (verdict(0.1, 0.1), "review", ("a: broken with a probability of 10 %, between 10 % and 90 %",)),
        (verdict(0.0, 0.59, "b"), "review", ("b: broken with a probability of 59 %, between 20 % and 60 %",)),
        (verdict(0.95, 0.1), "review", ("a: not broken by its answers, but broken with a probability of 95 %",)),
        (verdict(0.01, 0.1, "a"), "review", ("a: broken by its answers, but broken with a probability of 1 %",)),
        (verdict(0.01, 0.1, reasons=("blurred",)), "review", ("blurred",)),
        (verdict(None, 0.1), "pass", ()),
        (verdict(0.95, 0.4, "a"), "fail", ()),
        (verdict(0.95, 0.5, "a"), "review", ("b: broken with a probability of 50 %, between 20 % and 60 %",)),
        (verdict(0.95, 0.5, "ab"), "fail", ()),
        (verdict(0.95, 0.4, "ab"), "review", ("b: broken with a probability of 40 %, between 20 % and 60 %",)),
        (verdict(0.95, 0.4, "a", reasons=("blurred",)), "review", ("blurred",)),
        (
            verdict(0.85, 0.4, "a"),
            "review",
            (
                "a: broken with a probability of 85 %, between 10 % and 90 %",
                "b: broken with a probability of 40 %, between 20 % and 60 %",
            ),
        ),
    ],
)
def test_outcome(one, outcome, reasons):
    """Below both thresholds pass, above them and broken fail; in between, contradicting or with a reason review."""
    updated = apply_thresholds(one, LIMITS)

    assert (updated.outcome, updated.reasons, updated.thresholds) == (outcome, reasons, LIMITS.id)
    assert updated.violations == one.violations


@pytest.mark.parametrize(("severity", "outcome"), [("minor", "review"), ("major", "fail"), ("critical", "fail")])
def test_graver_rule_needs_review_beside_a_broken_one(severity, outcome):
    """A part that is rejected for a minor defect may be repaired: uncertainty about a graver one stays."""
    limits = Thresholds((("a", RuleThresholds(0.1, 0.9, severity=severity)), ("b", RuleThresholds(0.2, 0.6))))

    assert apply_thresholds(verdict(0.95, 0.4, "a"), limits).outcome == outcome


@pytest.mark.parametrize(("status", "outcome"), [("holds", "fail"), ("not_applicable", "fail"), ("broken", "review")])
def test_inapplicable_rule_needs_no_review_beside_a_broken_one(status, outcome):
    """An empty bottle is not reviewed for its filling level."""
    given = verdict(0.95, 0.4, "a")
    level = replace(given.findings[1], status=status, violations=("b",) if status == "broken" else ())

    assert apply_thresholds(replace(given, findings=(given.findings[0], level)), LIMITS).outcome == outcome


def test_thresholds_can_be_applied_again():
    """Reasons of other thresholds do not stay."""
    strict = apply_thresholds(verdict(0.05, 0.1), Thresholds((("a", RuleThresholds(0.01, 0.99)),)))

    assert strict.outcome == "review"
    assert apply_thresholds(strict, LIMITS) == apply_thresholds(verdict(0.05, 0.1), LIMITS)


def test_id_depends_on_the_numbers():
    """Not on guarantees, origin or order."""
    thresholds = Thresholds((("b", RuleThresholds(0.2, 0.6, "certain")), ("a", RuleThresholds(0.1, 0.9))), "other data")

    assert thresholds.id == LIMITS.id
    assert LIMITS.override("a", 0.1, 0.8).id != LIMITS.id
    assert LIMITS.override("a", 0.3, 0.8).for_rule("a") == RuleThresholds(0.3, 0.8, "set by hand")


def test_file_round_trip(tmp_path):
    """Limits, guarantees and origin."""
    write_thresholds(tmp_path / "t.json", LIMITS)

    assert read_thresholds(tmp_path / "t.json", constraints=["a", "b"]) == LIMITS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value"),
        ("{}", 'no "limits"'),
        ('{"limits": {"c": {}}}', 'there is no constraint "c"'),
        (
            '{"limits": {"a": {"low": 0.9, "high": 0.1}}}',
            "a: low = 0.9 and high = 0.1 are not probabilities in ascending order",
        ),
        ('{"limits": {"a": {"low": "much"}}}', "1 validation error"),
    ],
)
def test_invalid_file_is_an_error(tmp_path, text, message):
    """The message names the error."""
    (tmp_path / "t.json").write_text(text)

    with pytest.raises(DataError, match="LC621") as raised:
        read_thresholds(tmp_path / "t.json", constraints=["a", "b"])

    assert message in str(raised.value)


def test_old_key_of_the_guarantee_is_read(tmp_path):
    """`promise` in files of older versions."""
    (tmp_path / "t.json").write_text('{"limits": {"a": {"low": 0.1, "high": 0.9, "promise": "escapes"}}}')

    thresholds = read_thresholds(tmp_path / "t.json", constraints=["a"])

    assert thresholds.for_rule("a") == RuleThresholds(0.1, 0.9, "escapes")
