"""Outlines of annotated things: COCO polygons and run lengths, as masks. Only synthesis needs them.

pycocotools draws the polygons. It checks nothing that it is given, so everything is checked here first.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool
from pycocotools import mask as coco_mask

from logicls.data.coco import Dataset, truncate_problems
from logicls.data.coco_parser import parse_json, read_utf8
from logicls.errors import DataError, Problem, relative_path

Mask = Bool[np.ndarray, "height width"]


@dataclass(frozen=True, slots=True)
class Segmentation:
    """An annotation's `segmentation`, checked."""

    polygons: tuple[tuple[float, ...], ...] = ()
    """x, y in turn, pixels of the photo."""
    run_lengths: tuple[int, ...] = ()
    """Pixels off and on in turn, down the columns."""

    def to_mask(self, width: int, height: int) -> Mask:
        """True where the thing is, on a photo of that size."""
        if self.run_lengths:
            return _drawn(self.run_lengths, width, height)
        packed = coco_mask.frPyObjects([list(polygon) for polygon in self.polygons], height, width)
        masks = [_drawn(_unpacked(one["counts"].decode()) or [width * height], width, height) for one in packed]
        return np.asarray(np.logical_or.reduce(masks))


def read_segmentations(dataset: Dataset) -> Mapping[int, Segmentation]:
    """Annotation id → its outline, for those that have one.

    Raises:
        DataError: LC112, for every segmentation that is none.
    """
    sizes = {i.id: (scene.width, scene.height) for scene in dataset.scenes for i in scene.instances}
    found: dict[int, Segmentation] = {}
    problems: list[Problem] = []
    file = relative_path(dataset.annotations_path)
    for number, raw in _segmentations(dataset):
        if number not in sizes:
            continue
        outline, fault = _outline(raw, *sizes[number])
        if outline is None:
            shown = json.dumps(raw)[:60]
            message = f"segmentation {shown} of annotation {number} {fault}."
            problems.append(Problem("LC112", message, file, advice="Draw it again, or delete it: the box is enough."))
        else:
            found[number] = outline
    if problems:
        raise DataError(truncate_problems(problems))
    return found


def _segmentations(dataset: Dataset) -> Iterator[tuple[int, Any]]:
    content = parse_json(read_utf8(dataset.annotations_path), relative_path(dataset.annotations_path))
    rows = content.get("annotations") if isinstance(content, dict) else None
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and row.get("segmentation") and row.get("iscrowd") != 1:
            yield row.get("id", 0), row["segmentation"]


def _outline(raw: object, width: int, height: int) -> tuple[Segmentation | None, str]:
    """The outline, or what is wrong with it."""
    if isinstance(raw, list):
        if all(_is_polygon(polygon) for polygon in raw):
            return Segmentation(polygons=tuple(tuple(float(v) for v in polygon) for polygon in raw)), ""
        return None, "is not a list of polygons [x, y, x, y, x, y ...]"
    if not isinstance(raw, dict) or raw.get("size") != [height, width]:
        return None, f"is neither polygons nor run lengths for {width} x {height} pixels"
    runs = _unpacked(raw["counts"]) if isinstance(raw.get("counts"), str) else raw.get("counts")
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        return None, "has no run lengths"
    if sum(runs) != width * height:
        return None, f"has run lengths of {sum(runs)} pixels, not {width * height}"
    return Segmentation(run_lengths=tuple(runs)), ""


def _is_polygon(polygon: object) -> bool:
    if not isinstance(polygon, Sequence) or len(polygon) < 6 or len(polygon) % 2:
        return False
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in polygon)
    return numbers and all(math.isfinite(v) and abs(v) < 1e6 for v in polygon)


def _drawn(runs: Sequence[int], width: int, height: int) -> Mask:
    on = np.arange(len(runs)) % 2 == 1
    return np.asarray(np.repeat(on, runs).reshape((height, width), order="F"))


def _unpacked(text: str) -> list[int] | None:
    """Run lengths out of COCO's compressed text; None where it breaks off.

    Six bits a character, five of them digits; from the third run on the difference to the run before the last.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 35:
            return None
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return None if shift else runs
