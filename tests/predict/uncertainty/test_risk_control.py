"""Guarantees of thresholds, against the binomial distribution and on random samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from logicls.constraints.spec.loader import load_spec
from logicls.predict.uncertainty.risk_control import (
    RISK_TARGETS,
    LabelledRule,
    RiskTarget,
    choose_observed_limits,
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
    """Load a spec of two major rules and a minor one."""
    (tmp_path / "box.yaml").write_text(SPEC)
    return load_spec(tmp_path / "box.yaml")


def samples(name: str, broken: list[float], good: list[float]) -> list[LabelledRule]:
    """Return samples of one rule with these probabilities; from one half on the answers say that it is broken."""
    labels = [*((p, True) for p in broken), *((p, False) for p in good)]
    return [LabelledRule(name, p, is_broken, p >= 0.5) for p, is_broken in labels]


@pytest.mark.parametrize(("count", "total"), [(0, 10), (0, 299), (3, 40), (12, 13)])
def test_upper_bound_definition(count, total):
    """At the bound so few are observed in 5 % of samples: the definition of Clopper and Pearson."""
    assert binom.cdf(count, total, upper_confidence_bound(count, total)) == pytest.approx(0.05)


def test_upper_bound_of_all_errors():
    """No rate can be excluded."""
    assert upper_confidence_bound(7, 7) == 1.0


@pytest.mark.parametrize(("rate", "needed"), [(0.01, 299), (0.005, 598), (0.05, 59)])
def test_required_photos(rate, needed):
    """One less is not enough."""
    assert required_photos(rate) == needed
    assert upper_confidence_bound(0, needed) <= rate < upper_confidence_bound(0, needed - 1)


def test_largest_certified_threshold():
    """With 473 broken photos one may pass at 1 %: the threshold is the second lowest probability; with 472 none may."""
    values = [0.01, 0.02, 0.03, *[0.9] * 470]

    assert largest_certified_threshold(values, 0.01, 0.95, maximum=0.5) == 0.02
    assert largest_certified_threshold(values[:-1], 0.01, 0.95, maximum=0.5) == 0.01
    assert largest_certified_threshold(values, 0.01, 0.95, maximum=0.015) == 0.015


def test_no_threshold_below_good_samples(spec):
    """Broken ones that look like good ones lower an observed threshold to the good ones, not below all of them."""
    good = [*np.linspace(0.01, 0.015, 290).tolist(), *[0.3] * 10]
    own = samples("pins", [*[0.002] * 20, *[0.99] * 80], good)
    arguments = {"confidence": 0.95, "origin": "test"}

    limit = choose_thresholds(spec, own, RISK_TARGETS, **arguments, certified=False).for_rule("pins")
    certified = choose_thresholds(spec, [*own, *own, *own], RISK_TARGETS, **arguments).for_rule("pins")

    to_review = sum(limit.low <= probability for probability in good) / len(good)
    assert (0.015 < limit.low <= 0.1, to_review <= 0.1 / 3) == (True, True)
    assert "escape rate" in limit.guarantee
    assert "20 of 100" in limit.guarantee
    assert certified.low <= 0.002


def test_guarantee_from_own_photos(spec):
    """300 broken and 300 good ones, one of them with a low probability: the lower threshold is below it."""
    own = samples("pins", [0.04, *[0.99] * 299], [0.001] * 300)

    limit = choose_thresholds(spec, own, RISK_TARGETS, confidence=0.95, origin="test").for_rule("pins")

    assert (limit.low, limit.high) == (0.04, 0.9)
    assert limit.guarantee == (
        "escape rate at most 0.99% with 95% confidence (0 of 300); "
        "overkill rate at most 0.99% with 95% confidence (0 of 300)"
    )


def test_guarantee_from_photos_of_the_severity(spec):
    """200 of one rule and 100 of the other; those of the minor rule do not count."""
    both = [*samples("pins", [0.99] * 200, []), *samples("lids", [0.99] * 100, []), *samples("caps", [0.0] * 50, [])]

    thresholds = choose_thresholds(spec, both, RISK_TARGETS, confidence=0.95, origin="test")

    assert thresholds.for_rule("pins").low == thresholds.for_rule("lids").low == 0.1
    assert "escape rate at most 0.99% with 95% confidence (0 of 300, all rules of this severity together)" in (
        thresholds.for_rule("lids").guarantee
    )
    assert (
        "escape rate of 5.00% not guaranteed: 59 broken photos are needed, there are 50"
        in thresholds.for_rule("caps").guarantee
    )


def test_missing_photos_are_stated(spec):
    """Without photos each rule has the thresholds of its target."""
    thresholds = choose_thresholds(spec, [], RISK_TARGETS, confidence=0.95, origin="nothing")

    limits = {name: (limit.low, limit.high) for name, limit in thresholds.limits}
    assert limits == {"pins": (0.1, 0.9), "lids": (0.1, 0.9), "caps": (0.2, 0.9)}
    assert thresholds.for_rule("pins").guarantee.startswith(
        "escape rate of 1.00% not guaranteed: 299 broken photos are needed, there are 0"
    )


def test_looser_target_has_a_higher_threshold(spec):
    """The same photos at 1 % and 10 %."""
    own = samples("pins", [k / 400 for k in range(400)], [])
    loose = {**RISK_TARGETS, "major": RiskTarget(0.1, 0.02, 0.9, 0.9)}
    strict = {**RISK_TARGETS, "major": RiskTarget(0.01, 0.02, 0.9, 0.9)}

    lows = [choose_thresholds(spec, own, t, confidence=0.95, origin="").for_rule("pins").low for t in (strict, loose)]

    assert 0.0 == lows[0] < 0.06 < lows[1] < 0.1


def test_few_photos_are_evidence(spec):
    """All of 50 broken photos read as good: too few for a guarantee, enough to see that 0.2 lets them pass."""
    photos = samples("caps", [0.001 * k for k in range(50)], [])

    limit = choose_thresholds(spec, photos, RISK_TARGETS, confidence=0.95, origin="").for_rule("caps")

    assert limit.low == pytest.approx(0.005)  # of 50 photos 5 may pass at 5 %: more have a probability below 5 %
    missing = "escape rate of 5.00% not guaranteed: 59 broken photos are needed, there are 50"
    assert limit.guarantee.startswith(f"{missing}; at most 19.88% is shown (5 of 50")


@pytest.mark.parametrize("certified", [True, False])
def test_one_misread_example_moves_certified_thresholds_alone(spec, certified):
    """One of 330 examples is read with 0.1 %. Certified, a photo with 0.2 % goes to review; by Chow's rule none."""
    examples = samples("pins", [0.001, *[0.99] * 329], [0.002] * 400)

    limit = choose_thresholds(
        spec, examples, RISK_TARGETS, confidence=0.95, origin="400 examples of 1 photo", certified=certified
    ).for_rule("pins")

    assert limit.low == (0.001 if certified else 0.1)
    shown = "escape rate at most 1.43% with 95% confidence (1 of 330), target 1.00%; overkill rate at most"
    assert limit.guarantee.startswith(shown) is not certified
    assert limit.guarantee.endswith("shown by 400 examples of 1 photo, not promised for others") is not certified


