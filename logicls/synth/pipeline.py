"""`logicls synth`: a sharded Hugging Face dataset on disk, made by worker processes, resumable."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from logicls.constraints.spec.loader import load_spec
from logicls.constraints.spec.models import Spec
from logicls.constraints.spec.yaml_reader import read_text
from logicls.data.coco import Dataset, read_for
from logicls.data.image_io import photo_header
from logicls.data.segmentation import read_outlines
from logicls.errors import DataError, Problem
from logicls.io.atomic import atomic_path, delete_temporary_files, write_text
from logicls.io.resources import share
from logicls.io.run_manifest import Difference, claim
from logicls.records import Example
from logicls.synth.augmentation import Augmenter, read_strength
from logicls.synth.dataset import Row, make_row
from logicls.synth.dataset_card import write_card
from logicls.synth.sampling_plan import read_balance
from logicls.synth.workers import Source, produce

SHARD = 200
"""Examples a shard: what is lost at most when a run is killed."""
GROUP = 50
"""Examples that are in memory before they are written."""
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
    """Make what is missing of the dataset; returns how many examples it has. `done` is told how many more there are.

    What is made depends on the order alone, not on the number of `workers`. One run at a time in a folder.

    Raises:
        SpecError: The spec cannot be used.
        DataError: The photos cannot be used (LC101 to LC111), the folder was begun with another spec, data or seed
            (LC401), a process died (LC404), a photo cannot be read any more (LC301 to LC307), or the disk is full
            (LC253). Shards that are finished stay, and the same order goes on from there.
    """
    source = source_of(order)
    _claim(order, source)
    for folder in (order.out, order.out / "data"):
        delete_temporary_files(folder)
    missing = {path: numbers for path, numbers in _shards(order).items() if not path.exists()}
    numbers = [number for shard in missing.values() for number in shard]
    done(order.count - len(numbers))
    with closing(produce(source, make_row, numbers, workers if workers > 1 else 0)) as rows:
        for path, shard in missing.items():
            _write_shard(path, islice(rows, len(shard)), done)
    write_card(order.out, source.dataset.licence or "unknown")
    return order.count


def source_of(order: Order) -> Source:
    """What the order's examples are made from. Raises `SpecError`, `DataError`."""
    spec = load_spec(order.spec)
    dataset = read_for(spec, order.data)
    settings = read_strength(share("synth/augment.yaml")), read_balance(share("synth/balance.yaml"))
    return Source(spec, dataset, read_outlines(dataset), *settings, order.seed)


def preview(order: Order, count: int) -> Iterator[Example]:
    """The first examples of a set, made on the spot."""
    maker = source_of(order).maker()
    return (maker.make(order.seed, number) for number in range(count))


def left_out(order: Order) -> list[str]:
    """What the settings ask for and the photos may not go through, and why."""
    source = source_of(order)
    return list(Augmenter(source.spec, source.strength, source.dataset.scenes).left_out())


def settings_of(spec: Spec, data: Path) -> dict[str, object]:
    """Short hashes of all that examples depend on, beside their number and the seed."""
    settings = b"".join(path.read_bytes() for path in sorted(share("synth").iterdir()))
    return {
        "spec": spec.hash,
        "annotations": _short_hash((data / "annotations.json").read_bytes()),
        "settings": _short_hash(settings),
    }


def _claim(order: Order, source: Source) -> None:
    wanted = {**settings_of(source.spec, order.data), "count": order.count, "seed": order.seed}

    def refusal(differences: Sequence[Difference]) -> DataError:
        differs = "; ".join(f"{key} {there} there, {now} now" for key, there, now in differences)
        message = f"the folder was begun with other settings: {differs}."
        advice = "Choose another --out, or delete the folder."
        return DataError(Problem("LC401", message, str(order.out), advice=advice))

    claim(order.out / "synth.json", wanted, refusal, data=str(order.data.resolve()), stored=_stored(source.dataset))
    write_text(order.out / "spec.yaml", read_text(order.spec))


def _stored(dataset: Dataset) -> list[str]:
    """What is unusual about how some of the photos are stored: such a photo is nothing new to who learns from them."""
    return sorted({kind for scene in dataset.scenes for kind in photo_header(dataset.image_path(scene)).stored})


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _shards(order: Order) -> dict[Path, range]:
    """The files of the dataset, and the numbers of the examples in each."""
    starts = range(0, order.count, SHARD)
    return {
        order.out / "data" / f"train-{k:05d}-of-{len(starts):05d}.parquet": range(at, min(at + SHARD, order.count))
        for k, at in enumerate(starts)
    }


def _write_shard(path: Path, rows: Iterator[Row], done: Callable[[int], None]) -> None:
    """One file of the dataset, whole or not at all."""
    schema = FEATURES.arrow_schema
    with atomic_path(path) as temporary, temporary.open("wb") as file, pq.ParquetWriter(file, schema) as writer:
        while group := list(islice(rows, GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            done(len(group))
