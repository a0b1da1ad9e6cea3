"""Coverage of the sampling plan: requested examples against generated ones, and rejected augmentations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from logicls.errors import count_text
from logicls.records import Example
from logicls.synth.dataset import read_rows

COLUMNS = ("category", "requested", "attempts", "rejected", "violations", "edits")


class GenerationRecord(NamedTuple):
    """Plan and result of one example."""

    category: str
    requested: tuple[str, ...]
    """Violations that were requested."""
    attempts: tuple[int, ...]
    """Photos on which each of them was tried; 0 for an unedited photo of a real defect."""
    rejected: int
    """Augmentations that were rejected."""
    violations: tuple[str, ...]
    """Violations of the result."""
    is_edited: bool


@dataclass
class CoverageStats:
    """Counts over examples."""

    examples: int = 0
    rejected: int = 0
    """Augmentations that were rejected because a label would have become wrong."""
    requested: Counter[str] = field(default_factory=Counter)
    """Violation → examples that were to have it as their only one, by an edit."""
    achieved: Counter[str] = field(default_factory=Counter)
    """Violation → those of these examples that have it."""
    attempts: Counter[str] = field(default_factory=Counter)
    """Violation → photos on which it was tried."""
    double_requests: int = 0
    """Examples that were to have two violations."""
    conflicts: int = 0
    """Those of these examples that have another violation in place of one, because the two exclude each other."""
    missing_controls: int = 0
    """Control edits that no photo allowed."""

    def add(self, record: GenerationRecord) -> None:
        """Count one example."""
        self.examples += 1
        self.rejected += record.rejected
        self.missing_controls += record.category == "control" and not record.is_edited
        if len(record.requested) > 1:
            self.double_requests += 1
            self.conflicts += not set(record.requested) <= set(record.violations)
            return
        for name, attempts in zip(record.requested, record.attempts, strict=True):
            self.requested[name] += attempts > 0
            self.achieved[name] += attempts > 0 and name in record.violations
            self.attempts[name] += attempts

    def to_lines(self) -> Iterator[str]:
        """Describe what fell short, one sentence a line."""
        for name in self.requested:
            achieved, requested, attempts = self.achieved[name], self.requested[name], self.attempts[name]
            if achieved < requested:
                rate = f"{achieved / attempts:.0%}" if attempts else "none"
                yield f"{name}: {achieved} of {requested} requested examples made; {rate} of the photos tried allow it"
        if self.conflicts:
            pairs = count_text(self.double_requests, "pair")
            yield (
                f"{self.conflicts} of {pairs} of violations could not be combined on one photo: "
                "another violation replaces one of the two"
            )
        if self.missing_controls:
            photos = "that photo is" if self.missing_controls == 1 else "those photos are"
            yield f"{count_text(self.missing_controls, 'control edit')} could not be made: {photos} untouched"
        if self.rejected:
            rate = f"{self.rejected / self.examples:.2f} per example"
            yield f"{count_text(self.rejected, 'augmentation')} rejected ({rate}): a label would have become wrong"


def count_coverage(records: Iterable[GenerationRecord]) -> CoverageStats:
    """Count examples."""
    counts = CoverageStats()
    for record in records:
        counts.add(record)
    return counts


def measure_coverage(examples: Iterable[Example]) -> CoverageStats:
    """Count examples in memory."""
    return count_coverage(
        GenerationRecord(
            e.stats.category, e.stats.requested, e.stats.attempts, e.stats.rejected, e.violations, bool(e.edits)
        )
        for e in examples
    )


def load_coverage(folder: Path) -> CoverageStats:
    """Count the examples of a dataset folder, without their images.

    Raises:
        DataError: The folder has no examples, or no column of these counts (LC402).
    """
    return count_coverage(
        GenerationRecord(
            row["category"],
            tuple(row["requested"]),
            tuple(row["attempts"]),
            row["rejected"],
            tuple(row["violations"]),
            row["edits"] != "[]",
        )
        for row in read_rows(folder, COLUMNS)
    )
