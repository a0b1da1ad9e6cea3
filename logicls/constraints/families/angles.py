"""Angles in the plane of the photo: degrees, counterclockwise as seen on the photo, 0 as annotated or on good photos.

An angle is known up to a period: 360, or less for parts that look the same after a part of a turn. Answers are whole
degrees from 0 to below the period. Models with an embedded vocabulary read them over a grid of tokens `ANGLE_STEP`
apart: the target lies between two neighbouring tokens, and the expected value over the likeliest token and its
neighbours is the angle (soft targets and expected value as for coordinates, decision 0003).
"""

from __future__ import annotations

from collections.abc import Sequence

ANGLE_STEP = 15
"""Degrees between the angles that are the options of an orientation query."""
FULL_TURN = 360
"""Degrees."""
QUARTER_TURN = 90
"""Degrees."""
MAX_MEDIAN_SAMPLES = 300
"""Angles of which a median is computed; the effort grows with their square."""


def normalize_angle(angle: float, period: float = FULL_TURN) -> float:
    """Return the equal angle from 0 to below the period.

    >>> normalize_angle(-90), normalize_angle(190, 180)
    (270.0, 10.0)
    """
    wrapped = float(angle) % period
    return 0.0 if wrapped == period else wrapped


def fold_angle(angle: float, period: float = FULL_TURN) -> float:
    """Return the equal angle nearest to 0: above minus half the period, and up to half the period.

    >>> fold_angle(350), fold_angle(180), fold_angle(170, 180)
    (-10.0, 180.0, -10.0)
    """
    wrapped = normalize_angle(angle, period)
    return wrapped - period if wrapped > period / 2 else wrapped


def angle_to_text(angle: float, period: int = FULL_TURN) -> str:
    """Return an angle as the value of an answer, in whole degrees.

    >>> angle_to_text(-0.4), angle_to_text(359.7), angle_to_text(-90), angle_to_text(182, 180)
    ('0', '0', '270', '2')
    """
    return str(round(normalize_angle(angle, period)) % period)


def angle_pattern(period: int) -> str:
    """Return a regular expression for the answers of an orientation query, in the notation that all grammars share.

    >>> import re
    >>> all(re.fullmatch(angle_pattern(period), str(n)) for period in (90, 180, 360) for n in range(period))
    True
    >>> [re.fullmatch(angle_pattern(period), text) for period in (90, 180, 360) for text in ("007", str(period))]
    [None, None, None, None, None, None]
    """
    below_100 = "[0-9]|[1-8][0-9]" if period == QUARTER_TURN else "[0-9]|[1-9][0-9]"
    hundreds = {QUARTER_TURN: "", FULL_TURN // 2: "|1[0-7][0-9]", FULL_TURN: "|[12][0-9][0-9]|3[0-5][0-9]"}
    return below_100 + hundreds[period]


def is_angle(text: str, period: int) -> bool:
    """Check if a text is an answer to an orientation query."""
    return text.isascii() and text.isdecimal() and int(text) < period and text == str(int(text))


def round_to_option(angle: str) -> str:
    """Return the option nearest to the value of an answer, for counts of answers that are alike.

    >>> round_to_option("352"), round_to_option("353"), round_to_option("8")
    ('345', '0', '15')
    """
    return str(round(float(angle) / ANGLE_STEP) * ANGLE_STEP % FULL_TURN)


def are_close(angles: Sequence[str], others: Sequence[str], period: int, tolerance: float) -> bool:
    """Check if the values of two answers to an orientation query are as many, and differ by at most the tolerance.

    >>> are_close(["359", "90"], ["1", "91"], 360, 2), are_close(["0"], ["3"], 360, 2), are_close(["0"], [], 360, 2)
    (True, False, False)
    """
    pairs = zip(angles, others, strict=False)
    is_near = all(abs(fold_angle(float(one) - float(other), period)) <= tolerance for one, other in pairs)
    return len(angles) == len(others) and is_near


def list_angle_options(period: int) -> tuple[str, ...]:
    """Return the options of an orientation query.

    >>> list_angle_options(90)
    ('0', '15', '30', '45', '60', '75')
    """
    return tuple(str(angle) for angle in range(0, period, ANGLE_STEP))


def period_of_options(options: Sequence[str]) -> int:
    """Return the period of an orientation query, from its options."""
    return len(options) * ANGLE_STEP


def split_angle(angle: float, period: int) -> tuple[int, int, float]:
    """Return the indices of the two options around an angle, and the share of the second one, 0 to below 1.

    >>> split_angle(352.5, 360)
    (23, 0, 0.5)
    """
    position = normalize_angle(angle, period) / ANGLE_STEP
    lower, count = int(position), period // ANGLE_STEP
    return lower % count, (lower + 1) % count, position - lower


def expect_angle(probabilities: Sequence[float]) -> tuple[float, float]:
    """Return the expected angle over the likeliest option and its two neighbours, and the probability of the three.

    `probabilities`: of all options of a query, at least three.

    >>> expect_angle([0.5, 0.25, 0.0, 0.0, 0.0, 0.0])
    (5.0, 0.75)
    """
    count = len(probabilities)
    mode = max(range(count), key=probabilities.__getitem__)
    before, after = probabilities[mode - 1], probabilities[(mode + 1) % count]
    mass = before + probabilities[mode] + after
    angle = ANGLE_STEP * (mode + (after - before) / mass)
    return normalize_angle(angle, count * ANGLE_STEP), min(mass, 1.0)


def circular_median(angles: Sequence[float], period: float = FULL_TURN) -> float:
    """Return the angle among the given ones that is nearest to all of them; of many, every n-th is compared.

    >>> circular_median([358.0, 2.0, 3.0, 180.0])
    2.0
    """
    step = len(angles) // MAX_MEDIAN_SAMPLES + 1
    candidates = sorted(normalize_angle(angle, period) for angle in angles[::step])
    return min(candidates, key=lambda one: sum(abs(fold_angle(one - other, period)) for other in candidates))
