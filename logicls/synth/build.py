"""`logicls synth`: a sharded Hugging Face dataset on disk, made by worker processes, resumable."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import datasets
import numpy as np

from logicls.assets import share
from logicls.constraints.decompose import decompose
from logicls.constraints.load import load_spec
from logicls.constraints.yaml_tree import read_text
from logicls.data.coco import Dataset, read_dataset
from logicls.data.outlines import read_outlines
from logicls.errors import DataError, Problem
from logicls.jsonl import write_text
from logicls.records import Example
from logicls.synth.augment import read_strength
from logicls.synth.balance import read_balance
from logicls.synth.bank import Bank
from logicls.synth.card import write_card
from logicls.synth.make import Maker
from logicls.synth.write import chain, wordings

SHARD = 200
"""Examples a shard: what is lost at most when a run is killed."""
FEATURES = datasets.Features(
    {
        "image": datasets.Image(),
        "photo": datasets.Value("string"),
        "width": datasets.Value("int32"),
        "height": datasets.Value("int32"),
        "queries": datasets.Sequence(datasets.Value("string")),
        "questions": datasets.Sequence(datasets.Value("string")),
        "values": datasets.Sequence(datasets.Sequence(datasets.Value("string"))),
        "boxes": datasets.Sequence(datasets.Sequence(datasets.Sequence(datasets.Value("float32")))),
        "violations": datasets.Sequence(datasets.Value("string")),
        "edits": datasets.Value("string"),
        "trail": datasets.Value("string"),
        "pair": datasets.Value("int64"),
        "fate": datasets.Value("string"),
        "wanted": datasets.Sequence(datasets.Value("string")),
        "tries": datasets.Sequence(datasets.Value("int32")),
        "rejected": datasets.Value("int32"),
        "seed": datasets.Value("int64"),
        "spec": datasets.Value("string"),
    }
)


@dataclass(frozen=True, slots=True)
class Order:
    """What to make."""

    spec: Path
    data: Path
    out: Path
    count: int
    seed: int


def build(order: Order, *, workers: int = 2, done: Callable[[int], None] = lambda _: None) -> int:
    """Make what is missing of the dataset; returns how many examples it has. `done` is told of each finished shard.

    Raises `DataError`, `SpecError`; refuses to go on in a folder that was begun with another spec, data or seed.
    """
    shards = -(-order.count // SHARD)
    licence = read_dataset(order.data).licence or "unknown"  # its errors come before anything is written
    (order.out / "data").mkdir(parents=True, exist_ok=True)
    _claim(order)
    names = [order.out / "data" / f"train-{k:05d}-of-{shards:05d}.parquet" for k in range(shards)]
    tasks = [(order, k, path) for k, path in enumerate(names) if not path.exists()]
    done(min((shards - len(tasks)) * SHARD, order.count))
    if workers <= 1 or len(tasks) <= 1:
        for task in tasks:
            done(_shard(task))
    else:
        with multiprocessing.get_context("spawn").Pool(workers, _quiet) as pool:
            for made in pool.imap_unordered(_shard, tasks):
                done(made)
    write_card(order.out, licence)
    return order.count


def _quiet() -> None:
    """Workers share the cores among themselves: no threads inside."""
    cv2.setNumThreads(1)


def _claim(order: Order) -> None:
    """Write what the folder is made from, or check that it is the same."""
    spec = load_spec(order.spec)
    annotations = (order.data / "annotations.json").read_bytes()
    settings = b"".join(path.read_bytes() for path in sorted(share("synth").iterdir()))
    wanted = {
        "spec": spec.hash,
        "annotations": hashlib.sha256(annotations).hexdigest()[:12],
        "settings": hashlib.sha256(settings).hexdigest()[:12],
        "count": order.count,
        "seed": order.seed,
    }
    mark = order.out / "synth.json"
    if mark.exists():
        found = json.loads(mark.read_text())
        differs = [
            f"{key} {found.get(key)} there, {wanted[key]} now" for key in wanted if found.get(key) != wanted[key]
        ]
        if differs:
            raise DataError(
                Problem("LC401", f"the folder was begun with other settings: {'; '.join(differs)}.", str(order.out),
                        advice="Choose another --out, or delete the folder.")
            )  # fmt: skip
    write_text(order.out / "spec.yaml", read_text(order.spec))
    write_text(mark, json.dumps(wanted, indent=1))


_makers: dict[Order, Maker] = {}


def _maker(order: Order) -> Maker:
    if order not in _makers:
        settings = read_strength(share("synth/augment.yaml")), read_balance(share("synth/balance.yaml"))
        _makers[order] = Maker(load_spec(order.spec), _bank(read_dataset(order.data)), *settings)
    return _makers[order]


def _bank(dataset: Dataset) -> Bank:
    return Bank(dataset, read_outlines(dataset))


def _shard(task: tuple[Order, int, Path]) -> int:
    order, number, path = task
    datasets.disable_progress_bars()
    maker = _maker(order)
    indices = range(number * SHARD, min((number + 1) * SHARD, order.count))
    rows = [row(maker, maker.make(order.seed, index), order.seed) for index in indices]
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    datasets.Dataset.from_list(rows, features=FEATURES).to_parquet(str(temporary))
    os.replace(temporary, path)
    return len(rows)


def row(maker: Maker, example: Example, seed: int) -> dict[str, object]:
    """An example of the set `seed` as a row of the dataset, with a wording drawn for each question."""
    rng = np.random.default_rng([seed, 3, example.seed])
    queries = {query.id: query for query in decompose(maker.spec)}
    ways = [wordings(queries[answer.query], maker.spec) for answer in example.answers]
    scene = example.scene
    return {
        "image": {"bytes": example.image, "path": None},
        "photo": scene.photo,
        "width": scene.width,
        "height": scene.height,
        "queries": [answer.query for answer in example.answers],
        "questions": [way[int(rng.integers(len(way)))] for way in ways],
        "values": [list(answer.values) for answer in example.answers],
        "boxes": [[[b.x1, b.y1, b.x2, b.y2] for b in answer.boxes] for answer in example.answers],
        "violations": list(example.violations),
        "edits": json.dumps([[e.kind, e.target, e.constraint, e.twin] for e in example.edits]),
        "trail": chain(maker.spec, example.answers, (scene.width, scene.height), rng),
        "pair": example.pair,
        "fate": example.effort.fate,
        "wanted": list(example.effort.wanted),
        "tries": list(example.effort.tries),
        "rejected": example.effort.rejected,
        "seed": example.seed,
        "spec": maker.spec.hash,
    }


def preview(order: Order, count: int) -> Iterator[Example]:
    """The first examples of a set, made on the spot."""
    maker = _maker(order)
    return (maker.make(order.seed, index) for index in range(count))
