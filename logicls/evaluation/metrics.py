"""Verdicts held against the truth: how often right, what escaped, and how sure one can be of it.

An *escape* is a bad photo that passed, an *overkill* a good photo that failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from logicls.errors import DataError, Problem
from logicls.evaluation.ground_truth import Truth
from logicls.evaluation.intervals import Rate, describe_escape_bound
from logicls.predict.uncertainty.calibration import ReliabilityBin, compute_reliability, expected_calibration_error
from logicls.records import Verdict


@dataclass(frozen=True, slots=True)
class ViolationMetrics:
    """How well one violation is told. A figure whose denominator is zero is None."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    auroc: float | None
    n: int
    """Photos that have it."""


@dataclass(frozen=True, slots=True)
class EvaluationMetrics:
    """What the verdicts came to on the photos of the truth."""

    n: int
    exact_match: Rate
    """The derived set of violations is the true one, whatever the outcome."""
    exact_match_without_review: Rate
    """The same over the photos that passed or failed."""
    escape_rate: Rate
    """Bad photos that passed, over the bad ones."""
    overkill_rate: Rate
    """Good photos that failed, over the good ones."""
    review_rate: Rate
    agreement: Rate
    """Photos whose stated violations are the derived ones."""
    macro_f1: float | None
    """Mean F1 of the violations that occur or were found."""
    micro_f1: float | None
    auroc: float | None
    """Good against bad photos by anomaly score; None where one of the two is missing."""
    violations: tuple[ViolationMetrics, ...]
    reliability: tuple[ReliabilityBin, ...] = ()
    """How often what was called likely was there, in bins of the probability, all violations together."""
    unlabelled: tuple[str, ...] = ()
    """Photos with a verdict that the truth does not name; they count nowhere."""
    unknown_violations: tuple[str, ...] = ()
    """Violations of the truth that no verdict has a score for: beyond the spec, or misspelt."""

    @property
    def escape_bound(self) -> str:
        """What may be said about escapes, and how many bad photos a claim of 1 % takes."""
        return describe_escape_bound(self.escape_rate)

    def to_json(self) -> dict[str, object]:
        """The content of metrics.json; shares 0 to 1, null where undefined."""
        board: dict[str, object] = {"n": self.n}
        rates = {"exact_match": self.exact_match, "exact_match_without_review": self.exact_match_without_review}
        rates |= {"escape_rate": self.escape_rate, "overkill_rate": self.overkill_rate, "review_rate": self.review_rate}
        for key, rate in rates.items():
            board[key] = rate.value
            board[f"{key}_ci95"] = list(rate.ci95) if rate.ci95 else None
        board |= {"macro_f1": self.macro_f1, "micro_f1": self.micro_f1, "auroc": self.auroc}
        board |= {"agreement": self.agreement.value, "claim": self.escape_bound}
        board |= {
            "ece": expected_calibration_error(self.reliability),
            "reliability": [b.to_json() for b in self.reliability],
        }
        board["violations"] = {
            v.name: {"precision": v.precision, "recall": v.recall, "f1": v.f1, "auroc": v.auroc, "n": v.n}
            for v in self.violations
        }
        board |= {"unlabelled": list(self.unlabelled), "unknown": list(self.unknown_violations)}
        return board


