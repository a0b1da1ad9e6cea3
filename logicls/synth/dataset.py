"""An example as a row of the dataset.

What `logicls synth` wrote, row by row: some columns of it, one batch in memory at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from logicls.constraints.checker.decomposition import decompose
from logicls.errors import DataError, Problem, relative_path
from logicls.prompts.templates import build_response, question_phrasings
from logicls.records import Example
from logicls.synth.example_generator import ExampleGenerator

Row = dict[str, Any]


def generate_row(generator: ExampleGenerator, seed: int, number: int) -> Row:
    """Example number `number` of the set `seed`."""
    return build_row(generator, generator.generate(seed, number), seed)


def build_row(generator: ExampleGenerator, example: Example, seed: int) -> Row:
    """An example of the set `seed`, with a wording drawn for each question."""
    rng = np.random.default_rng([seed, 3, example.seed])
    scene = example.scene
    return {
        "image": {"bytes": example.image, "path": None},
        "photo": scene.photo,
        **build_question_columns(generator, example, rng),
        "violations": list(example.violations),
        "edits": json.dumps([[e.kind, e.target, e.constraint, e.is_control] for e in example.edits]),
        "trail": build_response(generator.spec, example.answers, (scene.width, scene.height), rng),
        "pair": example.pair,
        "fate": example.stats.category,
        "wanted": list(example.stats.requested),
        "tries": list(example.stats.attempts),
        "rejected": example.stats.rejected,
        "seed": example.seed,
        "spec": generator.spec.hash,
    }


def build_question_columns(generator: ExampleGenerator, example: Example, rng: np.random.Generator) -> Row:
    """The questions, each in a wording of those there are, and their true answers."""
    queries = {query.id: query for query in decompose(generator.spec)}
    ways = [question_phrasings(queries[answer.query], generator.spec) for answer in example.answers]
    return {
        "width": example.scene.width,
        "height": example.scene.height,
        "queries": [answer.query for answer in example.answers],
        "questions": [way[int(rng.integers(len(way)))] for way in ways],
        "values": [list(answer.values) for answer in example.answers],
        "boxes": [[[b.x1, b.y1, b.x2, b.y2] for b in answer.boxes] for answer in example.answers],
    }


BATCH_SIZE = 64
"""Rows in memory."""


def read_rows(folder: Path, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """The rows of a folder in order, each with those columns alone.

    Raises:
        DataError: There is no training data in the folder (LC402).
    """
    import pyarrow.parquet as pq

    shards = sorted((folder / "data").glob("*.parquet"))
    if not shards:
        raise DataError(
            Problem("LC402", "no examples here.", relative_path(folder), advice="Make them with `logicls synth`.")
        )
    for shard in shards:
        with pq.ParquetFile(shard) as file:
            for batch in file.iter_batches(BATCH_SIZE, columns=list(columns)):
                yield from batch.to_pylist()
