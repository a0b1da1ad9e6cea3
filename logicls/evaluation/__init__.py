"""Evaluation of verdicts against ground truth: metrics with confidence intervals, faithfulness, agreement studies."""

from logicls.data.ground_truth import Truth, read_truth
from logicls.evaluation.intervals import Rate, clopper_pearson, describe_escape_bound
from logicls.evaluation.metrics import EvaluationMetrics, ViolationMetrics, compute_metrics

__all__ = [
    "EvaluationMetrics", "Rate", "Truth", "ViolationMetrics", "clopper_pearson", "compute_metrics",
    "describe_escape_bound", "read_truth",
]  # fmt: skip
