"""Examples that are made while training, so that the model sees each of them once: their part of every batch."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from logicls.claim import claimed
from logicls.errors import DataError, Problem, relative
from logicls.models.codec import Codec
from logicls.synth.build import Order, settings_of, source_of
from logicls.synth.fresh import Shown, showing
from logicls.synth.reduced import reduced
from logicls.synth.workers import Job, Source, produce
from logicls.train.encode import Encoded, Encoder
from logicls.train.preflight import Flight
from logicls.train.ranks import ALONE, Rank

Part = tuple[list[Encoded], np.ndarray]
"""Examples, and their pixels, uint8 [examples height width 3]."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """Where the fresh examples of a run come from."""

    source: Source
    job: Job[Shown]
    encoder: Encoder
    first: int
    """Number of the first one: after those of the set."""
    each: int
    """So many a batch."""
    workers: int
    rank: Rank = ALONE

    def parts(self, start: int, stop: int) -> Generator[Part, None, None]:
        """This process's share of the fresh part of each batch from step `start` to `stop`; it depends on the step.

        Close it to end the processes. Raises `DataError` as `produce` does.
        """
        numbers = self.rank.mine(range(self.first + start * self.each, self.first + stop * self.each))
        count = self.each // self.rank.of
        with closing(produce(self.source, self.job, numbers, self.workers)) as made:
            for _ in range(start, stop):
                some = list(islice(made, count))
                yield [self.encoder.encode(one.row) for one in some], np.stack([one.pixels for one in some])

    @property
    def report(self) -> str:
        """A plain line for the terminal."""
        scene = self.source.dataset.scenes[0]
        where = f"{len(self.source.dataset.scenes)} photos of {scene.width} x {scene.height} pixels"
        return f"{self.each} examples of each batch are made while training, of {where}, by {self.workers} process(es)"


def fresh_of(
    synth: Path,
    flight: Flight,
    *,
    share: float,
    batch: int,
    verdict_weight: float,
    workers: int,
    without: Collection[str] = (),
) -> Fresh | None:
    """Fresh examples for a run on the set in `synth`, `share` of each batch; None where that is none.

    They are made of all photos but those `without`.

    Raises:
        DataError: The photos that the set was made of are not there any more, or are annotated otherwise (LC406).
    """
    each = round(share * batch)
    if not each:
        return None
    made = claimed(synth / "synth.json")
    shape = flight.processor.image_processor.shape
    source = reduced(_leaving_out(without, _source(synth, made)), shape)
    job = showing(shape, flight.boxes + 1)
    encoder = Encoder(Codec(flight.processor), verdict_weight)
    count = int(str(made["count"]))
    return Fresh(source, job, encoder, count + count % 2, each, workers)


def _leaving_out(photos: Collection[str], source: Source) -> Source:
    scenes = tuple(scene for scene in source.dataset.scenes if scene.photo not in photos)
    return replace(source, dataset=replace(source.dataset, scenes=scenes))


def _source(synth: Path, made: Mapping[str, object]) -> Source:
    """What the set was made of."""
    data = Path(str(made.get("data", "")))
    if "data" not in made or not (data / "annotations.json").is_file():
        where = f" at {data}" if "data" in made else ""
        raise _gone(synth, f"the annotated photos that it was made of are not there{where}.")
    source = source_of(Order(synth / "spec.yaml", data, synth, int(str(made["count"])), int(str(made["seed"]))))
    differs = [key for key, now in settings_of(source.spec, data).items() if made.get(key) != now]
    if differs:
        raise _gone(synth, f"the {' and '.join(differs)} are not those that it was made with.")
    return source


def _gone(synth: Path, message: str) -> DataError:
    advice = "Make the set again with `logicls synth`, or train without fresh examples."
    return DataError(Problem("LC406", message, relative(synth), advice=advice))