def test_badly_read_rule_moves_its_own_threshold_alone(spec):
    """Four of 40 broken pins are read with at most 4 %: significant for pins, and without effect on lids."""
    examples = [*samples("pins", [0.01, 0.02, 0.03, 0.04, *[0.99] * 36], []), *samples("lids", [0.99] * 300, [])]

    thresholds = choose_thresholds(spec, examples, RISK_TARGETS, confidence=0.95, origin="", certified=False)

    assert thresholds.for_rule("pins").low == 0.03
    assert thresholds.for_rule("lids").low == 0.1


def test_rules_that_are_read_badly_together_move_all(spec):
    """Each of two rules could have two errors by chance, but not both, of 80 broken photos."""
    examples = [s for name in ("pins", "lids") for s in samples(name, [0.01, 0.02, *[0.99] * 38], [])]

    thresholds = choose_thresholds(spec, examples, RISK_TARGETS, confidence=0.95, origin="", certified=False)

    assert thresholds.for_rule("pins").low == thresholds.for_rule("lids").low == 0.02


def test_rules_read_as_broken_do_not_pass(spec):
    """A rule that is broken by its answers goes to review whatever its probability: it is no escape, and vice versa."""
    found = [LabelledRule("pins", 0.001, True, True)] * 300 + [LabelledRule("pins", 0.95, False, False)] * 300

    limit = choose_thresholds(spec, found, RISK_TARGETS, confidence=0.95, origin="").for_rule("pins")

    assert (limit.low, limit.high) == (0.1, 0.9)
    assert "(0 of 300); overkill rate" in limit.guarantee


def test_observed_rate_is_not_far_above_the_target():
    """Probabilities of 2,000 broken photos are uniform: the share below the threshold of 5 % is the threshold."""
    rng = np.random.default_rng(2)

    limits = [
        choose_observed_limits({"a": rng.random(2000).tolist()}, 0.05, 0.95, max_limit=1.0)["a"] for _ in range(100)
    ]

    assert 0.05 < np.mean(limits) < 0.065
    assert max(limits) < 0.08


def test_guarantee_holds():
    """Thresholds for 5 %, chosen on 200 random photos, 400 times: the true rate is higher in at most 5 % of the cases.

    Probabilities of broken photos are uniform, so the true rate of a threshold is the threshold itself.
    """
    rng = np.random.default_rng(1)

    above = [largest_certified_threshold(rng.random(200).tolist(), 0.05, 0.95, maximum=1.0) > 0.05 for _ in range(400)]

    assert 0 < np.mean(above) <= 0.07  # 5 %, and the sampling error of 400 draws
