"""Made photos on disk: made once, read many times. A shard holds photos of one size, a resumed run makes what lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from logicls import jsonl
from logicls.errors import DataError, Problem
from logicls.worlds.world import World, make_world

EACH = 256
"""Photos a shard."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Photos of one size and what is asked about them."""

    pixels: np.ndarray
    """uint8 [photos height width 3], RGB, mapped from disk."""
    asked: tuple[tuple[dict[str, Any], ...], ...]
    """For each photo its questions: kind, text, values, boxes."""


def store(
    folder: Path, shards: int, *, sizes: Sequence[tuple[int, int]], seed: int, workers: int, done: Callable[[int], None]
) -> None:
    """Make shards of 256 photos, in turns of the sizes (height, width) in pixels.

    `done` is told of each shard's photos. The same seed makes the same photos, whatever the number of workers; with
    none they are made in this process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [n for n in range(shards) if not _questions(folder, n).exists()]
    done(EACH * (shards - len(missing)))
    if not workers:
        for number in missing:
            _make(folder, number, sizes[number % len(sizes)], seed)
            done(EACH)
        return
    # A fresh process each, not a fork: threads of whoever calls would be forked with their locks.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(_make, folder, n, sizes[n % len(sizes)], seed) for n in missing]
        for one in as_completed(running):
            one.result()
            done(EACH)


def read_shards(folder: Path) -> list[Shard]:
    """All shards of a folder, in order. Raises `DataError` where there is none."""
    found = sorted(folder.glob("made-*.jsonl"))
    if not found:
        raise DataError(Problem("LC407", "no made photos here.", str(folder), advice="Make them with `logicls base`."))
    return [Shard(np.load(path.with_suffix(".npy"), mmap_mode="r"), _asked(path)) for path in found]


def _asked(path: Path) -> tuple[tuple[dict[str, Any], ...], ...]:
    lines: list[Mapping[str, Any]] = list(jsonl.read(path))
    return tuple(tuple(line["asked"]) for line in lines)


def _questions(folder: Path, number: int) -> Path:
    return folder / f"made-{number:05d}.jsonl"


def _make(folder: Path, number: int, size: tuple[int, int], seed: int) -> None:
    worlds = [make_world(np.random.default_rng([seed, number, k]), size) for k in range(EACH)]
    path = _questions(folder, number)
    with jsonl.in_place_of(path.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
        np.save(file, np.stack([world.pixels for world in worlds]), allow_pickle=False)
    with jsonl.in_place_of(path) as temporary, jsonl.Appender(temporary) as lines:
        for world in worlds:
            lines.append({"asked": _plain(world)})


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
