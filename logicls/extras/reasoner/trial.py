"""All reasoners on the same photos and the same first looks, seed by seed, and what is written of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from logicls.extras.by_name import found
from logicls.extras.reasoner.look import Thinking
from logicls.extras.reasoner.second import SEEDED, lasting
from logicls.extras.reasoner.worth import curve, decided, to_rows, worth
from logicls.models.bundle import Bundle
from logicls.plugins import Photo, PlugIns
from logicls.predict.inspector import Inspector
from logicls.predict.photos.listing import list_photos, printable
from logicls.predict.read.reader import reader_of
from logicls.records import Verdict
from logicls.score.truth import Truth

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
    with Inspector(reader_of(bundle), photos, 0, plugged) as inspector:
        for loaded in inspector.load(name for name in list_photos(photos) if printable(name) in truth):
            (verdict,) = inspector.judge([loaded])
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
