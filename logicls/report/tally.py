"""What the page says of all photos, counted while they pass by; only those that get a card are kept."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from logicls.records import Outcome, Severity, Verdict
from logicls.report.control import Course
from logicls.report.truth import Against
from logicls.report.words import Words
from logicls.score import Rate

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
        self.plugs.update(plug.said for plug in verdict.plugged)


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
