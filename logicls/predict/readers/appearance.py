"""Comparison of instances with good photos: the answers to appearance queries, which no model is asked.

The memories of a bundle are in `appearance.safetensors`. They are fitted when the bundle is trained, to the photos and
boxes as its reader sees them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from logicls.anomaly.appearance import (
    AppearanceMemory,
    CropFrame,
    Look,
    PlacedInstance,
    find_covers,
    memory_from_tensors,
    memory_to_tensors,
    trim_overlaps,
)
from logicls.anomaly.features import build_extractor
from logicls.constraints.families.appearance import anomaly_probability
from logicls.constraints.families.queries import ANOMALOUS, NORMAL
from logicls.constraints.spec.models import Spec
from logicls.data.image_io import letterbox, letterbox_transform
from logicls.errors import BundleError, Problem, relative_path
from logicls.io.atomic import write_bytes
from logicls.models.bundle import Bundle
from logicls.predict.input.loader import LoadedPhoto, Size
from logicls.predict.readers.protocol import Prediction, Reader
from logicls.records import Answer, Box, Heatmap

APPEARANCE_FILE = "appearance.safetensors"
HEATMAP_LEVELS = 15
"""Largest digit of a heatmap: twice the highest score of good photos."""


@dataclass(frozen=True)
class AppearanceComparison:
    """Compares instances on photos with the memories of a bundle."""

    bundle: Bundle
    memories: Mapping[str, AppearanceMemory]
    """Component → memory."""
    size: Size
    """(height, width) to which photos are letterboxed."""

    @cached_property
    def stem(self) -> nn.Sequential:
        """Stem whose features are compared."""
        return build_extractor(self.bundle, (16, 16)).stem

    def complete(self, photo: LoadedPhoto, prediction: Prediction) -> Prediction:
        """Return the prediction with the answers to the appearance queries of the bundle's spec."""
        if photo.pixels is None:
            return prediction
        pixels = photo.pixels if photo.pixels.shape[:2] == self.size else letterbox(self.size, photo.pixels)
        placement = LetterboxPlacement(self.size, photo.size)
        answers = {answer.query: answer for answer in prediction.answers}
        overkill = self.bundle.question_spec.overkill_by_component
        for component, limit in overkill.items():
            answer = self._compare(component, pixels, placement, answers, limit)
            answers[answer.query] = answer
        return replace(prediction, answers=sort_answers(self.bundle.question_spec, answers))

    def _compare(
        self,
        component: str,
        pixels: UInt8[np.ndarray, "h w 3"],
        placement: LetterboxPlacement,
        answers: Mapping[str, Answer],
        overkill: float,
    ) -> Answer:
        query, located = f"appearance:{component}", answers.get(f"locate:{component}")
        if located is None or not located.readable:
            return Answer(query, readable=False, confidence=0.0)
        instances = placement.place_instances(component, answers)
        looks = self.memories[component].compare(self.stem, pixels, instances)
        return build_answer(query, looks, placement, overkill)


@dataclass(frozen=True, slots=True)
class LetterboxPlacement:
    """Transform between a photo and its letterboxed pixels."""

    size: Size
    """(height, width) of the letterboxed pixels."""
    photo: tuple[int, int]
    """(width, height) of the photo."""

    def to_pixels(self, box: Box) -> Box:
        """Convert a box on the photo to the letterboxed pixels."""
        scale, left, top = letterbox_transform(self.size, *self.photo)
        return Box(box.x1 * scale + left, box.y1 * scale + top, box.x2 * scale + left, box.y2 * scale + top)

    def to_photo(self, box: Box) -> Box:
        """Convert a box in letterboxed pixels to the photo."""
        scale, left, top = letterbox_transform(self.size, *self.photo)
        return Box((box.x1 - left) / scale, (box.y1 - top) / scale, (box.x2 - left) / scale, (box.y2 - top) / scale)

    def place_instances(self, component: str, answers: Mapping[str, Answer]) -> list[PlacedInstance]:
        """Return the instances of a component in the letterboxed pixels, with angles and with what lies on them."""
        boxes = {
            answer.query.partition(":")[2]: [self.to_pixels(box) for box in answer.boxes]
            for answer in answers.values()
            if answer.query.startswith("locate:")
        }
        others = [box for name, found in boxes.items() if name != component for box in found]
        own, angles = trim_overlaps(boxes.get(component, [])), answers.get(f"orientation:{component}")
        values = angles.values if angles is not None and angles.readable else ()
        degrees = [float(value) for value in values] if len(values) == len(own) else [0.0] * len(own)
        return [PlacedInstance(box, angle, find_covers(box, others)) for box, angle in zip(own, degrees, strict=True)]


