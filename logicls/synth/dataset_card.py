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
from logicls.synth.dataset import rows

COVERAGE_COLUMNS = ("fate", "wanted", "tries", "rejected", "violations", "edits")


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
    efforts = ((e, e.stats) for e in examples)
    return counted(
        Made(effort.category, effort.requested, effort.attempts, effort.rejected, e.violations, bool(e.edits))
        for e, effort in efforts
    )


def read_shortfall(folder: Path) -> Shortfall:
    """Count the examples of a finished set, without their pictures."""
    return counted(one for path in sorted((folder / "data").glob("*.parquet")) for one in _rows(path))


def _rows(path: Path) -> Iterator[Made]:
    for row in parquet.read_table(path, columns=list(COVERAGE_COLUMNS)).to_pylist():
        lists = (tuple(row[name]) for name in ("wanted", "tries", "violations"))
        wanted, tries, violations = lists
        yield Made(row["fate"], wanted, tries, row["rejected"], violations, row["edits"] != "[]")


Counts = tuple[tuple[str, int], ...]
"""Name → how many."""
COLUMNS = ("photo", "queries", "values", "boxes", "violations", "edits")


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over a set; names that could be there and are not have a count of 0."""

    examples: int
    photos: int
    """Source photos that at least one example comes from."""
    fates: Counts
    """untouched, twin (edited, and nothing was to break) and broken (edited to break a rule)."""
    violations: Counts
    """Examples with each defect, in the order of the spec; `none` comes last."""
    edits: Counts
    """Edits that were to break a rule, by kind."""
    twins: Counts
    """Edits that were to break none, by kind."""
    families: Counts
    """Edits by the family of the rule that they are about."""
    components: Counts
    """Boxes of each component."""
    answers: tuple[tuple[str, Counts], ...]
    """Query → how often each answer: numbers of boxes, or values."""


def count(folder: Path) -> Tally:
    """Count what is in a synth folder. Raises `DataError` where there are no examples."""
    spec = load_spec(folder / "spec.yaml")
    family = {constraint.id: constraint.family for constraint in spec.constraints}
    number, photos = 0, set()
    fates = Counter(dict.fromkeys(("untouched", "twin", "broken"), 0))
    violations = Counter(dict.fromkeys((*spec.violations, "none"), 0))
    families = Counter(dict.fromkeys(family.values(), 0))
    edits, twins, components = Counter[str](), Counter[str](), Counter[str]()
    answers: dict[str, Counter[str]] = {}
    for row in rows(folder, COLUMNS):
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
    told = tuple((query, tuple(sorted(found.items(), key=_rank))) for query, found in sorted(answers.items()))
    return Tally(
        number, len(photos), _as_is(fates), _as_is(violations), _most(edits), _most(twins), _as_is(families),
        _as_is(components), told,
    )  # fmt: skip


def _as_is(counter: Counter[str]) -> Counts:
    return tuple(counter.items())


def _most(counter: Counter[str]) -> Counts:
    return tuple(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def _rank(item: tuple[str, int]) -> tuple[int, str]:
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
_LOAD = """## How to load it

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


def write_card(folder: Path, licence: str) -> Tally:
    """Count what is in a synth folder, and write its README.md and distribution.png; returns the counts."""
    tally, made = count(folder), json.loads((folder / "synth.json").read_text(encoding="utf-8"))
    product = load_spec(folder / "spec.yaml").product.name
    head = _HEAD.format(
        product=product, examples=tally.examples, version=__version__, photos=tally.photos, spec=made["spec"],
        seed=made["seed"], licence=licence,
    )  # fmt: skip
    tables = [
        f"## {title}\n\n{_markdown(heading, counts, total(tally, counts))}"
        for title, heading, counts in tables_of(tally)
    ]
    write_bytes(folder / "distribution.png", _picture(tally))
    write_text(folder / "README.md", "\n".join([head, _LOAD, *tables, _answers(tally)]))
    return tally


def tables_of(tally: Tally) -> tuple[tuple[str, str, Counts], ...]:
    """(title, heading of the names, counts) of each table, as the card and the screen show them."""
    return (
        ("What became of the photos", "photo", tally.fates),
        ("Defects", "defect", tally.violations),
        ("Edits that were to break a rule", "edit", tally.edits),
        ("Twin edits, that were to break none", "edit", tally.twins),
        ("Edits by the family of their rule", "family", tally.families),
        ("Boxes", "component", tally.components),
    )


def shares(counts: Counts, of: int) -> list[tuple[str, str, str]]:
    """(name, how many, share) of each count, as they are read."""
    return [(name, str(number), f"{100 * number / max(of, 1):.1f} %") for name, number in counts]


def total(tally: Tally, counts: Counts) -> int:
    """What the shares of a table are of: examples where it counts these, else all that the table counts."""
    return tally.examples if counts is tally.violations else sum(number for _, number in counts)


def _markdown(heading: str, counts: Counts, of: int) -> str:
    rows = [f"| {name} | {number} | {share} |" for name, number, share in shares(counts, of)]
    return "\n".join([f"| {heading} | count | share |", "|---|---:|---:|", *rows, ""])


def _answers(tally: Tally) -> str:
    rows = [
        f"| `{query}` | {', '.join(f'{name}: {number}' for name, number in counts)} |"
        for query, counts in tally.answers
    ]
    told = "How often each answer is the true one; of places, how many there are.\n"
    return "\n".join(["## Answers", "", told, "| question | answers |", "|---|---|", *rows, ""])


def _picture(tally: Tally) -> bytes:
    """Bars of defects, components and edits, as a PNG without a date."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parts = (("examples", tally.violations), ("boxes", tally.components), ("edits", _edits(tally)))
    most = max(len(counts) for _, counts in parts)
    figure = Figure(figsize=(13, 1.2 + 0.26 * most), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (what, counts), title in zip(
        figure.subplots(1, 3), parts, ("defects", "components", "edits"), strict=True
    ):
        names, numbers = _columns(counts)
        bars = axes.barh(names, numbers, color="#1982c4")
        axes.bar_label(bars, padding=2, fontsize=8)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.set(title=title, xlabel=what)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _edits(tally: Tally) -> Counts:
    return (*tally.edits, *((f"{name} (twin)", number) for name, number in tally.twins))


def _columns(counts: Counts) -> tuple[Sequence[str], Sequence[int]]:
    return [name for name, _ in counts], [number for _, number in counts]
