"""What was made against what was wanted: shares, violations that fell short, changes that were thrown away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as parquet

from logicls.records import Example

COLUMNS = ("fate", "wanted", "tries", "rejected", "violations", "edits")


class Made(NamedTuple):
    """What the tally wants to know of an example."""

    fate: str
    wanted: tuple[str, ...]
    tries: tuple[int, ...]
    rejected: int
    violations: tuple[str, ...]
    is_edited: bool


@dataclass
class Shortfall:
    """Counts over examples."""

    examples: int = 0
    rejected: int = 0
    """Random changes of photos that were thrown away."""
    wanted: Counter[str] = field(default_factory=Counter)
    """Violation → examples that were to have it alone, by an edit."""
    made: Counter[str] = field(default_factory=Counter)
    """Violation → those of them that have it."""
    tries: Counter[str] = field(default_factory=Counter)
    """Violation → photos on which it was tried."""
    double: int = 0
    """Examples that were to have two violations."""
    clashes: int = 0
    """Those of them on which another violation stands in for one, because the two do not go together."""
    twins: int = 0
    """Twins that were wanted, and could not be made."""

    def add(self, one: Made) -> None:
        """Count one example."""
        self.examples += 1
        self.rejected += one.rejected
        self.twins += one.fate == "twin" and not one.is_edited
        if len(one.wanted) > 1:
            self.double += 1
            self.clashes += not set(one.wanted) <= set(one.violations)
            return
        for name, tries in zip(one.wanted, one.tries, strict=True):
            self.wanted[name] += tries > 0
            self.made[name] += tries > 0 and name in one.violations
            self.tries[name] += tries

    def lines(self) -> Iterator[str]:
        """What fell short, in plain English."""
        for name in self.wanted:
            made, wanted, tries = self.made[name], self.wanted[name], self.tries[name]
            if made < wanted:
                rate = f"{made / tries:.0%}" if tries else "none"
                yield f"{name} could be made on {rate} of the photos tried: {made} of {wanted} wanted"
        if self.clashes:
            told = f"{self.clashes} of {self.double} pairs of violations could not be made on one photo"
            yield f"{told}: another violation stands in for one of the two"
        if self.twins:
            yield f"{self.twins} twin edits could not be made: those photos are untouched"
        if self.rejected:
            yield (
                f"{self.rejected} random changes of photos were thrown away, {self.rejected / self.examples:.2f} an "
                "example: a label would have become wrong"
            )


def counted(examples: Iterable[Made]) -> Shortfall:
    """Count examples."""
    counts = Shortfall()
    for one in examples:
        counts.add(one)
    return counts


def shortfall_of(examples: Iterable[Example]) -> Shortfall:
    """Count examples that were just made."""
    efforts = ((e, e.effort) for e in examples)
    return counted(
        Made(effort.fate, effort.wanted, effort.tries, effort.rejected, e.violations, bool(e.edits))
        for e, effort in efforts
    )


def read_shortfall(folder: Path) -> Shortfall:
    """Count the examples of a finished set, without their pictures."""
    return counted(one for path in sorted((folder / "data").glob("*.parquet")) for one in _rows(path))


def _rows(path: Path) -> Iterator[Made]:
    for row in parquet.read_table(path, columns=list(COLUMNS)).to_pylist():
        lists = (tuple(row[name]) for name in ("wanted", "tries", "violations"))
        wanted, tries, violations = lists
        yield Made(row["fate"], wanted, tries, row["rejected"], violations, row["edits"] != "[]")
