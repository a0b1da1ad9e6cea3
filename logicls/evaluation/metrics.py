"""Metrics of verdicts against ground truth.

An *escape* is a defective photo that passed, an *overkill* a good photo that failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from logicls.data.ground_truth import Truth
from logicls.errors import DataError, Problem
from logicls.evaluation.intervals import Rate, describe_escape_bound, estimate_rate
from logicls.predict.uncertainty.calibration import ReliabilityBin, compute_reliability, expected_calibration_error
from logicls.records import Verdict


@dataclass(frozen=True, slots=True)
class ViolationMetrics:
    """Metrics of one violation. A metric with a zero denominator is None."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    auroc: float | None
    n: int
    """Photos that have the violation."""


@dataclass(frozen=True, slots=True)
class EvaluationMetrics:
    """Metrics of the verdicts on the photos of the truth."""

    n: int
    """Photos."""
    exact_match: Rate
    """Photos whose derived set of violations is the true one, whatever the outcome."""
    exact_match_without_review: Rate
    """The same for the photos that passed or failed."""
    escape_rate: Rate
    """Share of the defective photos that passed."""
    overkill_rate: Rate
    """Share of the good photos that failed."""
    review_rate: Rate
    agreement: Rate
    """Photos whose stated violations are the derived ones."""
    macro_f1: float | None
    """Mean F1 of the violations that occur or were predicted."""
    micro_f1: float | None
    """F1 of all pairs of photo and violation."""
    auroc: float | None
    """AUROC of the anomaly score, good against defective photos; None without either."""
    violations: tuple[ViolationMetrics, ...]
    reliability: tuple[ReliabilityBin, ...] = ()
    """Reliability of the predicted probabilities, all violations together."""
    unlabelled: tuple[str, ...] = ()
    """Photos with a verdict that the truth does not list; they are ignored."""
    unknown_violations: tuple[str, ...] = ()
    """Violations of the truth without a score in any verdict: not in the spec, or misspelt."""

    @property
    def escape_bound(self) -> str:
        """Upper bound of the escape rate in words, with the sample size that 1 % needs."""
        return describe_escape_bound(self.escape_rate)

    def to_json(self) -> dict[str, object]:
        """Return the content of metrics.json: shares 0 to 1, null where undefined."""
        board: dict[str, object] = {"n": self.n}
        rates = {"exact_match": self.exact_match, "exact_match_without_review": self.exact_match_without_review}
        rates |= {
            "escape_rate": self.escape_rate, "overkill_rate": self.overkill_rate, "review_rate": self.review_rate,
        }  # fmt: skip
        for key, rate in rates.items():
            board[key] = rate.value
            board[f"{key}_ci95"] = list(rate.ci95) if rate.ci95 else None
        board |= {"macro_f1": self.macro_f1, "micro_f1": self.micro_f1, "auroc": self.auroc}
        board |= {"agreement": self.agreement.value, "claim": self.escape_bound}
        board |= {
            "ece": expected_calibration_error(self.reliability),
            "reliability": [one.to_json() for one in self.reliability],
        }
        board["violations"] = {
            v.name: {"precision": v.precision, "recall": v.recall, "f1": v.f1, "auroc": v.auroc, "n": v.n}
            for v in self.violations
        }
        board |= {"unlabelled": list(self.unlabelled), "unknown": list(self.unknown_violations)}
        return board


