"""Dataset card: counts of a generated dataset, as README.md with a plot and as tables on the screen.

Counts come from the columns; no image is decoded.

The coverage of the sampling plan compares requested examples with generated ones, and counts rejected augmentations.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from logicls import __version__
from logicls.constraints.families.angles import round_to_option
from logicls.constraints.spec.loader import load_spec
from logicls.errors import count_text
from logicls.io.atomic import write_bytes, write_text
from logicls.records import Example
from logicls.synth.dataset import read_rows

COVERAGE_COLUMNS = ("category", "requested", "attempts", "rejected", "violations", "edits")


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
        for row in read_rows(folder, COVERAGE_COLUMNS)
    )


Counts = tuple[tuple[str, int], ...]
"""Name → count."""
COLUMNS = ("photo", "queries", "values", "boxes", "violations", "edits")


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """Counts over a dataset; names that do not occur have a count of 0."""

    examples: int
    photos: int
    """Source photos of at least one example."""
    categories: Counts
    """untouched, control (edited, no rule broken) and broken (one or two rules broken)."""
    violations: Counts
    """Examples with each violation, in the order of the spec; `none` is last."""
    edits: Counts
    """Edits that break a rule, by kind."""
    control_edits: Counts
    """Edits that break no rule, by kind."""
    families: Counts
    """Edits by the family of their rule."""
    components: Counts
    """Boxes of each component."""
    answers: tuple[tuple[str, Counts], ...]
    """Query → frequency of each answer: values, or numbers of boxes."""


def summarize_dataset(folder: Path) -> DatasetSummary:
    """Count the content of a dataset folder.

    Raises:
        DataError: The folder has no examples (LC402).
    """
    spec = load_spec(folder / "spec.yaml")
    family = {constraint.id: constraint.family for constraint in spec.constraints}
    examples, photos = 0, set()
    categories = Counter(dict.fromkeys(("untouched", "control", "broken"), 0))
    violations = Counter(dict.fromkeys((*spec.violations, "none"), 0))
    families = Counter(dict.fromkeys(family.values(), 0))
    edits, control_edits, components = Counter[str](), Counter[str](), Counter[str]()
    answers: dict[str, Counter[str]] = {}
    for row in read_rows(folder, COLUMNS):
        examples += 1
        photos.add(row["photo"])
        violations.update(row["violations"] or ["none"])
        applied = json.loads(row["edits"])
        categories[_edit_category([is_control for *_, is_control in applied])] += 1
        for kind, _, constraint, is_control in applied:
            (control_edits if is_control else edits)[kind] += 1
            families[family.get(constraint, constraint)] += 1
        for query, values, boxes in zip(row["queries"], row["values"], row["boxes"], strict=True):
            kind, _, about = query.partition(":")
            if kind == "locate":
                components[about] += len(boxes)
            if kind == "orientation":
                values = [f"about {round_to_option(value)}°" for value in values]
            if about:
                answers.setdefault(query, Counter()).update([str(len(boxes))] if kind == "locate" else values)
    answer_counts = tuple(
        (query, tuple(sorted(counts.items(), key=_answer_sort_key))) for query, counts in sorted(answers.items())
    )
    return DatasetSummary(
        examples=examples,
        photos=len(photos),
        categories=_to_counts(categories),
        violations=_to_counts(violations),
        edits=_sort_by_frequency(edits),
        control_edits=_sort_by_frequency(control_edits),
        families=_to_counts(families),
        components=_to_counts(components),
        answers=answer_counts,
    )


def _edit_category(are_controls: Sequence[bool]) -> str:
    """Category of an example by its edits: whether each is a control edit."""
    if not are_controls:
        return "untouched"
    return "control" if all(are_controls) else "broken"


def _to_counts(counter: Counter[str]) -> Counts:
    return tuple(counter.items())


def _sort_by_frequency(counter: Counter[str]) -> Counts:
    return tuple(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def _answer_sort_key(item: tuple[str, int]) -> tuple[int, str]:
    """Sort numbers by value, everything else alphabetically."""
    return (int(item[0]) if item[0].isdecimal() else -1), item[0]


_HEAD = """---
configs:
- config_name: default
  data_files: data/*.parquet
tags: [logicls, synthetic]
---
# {product}: synthetic inspection examples

{examples}, generated by LogiCls {version} from {photos} of good products; spec {spec}, seed {seed}.
The same spec, photos and seed give the same bytes. Licence of the source photos: {licence}.

![Counts of violations, components and edits](distribution.png)
"""
_USAGE = """## Usage

```python
from datasets import load_dataset

rows = load_dataset(".", split="train")     # this folder
```

`logicls train .` trains a model on it. To convert it for another trainer, run `logicls synth` with the same spec, data,
`--count` and `--seed`, with this folder as `--out`, and with `--format trl`, `llamafactory` or `swift`.

| column | content |
|---|---|
| `image`, `width`, `height` | the image and its size in pixels |
| `photo` | source photo |
| `queries`, `questions` | id and text of each question |
| `values`, `boxes` | ground truth for each question: values, or boxes xyxy in pixels |
| `violations` | names of the violations |
| `edits` | edits of the photo: kind, annotation id, constraint, whether it is a control edit (breaks no rule) |
| `response` | answers, reasoning and verdict as text |
| `pair` | number shared by a good and a broken example of one photo with the same augmentation; -1 for others |
| `category` | `untouched`, `control` (edited, no rule broken), `broken` or `broken_twice` |
| `requested`, `attempts` | requested violations, and the number of photos on which each was tried |
| `rejected` | augmentations that were rejected because a label would have become wrong |
| `seed`, `spec` | number of the example, and hash of the spec |
"""


def write_dataset_card(folder: Path, licence: str) -> DatasetSummary:
    """Write README.md and distribution.png of a dataset folder; returns the counts."""
    summary, manifest = summarize_dataset(folder), json.loads((folder / "synth.json").read_text(encoding="utf-8"))
    product = load_spec(folder / "spec.yaml").product.name
    head = _HEAD.format(
        product=product, version=__version__, spec=manifest["spec"],
        examples=count_text(summary.examples, "example"), photos=count_text(summary.photos, "annotated photo"),
        seed=manifest["seed"], licence=licence,
    )  # fmt: skip
    tables = [
        f"## {title}\n\n{_to_markdown(heading, counts, compute_table_total(summary, counts))}"
        for title, heading, counts in build_tables(summary)
    ]
    write_bytes(folder / "distribution.png", _plot_distribution(summary))
    write_text(folder / "README.md", "\n".join([head, _USAGE, *tables, _render_answers(summary)]))
    return summary


def build_tables(summary: DatasetSummary) -> tuple[tuple[str, str, Counts], ...]:
    """(title, heading of the names, counts) of each table."""
    return (
        ("Examples by category", "category", summary.categories),
        ("Violations", "violation", summary.violations),
        ("Edits that break a rule", "edit", summary.edits),
        ("Control edits, which break no rule", "edit", summary.control_edits),
        ("Edits by rule family", "family", summary.families),
        ("Boxes by component", "component", summary.components),
    )


def format_shares(counts: Counts, total: int) -> list[tuple[str, str, str]]:
    """(name, count, share) of each count, as text."""
    return [(name, str(number), f"{100 * number / max(total, 1):.1f} %") for name, number in counts]


def compute_table_total(summary: DatasetSummary, counts: Counts) -> int:
    """Denominator of a table's shares: the examples for violations, otherwise the sum of the counts."""
    return summary.examples if counts is summary.violations else sum(number for _, number in counts)


def _to_markdown(heading: str, counts: Counts, total: int) -> str:
    rows = [f"| {name} | {number} | {share} |" for name, number, share in format_shares(counts, total)]
    return "\n".join([f"| {heading} | count | share |", "|---|---:|---:|", *rows, ""])


def _render_answers(summary: DatasetSummary) -> str:
    rows = [
        f"| `{query}` | {', '.join(f'{name}: {number}' for name, number in counts)} |"
        for query, counts in summary.answers
    ]
    introduction = "Frequency of each true answer; for `locate` questions, of each number of boxes.\n"
    return "\n".join(["## Answers", "", introduction, "| question | answers |", "|---|---|", *rows, ""])


def _plot_distribution(summary: DatasetSummary) -> bytes:
    """Bar charts of violations, components and edits, as PNG without a date."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = (("examples", summary.violations), ("boxes", summary.components), ("edits", _label_edits(summary)))
    most_bars = max(len(counts) for _, counts in panels)
    figure = Figure(figsize=(13, 1.2 + 0.26 * most_bars), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (unit, counts), title in zip(
        figure.subplots(1, 3), panels, ("violations", "components", "edits"), strict=True
    ):
        names, numbers = _unzip(counts)
        bars = axes.barh(names, numbers, color="#1982c4")
        axes.bar_label(bars, padding=2, fontsize=8)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.set(title=title, xlabel=unit)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _label_edits(summary: DatasetSummary) -> Counts:
    return (*summary.edits, *((f"{name} (control)", number) for name, number in summary.control_edits))


def _unzip(counts: Counts) -> tuple[Sequence[str], Sequence[int]]:
    return [name for name, _ in counts], [number for _, number in counts]
