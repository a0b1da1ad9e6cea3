"""Limits that are proposed from readings: tolerance intervals, and the text of the spec with them."""

from __future__ import annotations

import numpy as np
import pytest

from logicls.constraints.families.protocol import LimitReading
from logicls.constraints.spec.loader import load_spec_file
from logicls.evaluation.limits import (
    MIN_PHOTOS,
    LimitReadings,
    collect_readings,
    compute_tolerance_interval,
    howe_factor,
    one_sided_factor,
    propose_limits,
    required_photos,
    round_outwards,
    write_limits,
)
from logicls.records import Answer, Box, Verdict

SPEC = """\
logicls: 1   # the language
product: {name: jar}
components:
  gel: {fills: jar}
  jar: {}
  lid: {}
constraints:
  - id: level
    measure: {height: gel, relative_to: jar, between: [0.5, 0.8]}  # what the drawing says
  - id: lid-place
    layout: {subject: lid, relation: centred_in, object: jar,
             tolerance: [0.2, 0.6]}
  - id: both
    all:
      - measure: {width: jar, at_least: 0.1}   # of the photo
      - quantity: {of: lid, exactly: 1}
  - id: either
    any:
      - measure: {width: lid, at_most: 0.1}
      - quantity: {of: lid, exactly: 0}
  - id: closed
    measure: {width: lid, at_most: 0.6}
    when: {quantity: {of: gel, at_least: 1}}
"""


def make_verdict(number: int, level: float, *, lid: float = 50.0, gel: bool = True) -> Verdict:
    """Verdict on a photo of 200 x 200 pixels with a jar of 100 x 100, gel up to a level, and a lid over it."""
    jar, cover = Box(50, 50, 150, 150), Box(lid, 20, lid + 100, 40)
    fill = (Box(50, 150 - 100 * level, 150, 150),) if gel else ()
    boxes = {"gel": fill, "jar": (jar,), "lid": (cover,)}
    answers = tuple(Answer(f"locate:{name}", boxes=found) for name, found in boxes.items())
    return Verdict(f"{number}.jpg", "pass", answers=answers, width=200, height=200)


@pytest.fixture
def spec(tmp_path):
    """Load the spec with its positions."""
    (tmp_path / "jar.yaml").write_text(SPEC)
    return load_spec_file(tmp_path / "jar.yaml")


@pytest.mark.parametrize(
    ("coverage", "confidence", "sides", "expected"),
    [(0.9, 0.95, 1, 29), (0.95, 0.95, 1, 59), (0.99, 0.95, 1, 299), (0.9, 0.95, 2, 46), (0.95, 0.95, 2, 93),
     (0.99, 0.95, 2, 473), (0.99, 0.99, 2, 662)],
)  # fmt: skip
def test_required_photos_are_those_of_wilks(coverage, confidence, sides, expected):
    """The numbers in every table of distribution-free tolerance intervals."""
    assert required_photos(coverage, confidence, sides=sides) == expected


@pytest.mark.parametrize(
    ("factor", "count", "coverage", "confidence", "expected"),
    [
        (howe_factor, 43, 0.90, 0.99, 2.217),  # NIST/SEMATECH e-Handbook, section 7.2.6.3
        (howe_factor, 20, 0.99, 0.95, 3.615),
        (one_sided_factor, 43, 0.90, 0.99, 1.8740),  # the same section
        (one_sided_factor, 10, 0.95, 0.95, 2.911),
        (one_sided_factor, 20, 0.99, 0.95, 3.295),
    ],
)
def test_normal_factors_are_those_of_the_tables(factor, count, coverage, confidence, expected):
    """Howe's two-sided and the exact one-sided factors."""
    assert factor(count, coverage, confidence) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(("count", "sides"), [(20, 1), (20, 2), (200, 1), (200, 2)])
def test_intervals_cover_what_they_promise(count, sides):
    """Of 400 samples of normal readings at least 95 %, within chance, have an interval with 95 % of the population."""
    from scipy.stats import norm

    rng, covered = np.random.default_rng(1), 0
    for _ in range(400):
        values = rng.normal(10, 2, count).tolist()
        interval = compute_tolerance_interval(values, coverage=0.95, confidence=0.95, sides=sides)
        assert interval.method != "distribution-free" if count == 20 else interval.method == "distribution-free"
        inside = norm.cdf(interval.high, 10, 2) - norm.cdf(interval.low, 10, 2)
        covered += inside >= 0.95
    assert covered >= 400 * 0.95 - 3 * (400 * 0.95 * 0.05) ** 0.5


