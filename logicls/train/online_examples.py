"""Online synthesis: examples that are made during training and used once, as a share of every batch.

They are made from downscaled copies of the annotated photos where the model's input is small.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from logicls.constraints.families.protocol import walk_rules
from logicls.constraints.spec.models import Spec
from logicls.data.image_io import letterbox, letterbox_transform
from logicls.data.segmentation import Segmentation
from logicls.errors import DataError, Problem, relative_path
from logicls.io.run_manifest import read_manifest
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.records import Box, Scene
from logicls.synth.dataset import build_question_columns
from logicls.synth.example_generator import ExampleGenerator
from logicls.synth.pipeline import ExampleTask, SynthesisRequest, SynthesisSource, hash_inputs, load_source, run_tasks
from logicls.train.distributed import SINGLE_PROCESS, ProcessRank
from logicls.train.encoding import EncodedExample, ExampleEncoder, find_angle_queries
from logicls.train.preflight import PreflightResult

OVERSAMPLING = 2.0
"""Pixels of a downscaled photo per pixel of the model's input, on each axis."""


def downscale_source(source: SynthesisSource, size: Sequence[int]) -> SynthesisSource:
    """Downscale the photos of a source to what an input of `size` (height, width) needs.

    All photos are scaled by the same factor. They keep their size if a rule measures in pixels or millimetres.
    """
    scenes = source.dataset.scenes
    factor = max(
        (OVERSAMPLING * letterbox_transform(size, scene.width, scene.height)[0] for scene in scenes), default=1.0
    )
    if factor >= 1 or _uses_absolute_units(source.spec):
        return source
    downscaled = [_downscale_scene(scene, factor) for scene in scenes]
    segmentations: dict[int, Segmentation] = {}
    for scene, scaled in zip(scenes, downscaled, strict=True):
        segmentations.update(_downscale_masks(source.segmentations, scene, scaled))
    return replace(source, dataset=replace(source.dataset, scenes=tuple(downscaled)), segmentations=segmentations)


def _downscale_scene(scene: Scene, factor: float) -> Scene:
    width, height = max(round(scene.width * factor), 1), max(round(scene.height * factor), 1)
    full, small = Box(0, 0, scene.width, scene.height), Box(0, 0, width, height)
    instances = tuple(replace(i, box=i.box.map_between(full, small).clip(width, height)) for i in scene.instances)
    return Scene(scene.photo, width, height, instances)


def _downscale_masks(segmentations: Mapping[int, Segmentation], scene: Scene, small: Scene) -> dict[int, Segmentation]:
    """Segmentations of the scene's instances, resampled to the size of `small`."""
    scaled: dict[int, Segmentation] = {}
    for instance in scene.instances:
        if instance.id in segmentations:
            mask = segmentations[instance.id].to_mask(scene.width, scene.height).astype(np.float32)
            scaled[instance.id] = Segmentation(
                run_lengths=_encode_runs(cv2.resize(mask, (small.width, small.height)) >= 0.5)
            )
    return scaled


def _encode_runs(mask: np.ndarray) -> tuple[int, ...]:
    """Run lengths of off and on pixels in turn, column by column (COCO's uncompressed RLE)."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return tuple(np.diff([0, *changes, mask.size]).tolist())


def _uses_absolute_units(spec: Spec) -> bool:
    """Check whether a rule measures in pixels or millimetres."""
    conditions = [constraint.when for constraint in spec.constraints if constraint.when is not None]
    clauses = [*spec.constraints, *conditions]
    return any(rule.uses_absolute_units for clause in clauses for _, rule in walk_rules(clause.rule))


MAX_ATTEMPTS = 8
"""Examples that are tried where one has more boxes than the model is made for."""
ATTEMPT_STRIDE = 1 << 32
"""Distance between the numbers of successive attempts for an example."""


@dataclass(frozen=True, slots=True)
class OnlineExample:
    """Synthetic example at the model's input size."""

    pixels: UInt8[np.ndarray, "height width 3"]
    row: Mapping[str, Any]
    """Questions and answers, in the columns of the dataset; size and boxes are in pixels of the photo."""


def make_online_task(size: tuple[int, int], max_boxes: int) -> ExampleTask[OnlineExample]:
    """Make a job that synthesises an example for an input of `size` (height, width), at most `max_boxes` per answer."""
    return partial(_make_example, size=size, max_boxes=max_boxes)