def build_answer(query: str, looks: Sequence[Look], placement: LetterboxPlacement, overkill: float) -> Answer:
    """Build the answer to an appearance query; anomalous instances have a box and a heatmap."""
    strange = [look for look in looks if look.is_anomalous]
    shares = [anomaly_probability(look.rarity, overkill) for look in looks]
    probabilities = tuple(p if look.is_anomalous else 1 - p for p, look in zip(shares, looks, strict=True))
    return Answer(
        query,
        tuple(ANOMALOUS if look.is_anomalous else NORMAL for look in looks),
        tuple(placement.to_photo(look.box).clip(*placement.photo) for look in strange),
        float(np.prod(probabilities)) if probabilities else 1.0,
        probabilities=probabilities,
        rarities=tuple(look.rarity for look in looks),
        heatmaps=tuple(_build_heatmap(look, placement) for look in strange),
    )


def _build_heatmap(look: Look, placement: LetterboxPlacement) -> Heatmap:
    digits = quantize_heatmap(look.heatmap, look.limit)
    frame: CropFrame = look.frame
    return Heatmap(placement.to_photo(frame.upright_box), digits, frame.angle)


def quantize_heatmap(heatmap: Float[np.ndarray, "rows columns"], limit: float) -> tuple[str, ...]:
    """Return rows of hexadecimal digits: 0 for 0 and less, f for twice the limit and more."""
    levels = np.clip(np.round(heatmap / (2 * max(limit, 1e-6)) * HEATMAP_LEVELS), 0, HEATMAP_LEVELS).astype(int)
    return tuple("".join(f"{level:x}" for level in row) for row in levels)


def sort_answers(spec: Spec, answers: Mapping[str, Answer]) -> tuple[Answer, ...]:
    """Return answers in the order of the spec's queries; others come last."""
    order = {query.id: number for number, query in enumerate(spec.queries)}
    return tuple(sorted(answers.values(), key=lambda answer: order.get(answer.query, len(order))))


class AppearanceReader:
    """A reader whose predictions are completed by the comparison with good photos. Implements `Reader`."""

    def __init__(self, reader: Reader, comparison: AppearanceComparison) -> None:
        self.bundle, self._reader, self._comparison = reader.bundle, reader, comparison

    @property
    def input_size(self) -> Size | None:
        """(height, width) to which photos may be letterboxed beforehand: that of the comparison."""
        return None if self._reader.input_size is None else self._comparison.size

    def predict_raw(self, photos: Sequence[LoadedPhoto]) -> list[Prediction]:
        """Read photos and compare their instances; see `Reader.predict_raw`."""
        letterboxed, given = letterbox_photos(photos, self._comparison.size, self._reader.input_size)
        predictions = zip(letterboxed, self._reader.predict_raw(given), strict=True)
        return [self._comparison.complete(photo, prediction) for photo, prediction in predictions]


MAX_SIDE = 1024
"""Longer side of the photos that are compared, pixels."""


