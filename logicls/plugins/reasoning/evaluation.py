"""Is a second look worth it? Reviews, escapes and overkill before and after, at equal mistakes, and what it costs.

All reasoners on the same photos and the same first looks, seed by seed, and what is written of it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from logicls.evaluation.ground_truth import Truth
from logicls.models.bundle import Bundle
from logicls.plugins.reasoning.second_look import SEEDED, Thinking, lasting
from logicls.plugins.registry import found
from logicls.predict.input.listing import list_photos, escape_name
from logicls.predict.inspector import Inspector
from logicls.predict.plugin_protocols import Photo, PlugIns
from logicls.predict.readers.protocol import make_reader
from logicls.records import Verdict


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
        taken=sum(look.is_accepted for look in looks) / count,
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


FIRST = "none"
"""Name of the row of the first looks."""
DECIDED = "decided"
"""Name of the row of the first looks where what would be looked at again is decided by logic, without a look."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What every reasoner came to."""

    truth: Truth
    first: tuple[Verdict, ...]
    verdicts: tuple[tuple[str, int, tuple[Verdict, ...]], ...]
    """Reasoner, seed, and the verdicts after it; its own where it looked again, those of the first look elsewhere."""

    def rows(self) -> list[dict[str, object]]:
        """A row for each reasoner and seed, those of the first looks at the top."""
        just = tuple(decided(verdict, not lasting(verdict)) for verdict in self.first)
        all_ = ((FIRST, 0, self.first), (DECIDED, 0, just), *self.verdicts)
        return to_rows({(name, seed): worth(some, self.truth, self.first) for name, seed, some in all_})

    def curves(self) -> dict[str, tuple[float, ...]]:
        """Mean reward by step, of the first seed of each reasoner that has one."""
        return {name: line for name, seed, some in self.verdicts if seed == 0 and (line := curve(some))}


def tried(
    bundle: Bundle,
    photos: Path,
    truth: Truth,
    names: Sequence[str],
    *,
    seeds: int,
    open_from: float,
    say: Callable[[str], None],
) -> Trial:
    """Look at every photo with a truth once, and again with each reasoner. Raises `DataError`."""
    ways = [(name, seed) for name in names for seed in range(seeds if name in SEEDED else 1)]
    made = [
        replace(found("reasoner", name)(bundle, Thinking(seed=seed)), open=open_from) for name, seed in ways
    ]  # fmt: skip
    first, after = list[Verdict](), [list[Verdict]() for _ in made]
    plugged = PlugIns(reasoner=_Nobody())
    with Inspector(make_reader(bundle), photos, 0, plugged) as inspector:
        for loaded in inspector.load(name for name in list_photos(photos) if escape_name(name) in truth):
            (verdict,) = inspector.inspect([loaded])
            first.append(verdict)
            for one, came in zip(made, after, strict=True):
                again = one.rethink(loaded.pixels, verdict) if loaded.pixels is not None else None
                came.append(again or verdict)
    say(f"{len(first)} photos, {sum(v.second_look is not None for v in after[0]) if after else 0} looked at again")
    return Trial(truth, tuple(first), tuple((*way, tuple(came)) for way, came in zip(ways, after, strict=True)))


class _Nobody:
    """Plugged in so that photos come as they were taken; looks at none again."""

    def rethink(self, photo: Photo, verdict: Verdict) -> None:
        return None


def write_trial(trial: Trial, out: Path) -> Path:
    """second_look.csv, and rewards.json with the mean reward by step. Returns the path of the first."""
    out.mkdir(parents=True, exist_ok=True)
    rows = trial.rows()
    file = out / "second_look.csv"
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (out / "rewards.json").write_text(json.dumps(trial.curves(), indent=1), encoding="utf-8")
    return file
