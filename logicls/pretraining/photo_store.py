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
from logicls.pretraining.scene_generator import World, make_world
from logicls.pretraining.small_marks import look_closely

EACH = 256
"""Photos a shard."""
MARKS_EACH = 4096
"""The same where each shows one mark."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Photos of one size and what is asked about them."""

    pixels: np.ndarray
    """uint8 [photos height width 3], RGB, mapped from disk."""
    asked: tuple[tuple[dict[str, Any], ...], ...]
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


def store(
    folder: Path, shards: int, *, sizes: Sequence[tuple[int, int]], seed: int, workers: int, done: Callable[[int], None]
) -> None:
    """Make shards of 256 photos, in turns of the sizes (height, width) in pixels.

    `done` is told of each shard's photos. The same seed makes the same photos, whatever the number of workers; with
    none they are made in this process.
    """
    missing = [n for n in range(shards) if not _questions(folder, n).exists()]
    done(EACH * (shards - len(missing)))
    make = [partial(_make, folder, n, sizes[n % len(sizes)], seed) for n in missing]
    _all_made(folder, make, workers, lambda: done(EACH))


def store_marks(folder: Path, shards: int, *, seed: int, workers: int, done: Callable[[int], None]) -> None:
    """Make shards of 4,096 marks, as `store` does."""
    missing = [n for n in range(shards) if not _marks(folder, n).exists()]
    done(MARKS_EACH * (shards - len(missing)))
    _all_made(folder, [partial(_make_marks, folder, n, seed) for n in missing], workers, lambda: done(MARKS_EACH))


def _all_made(folder: Path, make: Sequence[Callable[[], None]], workers: int, done: Callable[[], None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not workers:
        for one in make:
            one()
            done()
        return
    # A fresh process each, not a fork: threads of whoever calls would be forked with their locks.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for running in as_completed([pool.submit(one) for one in make]):
            running.result()
            done()


def read_shards(folder: Path) -> list[Shard]:
    """All shards of a folder, in order. Raises `DataError` where there is none."""
    found = sorted(folder.glob("made-*.jsonl"))
    if not found:
        raise DataError(Problem("LC407", "no made photos here.", str(folder), advice="Make them with `logicls base`."))
    return [Shard(np.load(path.with_suffix(".npy"), mmap_mode="r"), _asked(path)) for path in found]


def read_marks(folder: Path) -> list[MarkShard]:
    """All shards of marks of a folder, in order."""
    found = sorted(folder.glob("marks-*.npy"))
    said = [np.load(path.with_suffix(".npz")) for path in found]
    return [
        MarkShard(np.load(path, mmap_mode="r"), one["boxes"], one["marks"])
        for path, one in zip(found, said, strict=True)
    ]


def _asked(path: Path) -> tuple[tuple[dict[str, Any], ...], ...]:
    lines: list[Mapping[str, Any]] = list(jsonl.read_records(path))
    return tuple(tuple(line["asked"]) for line in lines)


def _questions(folder: Path, number: int) -> Path:
    return folder / f"made-{number:05d}.jsonl"


def _make(folder: Path, number: int, size: tuple[int, int], seed: int) -> None:
    worlds = [make_world(np.random.default_rng([seed, number, k]), size) for k in range(EACH)]
    path = _questions(folder, number)
    with atomic.atomic_path(path.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
        np.save(file, np.stack([world.pixels for world in worlds]), allow_pickle=False)
    with atomic.atomic_path(path) as temporary, jsonl.Appender(temporary) as lines:
        for world in worlds:
            lines.append({"asked": _plain(world)})


def _marks(folder: Path, number: int) -> Path:
    return folder / f"marks-{number:05d}.npz"


def _make_marks(folder: Path, number: int, seed: int) -> None:
    made = [look_closely(np.random.default_rng([seed, number, k]), upright=k % 2 == 0) for k in range(MARKS_EACH)]
    path = _marks(folder, number)
    with atomic.atomic_path(path.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
        np.save(file, np.stack([one.pixels for one in made]), allow_pickle=False)
    with atomic.atomic_path(path) as temporary, temporary.open("wb") as file:
        boxes, marks = np.array([one.box for one in made], np.float32), np.array([one.mark for one in made])
        np.savez(file, boxes=boxes, marks=marks)


def _plain(world: World) -> list[dict[str, object]]:
    return [
        {
            "kind": one.kind,
            "text": one.text,
            "values": list(one.values),
            "boxes": [[round(v, 2) for v in (b.x1, b.y1, b.x2, b.y2)] for b in one.boxes],
        }
        for one in world.asked
    ]
