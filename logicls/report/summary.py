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

from logicls.errors import DataError, Problem, relative
from logicls.evaluation import Rate, Scoreboard, Truth
from logicls.predict.uncertainty.calibration import BINS, Bin
from logicls.records import Outcome, Severity, Verdict
from logicls.report.card_view import Words
from logicls.report.p_chart import Course

MOST_SETS = 12
"""Rows of a confusion matrix; the rarest sets beyond that share one."""
OTHERS = "other sets"
Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often a photo that has one set of violations was read as having another."""

    labels: tuple[str, ...]
    """Of rows (what is true) and columns (what was found); good first, then the most frequent."""
    counts: tuple[tuple[int, ...], ...]

    @property
    def right(self) -> int:
        """Photos on the diagonal; those whose sets are lumped together are not known to be right."""
        return sum(row[n] for n, row in enumerate(self.counts) if self.labels[n] != OTHERS)


@dataclass(slots=True)
class Against:
    """What is counted of verdicts beside the truth."""

    truth: Truth
    sets: Counter[tuple[Names, Names]] = field(default_factory=Counter)
    said: list[list[float]] = field(default_factory=lambda: [[0.0] * 3 for _ in range(BINS)])
    """By tenth of the anomaly score: how many photos, the sum of their scores, how many are bad."""

    def add(self, verdict: Verdict) -> None:
        """Count one verdict; one of a photo that the truth does not name is passed over."""
        if verdict.photo not in self.truth:
            return
        true = tuple(sorted(self.truth[verdict.photo]))
        self.sets[true, tuple(sorted(verdict.violations))] += 1
        tenth = self.said[min(int(verdict.score * BINS), BINS - 1)]
        for place, more in enumerate((1.0, verdict.score, float(bool(true)))):
            tenth[place] += more

    def bins(self) -> tuple[Bin, ...]:
        """The anomaly score as the probability that a photo is bad."""
        return tuple(
            Bin(n / BINS, (n + 1) / BINS, int(count), total / count, bad / count)
            for n, (count, total, bad) in enumerate(self.said)
            if count
        )


@dataclass(frozen=True, slots=True)
class Held:
    """The truth, and what verdicts came to beside it."""

    truth: Truth
    board: Scoreboard
    reliability: tuple[Bin, ...] = ()
    """Of calibrated probabilities; empty where there are none."""


def confusion(sets: Counter[tuple[Names, Names]]) -> Confusion:
    """The matrix of (true, found) sets."""
    often: Counter[Names] = Counter()
    for (true, found), count in sets.items():
        often[true] += count
        often[found] += count
    ranked = sorted(often, key=lambda names: (bool(names), -often[names], names))
    kept = ranked[:MOST_SETS]
    labels = [" + ".join(names) or "good" for names in kept] + ([OTHERS] if len(ranked) > len(kept) else [])
    place = {names: n for n, names in enumerate(kept)}
    counts = [[0] * len(labels) for _ in labels]
    for (true, found), count in sets.items():
        counts[place.get(true, len(kept))][place.get(found, len(kept))] += count
    return Confusion(tuple(labels), tuple(map(tuple, counts)))


def rate_of(some: Bin) -> Rate:
    """The share that came true, with its interval."""
    return Rate(round(some.true * some.count), some.count)


def read_reliability(metrics: Path) -> tuple[Bin, ...]:
    """The bins in metrics.json under `reliability`; none where the file or the key is not there.

    Raises:
        DataError: They are of another kind (LC645).
    """
    if not metrics.exists():
        return ()
    try:
        rows = json.loads(metrics.read_text(encoding="utf-8")).get("reliability") or []
        bins = [
            Bin(float(r["low"]), float(r["high"]), int(r["count"]), float(r["said"]), float(r["true"]))
            for r in rows
            if r["count"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = "has something under `reliability` that are no bins with low, high, count, said and true."
        problem = Problem("LC645", message, relative(metrics), advice="Make it anew with `logicls eval`.")
        raise DataError(problem) from error
    return tuple(bins)


SHOWN_FIRST: tuple[Outcome, ...] = ("fail", "review", "pass")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the Pareto chart; shares in percent."""

    name: str
    severity: Severity
    count: int
    length: float
    """Of the longest bar."""
    cumulative: float
    """This and all longer bars, of all violations."""


@dataclass(slots=True)
class Origin:
    """Every value that the verdicts have of what they were made with: mostly one each."""

    bundles: set[str] = field(default_factory=set)
    specs: set[str] = field(default_factory=set)
    versions: set[str] = field(default_factory=set)
    thresholds: set[str] = field(default_factory=set)
    plugs: set[str] = field(default_factory=set)

    def add(self, verdict: Verdict) -> None:
        """Take up what one verdict names."""
        self.bundles |= {verdict.bundle} - {""}
        self.specs |= {verdict.spec} - {""}
        self.versions |= {verdict.version} - {""}
        self.thresholds |= {verdict.thresholds} - {""}
        self.plugs.update(plug.to_text for plug in verdict.plugins)


