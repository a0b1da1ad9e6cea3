"""A study of four photos, three inspectors and two trials, worked out by hand."""

import pytest

from logicls.evaluation.agreement.decisions import Decision
from logicls.evaluation.agreement.statistics import (
    EFFECTIVENESS,
    MISS,
    Kappa,
    DecisionRate,
    grade_value,
    grade_kappa,
    study_notes,
    analyze_agreement,
)
from logicls.evaluation.agreement.storage import study_to_json
from logicls.evaluation.intervals import Rate, clopper_pearson

STANDARD = {"a.jpg": "pass", "b.jpg": "pass", "c.jpg": "fail", "d.jpg": "fail"}
SAID = {
    "anna": {"a.jpg": "PP", "b.jpg": "PF", "c.jpg": "FF", "d.jpg": "FF"},
    "ben": {"a.jpg": "PP", "b.jpg": "PP", "c.jpg": "PF", "d.jpg": "PP"},
    "logicls": {"a.jpg": "PP", "b.jpg": "RR", "c.jpg": "FF", "d.jpg": "FR"},
}
WORDS = {"P": "pass", "F": "fail", "R": "review"}


def decisions(*names):
    """What they said."""
    return [
        Decision(photo, name, trial, WORDS[letter])
        for name in names
        for photo, letters in SAID[name].items()
        for trial, letter in enumerate(letters, 1)
    ]


def appraisal(name):
    """The figures of one."""
    return analyze_agreement(decisions(name), STANDARD).appraisals[0]


def test_an_inspector_agrees_with_the_own_trials():
    """Anna changed her mind once, Ben once, the bundle once."""
    assert [appraisal(name).within for name in SAID] == [Rate(3, 4)] * 3


def test_effectiveness_asks_for_every_trial():
    """Anna is right on three, Ben on the good ones, the bundle on two: what it sends to review is not right."""
    assert [appraisal(name).effectiveness for name in SAID] == [Rate(3, 4), Rate(2, 4), Rate(2, 4)]
    assert appraisal("logicls").effectiveness_without_review == Rate(2, 2)


def test_misses_are_of_bad_and_false_alarms_of_good_decisions():
    """A review is neither."""
    assert [(appraisal(n).miss_rate.count, appraisal(n).false_alarm_rate.count) for n in SAID] == [
        (0, 1),
        (3, 0),
        (0, 0),
    ]
    assert appraisal("ben").miss_rate == DecisionRate(3, 4, 2)
    assert appraisal("logicls").review_rate == DecisionRate(3, 8, 4)


def test_an_interval_is_that_of_the_photos_not_of_the_trials():
    """Three of four decisions on two photos: as if it were one and a half of two."""
    assert appraisal("ben").miss_rate.ci95 == clopper_pearson(1.5, 2)


def test_kappa_to_the_standard_by_hand():
    """Anna: seven of eight agree, half do by chance (pass 3 and 4, fail 5 and 4 of 8)."""
    assert appraisal("anna").kappa.value == pytest.approx((7 / 8 - 0.5) / 0.5)


def test_all_together():
    """Anna and Ben are alike, and right, on a.jpg alone; their eight pairs of decisions agree on four."""
    found = analyze_agreement(decisions("anna", "ben"), STANDARD)

    assert (found.photos, found.defective, found.between, found.between_standard) == (4, 2, Rate(1, 4), Rate(1, 4))
    ((one, other, kappa),) = found.pairs
    # Pairs that agree: a.jpg twice, b.jpg once, c.jpg once; pass is said 3 and 7 times.
    chance = (3 * 7 + 5 * 1) / 64
    assert (one, other) == ("anna", "ben")
    assert kappa.value == pytest.approx((4 / 8 - chance) / (1 - chance))


def test_one_inspector_has_nobody_to_agree_with():
    """No figure between, and none within where there is one trial."""
    found = analyze_agreement([one for one in decisions("anna") if one.trial == 1], STANDARD)

    assert (found.between, found.between_kappa, found.between_standard, found.pairs) == (None, None, None, ())
    assert (found.appraisals[0].within, found.appraisals[0].within_kappa) == (None, None)


@pytest.mark.parametrize(
    ("value", "limits", "word"),
    [
        (0.90, EFFECTIVENESS, "acceptable"), (0.899, EFFECTIVENESS, "marginal"), (0.79, EFFECTIVENESS, "unacceptable"),
        (0.02, MISS, "acceptable"), (0.05, MISS, "marginal"), (0.051, MISS, "unacceptable"), (None, MISS, None),
    ],
)  # fmt: skip
def test_the_limits_of_the_manual(value, limits, word):
    """A figure on the limit is within it."""
    assert grade_value(value, limits) == word


def test_words_for_kappa():
    """Good above 0.75, poor below 0.40, nothing between, nothing where it is undefined."""
    assert [grade_kappa(Kappa(v, 0.1)) for v in (0.76, 0.75, 0.4, 0.39)] == ["good", "", "", "poor"]
    assert grade_kappa(None) == ""


def test_what_keeps_the_figures_from_saying_much():
    """Few photos, and none of one sort."""
    assert study_notes(analyze_agreement(decisions("anna"), STANDARD)) == ("4 photos are few: AIAG's example has 50.",)
    good = dict.fromkeys(STANDARD, "pass")
    assert "There is no bad photo" in study_notes(analyze_agreement(decisions("anna"), good))[1]


def test_the_json_has_every_figure():
    """Inspectors, what is between them, and the limits."""
    board = study_to_json(analyze_agreement(decisions("anna", "ben"), STANDARD))

    assert (board["n"], board["bad"]) == (4, 2)
    assert board["inspectors"]["ben"]["miss_rate"] == 0.75
    assert board["inspectors"]["ben"]["grades"]["miss_rate"] == "unacceptable"
    assert board["inspectors"]["anna"]["effectiveness_ci95"] == list(clopper_pearson(3, 4))
    assert board["between"]["pairs"][0]["inspectors"] == ["anna", "ben"]
    assert board["guidance"]["effectiveness"] == {"acceptable": 0.90, "marginal": 0.80}
