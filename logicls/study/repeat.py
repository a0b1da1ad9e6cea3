"""A bundle as an inspector: it decides on each photo several times, taken anew each time."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from logicls.data.picture import read_photo
from logicls.errors import DataError, PhotoError, Problem, relative
from logicls.predict.grounds import grounds_of, verdict_on
from logicls.predict.read.reader import Reader
from logicls.records import Outcome
from logicls.study.decisions import LOGICLS, Decision
from logicls.study.kept import Kept
from logicls.study.perturb import Retake

MOST = 20
"""Photos that cannot be read which are named."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often a photo is decided, and what chance does."""

    trials: int
    seed: int
    batch: int = 16
    """Photos at a time."""


def check_photos(photos: Sequence[str], images: Path) -> None:
    """Every photo of the truth is there. Raises `DataError` (LC668)."""
    missing = [name for name in photos if not (images / name).is_file()]
    if missing:
        named = ", ".join(missing[:MOST]) + (f" and {len(missing) - MOST} more" if len(missing) > MOST else "")
        message = f"{len(missing)} of {len(photos)} photos of the truth are not there: {named}."
        raise DataError(Problem("LC668", message, relative(images)))


def decide_again(
    reader: Reader,
    photos: Sequence[str],
    images: Path,
    retake: Retake,
    repeats: Repeats,
    *,
    kept: Kept | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> Iterator[Decision]:
    """A decision for each photo and trial; a photo that cannot be read goes to review. `done` is told how many more.

    What chance does to a photo depends on the seed, the trial and the photo's name alone. A batch that was decided on
    as a whole, by what is `kept`, is not looked at again.
    """
    for start in range(0, len(photos), repeats.batch):
        some, pixels = photos[start : start + repeats.batch], None
        for trial in range(1, repeats.trials + 1):
            outcomes = kept.on(some, trial) if kept else None
            if outcomes is None:
                pixels = _pixels(images, some) if pixels is None else pixels
                rngs = (np.random.default_rng([repeats.seed, trial, zlib.crc32(name.encode())]) for name in pixels)
                shown = [retake.again(photo, rng) for photo, rng in zip(pixels.values(), rngs, strict=True)]
                came = dict(zip(pixels, outcomes_of(reader, shown), strict=True))
                outcomes = {name: came.get(name, "review") for name in some}
                if kept:
                    kept.add(outcomes, trial)
            yield from (Decision(name, LOGICLS, trial, outcomes[name]) for name in some)
            done(len(some))


def outcomes_of(reader: Reader, photos: Sequence[np.ndarray]) -> list[Outcome]:
    """What the bundle decides on photos, uint8 RGB [height width 3]."""
    grounds = grounds_of(reader.bundle)
    looks = reader.look(photos) if photos else []
    return [verdict_on(grounds, look, "", photo).outcome for look, photo in zip(looks, photos, strict=True)]


def _pixels(images: Path, photos: Sequence[str]) -> dict[str, np.ndarray]:
    """Those that can be read."""
    return {name: photo for name in photos for photo in [_read(images / name)] if photo is not None}


def _read(path: Path) -> np.ndarray | None:
    try:
        return read_photo(path)
    except PhotoError:
        return None
