"""Repair image sizes and bounding boxes with the help of the photos themselves."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from logicls.data.coco import find_box_fault, parse_bbox
from logicls.data.image_io import PhotoHeader
from logicls.data.overlaps import find_overlaps
from logicls.data.repair_tables import HeaderReader, Repair, RepairLog, Row, Tables, is_single_instance, row_name
from logicls.errors import count_text
from logicls.records import Box

Size = tuple[int, int]
"""Width and height, pixels."""
Point = tuple[float, float]

_TO_UPRIGHT: Mapping[int, Callable[[float, float, Size], Point]] = {
    5: lambda x, y, size: (y, x),
    6: lambda x, y, size: (size[1] - y, x),
    7: lambda x, y, size: (size[1] - y, size[0] - x),
    8: lambda x, y, size: (y, size[0] - x),
}
"""EXIF orientation → map from a point of the stored photo, which has that size, to the upright photo."""


def repair_sizes_and_boxes(tables: Tables, read_header: HeaderReader, log: RepairLog) -> None:
    """Set image sizes to those of the upright photos; correct, clip or delete boxes without area on their photo."""
    rows_by_image: dict[object, list[Row]] = defaultdict(list)
    for row in tables["annotations"]:
        if type(row.get("image_id")) is int:
            rows_by_image[row["image_id"]].append(row)
    images = tables.get("images", [])
    id_counts = Counter(image.get("id") for image in images if type(image.get("id")) is int)
    invalid: set[int] = set()
    for image in images:
        if type(image.get("id")) is not int or id_counts[image["id"]] > 1:
            continue  # It is unknown which annotations belong to it.
        rows = rows_by_image[image["id"]]
        invalid |= {id(row) for row in filter(is_single_instance, rows) if not _repair_box(row, log)}
        usable = [row for row in rows if id(row) not in invalid]
        header = read_header(image["file_name"]) if isinstance(image.get("file_name"), str) else None
        size = _repair_size(image, usable, header, log)
        if size is not None:
            invalid |= {id(row) for row in filter(is_single_instance, usable) if not _clip_box(row, size, log)}
    tables["annotations"] = [row for row in tables["annotations"] if id(row) not in invalid]


def drop_duplicates(tables: Tables, log: RepairLog) -> None:
    """Delete annotations with the box, category and attributes of an earlier one on the same image."""
    candidates: list[tuple[Row, Box]] = []
    group_numbers: dict[object, int] = {}
    groups: list[int] = []
    for row in filter(is_single_instance, tables["annotations"]):
        box, ids = parse_bbox(row.get("bbox")), (row.get("image_id"), row.get("category_id"))
        if box is not None and box.area and all(type(number) is int for number in ids):
            attributes = json.dumps(row["attributes"], sort_keys=True) if row.get("attributes") else ""
            candidates.append((row, box))
            groups.append(group_numbers.setdefault((*ids, attributes), len(group_numbers)))
    deleted: set[int] = set()
    for overlap in find_overlaps(groups, [box for _, box in candidates]):
        original, copy = candidates[overlap.first][0], candidates[overlap.second][0]
        if overlap.kind == "duplicate" and id(original) not in deleted and id(copy) not in deleted:
            deleted.add(id(copy))
            detail = f"of {row_name('annotation', original)}"
            log.append(Repair(row_name("annotation", copy), "deleted as a duplicate", detail))
    tables["annotations"] = [row for row in tables["annotations"] if id(row) not in deleted]


def _repair_size(image: Row, rows: Sequence[Row], header: PhotoHeader | None, log: RepairLog) -> Size | None:
    """Correct the image's size and return it; None if the correct size is not certain."""
    size: tuple[Any, Any] = (image.get("width"), image.get("height"))
    is_valid = all(type(side) is int and side > 0 for side in size)
    if header is None:
        return size if is_valid else None
    actual = (header.width, header.height)
    if not is_valid:
        image["width"], image["height"] = actual
        log.append(Repair(row_name("image", image), "set size from the photo", f"{actual[0]} x {actual[1]}"))
        return actual
    if size == actual:
        return actual
    is_rotated = size == (actual[1], actual[0]) and header.orientation in _TO_UPRIGHT
    if not is_rotated or not all(_can_rotate(row, size) for row in rows):
        return None
    for row in rows:
        _rotate(row, header.orientation, size)
    image["width"], image["height"] = actual
    detail = f"orientation {header.orientation}, {count_text(len(rows), 'annotation')}"
    log.append(Repair(row_name("image", image), "applied the EXIF orientation", detail))
    return actual


