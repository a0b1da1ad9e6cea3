"""A folder of photos, batch by batch: constant memory, resumable, a broken photo is a row and not the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from logicls import jsonl
from logicls.claim import Difference, claim
from logicls.data.picture import list_photos, read_photo, sha256
from logicls.errors import DataError, PhotoError, Problem
from logicls.models.bundle import Bundle
from logicls.predict.reader import Reader, reader_of
from logicls.predict.record import verdict_from_json, verdict_to_json
from logicls.predict.table import write_table
from logicls.predict.verdict import decide
from logicls.records import Verdict

READERS = 2
"""Threads that decode photos while the model works."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A photo in memory, or why it is not."""

    name: str
    pixels: np.ndarray | None
    sha256: str
    trouble: str = ""


def predict_folder(
    bundle: Bundle, photos: Path, out: Path, *, batch: int = 16, done: Callable[[int], None] = lambda _: None
) -> int:
    """Write a verdict for every photo below `photos` to `out`; returns how many there are.

    `verdicts.jsonl` grows as the run goes on; the same command continues it. `verdicts.csv` is written at the end.
    `done` is told how many photos were finished.

    Raises:
        DataError: No photos, or `out` holds verdicts of another bundle.
    """
    names = [str(path.relative_to(photos).as_posix()) for path in list_photos(photos)]
    _claim(out, bundle)
    lines = out / "verdicts.jsonl"
    finished = {verdict.photo for verdict in read_verdicts(lines)} if lines.exists() else set()
    missing = [name for name in names if name not in finished]
    done(len(names) - len(missing))
    reader = reader_of(bundle)
    with jsonl.Appender(lines) as file:
        for loaded in _batches(missing, photos, batch):
            for verdict in _verdicts(reader, loaded):
                file.append(verdict_to_json(verdict))
            done(len(loaded))
    write_table(read_verdicts(lines), out / "verdicts.csv", violations=bundle.spec.violations)
    return len(names)


def read_verdicts(path: Path) -> Iterator[Verdict]:
    """The verdicts of a jsonl file, one at a time. Raises `DataError`."""
    return (verdict_from_json(record) for record in jsonl.read(path))


def _claim(out: Path, bundle: Bundle) -> None:
    """Write which bundle the verdicts are of, or check that it is the same one."""

    def refusal(differences: Sequence[Difference]) -> DataError:
        there = next((d.there for d in differences if d.key == "bundle"), bundle.id)
        message = f"holds verdicts of bundle {there}, not of {bundle.id}."
        return DataError(Problem("LC601", message, str(out), advice="Choose another --out, or delete the folder."))

    claim(
        out / "run.json",
        {"bundle": bundle.id, "spec": bundle.spec.hash, "product": bundle.spec.product.name},
        refusal,
    )


def _batches(names: Iterable[str], photos: Path, batch: int) -> Iterator[list[Loaded]]:
    """Batches of photos, the next one being decoded while the last one is looked at."""
    rest = iter(names)
    with ThreadPoolExecutor(READERS) as pool:
        ahead = [pool.submit(_load, photos, name) for name in islice(rest, batch)]
        while ahead:
            current, ahead = ahead, [pool.submit(_load, photos, name) for name in islice(rest, batch)]
            yield [future.result() for future in current]


def _load(photos: Path, name: str) -> Loaded:
    path = photos / name
    try:
        return Loaded(name, read_photo(path), sha256(path))
    except PhotoError as error:
        return Loaded(name, None, "", "; ".join(problem.message for problem in error.problems))
    except OSError as error:
        return Loaded(name, None, "", f"cannot be read: {error.strerror or error}")


def _verdicts(reader: Reader, loaded: list[Loaded]) -> Iterator[Verdict]:
    """A verdict a photo, in order; those that could not be read go to review."""
    pixels = [photo.pixels for photo in loaded if photo.pixels is not None]
    looks = iter(reader.look(pixels)) if pixels else iter(())
    bundle = reader.bundle
    for photo in loaded:
        if photo.pixels is None:
            verdict = Verdict(photo.name, "review", reasons=(photo.trouble,), spec=bundle.spec.hash)
        else:
            size = photo.pixels.shape[1], photo.pixels.shape[0]
            verdict = decide(bundle.spec, next(looks), photo.name, size, stated_right=bundle.stated_right)
        yield replace(verdict, sha256=photo.sha256, bundle=bundle.id)
