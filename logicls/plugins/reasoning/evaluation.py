"""Evaluation of reasoners: reviews, escapes and overkill before and after re-inspection, at equal errors, and its cost.

All reasoners run on the same photos and first-pass verdicts, for several seeds.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from logicls.data.ground_truth import Truth
from logicls.models.bundle import Bundle
from logicls.plugins.reasoning.reinspection_result import reinspection_of
from logicls.plugins.reasoning.second_look import SEEDED, LatentSettings, photo_doubts
from logicls.plugins.registry import load_factory
from logicls.predict.input.listing import escape_name, list_photos
from logicls.predict.inspector import BatchInspector
from logicls.predict.plugin_protocols import Photo, Plugins
from logicls.predict.readers import make_reader
from logicls.records import Verdict


@dataclass(frozen=True, slots=True)
class ReasonerMetrics:
    """Metrics of verdicts; rates are shares of all photos, 0 to 1."""

    photos: int
    reinspected: float
    """Photos inspected again."""
    amended: float
    """Photos whose verdict is that of the re-inspection."""
    review: float
    review_at_equal_errors: float
    """Review rate at equal errors: after the least certain verdicts went to review until neither escapes nor overkill
    exceed those of the first pass."""
    escapes: int
    """Defective products that pass."""
    overkill: int
    """Good products that fail."""
    exact: float
    """Verdicts with exactly the broken rules of the truth, whatever the outcome."""
    seconds: float
    """Mean time of a re-inspection."""


def compute_metrics(verdicts: Sequence[Verdict], truth: Truth, first: Sequence[Verdict]) -> ReasonerMetrics:
    """Compute the metrics of verdicts, and compare with the first pass. Photos without truth are ignored."""
    labelled = [v for v in verdicts if v.photo in truth]
    before = [v for v in first if v.photo in truth]
    reinspections = [one for one in map(reinspection_of, labelled) if one is not None]
    limits = count_escapes(before, truth), count_overkill(before, truth)
    count = max(len(labelled), 1)
    return ReasonerMetrics(
        photos=len(labelled),
        reinspected=len(reinspections) / count,
        amended=sum(result.is_accepted for result in reinspections) / count,
        review=sum(v.outcome == "review" for v in labelled) / count,
        review_at_equal_errors=sum(v.outcome == "review" for v in limit_errors(labelled, truth, limits)) / count,
        escapes=count_escapes(labelled, truth),
        overkill=count_overkill(labelled, truth),
        exact=sum(set(v.violations) == set(truth[v.photo]) for v in labelled) / count,
        seconds=sum(reinspection.seconds for reinspection in reinspections) / max(len(reinspections), 1),
    )


def count_escapes(verdicts: Sequence[Verdict], truth: Truth) -> int:
    """Count defective products that pass."""
    return sum(v.outcome == "pass" and bool(truth[v.photo]) for v in verdicts)


def count_overkill(verdicts: Sequence[Verdict], truth: Truth) -> int:
    """Count good products that fail."""
    return sum(v.outcome == "fail" and not truth[v.photo] for v in verdicts)


def limit_errors(verdicts: Sequence[Verdict], truth: Truth, limits: tuple[int, int]) -> list[Verdict]:
    """Move the least certain verdicts to review until escapes and overkill are within the limits.

    Certainty is the distance of the score from 0.5, so the order does not depend on the truth.
    """
    limited = list(verdicts)
    for n in sorted(range(len(limited)), key=lambda n: abs(limited[n].score - 0.5)):
        if count_escapes(limited, truth) <= limits[0] and count_overkill(limited, truth) <= limits[1]:
            break
        limited[n] = replace(limited[n], outcome="review")
    return limited


def decide_by_rules(verdict: Verdict, is_allowed: bool) -> Verdict:
    """Decide a verdict in review by its violations alone, if allowed: the cheapest way to reduce reviews."""
    if verdict.outcome != "review" or not is_allowed:
        return verdict
    return replace(verdict, outcome="fail" if verdict.violations else "pass", reasons=())


def mean_rewards(verdicts: Sequence[Verdict]) -> tuple[float, ...]:
    """Return the mean reward without think tokens, at their start and after each step.

    Finished runs keep their last value.
    """
    rows = [one.rewards for one in map(reinspection_of, verdicts) if one is not None and one.rewards]
    longest = max(map(len, rows), default=0)
    return tuple(sum(row[min(n, len(row) - 1)] for row in rows) / len(rows) for n in range(longest))


def to_rows(metrics: Mapping[tuple[str, int], ReasonerMetrics]) -> list[dict[str, object]]:
    """Return a table row for each reasoner and seed."""
    return [
        {"reasoner": name, "seed": seed, **{key: getattr(row, key) for key in ReasonerMetrics.__slots__}}
        for (name, seed), row in metrics.items()
    ]


FIRST_PASS = "none"
"""Row name of the first pass."""
DECIDED_BY_RULES = "decided"
"""Row name of the first pass with reviews decided by rules instead of re-inspection."""


@dataclass(frozen=True, slots=True)
class ReasonerTrial:
    """Verdicts of the first pass and of every reasoner."""

    truth: Truth
    first: tuple[Verdict, ...]
    verdicts: tuple[tuple[str, int, tuple[Verdict, ...]], ...]
    """Reasoner, seed, and the verdicts after it; first-pass verdicts where it did not inspect again."""

    def to_rows(self) -> list[dict[str, object]]:
        """Return a row for each reasoner and seed, after those of the first pass."""
        by_rules = tuple(decide_by_rules(verdict, not photo_doubts(verdict)) for verdict in self.first)
        rows = ((FIRST_PASS, 0, self.first), (DECIDED_BY_RULES, 0, by_rules), *self.verdicts)
        return to_rows(
            {(name, seed): compute_metrics(verdicts, self.truth, self.first) for name, seed, verdicts in rows}
        )

    def reward_curves(self) -> dict[str, tuple[float, ...]]:
        """Return the mean reward by step, of the first seed of each reasoner that has one."""
        return {
            name: rewards for name, seed, verdicts in self.verdicts if seed == 0 and (rewards := mean_rewards(verdicts))
        }


def run_trial(
    bundle: Bundle,
    photos: Path,
    truth: Truth,
    names: Sequence[str],
    *,
    seeds: int,
    min_entropy: float,
    report: Callable[[str], None],
) -> ReasonerTrial:
    """Inspect every photo with a truth once, and again with each reasoner. Raises `DataError`."""
    runs = [(name, seed) for name in names for seed in range(seeds if name in SEEDED else 1)]
    reasoners = [
        replace(load_factory("reasoner", name)(bundle, LatentSettings(seed=seed)), min_entropy=min_entropy)
        for name, seed in runs
    ]
    first, verdicts = list[Verdict](), [list[Verdict]() for _ in reasoners]
    plugins = Plugins(reasoner=_NoReasoner())
    with BatchInspector(make_reader(bundle), photos, 0, plugins) as inspector:
        for loaded in inspector.load(name for name in list_photos(photos) if escape_name(name) in truth):
            (verdict,) = inspector.inspect([loaded])
            first.append(verdict)
            for reasoner, run_verdicts in zip(reasoners, verdicts, strict=True):
                amended = reasoner.reinspect(loaded.pixels, verdict) if loaded.pixels is not None else None
                run_verdicts.append(amended or verdict)
    count = sum(reinspection_of(verdict) is not None for verdict in verdicts[0]) if verdicts else 0
    report(f"{len(first)} photos, {count} inspected again")
    return ReasonerTrial(
        truth,
        tuple(first),
        tuple((*run, tuple(run_verdicts)) for run, run_verdicts in zip(runs, verdicts, strict=True)),
    )


class _NoReasoner:
    """Reasoner that never inspects again; with it, photos are loaded at full resolution."""

    def reinspect(self, photo: Photo, verdict: Verdict) -> None:
        return None


def write_trial(trial: ReasonerTrial, out: Path) -> Path:
    """Write second_look.csv, and rewards.json with mean rewards by step; return the path of the first."""
    out.mkdir(parents=True, exist_ok=True)
    rows = trial.to_rows()
    file = out / "second_look.csv"
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (out / "rewards.json").write_text(json.dumps(trial.reward_curves(), indent=1), encoding="utf-8")
    return file
