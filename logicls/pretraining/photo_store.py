"""Made photos on disk: made once, read many times. A shard holds photos of one size, a resumed run makes what lacks.

So do shards of marks, each of them on a photo of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from logicls.errors import DataError, Problem
from logicls.io import atomic, jsonl
from logicls.pretraining.scene_generator import SyntheticScene, generate_scene
from logicls.pretraining.small_marks import generate_mark

SCENES_PER_SHARD = 256
"""Photos a shard."""
MARKS_PER_SHARD = 4096
"""The same where each shows one mark."""


@dataclass(frozen=True, slots=True)
class SceneShard:
    """Photos of one size and what is asked about them."""

    pixels: np.ndarray
    """uint8 [photos height width 3], RGB, mapped from disk."""
    questions: tuple[tuple[dict[str, Any], ...], ...]
    """For each photo its questions: kind, text, values, boxes."""


@dataclass(frozen=True, slots=True)
class MarkShard:
    """Photos of marks: those with even numbers upright, the others turned any way."""

    pixels: np.ndarray
    """uint8 [photos SIDE SIDE 3], RGB, mapped from disk."""
    boxes: np.ndarray
    """float32 [photos 4], x1, y1, x2, y2 as shares of the side."""
    marks: np.ndarray
    """int64 [photos], numbers of marks."""


def store_scenes(
    folder: Path,
    shards: int,
    *,
    sizes: Sequence[tuple[int, int]],
    seed: int,
    workers: int,
    on_photos: Callable[[int], None],
) -> None:
    """Make shards of 256 photos, in turns of the sizes (height, width) in pixels.

    `done` is told of each shard's photos. The same seed makes the same photos, whatever the number of workers; with
    none they are made in this process.
    """
    missing = [n for n in range(shards) if not _scene_file(folder, n).exists()]
    on_photos(SCENES_PER_SHARD * (shards - len(missing)))
    make = [partial(_make_scene_shard, folder, n, sizes[n % len(sizes)], seed) for n in missing]
    _run_jobs(folder, make, workers, lambda: on_photos(SCENES_PER_SHARD))


def store_marks(folder: Path, shards: int, *, seed: int, workers: int, on_photos: Callable[[int], None]) -> None:
    """Make shards of 4,096 marks, as `store` does."""
    missing = [n for n in range(shards) if not _mark_file(folder, n).exists()]
    on_photos(MARKS_PER_SHARD * (shards - len(missing)))
    _run_jobs(
        folder,
        [partial(_make_mark_shard, folder, n, seed) for n in missing],
        workers,
        lambda: on_photos(MARKS_PER_SHARD),
    )


def _run_jobs(folder: Path, jobs: Sequence[Callable[[], None]], workers: int, on_job: Callable[[], None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not workers:
        for one in jobs:
            one()
            on_job()
        return
    # A fresh process each, not a fork: threads of whoever calls would be forked with their locks.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for running in as_completed([pool.submit(job) for job in jobs]):
            running.result()
            on_job()


def read_scene_shards(folder: Path) -> list[SceneShard]:
    """All shards of a folder, in order. Raises `DataError` where there is none."""
    files = sorted(folder.glob("made-*.jsonl"))
    if not files:
        raise DataError(Problem("LC407", "no made photos here.", str(folder), advice="Make them with `logicls base`."))
    return [SceneShard(np.load(path.with_suffix(".npy"), mmap_mode="r"), _read_questions(path)) for path in files]


def read_mark_shards(folder: Path) -> list[MarkShard]:
    """All shards of marks of a folder, in order."""
    files = sorted(folder.glob("marks-*.npy"))
    labels = [np.load(path.with_suffix(".npz")) for path in files]
    return [
        MarkShard(np.load(path, mmap_mode="r"), label["boxes"], label["marks"])
        for path, label in zip(files, labels, strict=True)
    ]


def _read_questions(path: Path) -> tuple[tuple[dict[str, Any], ...], ...]:
    lines: list[Mapping[str, Any]] = list(jsonl.read_records(path))
    return tuple(tuple(line["asked"]) for line in lines)


def _scene_file(folder: Path, number: int) -> Path:
    return folder / f"made-{number:05d}.jsonl"


def _make_scene_shard(folder: Path, number: int, size: tuple[int, int], seed: int) -> None:
    scenes = [generate_scene(np.random.default_rng([seed, number, k]), size) for k in range(SCENES_PER_SHARD)]
    path = _scene_file(folder, number)
    with atomic.atomic_path(path.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
        np.save(file, np.stack([world.pixels for world in scenes]), allow_pickle=False)
    with atomic.atomic_path(path) as temporary, jsonl.Appender(temporary) as lines:
        for scene in scenes:
            lines.append({"asked": _questions_to_json(scene)})


def _mark_file(folder: Path, number: int) -> Path:
    return folder / f"marks-{number:05d}.npz"


def _make_mark_shard(folder: Path, number: int, seed: int) -> None:
    photos = [
        generate_mark(np.random.default_rng([seed, number, k]), upright=k % 2 == 0) for k in range(MARKS_PER_SHARD)
    ]
    path = _mark_file(folder, number)
    with atomic.atomic_path(path.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
        np.save(file, np.stack([one.pixels for one in photos]), allow_pickle=False)
    with atomic.atomic_path(path) as temporary, temporary.open("wb") as file:
        boxes, marks = np.array([photo.box for photo in photos], np.float32), np.array([one.mark for one in photos])
        np.savez(file, boxes=boxes, marks=marks)


def _questions_to_json(scene: SyntheticScene) -> list[dict[str, object]]:
    return [
        {
            "kind": question.kind,
            "text": question.text,
            "values": list(question.values),
            "boxes": [[round(v, 2) for v in (b.x1, b.y1, b.x2, b.y2)] for b in question.boxes],
        }
        for question in scene.questions
    ]
