"""Memories of good photos for rules about appearance, fitted when the bundle is written.

They are fitted to the boxes and angles that the bundle's model reads, and once more to shifted ones, so that fit and
prediction see the same: a model is off by a pixel or two, and less so on photos that it was trained on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from logicls.anomaly.appearance import AppearanceMemory, GoodPhoto, PlacedInstance, find_covers, fit_memory
from logicls.anomaly.features import build_extractor
from logicls.anomaly.scores import ScoreDistribution
from logicls.constraints.spec.loader import load_spec
from logicls.constraints.spec.models import Spec
from logicls.data.coco import Dataset
from logicls.data.defects import check_compared_photos, read_dataset_with_defects, select_flawless
from logicls.data.image_io import read_photo
from logicls.errors import DataError, Problem, count_text, relative_path
from logicls.io.run_manifest import read_manifest
from logicls.models.bundle import Bundle
from logicls.predict.input.loader import LoadedPhoto, Size
from logicls.predict.readers import make_question_reader
from logicls.predict.readers.appearance import LetterboxPlacement, choose_size, letterbox_photos, write_memories
from logicls.predict.readers.protocol import Prediction, Reader
from logicls.records import Answer, Box, Instance, Scene

MAX_PHOTOS = 60
"""Good photos in a memory."""
MAX_INSTANCES = 6
"""Instances of a component on one photo in a memory."""
BOX_NOISE = 1.5
"""Standard deviation of the edges of a shifted box, pixels of the reader's input."""
MIN_IOU = 0.5
"""Least overlap of a box that the model reads with the annotated one that it stands for."""
BATCH_SIZE = 8
"""Photos that are read at a time."""
ODD_RARITY = 0.001
"""Rarity among the other good photos below which a good photo is named."""


def find_source_photos(synth: Path, advice: str) -> Path:
    """Return the dataset of photos that a synthetic dataset was made from. Raises `DataError` (LC406)."""
    data = Path(str(read_manifest(synth / "synth.json").get("data", "")))
    if not (data / "annotations.json").is_file():
        message = "the annotated photos that the dataset was made from are missing."
        raise DataError(Problem("LC406", message, relative_path(synth), advice=advice))
    return data


def check_appearance_photos(synth: Path) -> None:
    """Check that there are enough good photos for the rules about appearance, before training.

    Raises:
        DataError: The photos are gone (LC406), or a component is on too few of them (LC416).
    """
    file = synth / "spec.yaml"
    spec = load_spec(file) if file.exists() else None  # preflight reports a folder that is no dataset
    if spec is not None and spec.overkill_by_component:
        _read_good_photos(spec, synth)


def fit_appearance(bundle: Bundle, synth: Path, report: Callable[[str], None], seed: int = 0) -> None:
    """Fit the memories that the rules of a bundle need, and write them into it; nothing without such a rule.

    Args:
        bundle: The bundle, with its final weights.
        synth: Folder of the training data, which names its source photos.
        report: Called with a line of text for each component.
        seed: Draws photos where there are many, and shifts boxes.

    Raises:
        DataError: As `check_appearance_photos`.
        PhotoError: A photo cannot be read.
    """
    components = tuple(bundle.spec.overkill_by_component)
    if not components:
        return
    dataset = _read_good_photos(bundle.spec, synth)
    rng = np.random.default_rng([seed, 31])
    scenes = _draw_scenes(dataset.scenes, components, rng)
    reader = make_question_reader(bundle)
    size = choose_size(reader.input_size, [(scene.width, scene.height) for scene in scenes])
    photos: dict[str, list[GoodPhoto]] = defaultdict(list)
    for scene, loaded, prediction in _read_scenes(reader, dataset, scenes, size):
        for component in components:
            if loaded.pixels is not None and scene.instances_of(component):
                instances = _place_scene(scene, component, prediction, LetterboxPlacement(size, loaded.size), rng)
                photos[component].append(GoodPhoto(scene.photo, loaded.pixels, instances))
    stem = build_extractor(bundle, (16, 16)).stem
    memories = {}
    for component in components:
        memories[component] = fit_memory(stem, photos[component], seed)
        for line in describe_memory(component, memories[component]):
            report(line)
    write_memories(bundle, memories, size)


