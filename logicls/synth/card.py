"""The dataset's card: what was made, out of what, and how to load it; as README.md with a picture of the counts."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

from logicls import __version__
from logicls.constraints.load import load_spec
from logicls.jsonl import write_bytes, write_text
from logicls.synth.tally import Counts, Tally, count

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
