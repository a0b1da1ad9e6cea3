"""The dataset's card: what was made, out of what, and how to load it; as README.md with a picture of the counts.

What was made against what was wanted: shares, violations that fell short, changes that were thrown away.

What a set of training data holds, counted from its columns; no photo is decoded.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as parquet

from logicls import __version__
from logicls.constraints.spec.loader import load_spec
from logicls.io.atomic import write_bytes, write_text
from logicls.records import Example
from logicls.synth.dataset import read_rows

COVERAGE_COLUMNS = ("fate", "wanted", "tries", "rejected", "violations", "edits")


class GenerationRecord(NamedTuple):
    """What the tally wants to know of an example."""

    category: str
    target_violations: tuple[str, ...]
    attempts: tuple[int, ...]
    rejected_augmentations: int
    violations: tuple[str, ...]
    is_edited: bool


@dataclass
class CoverageStats:
    """Counts over examples."""

    examples: int = 0
    rejected_augmentations: int = 0
    """Random changes of photos that were thrown away."""
    requested: Counter[str] = field(default_factory=Counter)
    """Violation → examples that were to have it alone, by an edit."""
    achieved: Counter[str] = field(default_factory=Counter)
    """Violation → those of them that have it."""
    attempts: Counter[str] = field(default_factory=Counter)
    """Violation → photos on which it was tried."""
    double_requests: int = 0
    """Examples that were to have two violations."""
    conflicts: int = 0
    """Those of them on which another violation stands in for one, because the two do not go together."""
    missing_controls: int = 0
    """Twins that were wanted, and could not be made."""

    def add(self, record: GenerationRecord) -> None:
        """Count one example."""
        self.examples += 1
        self.rejected_augmentations += record.rejected_augmentations
        self.missing_controls += record.category == "twin" and not record.is_edited
        if len(record.target_violations) > 1:
            self.double_requests += 1
            self.conflicts += not set(record.target_violations) <= set(record.violations)
            return
        for name, tries in zip(record.target_violations, record.attempts, strict=True):
            self.requested[name] += tries > 0
            self.achieved[name] += tries > 0 and name in record.violations
            self.attempts[name] += tries

    def to_lines(self) -> Iterator[str]:
        """What fell short, in plain English."""
        for name in self.requested:
            made, wanted, tries = self.achieved[name], self.requested[name], self.attempts[name]
            if made < wanted:
                rate = f"{made / tries:.0%}" if tries else "none"
                yield f"{name} could be made on {rate} of the photos tried: {made} of {wanted} wanted"
        if self.conflicts:
            told = f"{self.conflicts} of {self.double_requests} pairs of violations could not be made on one photo"
            yield f"{told}: another violation stands in for one of the two"
        if self.missing_controls:
            yield f"{self.missing_controls} twin edits could not be made: those photos are untouched"
        if self.rejected_augmentations:
            yield (
                f"{self.rejected_augmentations} random changes of photos were thrown away, {self.rejected_augmentations / self.examples:.2f} an "
                "example: a label would have become wrong"
            )


def count_coverage(records: Iterable[GenerationRecord]) -> CoverageStats:
    """Count examples."""
    counts = CoverageStats()
    for one in records:
        counts.add(one)
    return counts


def measure_coverage(examples: Iterable[Example]) -> CoverageStats:
    """Count examples that were just made."""
    efforts = ((e, e.stats) for e in examples)
    return count_coverage(
        GenerationRecord(
            effort.category, effort.requested, effort.attempts, effort.rejected, e.violations, bool(e.edits)
        )
        for e, effort in efforts
    )


def load_coverage(folder: Path) -> CoverageStats:
    """Count the examples of a finished set, without their pictures."""
    return count_coverage(one for path in sorted((folder / "data").glob("*.parquet")) for one in _read_records(path))


def _read_records(path: Path) -> Iterator[GenerationRecord]:
    for row in parquet.read_table(path, columns=list(COVERAGE_COLUMNS)).to_pylist():
        lists = (tuple(row[name]) for name in ("wanted", "tries", "violations"))
        wanted, tries, violations = lists
        yield GenerationRecord(row["fate"], wanted, tries, row["rejected"], violations, row["edits"] != "[]")


Counts = tuple[tuple[str, int], ...]
"""Name → how many."""
SUMMARY_COLUMNS = ("photo", "queries", "values", "boxes", "violations", "edits")


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """Counts over a set; names that could be there and are not have a count of 0."""

    examples: int
    photos: int
    """Source photos that at least one example comes from."""
    categories: Counts
    """untouched, twin (edited, and nothing was to break) and broken (edited to break a rule)."""
    violations: Counts
    """Examples with each defect, in the order of the spec; `none` comes last."""
    edits: Counts
    """Edits that were to break a rule, by kind."""
    control_edits: Counts
    """Edits that were to break none, by kind."""
    families: Counts
    """Edits by the family of the rule that they are about."""
    components: Counts
    """Boxes of each component."""
    answers: tuple[tuple[str, Counts], ...]
    """Query → how often each answer: numbers of boxes, or values."""


def summarize_dataset(folder: Path) -> DatasetSummary:
    """Count what is in a synth folder. Raises `DataError` where there are no examples."""
    spec = load_spec(folder / "spec.yaml")
    family = {constraint.id: constraint.family for constraint in spec.constraints}
    number, photos = 0, set()
    fates = Counter(dict.fromkeys(("untouched", "twin", "broken"), 0))
    violations = Counter(dict.fromkeys((*spec.violations, "none"), 0))
    families = Counter(dict.fromkeys(family.values(), 0))
    edits, twins, components = Counter[str](), Counter[str](), Counter[str]()
    answers: dict[str, Counter[str]] = {}
    for row in read_rows(folder, SUMMARY_COLUMNS):
        number += 1
        photos.add(row["photo"])
        violations.update(row["violations"] or ["none"])
        made = json.loads(row["edits"])
        fates["untouched" if not made else "twin" if all(twin for *_, twin in made) else "broken"] += 1
        for kind, _, constraint, twin in made:
            (twins if twin else edits)[kind] += 1
            families[family.get(constraint, constraint)] += 1
        for query, values, boxes in zip(row["queries"], row["values"], row["boxes"], strict=True):
            kind, _, about = query.partition(":")
            if kind == "locate":
                components[about] += len(boxes)
            if about:
                answers.setdefault(query, Counter()).update([str(len(boxes))] if kind == "locate" else values)
    told = tuple(
        (query, tuple(sorted(found.items(), key=_answer_sort_key))) for query, found in sorted(answers.items())
    )
    return DatasetSummary(
        number, len(photos), _in_order(fates), _in_order(violations), _by_frequency(edits), _by_frequency(twins), _in_order(families),
        _in_order(components), told,
    )  # fmt: skip


def _in_order(counter: Counter[str]) -> Counts:
    return tuple(counter.items())


def _by_frequency(counter: Counter[str]) -> Counts:
    return tuple(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def _answer_sort_key(item: tuple[str, int]) -> tuple[int, str]:
    """Numbers by their size, all else by the alphabet."""
    return (int(item[0]) if item[0].isdecimal() else -1), item[0]


_HEAD = """---
configs:
- config_name: default
  data_files: data/*.parquet
tags: [logicls, synthetic]
---
# {product}: synthetic inspection examples

{examples} examples, made by LogiCls {version} from {photos} annotated photos of good products; spec {spec}, seed
{seed}. The same spec, seed and photos make the same bytes. Licence of the source photos: {licence}.

![Counts of defects, components and edits](distribution.png)
"""
_USAGE = """## How to load it

```python
from datasets import load_dataset

rows = load_dataset(".", split="train")     # this folder
```

`logicls train .` trains on it. `logicls synth` with the same spec, data, `--count` and `--seed`, this folder as `--out`
and `--format trl`, `llamafactory` or `swift` writes it for another trainer.

| column | what it holds |
|---|---|
| `image`, `width`, `height` | the picture and its size |
| `photo` | the photo that it was made from |
| `queries`, `questions` | the questions, by name and as they are asked |
| `values`, `boxes` | the true answer to each: values, boxes xyxy in pixels |
| `violations` | the broken rules |
| `edits` | what was done: kind, annotation, rule, whether it is a twin that was to break nothing |
| `trail` | answers, reasoning and verdict as text |
| `seed`, `spec` | the example's number, and the spec's hash |
"""


def write_dataset_card(folder: Path, licence: str) -> DatasetSummary:
    """Count what is in a synth folder, and write its README.md and distribution.png; returns the counts."""
    tally, made = summarize_dataset(folder), json.loads((folder / "synth.json").read_text(encoding="utf-8"))
    product = load_spec(folder / "spec.yaml").product.name
    head = _HEAD.format(
        product=product, examples=tally.examples, version=__version__, photos=tally.photos, spec=made["spec"],
        seed=made["seed"], licence=licence,
    )  # fmt: skip
    tables = [
        f"## {title}\n\n{_to_markdown(heading, counts, table_total(tally, counts))}"
        for title, heading, counts in summary_tables(tally)
    ]
    write_bytes(folder / "distribution.png", _plot_distribution(tally))
    write_text(folder / "README.md", "\n".join([head, _USAGE, *tables, _answer_section(tally)]))
    return tally


def summary_tables(summary: DatasetSummary) -> tuple[tuple[str, str, Counts], ...]:
    """(title, heading of the names, counts) of each table, as the card and the screen show them."""
    return (
        ("What became of the photos", "photo", summary.categories),
        ("Defects", "defect", summary.violations),
        ("Edits that were to break a rule", "edit", summary.edits),
        ("Twin edits, that were to break none", "edit", summary.control_edits),
        ("Edits by the family of their rule", "family", summary.families),
        ("Boxes", "component", summary.components),
    )


def format_shares(counts: Counts, total: int) -> list[tuple[str, str, str]]:
    """(name, how many, share) of each count, as they are read."""
    return [(name, str(number), f"{100 * number / max(total, 1):.1f} %") for name, number in counts]


def table_total(summary: DatasetSummary, counts: Counts) -> int:
    """What the shares of a table are of: examples where it counts these, else all that the table counts."""
    return summary.examples if counts is summary.violations else sum(number for _, number in counts)


def _to_markdown(heading: str, counts: Counts, total: int) -> str:
    rows = [f"| {name} | {number} | {share} |" for name, number, share in format_shares(counts, total)]
    return "\n".join([f"| {heading} | count | share |", "|---|---:|---:|", *rows, ""])


def _answer_section(summary: DatasetSummary) -> str:
    rows = [
        f"| `{query}` | {', '.join(f'{name}: {number}' for name, number in counts)} |"
        for query, counts in summary.answers
    ]
    told = "How often each answer is the true one; of places, how many there are.\n"
    return "\n".join(["## Answers", "", told, "| question | answers |", "|---|---|", *rows, ""])


def _plot_distribution(summary: DatasetSummary) -> bytes:
    """Bars of defects, components and edits, as a PNG without a date."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parts = (("examples", summary.violations), ("boxes", summary.components), ("edits", _labelled_edits(summary)))
    most = max(len(counts) for _, counts in parts)
    figure = Figure(figsize=(13, 1.2 + 0.26 * most), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (what, counts), title in zip(
        figure.subplots(1, 3), parts, ("defects", "components", "edits"), strict=True
    ):
        names, numbers = _unzip(counts)
        bars = axes.barh(names, numbers, color="#1982c4")
        axes.bar_label(bars, padding=2, fontsize=8)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.set(title=title, xlabel=what)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _labelled_edits(summary: DatasetSummary) -> Counts:
    return (*summary.edits, *((f"{name} (twin)", number) for name, number in summary.control_edits))


def _unzip(counts: Counts) -> tuple[Sequence[str], Sequence[int]]:
    return [name for name, _ in counts], [number for _, number in counts]
