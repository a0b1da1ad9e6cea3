"""Shards of rendered photos on disk, generated once and read many times. A resumed run generates the missing shards.

A scene shard holds photos of one size with their questions, a mark shard small photos of one mark each.
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
"""Scenes in a shard."""
MARKS_PER_SHARD = 4096
"""Marks in a shard."""


@dataclass(frozen=True, slots=True)
class SceneShard:
    """Photos of one size and their questions."""

    pixels: np.ndarray
    """uint8 [photos height width 3], RGB, memory-mapped."""
    questions: tuple[tuple[dict[str, Any], ...], ...]
    """Questions of each photo: kind, text, values, boxes."""


@dataclass(frozen=True, slots=True)
class MarkShard:
    """Photos of marks: even numbers upright, odd numbers rotated."""

    pixels: np.ndarray
    """uint8 [photos PHOTO_SIDE PHOTO_SIDE 3], RGB, memory-mapped."""
    boxes: np.ndarray
    """float32 [photos 4], x1, y1, x2, y2 as shares of the side."""
    marks: np.ndarray
    """int64 [photos], numbers of mark kinds."""


def store_scenes(
    folder: Path,
    shards: int,
    *,
    sizes: Sequence[tuple[int, int]],
    seed: int,
    workers: int,
    on_photos: Callable[[int], None],
) -> None:
    """Generate shards of 256 scenes, with the sizes (height, width) in pixels in turn.

    `on_photos` is called with the number of photos of each shard. The seed determines the photos, whatever the number
    of workers; with none they are generated in this process.
    """
    missing = [n for n in range(shards) if not _scene_file(folder, n).exists()]
    on_photos(SCENES_PER_SHARD * (shards - len(missing)))
    make = [partial(_make_scene_shard, folder, n, sizes[n % len(sizes)], seed) for n in missing]
    _run_jobs(folder, make, workers, lambda: on_photos(SCENES_PER_SHARD))


def store_marks(folder: Path, shards: int, *, seed: int, workers: int, on_photos: Callable[[int], None]) -> None:
    """Generate shards of 4,096 marks, as `store_scenes` does."""
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
    """Read all scene shards of a folder, in order. Raises `DataError` (LC407) if there are none."""
    files = sorted(folder.glob("made-*.jsonl"))
    if not files:
        raise DataError(
            Problem(
                "LC407", "the folder has no rendered scenes.", str(folder), advice="Generate them with `logicls base`."
            )
        )
    return [SceneShard(np.load(path.with_suffix(".npy"), mmap_mode="r"), _read_questions(path)) for path in files]


def read_mark_shards(folder: Path) -> list[MarkShard]:
    """Read all mark shards of a folder, in order."""
    files = sorted(folder.glob("marks-*.npy"))
    labels = [np.load(path.with_suffix(".npz")) for path in files]
    return [
        MarkShard(np.load(path, mmap_mode="r"), label["boxes"], label["marks"])
        for path, label in zip(files, labels, strict=True)
    ]


def _read_questions(path: Path) -> tuple[tuple[dict[str, Any], ...], ...]:
    lines: list[Mapping[str, Any]] = list(jsonl.read_records(path))
    return tuple(tuple(line["questions"] if "questions" in line else line["asked"]) for line in lines)


def _scene_file(folder: Path, number: int) -> Path:
    return folder / f"made-{number:05d}.jsonl"


def _make_scene_shard(folder: Path, number: int, size: tuple[int, int], seed: int) -> None:
    scenes = [generate_scene(np.random.default_rng([seed, number, k]), size) for k in range(SCENES_PER_SHARD)]
    path = _scene_file(folder, number)
    with atomic.atomic_path(path.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
        np.save(file, np.stack([scene.pixels for scene in scenes]), allow_pickle=False)
    with atomic.atomic_path(path) as temporary, jsonl.Appender(temporary) as lines:
        for scene in scenes:
            lines.append({"questions": _questions_to_json(scene)})


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
