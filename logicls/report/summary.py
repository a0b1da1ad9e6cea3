"""Figures of the report, counted in one pass over the verdicts, and the comparison with the ground truth.

Only the verdicts that may get a card stay in memory.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from logicls.errors import DataError, Problem, relative_path
from logicls.evaluation import EvaluationMetrics, Rate, Truth
from logicls.plugins.reasoning.reinspection_result import reinspection_of
from logicls.predict.uncertainty.calibration import BIN_COUNT, ReliabilityBin
from logicls.records import Outcome, Severity, Verdict
from logicls.report.card_view import Labels
from logicls.report.p_chart import OutcomeSeries
from logicls.reservoir import Reservoir

MAX_SETS = 12
"""Largest number of classes in a confusion matrix; rarer sets are merged into one class."""
OTHER_SETS = "other sets"
ViolationSet = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConfusionMatrix:
    """Confusion matrix over sets of violations."""

    labels: tuple[str, ...]
    """Classes of the rows (true) and columns (predicted): `good`, then by descending frequency."""
    counts: tuple[tuple[int, ...], ...]

    @property
    def has_merged_class(self) -> bool:
        """Whether the last class contains several rare sets of violations."""
        return self.labels[-1:] == (OTHER_SETS,)

    @property
    def correct(self) -> int:
        """Number of photos on the diagonal, without the merged class."""
        return sum(row[n] for n, row in enumerate(self.counts) if self.labels[n] != OTHER_SETS)


@dataclass(slots=True)
class TruthCounter:
    """Counts of verdicts on photos with ground truth."""

    truth: Truth
    set_pairs: Counter[tuple[ViolationSet, ViolationSet]] = field(default_factory=Counter)
    score_bins: list[list[float]] = field(default_factory=lambda: [[0.0] * 3 for _ in range(BIN_COUNT)])
    """Per score bin: number of photos, sum of anomaly scores, number of bad photos."""

    def add(self, verdict: Verdict) -> None:
        """Count a verdict; verdicts without ground truth are ignored."""
        if verdict.photo not in self.truth:
            return
        true = tuple(sorted(self.truth[verdict.photo]))
        self.set_pairs[true, tuple(sorted(verdict.violations))] += 1
        score_bin = self.score_bins[min(int(verdict.score * BIN_COUNT), BIN_COUNT - 1)]
        for place, more in enumerate((1.0, verdict.score, float(bool(true)))):
            score_bin[place] += more

    def reliability_bins(self) -> tuple[ReliabilityBin, ...]:
        """Return reliability bins of the anomaly score as probability that a photo is bad."""
        return tuple(
            ReliabilityBin(n / BIN_COUNT, (n + 1) / BIN_COUNT, int(count), total / count, bad / count)
            for n, (count, total, bad) in enumerate(self.score_bins)
            if count
        )


@dataclass(frozen=True, slots=True)
class TruthComparison:
    """Ground truth, and the scores of the verdicts."""

    truth: Truth
    board: EvaluationMetrics
    reliability: tuple[ReliabilityBin, ...] = ()
    """Reliability bins of calibrated probabilities; empty if unknown."""


def build_confusion_matrix(set_pairs: Counter[tuple[ViolationSet, ViolationSet]]) -> ConfusionMatrix:
    """Build the confusion matrix from the counts of (true, predicted) pairs."""
    frequencies: Counter[ViolationSet] = Counter()
    for (true, predicted), count in set_pairs.items():
        frequencies[true] += count
        frequencies[predicted] += count
    ranked = sorted(frequencies, key=lambda names: (bool(names), -frequencies[names], names))
    most_frequent = ranked[:MAX_SETS]
    labels = [" + ".join(names) or "good" for names in most_frequent] + (
        [OTHER_SETS] if len(ranked) > len(most_frequent) else []
    )
    indices = {names: n for n, names in enumerate(most_frequent)}
    counts = [[0] * len(labels) for _ in labels]
    for (true, predicted), count in set_pairs.items():
        counts[indices.get(true, len(most_frequent))][indices.get(predicted, len(most_frequent))] += count
    return ConfusionMatrix(tuple(labels), tuple(map(tuple, counts)))


def bin_rate(bin_: ReliabilityBin) -> Rate:
    """Return the observed frequency of a bin, with its confidence interval."""
    return Rate(round(bin_.observed_rate * bin_.count), bin_.count)


def read_reliability(metrics: Path) -> tuple[ReliabilityBin, ...]:
    """Read the reliability bins from metrics.json; return none if the file or the key is missing.

    Raises:
        DataError: The bins are invalid (LC645).
    """
    if not metrics.exists():
        return ()
    try:
        rows = json.loads(metrics.read_text(encoding="utf-8")).get("reliability") or []
        bins = [ReliabilityBin.from_json(row) for row in rows if row["count"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = "has invalid bins under `reliability` (low, high, count, mean_probability, observed_rate)."
        problem = Problem("LC645", message, relative_path(metrics), advice="Create the file again with `logicls eval`.")
        raise DataError(problem) from error
    return tuple(bins)


OUTCOME_ORDER: tuple[Outcome, ...] = ("fail", "review", "pass")


@dataclass(frozen=True, slots=True)
class ParetoBar:
    """Bar of the Pareto chart; shares in percent."""

    name: str
    severity: Severity
    count: int
    length: float
    """Length relative to the longest bar."""
    cumulative: float
    """Share of this bar and all longer ones in all violations."""


@dataclass(slots=True)
class Provenance:
    """Bundles, specs, versions, thresholds and plug-ins that made the verdicts; normally one of each."""

    bundles: set[str] = field(default_factory=set)
    specs: set[str] = field(default_factory=set)
    versions: set[str] = field(default_factory=set)
    thresholds: set[str] = field(default_factory=set)
    plugins: set[str] = field(default_factory=set)

    def add(self, verdict: Verdict) -> None:
        """Add the provenance of a verdict."""
        self.bundles |= {verdict.bundle} - {""}
        self.specs |= {verdict.spec} - {""}
        self.versions |= {verdict.version} - {""}
        self.thresholds |= {verdict.thresholds} - {""}
        self.plugins.update(plugin.to_text() for plugin in verdict.plugins)


@dataclass(slots=True)
class SecondLookStats:
    """Statistics of second looks."""

    count: int = 0
    reviews: int = 0
    """Second looks at photos whose first outcome was `review`."""
    resolved: int = 0
    """Those whose second outcome was not `review`."""
    entropies: tuple[float, float] = (0.0, 0.0)
    """Sums of mean entropies, 0 to 1, before and after."""
    with_entropy: int = 0
    """Second looks with recorded entropies."""

    def add(self, verdict: Verdict) -> None:
        """Count the second look of a verdict, if there is one."""
        second_look = reinspection_of(verdict)
        if second_look is None:
            return
        self.count += 1
        self.reviews += second_look.before == "review"
        self.resolved += second_look.before == "review" and (second_look.after or verdict.outcome) != "review"
        if len(second_look.entropies) == 2:
            self.entropies = self.entropies[0] + second_look.entropies[0], self.entropies[1] + second_look.entropies[1]
            self.with_entropy += 1

    @property
    def mean_entropy(self) -> tuple[float, float] | None:
        """Mean entropy before and after, 0 to 1; None if no second look recorded it."""
        before, after = self.entropies
        return (before / self.with_entropy, after / self.with_entropy) if self.with_entropy else None


class VerdictSample(Reservoir[Verdict]):
    """First `capacity` verdicts of a stream, or a uniform random sample if `rng` is given."""

    def __init__(self, capacity: int, rng: random.Random | None) -> None:
        super().__init__(capacity, rng.randrange if rng else None)
        self._rng = rng

    def select(self, count: int) -> list[Verdict]:
        """Return up to `count` verdicts of the sample, in stream order."""
        items = self.items
        if self._rng is not None and count < len(items):
            items = self._rng.sample(items, count)
        return [verdict for _, verdict in sorted(items, key=lambda item: item[0])[:count]]


@dataclass(slots=True)
class ReportSummary:
    """Figures of a report, and samples of verdicts for its cards."""

    labels: Labels
    series: OutcomeSeries
    samples: dict[Outcome, VerdictSample]
    truth_counter: TruthCounter | None
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    worst_severities: Counter[str] = field(default_factory=Counter)
    """Number of photos by the highest severity of their violations."""
    provenance: Provenance = field(default_factory=Provenance)
    second_looks: SecondLookStats = field(default_factory=SecondLookStats)
    seconds: float = 0.0

    @property
    def n(self) -> int:
        """Number of photos."""
        return self.outcomes.total()

    def rate(self, outcome: Outcome) -> Rate:
        """Return the share of photos with an outcome."""
        return Rate(self.outcomes[outcome], self.n)

    def add(self, verdict: Verdict) -> None:
        """Count a photo."""
        self.outcomes[verdict.outcome] += 1
        self.violations.update(verdict.violations)
        self.worst_severities.update(filter(None, [self.labels.worst_severity(verdict.violations)]))
        self.provenance.add(verdict)
        self.second_looks.add(verdict)
        self.seconds += verdict.seconds
        self.series.add(verdict)
        self.samples[verdict.outcome].add(verdict)
        if self.truth_counter is not None:
            self.truth_counter.add(verdict)

    def pareto(self) -> tuple[ParetoBar, ...]:
        """Return the bars of the Pareto chart, by descending frequency."""
        ranked = sorted(self.violations.items(), key=lambda item: (-item[1], item[0]))
        sums = accumulate(count for _, count in ranked)
        return tuple(
            ParetoBar(
                name,
                self.labels.worst_severity([name]) or "major",
                count,
                100 * count / ranked[0][1],
                100 * running / self.violations.total(),
            )
            for (name, count), running in zip(ranked, sums, strict=True)
        )

    def select_photos(self, limit: int) -> dict[Outcome, list[Verdict]]:
        """Select at most `limit` verdicts for cards; up to 1/20 of them are passes, and up to 1/4 reviews."""
        available = {outcome: len(sample.items) for outcome, sample in self.samples.items()}
        passes, reviews = min(available["pass"], limit // 20), min(available["review"], limit // 4)
        fails = min(available["fail"], limit - passes - reviews)
        reviews = min(available["review"], limit - fails - passes)
        passes = min(available["pass"], limit - fails - reviews)
        numbers = {"fail": fails, "review": reviews, "pass": passes}
        return {outcome: self.samples[outcome].select(numbers[outcome]) for outcome in OUTCOME_ORDER}


def summarize(
    verdicts: Iterable[Verdict], labels: Labels, *, photos: Path, limit: int, truth_counter: TruthCounter | None = None
) -> ReportSummary:
    """Count verdicts in one pass; keep up to `limit` of each outcome: the first ones, and a random sample of passes."""
    samples = {
        outcome: VerdictSample(limit, random.Random(0) if outcome == "pass" else None) for outcome in OUTCOME_ORDER
    }
    summary = ReportSummary(labels, OutcomeSeries(photos), samples, truth_counter)
    for verdict in verdicts:
        summary.add(verdict)
    return summary
