"""An agreement study of four photos, three inspectors and two trials, calculated by hand; kappa of the literature."""

import math

import numpy as np
import pytest

from logicls.evaluation.agreement.decisions import Decision
from logicls.evaluation.agreement.repeatability import study_to_json
from logicls.evaluation.agreement.statistics import (
    EFFECTIVENESS,
    MISS,
    DecisionRate,
    Kappa,
    analyze_agreement,
    cohen_kappa,
    fleiss_kappa,
    grade_kappa,
    grade_value,
    study_notes,
)
from logicls.evaluation.intervals import Rate, clopper_pearson

STANDARD = {"a.jpg": "pass", "b.jpg": "pass", "c.jpg": "fail", "d.jpg": "fail"}
DECISIONS = {
    "anna": {"a.jpg": "PP", "b.jpg": "PF", "c.jpg": "FF", "d.jpg": "FF"},
    "ben": {"a.jpg": "PP", "b.jpg": "PP", "c.jpg": "PF", "d.jpg": "PP"},
    "logicls": {"a.jpg": "PP", "b.jpg": "RR", "c.jpg": "FF", "d.jpg": "FR"},
}
OUTCOMES = {"P": "pass", "F": "fail", "R": "review"}


def decisions(*names):
    """Return the decisions of these inspectors."""
    return [
        Decision(photo, name, trial, OUTCOMES[letter])
        for name in names
        for photo, letters in DECISIONS[name].items()
        for trial, letter in enumerate(letters, 1)
    ]


def appraisal(name):
    """Return the statistics of one inspector."""
    return analyze_agreement(decisions(name), STANDARD).appraisals[0]


def test_repeatability():
    """Each inspector changed one decision."""
    assert [appraisal(name).within for name in DECISIONS] == [Rate(3, 4)] * 3


def test_effectiveness_requires_every_trial():
    """Anna is correct on three photos, Ben on the good ones, the bundle on two: a review is not correct."""
    assert [appraisal(name).effectiveness for name in DECISIONS] == [Rate(3, 4), Rate(2, 4), Rate(2, 4)]
    assert appraisal("logicls").effectiveness_without_review == Rate(2, 2)


def test_denominators_of_miss_and_false_alarm_rate():
    """Misses are of defective, false alarms of good photos; a review is neither."""
    assert [(appraisal(n).miss_rate.count, appraisal(n).false_alarm_rate.count) for n in DECISIONS] == [
        (0, 1),
        (3, 0),
        (0, 0),
    ]
    assert appraisal("ben").miss_rate == DecisionRate(3, 4, 2)
    assert appraisal("logicls").review_rate == DecisionRate(3, 8, 4)


def test_intervals_have_the_number_of_photos():
    """Three of four decisions on two photos: like one and a half of two."""
    assert appraisal("ben").miss_rate.ci95 == clopper_pearson(1.5, 2)


def test_kappa_against_the_standard():
    """Anna: seven of eight agree, half are expected by chance (pass 3 and 4, fail 5 and 4 of 8)."""
    assert appraisal("anna").kappa.value == pytest.approx((7 / 8 - 0.5) / 0.5)


def test_reproducibility():
    """Anna and Ben agree, and are correct, on a.jpg only; their eight pairs of decisions agree on four."""
    study = analyze_agreement(decisions("anna", "ben"), STANDARD)

    assert (study.photos, study.defective, study.between, study.between_standard) == (4, 2, Rate(1, 4), Rate(1, 4))
    ((one, other, kappa),) = study.pairs
    # Pairs that agree: a.jpg twice, b.jpg once, c.jpg once; pass is said 3 and 7 times.
    expected = (3 * 7 + 5 * 1) / 64
    assert (one, other) == ("anna", "ben")
    assert kappa.value == pytest.approx((4 / 8 - expected) / (1 - expected))


def test_single_inspector_with_one_trial():
    """Neither reproducibility nor repeatability is defined."""
    study = analyze_agreement([one for one in decisions("anna") if one.trial == 1], STANDARD)

    assert (study.between, study.between_kappa, study.between_standard, study.pairs) == (None, None, None, ())
    assert (study.appraisals[0].within, study.appraisals[0].within_kappa) == (None, None)


@pytest.mark.parametrize(
    ("value", "limits", "grade"),
    [
        (0.90, EFFECTIVENESS, "acceptable"), (0.899, EFFECTIVENESS, "marginal"), (0.79, EFFECTIVENESS, "unacceptable"),
        (0.02, MISS, "acceptable"), (0.05, MISS, "marginal"), (0.051, MISS, "unacceptable"), (None, MISS, None),
    ],
)  # fmt: skip
def test_grades_of_aiag(value, limits, grade):
    """A value on the limit is within it."""
    assert grade_value(value, limits) == grade


def test_grades_of_kappa():
    """Good above 0.75, poor below 0.40, none in between or if undefined."""
    assert [grade_kappa(Kappa(v, 0.1)) for v in (0.76, 0.75, 0.4, 0.39)] == ["good", "", "", "poor"]
    assert grade_kappa(None) == ""


def test_notes_about_limitations():
    """A small sample, and a sample without defective photos."""
    assert study_notes(analyze_agreement(decisions("anna"), STANDARD)) == (
        "4 photos are a small sample: the example of AIAG has 50.",
    )
    good = dict.fromkeys(STANDARD, "pass")
    assert "There is no defective photo" in study_notes(analyze_agreement(decisions("anna"), good))[1]