def _make_example(
    maker: ExampleGenerator, seed: int, number: int, *, size: tuple[int, int], max_boxes: int
) -> OnlineExample:
    """Make an example, or the first of its replacements with few enough boxes.

    Raises:
        DataError: All of them have too many boxes (LC405).
    """
    for attempt in range(MAX_ATTEMPTS):
        rendered = maker.render(seed, number + attempt * ATTEMPT_STRIDE)
        example = rendered.example
        if max(len(answer.boxes) for answer in example.answers) <= max_boxes:
            rng = np.random.default_rng([seed, 3, example.seed])
            return OnlineExample(letterbox(size, rendered.photo), build_question_columns(maker.spec, example, rng))
    message = (
        f"online example {number} and {MAX_ATTEMPTS - 1} replacements have more than {max_boxes} boxes in an answer."
    )
    raise DataError(Problem("LC405", message, advice="Make a larger set with `logicls synth`, and train on that one."))


EncodedPart = tuple[list[EncodedExample], np.ndarray]
"""Encoded examples, and their pixels, uint8 [examples height width 3]."""


@dataclass(frozen=True, slots=True)
class OnlineExamples:
    """Source of a run's online examples."""

    source: SynthesisSource
    task: ExampleTask[OnlineExample]
    encoder: ExampleEncoder
    first_number: int
    """Number of the first example, after those of the set."""
    per_batch: int
    """Online examples in a batch."""
    workers: int
    rank: ProcessRank = SINGLE_PROCESS

    def generate_parts(self, start: int, stop: int) -> Generator[EncodedPart, None, None]:
        """Yield this process's share of the online part of each batch from step `start` to `stop`.

        Parts depend on the step alone. Close the generator to end the worker processes. Raises `DataError` as
        `run_tasks` does.
        """
        numbers = self.rank.shard(
            range(self.first_number + start * self.per_batch, self.first_number + stop * self.per_batch)
        )
        count = self.per_batch // self.rank.world_size
        with closing(run_tasks(self.source, self.task, numbers, self.workers)) as examples:
            for _ in range(start, stop):
                part = list(islice(examples, count))
                yield [self.encoder.encode(one.row) for one in part], np.stack([one.pixels for one in part])

    @property
    def report(self) -> str:
        """Line of text for the terminal."""
        scene = self.source.dataset.scenes[0]
        photos = f"{len(self.source.dataset.scenes)} photos of {scene.width} x {scene.height} pixels"
        processes = "1 process" if self.workers == 1 else f"{self.workers} processes"
        return f"online synthesis: {self.per_batch} examples of each batch, of {photos}, by {processes}"


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
    """Open the source photos of the set in `synth` for online synthesis; None where its share of a batch is no example.

    Args:
        synth: Folder of the set.
        preflight: The checked set.
        share: Share of each batch.
        batch: Examples in a batch.
        verdict_weight: Loss weight of the stated verdict.
        workers: Processes that synthesise.
        excluded_photos: Source photos that are not used (the validation set).

    Raises:
        DataError: The source photos were moved, or differ from those that the set was made of (LC406).
    """
    per_batch = round(share * batch)
    if not per_batch:
        return None
    manifest = read_manifest(synth / "synth.json")
    shape = preflight.processor.image_processor.shape
    source = downscale_source(_exclude_photos(excluded_photos, _load_source(synth, manifest)), shape)
    job = make_online_task(shape, preflight.max_boxes + 1)
    encoder = ExampleEncoder(NanoAnswerCodec(preflight.processor), verdict_weight, find_angle_queries(preflight.spec))
    count = int(str(manifest["count"]))
    return OnlineExamples(source, job, encoder, count + count % 2, per_batch, workers)


def _exclude_photos(photos: Collection[str], source: SynthesisSource) -> SynthesisSource:
    """Remove photos from a source."""
    scenes = tuple(scene for scene in source.dataset.scenes if scene.photo not in photos)
    return replace(source, dataset=replace(source.dataset, scenes=scenes))


def _load_source(synth: Path, manifest: Mapping[str, object]) -> SynthesisSource:
    """Load what the set was made of, as its manifest names it. Raises `DataError` (LC406)."""
    data = Path(str(manifest.get("data", "")))
    if "data" not in manifest or not (data / "annotations.json").is_file():
        where = f" at {data}" if "data" in manifest else ""
        raise _make_source_error(synth, f"the annotated photos that it was made of were not found{where}.")
    defects = Path(str(manifest["defects"])) if "defects" in manifest else None
    if defects is not None and not (defects / "annotations.json").is_file():
        raise _make_source_error(synth, f"the photos of defects that it was made of were not found at {defects}.")
    count, seed = int(str(manifest["count"])), int(str(manifest["seed"]))
    source = load_source(SynthesisRequest(synth / "spec.yaml", data, synth, count, seed, defects))
    differs = [key for key, now in hash_inputs(source.spec, data, defects).items() if manifest.get(key) != now]
    if differs:
        raise _make_source_error(synth, f"the {' and '.join(differs)} changed since it was made.")
    return source


def _make_source_error(synth: Path, message: str) -> DataError:
    """Make the error for a source that is missing or differs."""
    advice = "Make the set again with `logicls synth`, or train without online examples."
    return DataError(Problem("LC406", message, relative_path(synth), advice=advice))
