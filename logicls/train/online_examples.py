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

from logicls.data.image_io import letterbox
from logicls.errors import DataError, Problem, relative_path
from logicls.io.run_manifest import read_manifest
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.synth.dataset import build_question_columns
from logicls.synth.downscale import downscale_source
from logicls.synth.example_generator import ExampleGenerator
from logicls.synth.pipeline import SynthesisRequest, hash_inputs, load_source
from logicls.synth.workers import ExampleTask, SynthesisSource, run_tasks
from logicls.train.distributed import SINGLE_PROCESS, ProcessRank
from logicls.train.encoding import EncodedExample, ExampleEncoder
from logicls.train.preflight import PreflightResult

MAX_ATTEMPTS = 8
"""Examples that are tried in the place of one that has more boxes than the model is made for."""
ATTEMPT_STRIDE = 1 << 32
"""From the number of an example to that of the next one that is tried in its place."""


@dataclass(frozen=True, slots=True)
class OnlineExample:
    """An example as the model sees it."""

    pixels: UInt8[np.ndarray, "height width 3"]
    row: Mapping[str, Any]
    """Questions and answers, in the columns of the dataset; boxes in pixels of the photo, whose size it has, too."""


def make_online_job(size: tuple[int, int], max_boxes: int) -> ExampleTask[OnlineExample]:
    """Makes an example for an input of `size` (height, width) with at most so many boxes in an answer."""
    return partial(_make_example, size=size, max_boxes=max_boxes)


def _make_example(
    maker: ExampleGenerator, seed: int, number: int, *, size: tuple[int, int], max_boxes: int
) -> OnlineExample:
    """The example, or the first of those that stand in for it that has no more boxes.

    Raises:
        DataError: Not one of them has (LC405).
    """
    for attempt in range(MAX_ATTEMPTS):
        rendered = maker.render(seed, number + attempt * ATTEMPT_STRIDE)
        example = rendered.example
        if max(len(answer.boxes) for answer in example.answers) <= max_boxes:
            rng = np.random.default_rng([seed, 3, example.seed])
            return OnlineExample(letterbox(size, rendered.photo), build_question_columns(maker, example, rng))
    message = f"example {number}, made while training, has more than {max_boxes} boxes in an answer, and so have "
    message += f"{MAX_ATTEMPTS - 1} others."
    raise DataError(Problem("LC405", message, advice="Make a larger set with `logicls synth`, and train on that one."))


EncodedPart = tuple[list[EncodedExample], np.ndarray]
"""Examples, and their pixels, uint8 [examples height width 3]."""


@dataclass(frozen=True, slots=True)
class OnlineExamples:
    """Where the fresh examples of a run come from."""

    source: SynthesisSource
    job: ExampleTask[OnlineExample]
    encoder: ExampleEncoder
    first_number: int
    """Number of the first one: after those of the set."""
    per_batch: int
    """So many a batch."""
    workers: int
    rank: ProcessRank = SINGLE_PROCESS

    def generate_parts(self, start: int, stop: int) -> Generator[EncodedPart, None, None]:
        """This process's share of the fresh part of each batch from step `start` to `stop`; it depends on the step.

        Close it to end the processes. Raises `DataError` as `produce` does.
        """
        numbers = self.rank.shard(
            range(self.first_number + start * self.per_batch, self.first_number + stop * self.per_batch)
        )
        count = self.per_batch // self.rank.world_size
        with closing(run_tasks(self.source, self.job, numbers, self.workers)) as examples:
            for _ in range(start, stop):
                part = list(islice(examples, count))
                yield [self.encoder.encode(one.row) for one in part], np.stack([one.pixels for one in part])

    @property
    def report(self) -> str:
        """A plain line for the terminal."""
        scene = self.source.dataset.scenes[0]
        where = f"{len(self.source.dataset.scenes)} photos of {scene.width} x {scene.height} pixels"
        return f"{self.per_batch} examples of each batch are made while training, of {where}, by {self.workers} process(es)"


def open_online_examples(
    synth: Path,
    preflight: PreflightResult,
    *,
    share: float,
    batch: int,
    verdict_weight: float,
    workers: int,
    excluded_photos: Collection[str] = (),
) -> OnlineExamples | None:
    """Fresh examples for a run on the set in `synth`, `share` of each batch; None where that is none.

    They are made of all photos but those `without`.

    Raises:
        DataError: The photos that the set was made of are not there any more, or are annotated otherwise (LC406).
    """
    per_batch = round(share * batch)
    if not per_batch:
        return None
    manifest = read_manifest(synth / "synth.json")
    shape = preflight.processor.image_processor.shape
    source = downscale_source(_exclude_photos(excluded_photos, _load_source(synth, manifest)), shape)
    job = make_online_job(shape, preflight.max_boxes + 1)
    encoder = ExampleEncoder(NanoAnswerCodec(preflight.processor), verdict_weight)
    count = int(str(manifest["count"]))
    return OnlineExamples(source, job, encoder, count + count % 2, per_batch, workers)


def _exclude_photos(photos: Collection[str], source: SynthesisSource) -> SynthesisSource:
    scenes = tuple(scene for scene in source.dataset.scenes if scene.photo not in photos)
    return replace(source, dataset=replace(source.dataset, scenes=scenes))


def _load_source(synth: Path, manifest: Mapping[str, object]) -> SynthesisSource:
    """What the set was made of."""
    data = Path(str(manifest.get("data", "")))
    if "data" not in manifest or not (data / "annotations.json").is_file():
        where = f" at {data}" if "data" in manifest else ""
        raise _source_error(synth, f"the annotated photos that it was made of are not there{where}.")
    source = load_source(
        SynthesisRequest(synth / "spec.yaml", data, synth, int(str(manifest["count"])), int(str(manifest["seed"])))
    )
    differs = [key for key, now in hash_inputs(source.spec, data).items() if manifest.get(key) != now]
    if differs:
        raise _source_error(synth, f"the {' and '.join(differs)} are not those that it was made with.")
    return source


def _source_error(synth: Path, message: str) -> DataError:
    advice = "Make the set again with `logicls synth`, or train without fresh examples."
    return DataError(Problem("LC406", message, relative_path(synth), advice=advice))
