"""Read COCO segmentations, polygons and run-length encodings (RLE), and rasterize them to masks.

pycocotools rasterizes polygons without checking them, so everything is validated here first. Only synthesis needs
segmentations.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from pycocotools import mask as coco_mask

from logicls.data.coco import Dataset, parse_json, read_utf8, truncate_problems
from logicls.errors import DataError, Problem, relative_path

Mask = Bool[np.ndarray, "height width"]


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Valid segmentation of an annotation: either polygons or run lengths."""

    polygons: tuple[tuple[float, ...], ...] = ()
    """Polygons as x1, y1, x2, y2, ... in pixels of the photo."""
    run_lengths: tuple[int, ...] = ()
    """Numbers of pixels outside and inside in turn, in column-major order."""

    def to_mask(self, width: int, height: int) -> Mask:
        """Rasterize to a mask of that size: True inside."""
        if self.run_lengths:
            return _decode_runs(self.run_lengths, width, height)
        encoded = coco_mask.frPyObjects([list(polygon) for polygon in self.polygons], height, width)
        runs = (_decompress_runs(rle["counts"].decode()) or [width * height] for rle in encoded)
        masks = [_decode_runs(counts, width, height) for counts in runs]
        return np.asarray(np.logical_or.reduce(masks))


def read_segmentations(dataset: Dataset) -> Mapping[int, Segmentation]:
    """Return annotation id → segmentation, for the annotations that have one.

    Raises:
        DataError: Segmentations are invalid (LC112).
    """
    sizes = {i.id: (scene.width, scene.height) for scene in dataset.scenes for i in scene.instances}
    segmentations: dict[int, Segmentation] = {}
    problems: list[Problem] = []
    for path, shift in ((dataset.annotations_path, 0), *dataset.merged_annotations):
        for number, raw in _read_raw_segmentations(path):
            if number + shift not in sizes:
                continue
            segmentation, fault = _parse_segmentation(raw, *sizes[number + shift])
            if segmentation is None:
                message = f"segmentation {json.dumps(raw)[:60]} of annotation {number} {fault}."
                advice = "Redraw or delete it: the box is sufficient."
                problems.append(Problem("LC112", message, relative_path(path), advice=advice))
            else:
                segmentations[number + shift] = segmentation
    if problems:
        raise DataError(truncate_problems(problems))
    return segmentations


def _read_raw_segmentations(path: Path) -> Iterator[tuple[int, Any]]:
    content = parse_json(read_utf8(path), relative_path(path))
    rows = content.get("annotations") if isinstance(content, dict) else None
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and row.get("segmentation") and row.get("iscrowd") != 1:
            yield row.get("id", 0), row["segmentation"]


def _parse_segmentation(raw: object, width: int, height: int) -> tuple[Segmentation | None, str]:
    """Return the segmentation, or None and a description of the fault."""
    if isinstance(raw, list):
        if all(_is_polygon(polygon) for polygon in raw):
            return Segmentation(polygons=tuple(tuple(float(v) for v in polygon) for polygon in raw)), ""
        return None, "is not a list of polygons [x, y, x, y, x, y ...]"
    if not isinstance(raw, dict) or raw.get("size") != [height, width]:
        return None, f"is neither a list of polygons nor an RLE of {width} x {height} pixels"
    runs = _decompress_runs(raw["counts"]) if isinstance(raw.get("counts"), str) else raw.get("counts")
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        return None, "has no valid run lengths"
    if sum(runs) != width * height:
        return None, f"has run lengths for {sum(runs)} pixels instead of {width * height}"
    return Segmentation(run_lengths=tuple(runs)), ""


def _is_polygon(polygon: object) -> bool:
    if not isinstance(polygon, Sequence) or len(polygon) < 6 or len(polygon) % 2:
        return False
    is_numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in polygon)
    return is_numeric and all(math.isfinite(v) and abs(v) < 1e6 for v in polygon)


def _decode_runs(runs: Sequence[int], width: int, height: int) -> Mask:
    is_inside = np.arange(len(runs)) % 2 == 1
    return np.asarray(np.repeat(is_inside, runs).reshape((height, width), order="F"))


def _decompress_runs(text: str) -> list[int] | None:
    """Decode COCO's compressed run lengths; None if the text is invalid.

    Each character holds six bits: five of data and a continuation bit. From the fourth run on, the text holds the
    difference to the run before the last (pycocotools, `rleFrString`).
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