def test_json_has_every_statistic():
    """Inspectors, reproducibility, and the limits."""
    board = study_to_json(analyze_agreement(decisions("anna", "ben"), STANDARD))

    assert (board["n"], board["bad"]) == (4, 2)
    assert board["inspectors"]["ben"]["miss_rate"] == 0.75
    assert board["inspectors"]["ben"]["grades"]["miss_rate"] == "unacceptable"
    assert board["inspectors"]["anna"]["effectiveness_ci95"] == list(clopper_pearson(3, 4))
    assert board["between"]["pairs"][0]["inspectors"] == ["anna", "ben"]
    assert board["guidance"]["effectiveness"] == {"acceptable": 0.90, "marginal": 0.80}


def photos(table):
    """Return one photo per count of a square table: (category of the row, category of the column)."""
    return [[(i, j)] for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)]


def classic_error(table):
    """Return the standard error by Fleiss, Cohen and Everitt 1969, equation 13, in its original form."""
    p = np.array(table, float)
    n, p = p.sum(), p / p.sum()
    rows, columns = p.sum(1), p.sum(0)
    observed, expected = np.trace(p), rows @ columns
    kappa = (observed - expected) / (1 - expected)
    same = sum(p[i, i] * (1 - (rows[i] + columns[i]) * (1 - kappa)) ** 2 for i in range(len(p)))
    cross = sum(p[i, j] * (columns[i] + rows[j]) ** 2 for i in range(len(p)) for j in range(len(p)) if i != j)
    rest = (kappa - expected * (1 - kappa)) ** 2
    return math.sqrt((same + (1 - kappa) ** 2 * cross - rest) / n) / (1 - expected)


@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        ([[44, 6], [3, 97]], 0.86),
        ([[43, 7], [8, 92]], 0.78),
        ([[42, 5], [9, 94]], 0.79),
        ([[45, 5], [3, 97]], 0.88),
        ([[45, 2], [3, 100]], 0.92),
        ([[42, 9], [6, 93]], 0.77),
    ],
)
def test_kappa_of_aiag_example(table, kappa):
    """Three inspectors with one another, and with the standard."""
    assert round(cohen_kappa(photos(table)).value, 2) == kappa


@pytest.mark.parametrize("table", [[[44, 6], [3, 97]], [[75, 1, 4], [5, 4, 1], [0, 0, 10]]])
def test_standard_error_of_the_paper(table):
    """With one rating per photo."""
    assert cohen_kappa(photos(table)).standard_error == pytest.approx(classic_error(table), rel=1e-12)


def test_kappa_of_three_categories():
    """89 of 100 agree, 66 are expected by chance: 23 of 34."""
    assert cohen_kappa(photos([[75, 1, 4], [5, 4, 1], [0, 0, 10]])).value == pytest.approx(23 / 34)


def test_cohen_kappa():
    """Seven of ten agree, half are expected by chance: (0.7 - 0.5) / (1 - 0.5)."""
    assert cohen_kappa(photos([[4, 1], [2, 3]])).value == pytest.approx(0.4)


def test_repeated_ratings_do_not_lower_the_error():
    """Three equal trials have the standard error of one."""
    once = photos([[44, 6], [3, 97]])

    assert cohen_kappa([3 * photo for photo in once]).standard_error == pytest.approx(cohen_kappa(once).standard_error)


def test_independent_trials_lower_the_error():
    """Independent ratings count separately."""
    rng = np.random.default_rng(0)
    pairs = [(bool(a), bool(a) ^ bool(b)) for a, b in zip(rng.random(300) < 0.5, rng.random(300) < 0.1, strict=True)]

    single = cohen_kappa([[pair] for pair in pairs])
    grouped = cohen_kappa([pairs[start : start + 3] for start in range(0, 300, 3)])

    assert grouped.value == single.value
    assert grouped.standard_error == pytest.approx(single.standard_error, rel=0.25)


def test_fleiss_kappa_of_textbook_example():
    """Ten subjects, fourteen ratings, five categories: 0.210."""
    table = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    ratings = [[key for key, count in enumerate(row) for _ in range(count)] for row in table]

    assert round(fleiss_kappa(ratings).value, 3) == 0.210


def test_fleiss_standard_error_matches_the_bootstrap():
    """Kappa of resampled photos has the standard deviation of the error."""
    rng = np.random.default_rng(0)
    is_bad = rng.random(200) < 0.4
    ratings = [[bool(b) ^ bool(w) for w in rng.random(4) < 0.1] for b in is_bad]
    resampled = [fleiss_kappa([ratings[k] for k in rng.integers(200, size=200)]).value for _ in range(300)]

    assert fleiss_kappa(ratings).standard_error == pytest.approx(float(np.std(resampled)), rel=0.15)


def test_perfect_agreement_has_no_interval():
    """The standard error of the formulas is 0, which would be too narrow an interval."""
    perfect = photos([[5, 0], [0, 5]])

    assert cohen_kappa(perfect) == Kappa(1.0, 0.0)
    assert cohen_kappa(perfect).ci95 is None
    assert fleiss_kappa([[a, b] for ((a, b),) in perfect]) == Kappa(1.0, 0.0)


def test_kappa_is_undefined():
    """A single category, no ratings, or single ratings."""
    assert cohen_kappa(photos([[9, 0], [0, 0]])) is None
    assert fleiss_kappa([["pass", "pass"]] * 3) is None
    assert cohen_kappa([]) is None
    assert fleiss_kappa([]) is None
    assert fleiss_kappa([["pass"], ["fail"]]) is None


def test_interval_is_clipped():
    """Two standard errors, clipped at 1."""
    assert Kappa(0.5, 0.1).ci95 == pytest.approx((0.304, 0.696), abs=1e-4)
    assert Kappa(0.95, 0.1).ci95[1] == 1.0
