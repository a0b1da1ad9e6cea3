"""Verdicts held against the truth."""

from logicls.evaluation.ground_truth import Truth, read_truth
from logicls.evaluation.intervals import Rate, clopper_pearson, describe_escape_bound
from logicls.evaluation.metrics import EvaluationMetrics, ViolationMetrics, compute_metrics

__all__ = [
    "Rate", "EvaluationMetrics", "Truth", "ViolationMetrics", "clopper_pearson", "describe_escape_bound", "read_truth", "compute_metrics",
]  # fmt: skip