def compute_metrics(verdicts: Iterable[Verdict], truth: Truth) -> EvaluationMetrics:
    """Compute the metrics of verdicts against the truth.

    A violation without a score in a verdict has a score of 1 if it was found and 0 otherwise.

    Raises:
        DataError: A photo of the truth has no verdict (LC247), or a photo has two (LC248).
    """
    by_photo = _index_by_photo(verdicts)
    missing = [photo for photo in truth if photo not in by_photo]
    if missing:
        raise DataError(_missing(missing, len(truth)))
    pairs = [(by_photo[photo], set(names)) for photo, names in truth.items()]
    decided = [(verdict, names) for verdict, names in pairs if verdict.outcome != "review"]
    scored = {name for verdict, _ in pairs for name, _ in verdict.scores}
    true_names = {name for _, names in pairs for name in names}
    found_names = {name for verdict, _ in pairs for name in verdict.violations}
    violations, macro_f1, micro_f1 = _violation_metrics(pairs, sorted(scored | true_names | found_names))
    return EvaluationMetrics(
        n=len(pairs),
        exact_match=estimate_rate(set(v.violations) == names for v, names in pairs),
        exact_match_without_review=estimate_rate(set(v.violations) == names for v, names in decided),
        escape_rate=estimate_rate(v.outcome == "pass" for v, names in pairs if names),
        overkill_rate=estimate_rate(v.outcome == "fail" for v, names in pairs if not names),
        review_rate=estimate_rate(v.outcome == "review" for v, _ in pairs),
        agreement=estimate_rate(v.stated is not None and set(v.stated) == set(v.violations) for v, _ in pairs),
        macro_f1=macro_f1,
        micro_f1=micro_f1,
        auroc=compute_auroc([v.score for v, _ in pairs], [bool(names) for _, names in pairs]),
        violations=violations,
        reliability=compute_reliability(by_photo.values(), truth),
        unlabelled=tuple(sorted(by_photo.keys() - truth.keys())),
        unknown_violations=tuple(sorted(true_names - scored)) if scored else (),
    )


def _index_by_photo(verdicts: Iterable[Verdict]) -> dict[str, Verdict]:
    by_photo: dict[str, Verdict] = {}
    duplicates: list[str] = []
    for verdict in verdicts:
        if verdict.photo in by_photo:
            duplicates.append(verdict.photo)
        by_photo[verdict.photo] = verdict
    if duplicates:
        raise DataError([Problem("LC248", f'photo "{photo}" has more than one verdict.') for photo in duplicates])
    return by_photo


def _missing(photos: Sequence[str], total: int, max_named: int = 50) -> Problem:
    names = ", ".join(photos[:max_named]) + (f" and {len(photos) - max_named} more" if len(photos) > max_named else "")
    advice = "Names are compared exactly, including folders."
    return Problem("LC247", f"{len(photos)} of {total} photos in the truth have no verdict: {names}.", advice=advice)


def _violation_metrics(
    pairs: Sequence[tuple[Verdict, set[str]]], names: Sequence[str]
) -> tuple[tuple[ViolationMetrics, ...], float | None, float | None]:
    """Return the metrics of each violation, macro F1 and micro F1."""
    table: list[ViolationMetrics] = []
    all_predictions: list[bool] = []
    all_labels: list[bool] = []
    for name in names:
        predictions = [name in verdict.violations for verdict, _ in pairs]
        labels = [name in true_names for _, true_names in pairs]
        scores = [
            dict(verdict.scores).get(name, float(predicted))
            for (verdict, _), predicted in zip(pairs, predictions, strict=True)
        ]
        precision, recall, f1 = _precision_recall_f1(predictions, labels)
        table.append(ViolationMetrics(name, precision, recall, f1, compute_auroc(scores, labels), sum(labels)))
        all_predictions += predictions
        all_labels += labels
    f1s = [v.f1 for v in table if v.f1 is not None]
    macro_f1 = sum(f1s) / len(f1s) if f1s else None
    return tuple(table), macro_f1, _precision_recall_f1(all_predictions, all_labels)[2]


def _precision_recall_f1(
    predictions: Sequence[bool], labels: Sequence[bool]
) -> tuple[float | None, float | None, float | None]:
    """Return precision, recall and F1; None where the denominator is zero."""
    predicted, positive = sum(predictions), sum(labels)
    hits = sum(p and label for p, label in zip(predictions, labels, strict=True))
    return (
        hits / predicted if predicted else None,
        hits / positive if positive else None,
        2 * hits / (predicted + positive) if predicted + positive else None,
    )


def compute_auroc(scores: Sequence[float], labels: Sequence[bool]) -> float | None:
    """Compute the area under the ROC curve; None if all labels are equal."""
    if all(labels) or not any(labels):
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(list(labels), list(scores)))
