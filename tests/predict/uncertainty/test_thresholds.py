"""Thresholds settle verdicts, come back from their file, and say what they are by their id."""

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

LIMITS = Thresholds((("a", RuleThresholds(0.1, 0.9)), ("b", RuleThresholds(0.2, 0.6))), "here")


def verdict(a: float | None, b: float | None, broken: str = "", doubts: tuple[str, ...] = ()) -> Verdict:
    """Of two rules with those probabilities, of which the named ones are broken by logic."""
    findings = tuple(
        Finding(name, "broken" if name in broken else "holds", (name,) if name in broken else (), probability=chance)
        for name, chance in (("a", a), ("b", b))
    )
    return Verdict("p.jpg", "review", tuple(broken), findings=findings, unconditional_reasons=doubts)


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
        (verdict(0.01, 0.1, doubts=("blurred",)), "review", ("blurred",)),
        (verdict(None, 0.1), "pass", ()),
        (verdict(0.95, 0.4, "a"), "fail", ()),
        (verdict(0.95, 0.5, "a"), "review", ("b: broken with a probability of 50 %, between 20 % and 60 %",)),
        (verdict(0.95, 0.4, "a", doubts=("blurred",)), "review", ("blurred",)),
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
def test_a_verdict_is_settled(one, outcome, reasons):
    """Below both pass, above and broken fail; between, or against logic, or with a doubt review."""
    settled = apply_thresholds(one, LIMITS)

    assert (settled.outcome, settled.reasons, settled.thresholds) == (outcome, reasons, LIMITS.id)
    assert settled.violations == one.violations


@pytest.mark.parametrize(("severity", "outcome"), [("minor", "review"), ("major", "fail"), ("critical", "fail")])
def test_a_graver_rule_is_asked_of_beside_a_broken_one(severity, outcome):
    """A part that is rejected for a small thing may be mended and come back: a doubt of a larger one stays."""
    limits = Thresholds((("a", RuleThresholds(0.1, 0.9, severity=severity)), ("b", RuleThresholds(0.2, 0.6))))

    assert apply_thresholds(verdict(0.95, 0.4, "a"), limits).outcome == outcome


@pytest.mark.parametrize(("status", "outcome"), [("holds", "fail"), ("not_applicable", "fail"), ("broken", "review")])
def test_a_rule_that_does_not_apply_is_not_asked_of(status, outcome):
    """A bottle that is surely empty is not sent to a person for how high its juice would stand."""
    given = verdict(0.95, 0.4, "a")
    level = replace(given.findings[1], status=status, violations=("b",) if status == "broken" else ())

    assert apply_thresholds(replace(given, findings=(given.findings[0], level)), LIMITS).outcome == outcome


def test_settling_again_starts_from_the_doubts():
    """Reasons of other thresholds do not stay."""
    strict = apply_thresholds(verdict(0.05, 0.1), Thresholds((("a", RuleThresholds(0.01, 0.99)),)))

    assert strict.outcome == "review"
    assert apply_thresholds(strict, LIMITS) == apply_thresholds(verdict(0.05, 0.1), LIMITS)


def test_the_id_is_that_of_the_numbers():
    """Not of what was promised, and in whatever order; another number makes another id."""
    told = Thresholds((("b", RuleThresholds(0.2, 0.6, "surely")), ("a", RuleThresholds(0.1, 0.9))), "elsewhere")

    assert told.id == LIMITS.id
    assert LIMITS.override("a", 0.1, 0.8).id != LIMITS.id
    assert LIMITS.override("a", 0.3, 0.8).for_rule("a") == RuleThresholds(0.3, 0.8, "set by hand")


def test_they_come_back_as_they_were_written(tmp_path):
    """Limits, promises and origin."""
    write_thresholds(tmp_path / "t.json", LIMITS)

    assert read_thresholds(tmp_path / "t.json", constraints=["a", "b"]) == LIMITS


@pytest.mark.parametrize(
    ("text", "said"),
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
def test_a_file_that_holds_none_is_refused(tmp_path, text, said):
    """With what is wrong."""
    (tmp_path / "t.json").write_text(text)

    with pytest.raises(DataError, match="LC621") as raised:
        read_thresholds(tmp_path / "t.json", constraints=["a", "b"])

    assert said in str(raised.value)
