"""Verdicts held against the truth."""

from logicls.score.board import Scoreboard, ViolationScore, score
from logicls.score.rate import Rate, clopper_pearson, escape_claim
from logicls.score.truth import Truth, read_truth

__all__ = [
    "Rate", "Scoreboard", "Truth", "ViolationScore", "clopper_pearson", "escape_claim", "read_truth", "score",
]  # fmt: skip
