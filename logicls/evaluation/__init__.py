"""Verdicts held against the truth."""

from logicls.evaluation.ground_truth import Truth, read_truth
from logicls.evaluation.intervals import Rate, clopper_pearson, escape_claim
from logicls.evaluation.metrics import Scoreboard, ViolationScore, score

__all__ = [
    "Rate", "Scoreboard", "Truth", "ViolationScore", "clopper_pearson", "escape_claim", "read_truth", "score",
]  # fmt: skip