@dataclass(slots=True)
class Looks:
    """Second looks, counted."""

    count: int = 0
    reviews: int = 0
    """Of photos whose first look left them in review."""
    settled: int = 0
    """Those of them that the second one did not."""
    entropies: tuple[float, float] = (0.0, 0.0)
    """Summed over looks that tell them: mean entropy, 0 to 1, before and after."""
    telling: int = 0

    def add(self, verdict: Verdict) -> None:
        """Count that of one photo, if it had one."""
        look = verdict.second_look
        if look is None:
            return
        self.count += 1
        self.reviews += look.before == "review"
        self.settled += look.before == "review" and (look.after or verdict.outcome) != "review"
        if len(look.entropies) == 2:
            self.entropies = self.entropies[0] + look.entropies[0], self.entropies[1] + look.entropies[1]
            self.telling += 1

    @property
    def mean(self) -> tuple[float, float] | None:
        """Mean entropy before and after, 0 to 1; None where no look tells it."""
        before, after = self.entropies
        return (before / self.telling, after / self.telling) if self.telling else None


class Sample:
    """The first of a stream, or so many drawn at random where each is as likely as any other; in their order.

    Vitter, Random Sampling with a Reservoir, ACM TOMS 11, 1985, algorithm R.
    """

    def __init__(self, most: int, rng: random.Random | None) -> None:
        self.most, self.rng, self.seen = most, rng, 0
        self.kept: list[tuple[int, Verdict]] = []

    def add(self, verdict: Verdict) -> None:
        """The next of the stream."""
        if len(self.kept) < self.most:
            self.kept.append((self.seen, verdict))
        elif self.rng is not None and (place := self.rng.randrange(self.seen + 1)) < self.most:
            self.kept[place] = (self.seen, verdict)
        self.seen += 1

    def some(self, count: int) -> list[Verdict]:
        """So many of them, or all that there are."""
        chosen = self.kept
        if self.rng is not None and count < len(chosen):
            chosen = self.rng.sample(chosen, count)
        return [verdict for _, verdict in sorted(chosen, key=lambda item: item[0])[:count]]


@dataclass(slots=True)
class Tally:
    """The figures, and the photos that get a card."""

    words: Words
    course: Course
    kept: dict[Outcome, Sample]
    against: Against | None
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    worst: Counter[str] = field(default_factory=Counter)
    """Photos by the worst severity of their violations."""
    origin: Origin = field(default_factory=Origin)
    looks: Looks = field(default_factory=Looks)
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
        self.worst.update(filter(None, [self.words.worst(verdict.violations)]))
        self.origin.add(verdict)
        self.looks.add(verdict)
        self.seconds += verdict.seconds
        self.course.add(verdict)
        self.kept[verdict.outcome].add(verdict)
        if self.against is not None:
            self.against.add(verdict)

    def pareto(self) -> tuple[Bar, ...]:
        """Violations, the most frequent first."""
        ranked = sorted(self.violations.items(), key=lambda item: (-item[1], item[0]))
        sums = accumulate(count for _, count in ranked)
        return tuple(
            Bar(
                name,
                self.words.worst([name]) or "major",
                count,
                100 * count / ranked[0][1],
                100 * running / self.violations.total(),
            )
            for (name, count), running in zip(ranked, sums, strict=True)
        )

    def shown(self, limit: int) -> dict[Outcome, list[Verdict]]:
        """At most `limit` photos for cards; where there are enough, a twentieth are passes and a quarter reviews."""
        there = {outcome: len(sample.kept) for outcome, sample in self.kept.items()}
        passes, reviews = min(there["pass"], limit // 20), min(there["review"], limit // 4)
        fails = min(there["fail"], limit - passes - reviews)
        reviews = min(there["review"], limit - fails - passes)
        passes = min(there["pass"], limit - fails - reviews)
        numbers = {"fail": fails, "review": reviews, "pass": passes}
        return {outcome: self.kept[outcome].some(numbers[outcome]) for outcome in SHOWN_FIRST}


def count(
    verdicts: Iterable[Verdict], words: Words, *, photos: Path, limit: int, against: Against | None = None
) -> Tally:
    """Count verdicts, read once. Kept are at most `limit` of each outcome: the first, of passes some by chance."""
    kept = {outcome: Sample(limit, random.Random(0) if outcome == "pass" else None) for outcome in SHOWN_FIRST}
    tally = Tally(words, Course(photos), kept, against)
    for verdict in verdicts:
        tally.add(verdict)
    return tally
