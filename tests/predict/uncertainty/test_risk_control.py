"""What thresholds promise, against the binomial distribution, and on draws of which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from logicls.constraints.spec.loader import load_spec
from logicls.predict.uncertainty.risk_control import (
    RISK_TARGETS,
    LabelledRule,
    RiskTarget,
    choose_thresholds,
    largest_certified_threshold,
    required_photos,
    upper_confidence_bound,
)

SPEC = """logicls: 1
product: {name: box}
components: {pin: {}, lid: {}, cap: {}}
constraints:
  - {id: pins, quantity: {of: pin, exactly: 2}}
  - {id: lids, quantity: {of: lid, exactly: 1}}
  - {id: caps, quantity: {of: cap, exactly: 1}, severity: minor}
"""


@pytest.fixture
def spec(tmp_path):
    """Two major rules and a minor one."""
    (tmp_path / "box.yaml").write_text(SPEC)
    return load_spec(tmp_path / "box.yaml")


def cases(name: str, broken: list[float], good: list[float]) -> list[LabelledRule]:
    """Of one rule."""
    return [*(LabelledRule(name, p, True) for p in broken), *(LabelledRule(name, p, False) for p in good)]


@pytest.mark.parametrize(("count", "of"), [(0, 10), (0, 299), (3, 40), (12, 13)])
def test_the_bound_is_where_so_few_would_be_a_surprise(count, of):
    """At the bound, so many or fewer are seen in 5 % of samples: the definition of Clopper and Pearson."""
    assert binom.cdf(count, of, upper_confidence_bound(count, of)) == pytest.approx(0.05)


def test_all_wrong_bounds_nothing():
    """No share is excluded from above."""
    assert upper_confidence_bound(7, 7) == 1.0


@pytest.mark.parametrize(("rate", "needed"), [(0.01, 299), (0.005, 598), (0.05, 59)])
def test_so_many_photos_are_needed(rate, needed):
    """One less does not do."""
    assert required_photos(rate) == needed
    assert upper_confidence_bound(0, needed) <= rate < upper_confidence_bound(0, needed - 1)


def test_the_largest_threshold_lets_as_many_pass_as_are_allowed():
    """Of 473 broken photos one may pass at 1 %: the threshold is the second lowest probability; of 472 none may."""
    found = [0.01, 0.02, 0.03, *[0.9] * 470]

    assert largest_certified_threshold(found, 0.01, 0.95, maximum=0.5) == 0.02
    assert largest_certified_threshold(found[:-1], 0.01, 0.95, maximum=0.5) == 0.01
    assert largest_certified_threshold(found, 0.01, 0.95, maximum=0.015) == 0.015


def test_enough_photos_are_promised_by_themselves(spec):
    """300 broken and 300 good ones, one of them missed: the lower threshold is below it."""
    own = cases("pins", [0.04, *[0.99] * 299], [0.001] * 300)

    limit = choose_thresholds(spec, own, RISK_TARGETS, confidence=0.95, origin="here").for_rule("pins")

    assert (limit.low, limit.high) == (0.04, 0.9)
    assert limit.guarantee == (
        "escape rate at most 0.99% with 95% confidence (0 of 300); "
        "overkill rate at most 0.99% with 95% confidence (0 of 300)"
    )


def test_too_few_are_taken_together_with_those_of_the_severity(spec):
    """200 of one rule and 100 of the other; the minor rule's do not count."""
    both = [*cases("pins", [0.99] * 200, []), *cases("lids", [0.99] * 100, []), *cases("caps", [0.0] * 50, [])]

    found = choose_thresholds(spec, both, RISK_TARGETS, confidence=0.95, origin="here")

    assert found.for_rule("pins").low == found.for_rule("lids").low == 0.1
    assert "escape rate at most 0.99% with 95% confidence (0 of 300, all rules of this severity together)" in (
        found.for_rule("lids").guarantee
    )
    assert (
        "escape rate of 5.00% not guaranteed: 59 broken photos are needed, there are 50"
        in found.for_rule("caps").guarantee
    )


def test_what_cannot_be_promised_says_so(spec):
    """Without any photo each rule has the thresholds of its severity."""
    found = choose_thresholds(spec, [], RISK_TARGETS, confidence=0.95, origin="nothing")

    limits = {name: (limit.low, limit.high) for name, limit in found.limits}
    assert limits == {"pins": (0.1, 0.9), "lids": (0.1, 0.9), "caps": (0.2, 0.9)}
    assert found.for_rule("pins").guarantee.startswith(
        "escape rate of 1.00% not guaranteed: 299 broken photos are needed, there are 0"
    )


def test_a_target_that_is_looser_sends_fewer_to_review(spec):
    """The same photos, 1 % and 10 %."""
    own = cases("pins", [k / 400 for k in range(400)], [])
    loose = {**RISK_TARGETS, "major": RiskTarget(0.1, 0.02, 0.9, 0.9)}
    strict = {**RISK_TARGETS, "major": RiskTarget(0.01, 0.02, 0.9, 0.9)}

    lows = [choose_thresholds(spec, own, t, confidence=0.95, origin="").for_rule("pins").low for t in (strict, loose)]

    assert 0.0 == lows[0] < 0.06 < lows[1] < 0.1


def test_the_promise_is_kept():
    """Thresholds for 5 %, chosen on 200 drawn photos, 400 times: the true rate is above in no more than 5 % of them.

    Probabilities of broken photos are drawn evenly, so that the true rate of a threshold is the threshold itself.
    """
    rng = np.random.default_rng(1)

    above = [largest_certified_threshold(rng.random(200).tolist(), 0.05, 0.95, maximum=1.0) > 0.05 for _ in range(400)]

    assert 0 < np.mean(above) <= 0.07  # 5 %, and what 400 draws leave open
