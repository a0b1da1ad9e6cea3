"""What the page says of all photos, counted while they pass by; only those that get a card are kept.

Verdicts beside the truth: which sets of violations are taken for which, and do probabilities keep their word?
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
from logicls.evaluation import Rate, Scoreboard, Truth
from logicls.predict.uncertainty.calibration import BIN_COUNT, ReliabilityBin
from logicls.records import Outcome, Severity, Verdict
from logicls.report.card_view import Labels
from logicls.report.p_chart import OutcomeSeries

MAX_SETS = 12
"""Rows of a confusion matrix; the rarest sets beyond that share one."""
OTHER_SETS = "other sets"
ViolationSet = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConfusionMatrix:
    """How often a photo that has one set of violations was read as having another."""

    labels: tuple[str, ...]
    """Of rows (what is true) and columns (what was found); good first, then the most frequent."""
    counts: tuple[tuple[int, ...], ...]

    @property
    def correct(self) -> int:
        """Photos on the diagonal; those whose sets are lumped together are not known to be right."""
        return sum(row[n] for n, row in enumerate(self.counts) if self.labels[n] != OTHER_SETS)


@dataclass(slots=True)
class TruthCounter:
    """What is counted of verdicts beside the truth."""

    truth: Truth
    set_pairs: Counter[tuple[ViolationSet, ViolationSet]] = field(default_factory=Counter)
    score_bins: list[list[float]] = field(default_factory=lambda: [[0.0] * 3 for _ in range(BIN_COUNT)])
    """By tenth of the anomaly score: how many photos, the sum of their scores, how many are bad."""

    def add(self, verdict: Verdict) -> None:
        """Count one verdict; one of a photo that the truth does not name is passed over."""
        if verdict.photo not in self.truth:
            return
        true = tuple(sorted(self.truth[verdict.photo]))
        self.set_pairs[true, tuple(sorted(verdict.violations))] += 1
        score_bin = self.score_bins[min(int(verdict.score * BIN_COUNT), BIN_COUNT - 1)]
        for place, more in enumerate((1.0, verdict.score, float(bool(true)))):
            score_bin[place] += more

    def reliability_bins(self) -> tuple[ReliabilityBin, ...]:
        """The anomaly score as the probability that a photo is bad."""
        return tuple(
            ReliabilityBin(n / BIN_COUNT, (n + 1) / BIN_COUNT, int(count), total / count, bad / count)
            for n, (count, total, bad) in enumerate(self.score_bins)
            if count
        )


@dataclass(frozen=True, slots=True)
class TruthComparison:
    """The truth, and what verdicts came to beside it."""

    truth: Truth
    board: Scoreboard
    reliability: tuple[ReliabilityBin, ...] = ()
    """Of calibrated probabilities; empty where there are none."""


def build_confusion_matrix(set_pairs: Counter[tuple[ViolationSet, ViolationSet]]) -> ConfusionMatrix:
    """The matrix of (true, found) sets."""
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
    """The share that came true, with its interval."""
    return Rate(round(bin_.observed_rate * bin_.count), bin_.count)


def read_reliability(metrics: Path) -> tuple[ReliabilityBin, ...]:
    """The bins in metrics.json under `reliability`; none where the file or the key is not there.

    Raises:
        DataError: They are of another kind (LC645).
    """
    if not metrics.exists():
        return ()
    try:
        rows = json.loads(metrics.read_text(encoding="utf-8")).get("reliability") or []
        bins = [ReliabilityBin.from_json(row) for row in rows if row["count"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = "has invalid bins under `reliability` (low, high, count, mean_probability, observed_rate)."
        problem = Problem("LC645", message, relative_path(metrics), advice="Make it anew with `logicls eval`.")
        raise DataError(problem) from error
    return tuple(bins)


OUTCOME_ORDER: tuple[Outcome, ...] = ("fail", "review", "pass")


@dataclass(frozen=True, slots=True)
class ParetoBar:
    """One bar of the Pareto chart; shares in percent."""

    name: str
    severity: Severity
    count: int
    length: float
    """Of the longest bar."""
    cumulative: float
    """This and all longer bars, of all violations."""


@dataclass(slots=True)
class Provenance:
    """Every value that the verdicts have of what they were made with: mostly one each."""

    bundles: set[str] = field(default_factory=set)
    specs: set[str] = field(default_factory=set)
    versions: set[str] = field(default_factory=set)
    thresholds: set[str] = field(default_factory=set)
    plugins: set[str] = field(default_factory=set)

    def add(self, verdict: Verdict) -> None:
        """Take up what one verdict names."""
        self.bundles |= {verdict.bundle} - {""}
        self.specs |= {verdict.spec} - {""}
        self.versions |= {verdict.version} - {""}
        self.thresholds |= {verdict.thresholds} - {""}
        self.plugins.update(plugin.to_text() for plugin in verdict.plugins)


@dataclass(slots=True)
class SecondLookStats:
    """Second looks, counted."""

    count: int = 0
    reviews: int = 0
    """Of photos whose first look left them in review."""
    resolved: int = 0
    """Those of them that the second one did not."""
    entropies: tuple[float, float] = (0.0, 0.0)
    """Summed over looks that tell them: mean entropy, 0 to 1, before and after."""
    with_entropy: int = 0

    def add(self, verdict: Verdict) -> None:
        """Count that of one photo, if it had one."""
        second_look = verdict.second_look
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
        """Mean entropy before and after, 0 to 1; None where no look tells it."""
        before, after = self.entropies
        return (before / self.with_entropy, after / self.with_entropy) if self.with_entropy else None


class ReservoirSample:
    """The first of a stream, or so many drawn at random where each is as likely as any other; in their order.

    Vitter, Random Sampling with a Reservoir, ACM TOMS 11, 1985, algorithm R.
    """

    def __init__(self, capacity: int, rng: random.Random | None) -> None:
        self.capacity, self.rng, self.count = capacity, rng, 0
        self.items: list[tuple[int, Verdict]] = []

    def add(self, verdict: Verdict) -> None:
        """The next of the stream."""
        if len(self.items) < self.capacity:
            self.items.append((self.count, verdict))
        elif self.rng is not None and (place := self.rng.randrange(self.count + 1)) < self.capacity:
            self.items[place] = (self.count, verdict)
        self.count += 1

    def select(self, count: int) -> list[Verdict]:
        """So many of them, or all that there are."""
        items = self.items
        if self.rng is not None and count < len(items):
            items = self.rng.sample(items, count)
        return [verdict for _, verdict in sorted(items, key=lambda item: item[0])[:count]]


@dataclass(slots=True)
class ReportSummary:
    """The figures, and the photos that get a card."""

    labels: Labels
    series: OutcomeSeries
    samples: dict[Outcome, ReservoirSample]
    truth_counter: TruthCounter | None
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    worst_severities: Counter[str] = field(default_factory=Counter)
    """Photos by the worst severity of their violations."""
    provenance: Provenance = field(default_factory=Provenance)
    second_looks: SecondLookStats = field(default_factory=SecondLookStats)
    seconds: float = 0.0

    @property
    def n(self) -> int:
        """Photos counted."""
        return self.outcomes.total()

    def rate(self, outcome: Outcome) -> Rate:
        """The share of photos with an outcome."""
        return Rate(self.outcomes[outcome], self.n)

    def add(self, verdict: Verdict) -> None:
        """Count one photo."""
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
        """Violations, the most frequent first."""
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
        """At most `limit` photos for cards; where there are enough, a twentieth are passes and a quarter reviews."""
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
    """Count verdicts, read once. Kept are at most `limit` of each outcome: the first, of passes some by chance."""
    samples = {
        outcome: ReservoirSample(limit, random.Random(0) if outcome == "pass" else None) for outcome in OUTCOME_ORDER
    }
    summary = ReportSummary(labels, OutcomeSeries(photos), samples, truth_counter)
    for verdict in verdicts:
        summary.add(verdict)
    return summary