def choose_size(input_size: Size | None, photos: Sequence[tuple[int, int]]) -> Size:
    """Return (height, width) of the photos that are compared.

    It is a multiple of the model's input, so that both see the same part of a photo, and near the photos' own size: the
    input of a small model is too coarse for print and scratches. `photos`: (width, height) of each.
    """
    width, height = (float(np.median([size[axis] for size in photos])) for axis in (0, 1))
    if input_size is None:
        scale = min(1.0, MAX_SIDE / max(width, height))
        return max(round(height * scale), 1), max(round(width * scale), 1)
    wanted = round(1 / letterbox_transform(input_size, round(width), round(height))[0])
    factor = max(1, min(wanted, MAX_SIDE // max(input_size)))
    return input_size[0] * factor, input_size[1] * factor


def letterbox_photos(
    photos: Sequence[LoadedPhoto], size: Size, input_size: Size | None
) -> tuple[list[LoadedPhoto], list[LoadedPhoto]]:
    """Return photos for the comparison, and those that the model gets.

    The model gets the same ones downscaled, so that its answers do not depend on where photos were letterboxed; without
    an input size it gets photos in their own size.
    """
    letterboxed = [
        photo if photo.pixels is None or photo.pixels.shape[:2] == size else replace(
            photo, pixels=letterbox(size, photo.pixels)
        )
        for photo in photos
    ]  # fmt: skip
    if input_size is None:
        return letterboxed, list(photos)
    given = [
        photo if photo.pixels is None else replace(photo, pixels=letterbox(input_size, photo.pixels))
        for photo in letterboxed
    ]
    return letterboxed, given


def add_comparison(reader: Reader, bundle: Bundle) -> Reader:
    """Return a reader that compares instances as well, if the rules of the `bundle` need it.

    Raises:
        BundleError: As `load_comparison`.
    """
    comparison = load_comparison(bundle)
    return AppearanceReader(reader, comparison) if comparison is not None else reader


def load_comparison(bundle: Bundle) -> AppearanceComparison | None:
    """Load the memories of a bundle; None if its spec has no appearance rule.

    Raises:
        BundleError: The memories are missing, damaged, of another bundle, or lack a component of the spec (LC506).
    """
    components = bundle.question_spec.overkill_by_component
    if not components:
        return None
    file = bundle.path / APPEARANCE_FILE
    memories, size = read_memories(file, bundle.id)
    missing = [name for name in components if name not in memories]
    if missing:
        raise _file_error(file, f"has no memory of {', '.join(missing)}")
    return AppearanceComparison(bundle, memories, size)


def write_memories(bundle: Bundle, memories: Mapping[str, AppearanceMemory], size: Size) -> None:
    """Write the memories into the bundle. `size`: (height, width) of the letterboxed photos they were fitted to."""
    tensors = {
        f"{component}/{name}": tensor.contiguous()
        for component, memory in memories.items()
        for name, tensor in memory_to_tensors(memory).items()
    }
    facts = {
        "bundle": bundle.id,
        "size": list(size),
        "photos": {component: list(memory.photo_names) for component, memory in memories.items()},
    }
    write_bytes(bundle.path / APPEARANCE_FILE, save(tensors, metadata={"facts": json.dumps(facts, sort_keys=True)}))


def read_memories(file: Path, bundle: str) -> tuple[dict[str, AppearanceMemory], Size]:
    """Read the memories by component, and the (height, width) of photos. `bundle`: id of the bundle.

    Raises:
        BundleError: The file is missing, damaged, or of another bundle (LC506).
    """
    if not file.exists():
        raise _file_error(file, "is missing")
    try:
        with safe_open(file, framework="pt") as archive:
            facts = json.loads((archive.metadata() or {})["facts"])
            tensors = {str(name): archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
        height, width = (int(side) for side in facts["size"])
        memories = {
            component: memory_from_tensors(
                {
                    name.removeprefix(f"{component}/"): tensor
                    for name, tensor in tensors.items()
                    if name.startswith(f"{component}/")
                },
                names,
            )
            for component, names in facts["photos"].items()
        }
        owner = facts["bundle"]
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise _file_error(file, f"cannot be read: {error}") from error
    if owner != bundle:
        raise _file_error(file, f"was fitted to bundle {owner}, not to {bundle}")
    return memories, (height, width)


def _file_error(file: Path, why: str) -> BundleError:
    advice = "Copy the whole bundle again, or train again."
    return BundleError(Problem("LC506", f"the memory of good photos {why}.", relative_path(file), advice=advice))
