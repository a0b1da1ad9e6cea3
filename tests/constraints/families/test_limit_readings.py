"""Readings of limits: a rule with limits holds on a photo exactly where its readings meet them."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
from hypothesis import given, settings

from logicls.constraints.checker.counterexamples import Target, propose_edits
from logicls.constraints.checker.evaluation import build_context
from logicls.constraints.families.context import NotApplicable, UnreadableAnswer
from logicls.constraints.families.logical import evaluate_rule
from logicls.constraints.families.protocol import LimitReading

from ..breaking import SEEDS, apply_edits
from ..generate import product

SEEN: Counter[str] = Counter()
"""Family and status → number of rules that were compared."""


def is_met(reading: LimitReading) -> bool:
    """Return whether a reading meets its limit."""
    return reading.reading >= reading.limit if reading.side == "lower" else reading.reading <= reading.limit


def compare(spec, scene) -> None:
    """Compare the status of every rule with its readings, unless a reading lies on its limit."""
    context = build_context(spec, scene)
    for constraint in spec.constraints:
        try:
            readings = constraint.rule.limit_readings(context)
        except (NotApplicable, UnreadableAnswer):
            assert evaluate_rule(constraint.rule, context).status in ("not_applicable", "unknown")
            continue
        result = evaluate_rule(constraint.rule, context)
        if readings and all(abs(one.reading - one.limit) > 1e-9 for one in readings):
            assert (result.status == "holds") == all(map(is_met, readings)), (constraint.text, result, readings)
            SEEN[f"{constraint.family} {result.status}"] += 1


@given(seed=SEEDS)
@settings(max_examples=150)
def test_a_rule_holds_where_its_readings_meet_the_limits(seed):
    """On good photos and on edited ones, for every rule with a number that readings are compared with."""
    spec, scene = product(random.Random(seed))
    compare(spec, scene)
    for constraint in spec.constraints:
        for mode in constraint.failure_modes[:2]:
            rng = np.random.default_rng(seed)
            edits = next(propose_edits(spec, Target(constraint, mode), scene, rng, is_control=False), None)
            if edits is not None:
                try:
                    compare(spec, apply_edits(spec, edits, scene))
                except KeyError:
                    continue


def test_rules_of_every_family_with_limits_were_compared():
    """Holding and broken ones, of the families that read numbers."""
    families = ("measure", "layout", "orientation")
    assert all(SEEN[f"{family} {status}"] > 5 for family in families for status in ("holds", "broken")), SEEN
