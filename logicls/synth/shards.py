"""What `logicls synth` wrote, row by row: some columns of it, one batch in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from logicls.errors import DataError, Problem, relative

BATCH = 64
"""Rows in memory."""


def rows(folder: Path, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """The rows of a folder in order, each with those columns alone.

    Raises:
        DataError: There is no training data in the folder (LC402).
    """
    import pyarrow.parquet as pq

    shards = sorted((folder / "data").glob("*.parquet"))
    if not shards:
        raise DataError(
            Problem("LC402", "no examples here.", relative(folder), advice="Make them with `logicls synth`.")
        )
    for shard in shards:
        with pq.ParquetFile(shard) as file:
            for batch in file.iter_batches(BATCH, columns=list(columns)):
                yield from batch.to_pylist()