def describe_memory(component: str, memory: AppearanceMemory) -> Iterator[str]:
    """Yield a line about the scores of good photos, and one for each photo that is unlike all the others."""
    scores = memory.scores
    yield (
        f"look of {component}: {count_text(len(scores.scores), 'good photo')} score up to {scores.scores[0]:.1f}, "
        f"a person looks from {scores.review_score:.1f}"
    )
    for name, score in zip(memory.photo_names, scores.scores, strict=True):
        others = ScoreDistribution(tuple(s for s in scores.scores if s < score) or (score,), scores.min_spread)
        if others.rarity(score) > ODD_RARITY:
            break
        yield f"look of {component}: {name} is unlike the other good photos ({score:.1f}); is it good?"


def _read_good_photos(spec: Spec, synth: Path) -> Dataset:
    """Read the photos that break no rule and are not declared defective. Raises `DataError` (LC406, LC416)."""
    advice = "Put them back, or make the dataset anew with `logicls synth`."
    data = find_source_photos(synth, advice)
    dataset = read_dataset_with_defects(spec, data)
    problems = list(check_compared_photos(spec, dataset))
    if problems:
        raise DataError(problems)
    return select_flawless(spec, dataset)


def _draw_scenes(scenes: Sequence[Scene], components: Iterable[str], rng: np.random.Generator) -> list[Scene]:
    """Draw up to `MAX_PHOTOS` photos with each of the components, in the order of the dataset."""
    drawn: set[str] = set()
    for component in components:
        names = [scene.photo for scene in scenes if scene.instances_of(component)]
        drawn |= {names[int(n)] for n in rng.permutation(len(names))[:MAX_PHOTOS]}
    return [scene for scene in scenes if scene.photo in drawn]


def _read_scenes(
    reader: Reader, dataset: Dataset, scenes: Sequence[Scene], size: Size
) -> Iterator[tuple[Scene, LoadedPhoto, Prediction]]:
    """Yield each photo, letterboxed, with the model's prediction for it."""
    for start in range(0, len(scenes), BATCH_SIZE):
        batch = scenes[start : start + BATCH_SIZE]
        own = [read_photo(dataset.image_path(scene)) for scene in batch]
        photos = [
            LoadedPhoto(scene.photo, pixels, (pixels.shape[1], pixels.shape[0]))
            for scene, pixels in zip(batch, own, strict=True)
        ]
        letterboxed, given = letterbox_photos(photos, size, reader.input_size)
        yield from zip(batch, letterboxed, reader.predict_raw(given), strict=True)


def _place_scene(
    scene: Scene, component: str, prediction: Prediction, placement: LetterboxPlacement, rng: np.random.Generator
) -> tuple[PlacedInstance, ...]:
    """Return the instances of a component as the model reads them, or as annotated where it does not, each twice."""
    annotated = scene.instances_of(component)
    chosen = [annotated[int(n)] for n in sorted(rng.permutation(len(annotated))[:MAX_INSTANCES])]
    others = [placement.to_pixels(i.box) for i in scene.instances if i.component != component]
    answers = {answer.query: answer for answer in prediction.answers}
    placed = []
    for instance in chosen:
        box, angle = _find_reading(instance, component, answers)
        pixels = placement.to_pixels(box)
        shifts = rng.normal(0.0, BOX_NOISE, 4)
        shifted = Box(
            pixels.x1 + shifts[0], pixels.y1 + shifts[1], pixels.x2 + shifts[2], pixels.y2 + shifts[3]
        )  # fmt: skip
        read = PlacedInstance(pixels, angle, find_covers(pixels, others))
        placed += [read, replace(read, box=shifted) if min(shifted.width, shifted.height) > BOX_NOISE else read]
    return tuple(placed)


def _find_reading(instance: Instance, component: str, answers: dict[str, Answer]) -> tuple[Box, float]:
    """Return the box and the angle that the model reads for an annotated instance; the annotation if it reads none."""
    located, oriented = answers.get(f"locate:{component}"), answers.get(f"orientation:{component}")
    boxes = located.boxes if located is not None and located.readable else ()
    nearest = max(range(len(boxes)), key=lambda n: boxes[n].iou(instance.box), default=None)
    if nearest is None or boxes[nearest].iou(instance.box) < MIN_IOU:
        return instance.box, instance.angle if oriented is not None else 0.0
    values = oriented.values if oriented is not None and oriented.readable else ()
    return boxes[nearest], float(values[nearest]) if len(values) == len(boxes) else 0.0
