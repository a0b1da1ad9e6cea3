"""Kappas against published figures, and their errors against the papers' own formulas."""

import math

import numpy as np
import pytest

from logicls.evaluation.agreement.statistics import Kappa, cohen_kappa, fleiss_kappa


def photos(table):
    """One photo for each of the counts of a square table: (row's category, column's category)."""
    return [[(i, j)] for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)]


def classic_error(table):
    """Fleiss, Cohen and Everitt 1969, equation 13, written down as it stands there."""
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
def test_the_kappas_of_the_manual(table, kappa):
    """AIAG's example: three inspectors with one another, and with the standard."""
    assert round(cohen_kappa(photos(table)).value, 2) == kappa


@pytest.mark.parametrize("table", [[[44, 6], [3, 97]], [[75, 1, 4], [5, 4, 1], [0, 0, 10]]])
def test_the_error_is_that_of_the_paper(table):
    """Where every photo is read once."""
    assert cohen_kappa(photos(table)).standard_error == pytest.approx(classic_error(table), rel=1e-12)


def test_the_kappa_of_three_categories():
    """By hand: 89 of 100 agree, by chance 66: 23 of 34."""
    assert cohen_kappa(photos([[75, 1, 4], [5, 4, 1], [0, 0, 10]])).value == pytest.approx(23 / 34)


def test_cohen_worked_out_by_hand():
    """Of ten, seven agree; by chance half do: (0.7 - 0.5) / (1 - 0.5)."""
    assert cohen_kappa(photos([[4, 1], [2, 3]])).value == pytest.approx(0.4)


def test_reading_the_same_again_makes_nothing_surer():
    """Three trials that are all alike have the error of one."""
    once = photos([[44, 6], [3, 97]])

    assert cohen_kappa([3 * photo for photo in once]).standard_error == pytest.approx(cohen_kappa(once).standard_error)


def test_trials_that_vary_make_surer():
    """Independent readings count as what they are."""
    rng = np.random.default_rng(0)
    pairs = [(bool(a), bool(a) ^ bool(b)) for a, b in zip(rng.random(300) < 0.5, rng.random(300) < 0.1, strict=True)]

    alone = cohen_kappa([[pair] for pair in pairs])
    together = cohen_kappa([pairs[start : start + 3] for start in range(0, 300, 3)])

    assert together.value == alone.value
    assert together.standard_error == pytest.approx(alone.standard_error, rel=0.25)


def test_fleiss_kappa_of_the_textbook_example():
    """Ten subjects, fourteen readings, five categories: 0.210."""
    table = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    readings = [[key for key, count in enumerate(row) for _ in range(count)] for row in table]

    assert round(fleiss_kappa(readings).value, 3) == 0.210


def test_the_error_of_fleiss_is_what_samples_vary_by():
    """Drawn again and again from the same photos, kappa spreads by about its error."""
    rng = np.random.default_rng(0)
    bad = rng.random(200) < 0.4
    readings = [[bool(b) ^ bool(w) for w in rng.random(4) < 0.1] for b in bad]
    again = [fleiss_kappa([readings[k] for k in rng.integers(200, size=200)]).value for _ in range(300)]

    assert fleiss_kappa(readings).standard_error == pytest.approx(float(np.std(again)), rel=0.15)


def test_perfect_agreement_has_no_interval():
    """The formulas' error is 0 there, which would claim too much."""
    perfect = photos([[5, 0], [0, 5]])

    assert cohen_kappa(perfect) == Kappa(1.0, 0.0)
    assert cohen_kappa(perfect).ci95 is None
    assert fleiss_kappa([[a, b] for ((a, b),) in perfect]) == Kappa(1.0, 0.0)


def test_one_category_has_no_kappa():
    """Chance agrees wholly, too; nor is there one of nothing, or of single readings."""
    assert cohen_kappa(photos([[9, 0], [0, 0]])) is None
    assert fleiss_kappa([["pass", "pass"]] * 3) is None
    assert cohen_kappa([]) is None
    assert fleiss_kappa([]) is None
    assert fleiss_kappa([["pass"], ["fail"]]) is None


def test_the_interval_stays_within_what_kappa_can_be():
    """Two standard errors, cut at 1."""
    assert Kappa(0.5, 0.1).ci95 == pytest.approx((0.304, 0.696), abs=1e-4)
    assert Kappa(0.95, 0.1).ci95[1] == 1.0
