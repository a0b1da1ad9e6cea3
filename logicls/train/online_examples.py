"""Examples that are made while training, so that the model sees each of them once: their part of every batch.

Examples for a model that is being trained: made when they are needed, and never written.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from logicls.data.image_io import fitted
from logicls.errors import DataError, Problem, relative
from logicls.io.run_manifest import claimed
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.synth.dataset import build_question_columns
from logicls.synth.downscale import downscale_source
from logicls.synth.example_generator import ExampleGenerator
from logicls.synth.pipeline import SynthesisRequest, hash_inputs, load_source
from logicls.synth.workers import ExampleTask, SynthesisSource, run_tasks
from logicls.train.distributed import ALONE, Rank
from logicls.train.encoding import Encoded, Encoder
from logicls.train.preflight import Flight

TRIES = 8
"""Examples that are tried in the place of one that has more boxes than the model is made for."""
APART = 1 << 32
"""From the number of an example to that of the next one that is tried in its place."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An example as the model sees it."""

    pixels: UInt8[np.ndarray, "height width 3"]
    row: Mapping[str, Any]
    """Questions and answers, in the columns of the dataset; boxes in pixels of the photo, whose size it has, too."""


def showing(size: tuple[int, int], most: int) -> ExampleTask[Shown]:
    """Makes an example for an input of `size` (height, width) with at most so many boxes in an answer."""
    return partial(_shown, size=size, most=most)


def _shown(maker: ExampleGenerator, seed: int, number: int, *, size: tuple[int, int], most: int) -> Shown:
    """The example, or the first of those that stand in for it that has no more boxes.

    Raises:
        DataError: Not one of them has (LC405).
    """
    for attempt in range(TRIES):
        picture = maker.render(seed, number + attempt * APART)
        example = picture.example
        if max(len(answer.boxes) for answer in example.answers) <= most:
            rng = np.random.default_rng([seed, 3, example.seed])
            return Shown(fitted(size, picture.photo), build_question_columns(maker, example, rng))
    message = f"example {number}, made while training, has more than {most} boxes in an answer, and so have "
    message += f"{TRIES - 1} others."
    raise DataError(Problem("LC405", message, advice="Make a larger set with `logicls synth`, and train on that one."))


Part = tuple[list[Encoded], np.ndarray]
"""Examples, and their pixels, uint8 [examples height width 3]."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """Where the fresh examples of a run come from."""

    source: SynthesisSource
    job: ExampleTask[Shown]
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
        with closing(run_tasks(self.source, self.job, numbers, self.workers)) as made:
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
    source = downscale_source(_leaving_out(without, _source(synth, made)), shape)
    job = showing(shape, flight.boxes + 1)
    encoder = Encoder(NanoAnswerCodec(flight.processor), verdict_weight)
    count = int(str(made["count"]))
    return Fresh(source, job, encoder, count + count % 2, each, workers)


def _leaving_out(photos: Collection[str], source: SynthesisSource) -> SynthesisSource:
    scenes = tuple(scene for scene in source.dataset.scenes if scene.photo not in photos)
    return replace(source, dataset=replace(source.dataset, scenes=scenes))


def _source(synth: Path, made: Mapping[str, object]) -> SynthesisSource:
    """What the set was made of."""
    data = Path(str(made.get("data", "")))
    if "data" not in made or not (data / "annotations.json").is_file():
        where = f" at {data}" if "data" in made else ""
        raise _gone(synth, f"the annotated photos that it was made of are not there{where}.")
    source = load_source(
        SynthesisRequest(synth / "spec.yaml", data, synth, int(str(made["count"])), int(str(made["seed"])))
    )
    differs = [key for key, now in hash_inputs(source.spec, data).items() if made.get(key) != now]
    if differs:
        raise _gone(synth, f"the {' and '.join(differs)} are not those that it was made with.")
    return source


def _gone(synth: Path, message: str) -> DataError:
    advice = "Make the set again with `logicls synth`, or train without fresh examples."
    return DataError(Problem("LC406", message, relative(synth), advice=advice))
