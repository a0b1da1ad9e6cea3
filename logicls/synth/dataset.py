"""Rows of a generated dataset: written from examples, read back by columns in batches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from logicls.constraints.checker.decomposition import decompose
from logicls.constraints.spec.models import Spec
from logicls.errors import DataError, Problem, relative_path
from logicls.prompts.templates import build_response, question_phrasings
from logicls.records import Example

Row = dict[str, Any]


def build_row(spec: Spec, example: Example, seed: int) -> Row:
    """Convert an example of the set `seed` to a row, with a random phrasing of each question."""
    rng = np.random.default_rng([seed, 3, example.seed])
    scene = example.scene
    return {
        "image": {"bytes": example.image, "path": None},
        "photo": scene.photo,
        **build_question_columns(spec, example, rng),
        "violations": list(example.violations),
        "edits": json.dumps([[e.kind, e.target, e.constraint, e.is_control] for e in example.edits]),
        "response": build_response(spec, example.answers, (scene.width, scene.height), rng),
        "pair": example.pair,
        "category": example.stats.category,
        "requested": list(example.stats.requested),
        "attempts": list(example.stats.attempts),
        "rejected": example.stats.rejected,
        "seed": example.seed,
        "spec": spec.hash,
    }


def build_question_columns(spec: Spec, example: Example, rng: np.random.Generator) -> Row:
    """Columns of the photo's size, the questions for a model in random phrasings, and their true answers."""
    queries = {query.id: query for query in decompose(spec)}
    answers = [answer for answer in example.answers if answer.query in queries]
    phrasings = [question_phrasings(queries[answer.query], spec) for answer in answers]
    return {
        "width": example.scene.width,
        "height": example.scene.height,
        "queries": [answer.query for answer in answers],
        "questions": [choices[int(rng.integers(len(choices)))] for choices in phrasings],
        "values": [list(answer.values) for answer in answers],
        "boxes": [[[b.x1, b.y1, b.x2, b.y2] for b in answer.boxes] for answer in answers],
    }


BATCH_SIZE = 64
"""Rows in memory."""
OLD_COLUMNS = {"category": "fate", "requested": "wanted", "attempts": "tries", "response": "trail"}
"""Column → its name in datasets of earlier versions."""


def read_rows(folder: Path, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Read the rows of a dataset folder in order, with the requested columns.

    Datasets of earlier versions are read as well; their columns are renamed.

    Raises:
        DataError: The folder has no examples, or a column is missing (LC402).
    """
    import pyarrow.parquet as pq

    shards = sorted((folder / "data").glob("*.parquet"))
    if not shards:
        raise DataError(
            Problem("LC402", "no examples in this folder.", relative_path(folder), advice="Run `logicls synth` first.")
        )
    for shard in shards:
        with pq.ParquetFile(shard) as file:
            names = _find_columns(shard, file.schema_arrow.names, columns)
            for batch in file.iter_batches(BATCH_SIZE, columns=list(names.values())):
                yield from (_rename_columns(row, names) for row in batch.to_pylist())


def _find_columns(shard: Path, present: Sequence[str], columns: Sequence[str]) -> dict[str, str]:
    """Map each requested column to its name in the file."""
    names = {name: name if name in present else OLD_COLUMNS.get(name, name) for name in columns}
    missing = [name for name, stored in names.items() if stored not in present]
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        message = f"{noun} missing: {', '.join(missing)}."
        advice = "Delete the folder, and create it again with `logicls synth`."
        raise DataError(Problem("LC402", message, relative_path(shard), advice=advice))
    return names


def _rename_columns(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Rename columns, and the category `twin` of earlier versions to `control`."""
    renamed = {name: row[stored] for name, stored in names.items()}
    if renamed.get("category") == "twin":
        renamed["category"] = "control"
    return renamed
