"""The card of a dataset: its counts are those of the rows, and it says where they come from."""

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
from logicls.io.resources import share
from logicls.report.console import print_dataset_summary
from logicls.synth.dataset_card import (
    DatasetSummary,
    _answer_sort_key,
    summarize_dataset,
    summary_tables,
    write_dataset_card,
)
from logicls.synth.pipeline import SynthesisRequest, build_dataset

COUNT = 40


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set."""
    out = tmp_path_factory.mktemp("made") / "set"
    build_dataset(
        SynthesisRequest(share("constraints/dosing_kit.yaml"), share("data/dosing_kit"), out, COUNT, 5), workers=1
    )
    return out


@pytest.fixture(scope="module")
def tally(made: Path) -> DatasetSummary:
    """Its counts."""
    return summarize_dataset(made)


def test_counts_are_those_of_the_rows(made: Path, tally: DatasetSummary, tmp_path: Path) -> None:
    """Counted once more, out of the dataset as Hugging Face opens it."""
    table = datasets.load_dataset(str(made), cache_dir=str(tmp_path), split="train").remove_columns("image")
    edits = [edit for row in table for edit in json.loads(row["edits"])]

    assert (tally.examples, tally.photos) == (COUNT, len(set(table["photo"])))
    assert dict(tally.violations)["none"] == sum(not row["violations"] for row in table)
    assert sum(number for _, number in tally.categories) == COUNT
    assert dict(tally.categories)["untouched"] == sum(row["edits"] == "[]" for row in table)
    assert sum(number for _, number in (*tally.edits, *tally.control_edits)) == len(edits)
    assert sum(number for _, number in tally.families) == len(edits)
    assert dict(tally.control_edits)["move"] == sum(kind == "move" and twin for kind, _, _, twin in edits)
    tablets = [len(row["boxes"][row["queries"].index("locate:tablet")]) for row in table]
    assert dict(tally.components)["tablet"] == sum(tablets)
    assert dict(dict(tally.answers)["locate:tablet"]) == {str(n): tablets.count(n) for n in set(tablets)}


def test_a_defect_that_is_never_made_is_told(tally: DatasetSummary) -> None:
    """It stands in the table with 0, and in a sentence on the screen."""
    console = Console(width=200, record=True, file=io.StringIO())
    rare = tuple((name, 0 if name == "extra_tablet" else number) for name, number in tally.violations)

    print_dataset_summary(replace(tally, violations=rare), console)

    text = console.export_text()
    assert re.search(r"extra_tablet +│ +0 │ +0\.0 %", text)
    assert re.search(r"No example has (\w+, )*extra_tablet(, \w+)*: make more", text)


def test_the_card_tells_what_was_made(made: Path, tally: DatasetSummary) -> None:
    """Product, spec, seed, licence, every count with its share, and a picture that is there."""
    text = (made / "README.md").read_text()
    origin = json.loads((made / "synth.json").read_text())

    assert text.startswith("---\nconfigs:\n")
    assert "# dosing_kit: synthetic inspection examples" in text
    assert f"spec {origin['spec']}, seed\n5." in text
    assert "Licence of the source photos: CC0" in text
    for title, _, counts in summary_tables(tally):
        assert f"## {title}\n" in text
        assert [name for name, number in counts if f"| {name} | {number} | " not in text] == []
    assert [query for query, _ in tally.answers if f"| `{query}` |" not in text] == []
    assert [name for name in re.findall(r"\]\((\S+)\)", text) if not (made / name).exists()] == []


def test_the_picture_shows_bars(made: Path) -> None:
    """It opens, is wide enough for three charts, and is not blank."""
    with Image.open(made / "distribution.png") as image:
        pixels = np.asarray(image.convert("L"))

    assert pixels.shape[1] > 1000
    assert 0.01 < (pixels < 200).mean() < 0.6


def test_the_same_rows_make_the_same_card(made: Path) -> None:
    """Written once more, not a byte differs."""
    before = {name: (made / name).read_bytes() for name in ("README.md", "distribution.png")}
    licence = re.search(r"photos: (.*)\.\n", before["README.md"].decode())

    assert licence is not None
    write_dataset_card(made, licence[1])

    assert {name: (made / name).read_bytes() for name in before} == before


def test_numbers_stand_in_their_order() -> None:
    """2 comes before 10."""
    assert sorted([("10", 1), ("2", 1), ("b", 1), ("a", 1)], key=_answer_sort_key) == [
        ("a", 1),
        ("b", 1),
        ("2", 1),
        ("10", 1),
    ]


def test_an_empty_folder_has_no_card(tmp_path: Path) -> None:
    """The error says where examples come from."""
    (tmp_path / "spec.yaml").write_text(share("constraints/dosing_kit.yaml").read_text())

    with pytest.raises(DataError, match="LC402"):
        summarize_dataset(tmp_path)
