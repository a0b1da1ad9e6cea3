"""Is a second look worth it? Reviews, escapes and overkill before and after, at equal mistakes, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from logicls.records import Verdict
from logicls.score.truth import Truth


@dataclass(frozen=True, slots=True)
class Worth:
    """What verdicts come to; shares of all photos, 0 to 1."""

    photos: int
    looked: float
    """Looked at again."""
    taken: float
    """Whose verdict is that of the second look."""
    review: float
    equal: float
    """Review rate at equal mistakes: once as many of the least sure verdicts went to review as to make no more
    mistakes of either kind than the first looks."""
    escapes: int
    """Broken products that pass."""
    overkill: int
    """Good products that fail."""
    exact: float
    """With exactly the broken rules of the truth, whatever the outcome."""
    seconds: float
    """Mean time of a second look, where one was taken."""


def worth(verdicts: Sequence[Verdict], truth: Truth, first: Sequence[Verdict]) -> Worth:
    """Of these verdicts, beside those of the first looks at the same photos. Photos without truth are left out."""
    told = [v for v in verdicts if v.photo in truth]
    before = [v for v in first if v.photo in truth]
    looks = [v.second_look for v in told if v.second_look is not None]
    limits = escapes(before, truth), overkill(before, truth)
    count = max(len(told), 1)
    return Worth(
        photos=len(told),
        looked=len(looks) / count,
        taken=sum(look.taken for look in looks) / count,
        review=sum(v.outcome == "review" for v in told) / count,
        equal=sum(v.outcome == "review" for v in at_most(told, truth, limits)) / count,
        escapes=escapes(told, truth),
        overkill=overkill(told, truth),
        exact=sum(set(v.violations) == set(truth[v.photo]) for v in told) / count,
        seconds=sum(look.seconds for look in looks) / max(len(looks), 1),
    )


def escapes(verdicts: Sequence[Verdict], truth: Truth) -> int:
    """Broken products that pass."""
    return sum(v.outcome == "pass" and bool(truth[v.photo]) for v in verdicts)


def overkill(verdicts: Sequence[Verdict], truth: Truth) -> int:
    """Good products that fail."""
    return sum(v.outcome == "fail" and not truth[v.photo] for v in verdicts)


def at_most(verdicts: Sequence[Verdict], truth: Truth, limits: tuple[int, int]) -> list[Verdict]:
    """The verdicts with the least sure ones in review, so many that there are at most so many escapes and overkill.

    How sure a verdict is: the distance of its score from one half; that is fixed before the truth is looked at.
    """
    came = list(verdicts)
    for n in sorted(range(len(came)), key=lambda n: abs(came[n].score - 0.5)):
        if escapes(came, truth) <= limits[0] and overkill(came, truth) <= limits[1]:
            break
        came[n] = replace(came[n], outcome="review")
    return came


def decided(verdict: Verdict, may: bool) -> Verdict:
    """What logic alone makes of a verdict in review, where that `may` be: the cheapest way to have fewer reviews."""
    if verdict.outcome != "review" or not may:
        return verdict
    return replace(verdict, outcome="fail" if verdict.violations else "pass", reasons=())


def curve(verdicts: Sequence[Verdict]) -> tuple[float, ...]:
    """Mean reward of second looks: without think tokens, at their start, after each step; those that ended stay."""
    rows = [v.second_look.rewards for v in verdicts if v.second_look is not None and v.second_look.rewards]
    longest = max(map(len, rows), default=0)
    return tuple(sum(row[min(n, len(row) - 1)] for row in rows) / len(rows) for n in range(longest))


def to_rows(found: Mapping[tuple[str, int], Worth]) -> list[dict[str, object]]:
    """A row for each reasoner and seed, for a table."""
    return [
        {"reasoner": name, "seed": seed, **{key: getattr(one, key) for key in Worth.__slots__}}
        for (name, seed), one in found.items()
    ]