def compute_metrics(verdicts: Iterable[Verdict], truth: Truth) -> EvaluationMetrics:
    """Hold the verdicts against the truth. Loads torch.

    A violation without a score in a verdict counts there as 1 where it was found and 0 elsewhere.

    Raises:
        DataError: A photo of the truth has no verdict (LC247), or a photo has two (LC248).
    """
    found = _index_by_photo(verdicts)
    missing = [photo for photo in truth if photo not in found]
    if missing:
        raise DataError(_missing(missing, len(truth)))
    pairs = [(found[photo], set(names)) for photo, names in truth.items()]
    decided = [(v, names) for v, names in pairs if v.outcome != "review"]
    bad = [v for v, names in pairs if names]
    good = [v for v, names in pairs if not names]
    scored = {name for v, _ in pairs for name, _ in v.scores}
    true = {name for _, names in pairs for name in names}
    table, macro, micro = _violation_metrics(pairs, sorted(scored | true | {n for v, _ in pairs for n in v.violations}))
    return EvaluationMetrics(
        n=len(pairs),
        exact_match=Rate(sum(set(v.violations) == names for v, names in pairs), len(pairs)),
        exact_match_without_review=Rate(sum(set(v.violations) == names for v, names in decided), len(decided)),
        escape_rate=Rate(sum(v.outcome == "pass" for v in bad), len(bad)),
        overkill_rate=Rate(sum(v.outcome == "fail" for v in good), len(good)),
        review_rate=Rate(len(pairs) - len(decided), len(pairs)),
        agreement=Rate(sum(v.stated is not None and set(v.stated) == set(v.violations) for v, _ in pairs), len(pairs)),
        macro_f1=macro,
        micro_f1=micro,
        auroc=compute_auroc([v.score for v, _ in pairs], [bool(names) for _, names in pairs]),
        violations=table,
        reliability=compute_reliability(found.values(), truth),
        unlabelled=tuple(sorted(found.keys() - truth.keys())),
        unknown_violations=tuple(sorted(true - scored)) if scored else (),
    )


def _index_by_photo(verdicts: Iterable[Verdict]) -> dict[str, Verdict]:
    found: dict[str, Verdict] = {}
    twice: list[str] = []
    for verdict in verdicts:
        if verdict.photo in found:
            twice.append(verdict.photo)
        found[verdict.photo] = verdict
    if twice:
        raise DataError([Problem("LC248", f'photo "{photo}" has more than one verdict.') for photo in twice])
    return found


def _missing(photos: Sequence[str], of: int, most: int = 50) -> Problem:
    named = ", ".join(photos[:most]) + (f" and {len(photos) - most} more" if len(photos) > most else "")
    advice = "Names are compared as they are written, folders included."
    return Problem("LC247", f"{len(photos)} of {of} photos in the truth have no verdict: {named}.", advice=advice)


def _violation_metrics(
    pairs: Sequence[tuple[Verdict, set[str]]], names: Sequence[str]
) -> tuple[tuple[ViolationMetrics, ...], float | None, float | None]:
    """Each violation's figures, macro F1 and micro F1."""
    table: list[ViolationMetrics] = []
    said_all: list[bool] = []
    true_all: list[bool] = []
    for name in names:
        said = [name in v.violations for v, _ in pairs]
        true = [name in has for _, has in pairs]
        scores = [dict(v.scores).get(name, float(s)) for (v, _), s in zip(pairs, said, strict=True)]
        precision, recall, f1 = _precision_recall_f1(said, true)
        table.append(ViolationMetrics(name, precision, recall, f1, compute_auroc(scores, true), sum(true)))
        said_all += said
        true_all += true
    f1s = [v.f1 for v in table if v.f1 is not None]
    return tuple(table), sum(f1s) / len(f1s) if f1s else None, _precision_recall_f1(said_all, true_all)[2]


def _precision_recall_f1(said: list[bool], true: list[bool]) -> tuple[float | None, float | None, float | None]:
    if not any(said) and not any(true):
        return None, None, None
    import torch
    from torchmetrics.functional.classification import binary_f1_score, binary_precision, binary_recall

    preds, target = torch.tensor(said).int(), torch.tensor(true).int()
    precision = float(binary_precision(preds, target)) if any(said) else None
    recall = float(binary_recall(preds, target)) if any(true) else None
    return precision, recall, float(binary_f1_score(preds, target))


def compute_auroc(scores: Sequence[float], labels: Sequence[bool]) -> float | None:
    """Share of the pairs of a true and an untrue one in which the true one has the higher score, ties halved.

    None where one of the two is missing. Loads torch.
    """
    if all(labels) or not any(labels):
        return None
    import torch
    from torchmetrics.functional.classification import binary_auroc

    return float(binary_auroc(torch.tensor(list(scores), dtype=torch.float64), torch.tensor(list(labels)).int()))
