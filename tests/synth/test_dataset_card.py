"""The dataset card counts what the rows contain, and names their sources."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from logicls.errors import DataError
from logicls.io.resources import resource_path
from logicls.report.console import print_dataset_summary
from logicls.synth.dataset_card import (
    DatasetSummary,
    _answer_sort_key,
    build_tables,
    summarize_dataset,
    write_dataset_card,
)
from logicls.synth.pipeline import SynthesisRequest, build_dataset

COUNT = 40


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dataset."""
    out = tmp_path_factory.mktemp("made") / "set"
    build_dataset(
        SynthesisRequest(resource_path("constraints/dosing_kit.yaml"), resource_path("data/dosing_kit"), out, COUNT, 5),
        workers=1,
    )
    return out


@pytest.fixture(scope="module")
def summary(dataset: Path) -> DatasetSummary:
    """Its counts."""
    return summarize_dataset(dataset)


def test_counts_match_the_rows(dataset: Path, summary: DatasetSummary, tmp_path: Path) -> None:
    """Counted again from the dataset as Hugging Face loads it."""
    rows = datasets.load_dataset(str(dataset), cache_dir=str(tmp_path), split="train").remove_columns("image")
    edits = [edit for row in rows for edit in json.loads(row["edits"])]

    assert (summary.examples, summary.photos) == (COUNT, len(set(rows["photo"])))
    assert dict(summary.violations)["none"] == sum(not row["violations"] for row in rows)
    assert sum(number for _, number in summary.categories) == COUNT
    assert dict(summary.categories)["untouched"] == sum(row["edits"] == "[]" for row in rows)
    assert sum(number for _, number in (*summary.edits, *summary.control_edits)) == len(edits)
    assert sum(number for _, number in summary.families) == len(edits)
    assert dict(summary.control_edits)["move"] == sum(kind == "move" and is_control for kind, _, _, is_control in edits)
    tablets = [len(row["boxes"][row["queries"].index("locate:tablet")]) for row in rows]
    assert dict(summary.components)["tablet"] == sum(tablets)
    assert dict(dict(summary.answers)["locate:tablet"]) == {str(n): tablets.count(n) for n in set(tablets)}


def test_missing_violations_are_reported(summary: DatasetSummary) -> None:
    """The table shows 0, and a sentence on the screen names the violation."""
    console = Console(width=200, record=True, file=io.StringIO())
    without = tuple((name, 0 if name == "extra_tablet" else number) for name, number in summary.violations)

    print_dataset_summary(replace(summary, violations=without), console)

    text = console.export_text()
    assert re.search(r"extra_tablet +│ +0 │ +0\.0 %", text)
    assert re.search(r"No example has (\w+, )*extra_tablet(, \w+)*\. Create more", text)


def test_the_card_describes_the_dataset(dataset: Path, summary: DatasetSummary) -> None:
    """Product, spec, seed, licence, every count with its share, and an image that exists."""
    text = (dataset / "README.md").read_text()
    manifest = json.loads((dataset / "synth.json").read_text())

    assert text.startswith("---\nconfigs:\n")
    assert "# dosing_kit: synthetic inspection examples" in text
    assert f"spec {manifest['spec']}, seed 5.\n" in text
    assert "Licence of the source photos: CC0" in text
    for title, _, counts in build_tables(summary):
        assert f"## {title}\n" in text
        assert [name for name, number in counts if f"| {name} | {number} | " not in text] == []
    assert [query for query, _ in summary.answers if f"| `{query}` |" not in text] == []
    assert [name for name in re.findall(r"\]\((\S+)\)", text) if not (dataset / name).exists()] == []


def test_the_plot_shows_bars(dataset: Path) -> None:
    """It opens, is wide enough for three charts, and is not blank."""
    with Image.open(dataset / "distribution.png") as image:
        pixels = np.asarray(image.convert("L"))

    assert pixels.shape[1] > 1000
    assert 0.01 < (pixels < 200).mean() < 0.6


def test_the_card_is_reproducible(dataset: Path) -> None:
    """Written again, no byte differs."""
    before = {name: (dataset / name).read_bytes() for name in ("README.md", "distribution.png")}
    licence = re.search(r"photos: (.*)\.\n", before["README.md"].decode())

    assert licence is not None
    write_dataset_card(dataset, licence[1])

    assert {name: (dataset / name).read_bytes() for name in before} == before


def test_numbers_are_sorted_by_value() -> None:
    """2 comes before 10."""
    assert sorted([("10", 1), ("2", 1), ("b", 1), ("a", 1)], key=_answer_sort_key) == [
        ("a", 1),
        ("b", 1),
        ("2", 1),
        ("10", 1),
    ]


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    """The error says how to create examples."""
    (tmp_path / "spec.yaml").write_text(resource_path("constraints/dosing_kit.yaml").read_text())

    with pytest.raises(DataError, match="LC402"):
        summarize_dataset(tmp_path)