def _can_rotate(row: Row, size: Size) -> bool:
    """Return True if the annotation has only polygons and a box that is valid on the stored photo."""
    box, segmentation = parse_bbox(row.get("bbox")), row.get("segmentation")
    if row.get("keypoints") or (segmentation and _polygon_points(segmentation) is None):
        return False
    return find_box_fault(box, size) is None if row.get("bbox") else not is_single_instance(row) or bool(segmentation)


def _rotate(row: Row, orientation: int, size: Size) -> None:
    to_upright = _TO_UPRIGHT[orientation]
    box = parse_bbox(row.get("bbox"))
    if box is not None:
        corners = to_upright(box.x1, box.y1, size), to_upright(box.x2, box.y2, size)
        row["bbox"] = _to_bbox(_bounding_box(corners))
    if row.get("segmentation"):
        row["segmentation"] = [
            [value for x, y in zip(polygon[::2], polygon[1::2], strict=True) for value in to_upright(x, y, size)]
            for polygon in row["segmentation"]
        ]


def _repair_box(row: Row, log: RepairLog) -> bool:
    """Give the annotation a box with an area, on or off the photo; False if that is impossible."""
    raw, segmentation = row.get("bbox"), row.get("segmentation")
    box = parse_bbox(_to_numbers(raw))
    if box is not None and box.width and box.height:
        corrected = _bounding_box(((box.x1, box.y1), (box.x2, box.y2)))
        if corrected != box or raw != _to_numbers(raw):
            action = "corrected negative bbox size" if corrected != box else "converted bbox to numbers"
            _set_box(row, corrected)
            _log_box(row, raw, action, log)
        return True
    points = _polygon_points(segmentation)
    computed = _bounding_box(points) if points else None
    if computed is not None and computed.area:
        _set_box(row, computed)
        _log_box(row, raw, "computed bbox from its segmentation", log)
        return True
    if segmentation and not raw:
        return True  # A run-length mask without a box: readers skip such annotations.
    log.append(Repair(row_name("annotation", row), "deleted, bbox has no area", json.dumps(raw)[:80]))
    return False


def _clip_box(row: Row, size: Size, log: RepairLog) -> bool:
    """Clip the box to the photo; False if nothing remains."""
    box, raw = parse_bbox(row.get("bbox")), row.get("bbox")
    if box is None or find_box_fault(box, size) is None:
        return True
    clipped = box.clip(*size)
    if clipped.width <= 0 or clipped.height <= 0:
        detail = f"{json.dumps(raw)[:80]} on {size[0]} x {size[1]} pixels"
        log.append(Repair(row_name("annotation", row), "deleted, bbox lies outside the photo", detail))
        return False
    _set_box(row, clipped)
    _log_box(row, raw, "clipped bbox to the photo", log)
    return True


def _log_box(row: Row, raw: object, action: str, log: RepairLog) -> None:
    detail = f"{json.dumps(raw)[:80]} → {json.dumps(row['bbox'])}"
    log.append(Repair(row_name("annotation", row), action, detail))


def _set_box(row: Row, box: Box) -> None:
    """Write the box, and its area unless a segmentation determines the area."""
    row["bbox"] = _to_bbox(box)
    if "area" in row and not row.get("segmentation"):
        row["area"] = row["bbox"][2] * row["bbox"][3]


def _to_bbox(box: Box) -> list[float]:
    """Convert to [x, y, width, height], with integers where possible."""
    values = (box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1)
    return [int(value) if value.is_integer() else value for value in values]


def _bounding_box(points: Sequence[Point]) -> Box:
    xs, ys = zip(*points, strict=True)
    return Box(float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys)))


def _to_numbers(bbox: object) -> object:
    """Convert strings in the list to numbers where possible."""
    if not isinstance(bbox, list):
        return bbox
    return [_to_number(value) if isinstance(value, str) else value for value in bbox]


def _to_number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def _polygon_points(segmentation: object) -> list[Point] | None:
    """Return the points of all polygons; None if the segmentation is not a list of polygons."""
    if not isinstance(segmentation, list) or not segmentation:
        return None
    points: list[Point] = []
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            return None
        boxes = [parse_bbox([x, y, 1, 1]) for x, y in zip(polygon[::2], polygon[1::2], strict=True)]
        points += [(box.x1, box.y1) for box in boxes if box is not None]
        if None in boxes:
            return None
    return points
