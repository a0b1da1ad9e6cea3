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
from logicls.data.coco import Dataset, read_dataset_for
from logicls.data.image_io import read_header
from logicls.data.segmentation import read_segmentations
from logicls.errors import DataError, Problem
from logicls.io.atomic import atomic_path, delete_temporary_files, write_text
from logicls.io.resources import resource_path
from logicls.io.run_manifest import ManifestDifference, check_manifest
from logicls.records import Example
from logicls.synth.augmentation import Augmenter, load_augmentation_settings
from logicls.synth.dataset import Row, generate_row
from logicls.synth.dataset_card import write_dataset_card
from logicls.synth.sampling_plan import load_balance_settings
from logicls.synth.workers import SynthesisSource, run_tasks

SHARD_SIZE = 200
"""Examples a shard: what is lost at most when a run is killed."""
ROW_GROUP_SIZE = 50
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
class SynthesisRequest:
    """What to make."""

    spec: Path
    data: Path
    out: Path
    count: int
    seed: int


def build_dataset(
    request: SynthesisRequest, *, workers: int = 2, on_progress: Callable[[int], None] = lambda _: None
) -> int:
    """Make what is missing of the dataset; returns how many examples it has. `done` is told how many more there are.

    What is made depends on the order alone, not on the number of `workers`. One run at a time in a folder.

    Raises:
        SpecError: The spec cannot be used.
        DataError: The photos cannot be used (LC101 to LC111), the folder was begun with another spec, data or seed
            (LC401), a process died (LC404), a photo cannot be read any more (LC301 to LC307), or the disk is full
            (LC253). Shards that are finished stay, and the same order goes on from there.
    """
    source = load_source(request)
    _check_manifest(request, source)
    for folder in (request.out, request.out / "data"):
        delete_temporary_files(folder)
    missing = {path: numbers for path, numbers in _plan_shards(request).items() if not path.exists()}
    numbers = [number for shard in missing.values() for number in shard]
    on_progress(request.count - len(numbers))
    with closing(run_tasks(source, generate_row, numbers, workers if workers > 1 else 0)) as rows:
        for path, shard in missing.items():
            _write_shard(path, islice(rows, len(shard)), on_progress)
    write_dataset_card(request.out, source.dataset.licence or "unknown")
    return request.count


def load_source(request: SynthesisRequest) -> SynthesisSource:
    """What the order's examples are made from. Raises `SpecError`, `DataError`."""
    spec = load_spec(request.spec)
    dataset = read_dataset_for(spec, request.data)
    settings = (
        load_augmentation_settings(resource_path("synth/augment.yaml")),
        load_balance_settings(resource_path("synth/balance.yaml")),
    )
    return SynthesisSource(spec, dataset, read_segmentations(dataset), *settings, request.seed)


def generate_preview(request: SynthesisRequest, count: int) -> Iterator[Example]:
    """The first examples of a set, made on the spot."""
    maker = load_source(request).create_generator()
    return (maker.generate(request.seed, number) for number in range(count))


def describe_restrictions(request: SynthesisRequest) -> list[str]:
    """What the settings ask for and the photos may not go through, and why."""
    source = load_source(request)
    return list(Augmenter(source.spec, source.augmentation, source.dataset.scenes).describe_restrictions())


def hash_inputs(spec: Spec, data: Path) -> dict[str, object]:
    """Short hashes of all that examples depend on, beside their number and the seed."""
    settings = b"".join(path.read_bytes() for path in sorted(resource_path("synth").iterdir()))
    return {
        "spec": spec.hash,
        "annotations": _short_hash((data / "annotations.json").read_bytes()),
        "settings": _short_hash(settings),
    }


def _check_manifest(order: SynthesisRequest, source: SynthesisSource) -> None:
    wanted = {**hash_inputs(source.spec, order.data), "count": order.count, "seed": order.seed}

    def refusal(differences: Sequence[ManifestDifference]) -> DataError:
        differs = "; ".join(f"{key} {there} there, {now} now" for key, there, now in differences)
        message = f"the folder was begun with other settings: {differs}."
        advice = "Choose another --out, or delete the folder."
        return DataError(Problem("LC401", message, str(order.out), advice=advice))

    check_manifest(
        order.out / "synth.json",
        wanted,
        refusal,
        data=str(order.data.resolve()),
        stored=_storage_properties(source.dataset),
    )
    write_text(order.out / "spec.yaml", read_text(order.spec))


def _storage_properties(dataset: Dataset) -> list[str]:
    """What is unusual about how some of the photos are stored: such a photo is nothing new to who learns from them."""
    return sorted({kind for scene in dataset.scenes for kind in read_header(dataset.image_path(scene)).storage_issues})


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _plan_shards(order: SynthesisRequest) -> dict[Path, range]:
    """The files of the dataset, and the numbers of the examples in each."""
    starts = range(0, order.count, SHARD_SIZE)
    return {
        order.out / "data" / f"train-{k:05d}-of-{len(starts):05d}.parquet": range(at, min(at + SHARD_SIZE, order.count))
        for k, at in enumerate(starts)
    }


def _write_shard(path: Path, rows: Iterator[Row], on_progress: Callable[[int], None]) -> None:
    """One file of the dataset, whole or not at all."""
    schema = FEATURES.arrow_schema
    with atomic_path(path) as temporary, temporary.open("wb") as file, pq.ParquetWriter(file, schema) as writer:
        while group := list(islice(rows, ROW_GROUP_SIZE)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            on_progress(len(group))