def test_skewed_readings_are_transformed():
    """Offsets are normal in their roots, ratios in their logarithms; what is neither is marked."""
    rng = np.random.default_rng(2)
    offsets, ratios = (rng.normal(2, 0.6, 200) ** 2).tolist(), np.exp(rng.normal(0, 1, 60)).tolist()
    wild = [*rng.normal(5, 0.1, 60), 90.0]

    methods = [compute_tolerance_interval(v, coverage=0.99, confidence=0.95, sides=1) for v in (offsets, ratios, wild)]

    assert [one.method for one in methods] == ["square root", "logarithm", "normal"]
    assert [one.is_normal for one in methods] == [True, True, False]
    assert methods[2].high >= 90.0


def test_readings_meet_their_limits_on_each_photo(spec):
    """One reading a photo for each limit that must hold; none where the rule does not apply, or within `any`."""
    verdicts = [make_verdict(1, 0.6), make_verdict(2, 0.75, lid=70.0), make_verdict(3, 0.0, gel=False)]

    found = {(one.constraint, *one.path[2:]): one for one in collect_readings(spec.spec, verdicts)}

    assert {key: one.values for key, one in found.items()} == {
        ("level", "measure", "between", 0): pytest.approx([0.6, 0.75]),
        ("level", "measure", "between", 1): pytest.approx([0.6, 0.75]),
        ("lid-place", "layout", "tolerance", 0): pytest.approx([0.0, 0.2, 0.0]),
        ("lid-place", "layout", "tolerance", 1): pytest.approx([0.7, 0.7, 0.7]),
        ("both", "all", 0, "measure", "at_least"): pytest.approx([0.5, 0.5, 0.5]),
        ("closed", "measure", "at_most"): pytest.approx([0.5, 0.5]),
    }
    assert found["lid-place", "layout", "tolerance", 0].outermost[1] == "2.jpg"
    assert found["level", "measure", "between", 0].outermost[1] == "1.jpg"


def test_a_spec_with_proposals_keeps_everything_else(spec, tmp_path):
    """Comments, order and layout stay; the new text is a spec whose limits the readings meet."""
    rng = np.random.default_rng(0)
    verdicts = [make_verdict(n, float(level)) for n, level in enumerate(rng.normal(0.65, 0.01, 60))]
    readings = [one for one in collect_readings(spec.spec, verdicts) if one.constraint in ("level", "both")]

    proposals = propose_limits(readings, coverage=0.99, confidence=0.95)
    text = write_limits(SPEC, spec, proposals)

    (tmp_path / "new.yaml").write_text(text)
    low, high = load_spec_file(tmp_path / "new.yaml").spec.constraints[0].rule.limits
    assert 0.6 < low < 0.64 < 0.66 < high < 0.7
    before, after = SPEC.split("\n"), text.split("\n")
    assert [n for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b] == [8, 14]
    assert after[8] == before[8].replace("[0.5, 0.8]", f"[{low:g}, {high:g}]")
    assert after[14] == "      - measure: {width: jar, at_least: 0.5}   # of the photo"
    assert [p.required for p in proposals if p.readings.constraint == "level"] == [473, 473]


def test_nothing_is_proposed_from_a_handful_of_photos(spec):
    """The number of photos is given all the same."""
    readings = collect_readings(spec.spec, [make_verdict(n, 0.6 + n / 100) for n in range(MIN_PHOTOS - 1)])

    proposals = propose_limits(readings, coverage=0.95, confidence=0.95)

    assert {(p.proposed, p.method) for p in proposals} == {(None, "none")}
    assert {p.required for p in proposals} == {59, 93}
    assert write_limits(SPEC, spec, proposals) == SPEC


@pytest.mark.parametrize(
    ("value", "side", "minimum", "expected"),
    [(0.12341, "upper", 0.0, 0.124), (0.12399, "lower", 0.0, 0.123), (-0.5, "lower", 0.0, 0.0),
     (-7.129, "lower", None, -7.13), (1234.1, "upper", 0.0, 1240.0), (0.0, "upper", 0.0, 0.0)],
)  # fmt: skip
def test_limits_are_rounded_away_from_the_readings(value, side, minimum, expected):
    """Three digits; never below the smallest number that makes sense."""
    limit = LimitReading(("at_most",), side, 1.0, value, "", minimum)

    assert round_outwards(value, limit) == pytest.approx(expected)


def test_the_outermost_reading_is_kept_with_its_photo():
    """Of an upper limit the largest, of a lower one the smallest."""
    upper = LimitReadings("c", ("measure", "at_most"), LimitReading(("at_most",), "upper", 1.0, 0.0))
    lower = LimitReadings("c", ("measure", "at_least"), LimitReading(("at_least",), "lower", 1.0, 0.0))
    for photo, reading in (("a", 1.0), ("b", 3.0), ("c", 2.0)):
        upper.add(photo, reading)
        lower.add(photo, reading)

    assert (upper.outermost, lower.outermost) == ((3.0, "b"), (-1.0, "a"))
