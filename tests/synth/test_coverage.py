"""Coverage counts what a dataset lacks, and reads datasets of earlier versions."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from logicls.errors import DataError
from logicls.synth.dataset_card import GenerationRecord, count_coverage, load_coverage


def test_shortfalls_are_described() -> None:
    """Each violation with its rate, violations that exclude each other, control edits, and rejected augmentations."""
    records = [
        GenerationRecord("broken", ("bent",), (3,), 1, ("bent",), True),
        GenerationRecord("broken", ("bent",), (12,), 0, ("torn",), True),
        GenerationRecord("broken", ("torn",), (1,), 0, ("torn",), True),
        GenerationRecord("broken_twice", ("bent", "torn"), (12, 12), 0, ("torn",), True),
        GenerationRecord("control", (), (), 0, (), False),
    ]

    assert list(count_coverage(records).to_lines()) == [
        "bent: 1 of 2 requested examples made; 7% of the photos tried allow it",
        "1 of 1 pair of violations could not be combined on one photo: another violation replaces one of the two",
        "1 control edit could not be made: that photo is untouched",
        "1 augmentation rejected (0.20 per example): a label would have become wrong",
    ]


def write_shard(folder: Path, columns: dict[str, list[object]]) -> None:
    """Write a dataset of one shard."""
    (folder / "data").mkdir()
    pq.write_table(pa.table(columns), folder / "data" / "train-00000-of-00001.parquet")


def test_datasets_of_earlier_versions_are_read(tmp_path: Path) -> None:
    """Old names of columns, and of the category of control edits."""
    write_shard(
        tmp_path,
        {
            "fate": ["twin", "broken"], "wanted": [["bent"], ["bent"]], "tries": [[0], [3]], "rejected": [2, 0],
            "violations": [[], ["bent"]], "edits": ["[]", '[["move", 1, "straight", false]]'],
        },
    )  # fmt: skip

    counts = load_coverage(tmp_path)

    assert (counts.examples, counts.rejected, counts.missing_controls) == (2, 2, 1)
    assert (counts.requested["bent"], counts.achieved["bent"], counts.attempts["bent"]) == (1, 1, 3)


def test_a_missing_column_is_an_error(tmp_path: Path) -> None:
    """The message names the columns, and says to create the dataset again."""
    write_shard(tmp_path, {"violations": [[]], "edits": ["[]"]})

    with pytest.raises(DataError) as caught:
        load_coverage(tmp_path)

    assert [(p.code, p.message, p.advice) for p in caught.value.problems] == [
        (
            "LC402",
            "columns missing: category, requested, attempts, rejected.",
            "Delete the folder, and create it again with `logicls synth`.",
        )
    ]
