"""Heals sizes of images and boxes of annotations, by the photos themselves."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from logicls.data.coco_parser import find_box_fault, parse_bbox
from logicls.data.image_io import PhotoHeader
from logicls.data.overlaps import find_overlaps
from logicls.data.repair_log import HeaderReader, Repair, RepairLog, Row, Tables, is_single_instance, row_name
from logicls.records import Box

Size = tuple[int, int]
Point = tuple[float, float]

_TURNS: Mapping[int, Callable[[float, float, Size], Point]] = {
    5: lambda x, y, size: (y, x),
    6: lambda x, y, size: (size[1] - y, x),
    7: lambda x, y, size: (size[1] - y, size[0] - x),
    8: lambda x, y, size: (y, size[0] - x),
}
"""EXIF orientation → where a point of the stored photo (of that size) lies on the upright one."""


def repair_sizes_and_boxes(tables: Tables, look: HeaderReader, notes: RepairLog) -> None:
    """Images have the upright photo's size, and every box has an area on its photo."""
    rows_of: dict[object, list[Row]] = defaultdict(list)
    for row in tables["annotations"]:
        if type(row.get("image_id")) is int:
            rows_of[row["image_id"]].append(row)
    images = tables.get("images", [])
    times = Counter(image.get("id") for image in images if type(image.get("id")) is int)
    useless: set[int] = set()
    for image in images:
        if type(image.get("id")) is not int or times[image["id"]] > 1:
            continue  # Nothing is certain about its annotations.
        rows = rows_of[image["id"]]
        useless |= {id(row) for row in filter(is_single_instance, rows) if not _mended(row, notes)}
        usable = [row for row in rows if id(row) not in useless]
        header = look(image["file_name"]) if isinstance(image.get("file_name"), str) else None
        size = _healed_size(image, usable, header, notes)
        if size is not None:
            useless |= {id(row) for row in filter(is_single_instance, usable) if not _clipped(row, size, notes)}
    tables["annotations"] = [row for row in tables["annotations"] if id(row) not in useless]


def drop_duplicates(tables: Tables, notes: RepairLog) -> None:
    """One annotation where the same box of the same component with the same attributes is there twice."""
    found: list[tuple[Row, Box]] = []
    numbers: dict[object, int] = {}
    groups: list[int] = []
    for row in filter(is_single_instance, tables["annotations"]):
        box, ids = parse_bbox(row.get("bbox")), (row.get("image_id"), row.get("category_id"))
        if box is not None and box.area and all(type(number) is int for number in ids):
            told = json.dumps(row["attributes"], sort_keys=True) if row.get("attributes") else ""
            found.append((row, box))
            groups.append(numbers.setdefault((*ids, told), len(numbers)))
    gone: set[int] = set()
    for overlap in find_overlaps(groups, [box for _, box in found]):
        kept, row = found[overlap.first][0], found[overlap.second][0]
        if overlap.kind == "same" and id(kept) not in gone and id(row) not in gone:
            gone.add(id(row))
            notes.append(
                Repair(row_name("annotation", row), "dropped as a repeat", f"of {row_name('annotation', kept)}")
            )
    tables["annotations"] = [row for row in tables["annotations"] if id(row) not in gone]


def _healed_size(image: Row, rows: Sequence[Row], header: PhotoHeader | None, notes: RepairLog) -> Size | None:
    """The image's size where it is sure, healed on the way."""
    size: tuple[Any, Any] = (image.get("width"), image.get("height"))
    known = all(type(side) is int and side > 0 for side in size)
    if header is None:
        return size if known else None
    real = (header.width, header.height)
    if not known:
        image["width"], image["height"] = real
        notes.append(Repair(row_name("image", image), "size read off the photo", f"{real[0]} x {real[1]}"))
        return real
    if size == real:
        return real
    if size != (real[1], real[0]) or header.orientation not in _TURNS or not all(_can_turn(row, size) for row in rows):
        return None
    for row in rows:
        _turn(row, header.orientation, size)
    image["width"], image["height"] = real
    detail = f"{len(rows)} annotation{'' if len(rows) == 1 else 's'}, by its EXIF orientation {header.orientation}"
    notes.append(Repair(row_name("image", image), "turned upright", detail))
    return real


def _can_turn(row: Row, size: Size) -> bool:
    """True if all that the annotation has are polygons, and a box that lies on the photo before it was turned."""
    box, outline = parse_bbox(row.get("bbox")), row.get("segmentation")
    if row.get("keypoints") or (outline and _corners(outline) is None):
        return False
    return find_box_fault(box, size) is None if row.get("bbox") else not is_single_instance(row) or bool(outline)


def _turn(row: Row, orientation: int, size: Size) -> None:
    turn = _TURNS[orientation]
    box = parse_bbox(row.get("bbox"))
    if box is not None:
        corners = turn(box.x1, box.y1, size), turn(box.x2, box.y2, size)
        row["bbox"] = _sides(_around(corners))
    if row.get("segmentation"):
        row["segmentation"] = [
            [side for x, y in zip(line[::2], line[1::2], strict=True) for side in turn(x, y, size)]
            for line in row["segmentation"]
        ]


def _mended(row: Row, notes: RepairLog) -> bool:
    """Give the annotation a box with an area, wherever it lies; False if there is none to be had."""
    raw, outline = row.get("bbox"), row.get("segmentation")
    box = parse_bbox(_numbers(raw))
    if box is not None and box.width and box.height:
        upright = _around(((box.x1, box.y1), (box.x2, box.y2)))
        if upright != box or raw != _numbers(raw):
            kind = "box flipped" if upright != box else "box made numbers"
            _set_box(row, upright)
            _note_box(row, raw, kind, notes)
        return True
    points = _corners(outline)
    traced = _around(points) if points else None
    if traced is not None and traced.area:
        _set_box(row, traced)
        _note_box(row, raw, "box taken from its outline", notes)
        return True
    if outline and not raw:
        return True  # An outline that is no polygon, and no box: it is left out, not minded.
    notes.append(Repair(row_name("annotation", row), "dropped, its box has no area", json.dumps(raw)[:80]))
    return False


def _clipped(row: Row, size: Size, notes: RepairLog) -> bool:
    """Cut the box at the photo's edges; False if nothing remains."""
    box, raw = parse_bbox(row.get("bbox")), row.get("bbox")
    if box is None or find_box_fault(box, size) is None:
        return True
    inside = box.clip(*size)
    if inside.width <= 0 or inside.height <= 0:
        detail = f"{json.dumps(raw)[:80]} on {size[0]} x {size[1]} pixels"
        notes.append(Repair(row_name("annotation", row), "dropped, its box lies off the photo", detail))
        return False
    _set_box(row, inside)
    _note_box(row, raw, "box clipped to the photo", notes)
    return True


def _note_box(row: Row, raw: object, kind: str, notes: RepairLog) -> None:
    detail = f"{json.dumps(raw)[:80]} → {json.dumps(row['bbox'])}"
    notes.append(Repair(row_name("annotation", row), kind, detail))


def _set_box(row: Row, box: Box) -> None:
    """Write the box, and its area where no outline says that."""
    row["bbox"] = _sides(box)
    if "area" in row and not row.get("segmentation"):
        row["area"] = row["bbox"][2] * row["bbox"][3]


def _sides(box: Box) -> list[float]:
    """[x, y, width, height], in whole numbers where it has them."""
    sides = (box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1)
    return [int(side) if side.is_integer() else side for side in sides]


def _around(points: Sequence[Point]) -> Box:
    xs, ys = zip(*points, strict=True)
    return Box(float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys)))


def _numbers(sides: object) -> object:
    """The list with numbers in place of the texts that are numbers."""
    if not isinstance(sides, list):
        return sides
    return [_number(side) if isinstance(side, str) else side for side in sides]


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def _corners(outline: object) -> list[Point] | None:
    """The corners of all its polygons; None where one is no polygon."""
    if not isinstance(outline, list) or not outline:
        return None
    points: list[Point] = []
    for line in outline:
        if not isinstance(line, list) or len(line) < 6 or len(line) % 2:
            return None
        pairs = [parse_bbox([x, y, 1, 1]) for x, y in zip(line[::2], line[1::2], strict=True)]
        points += [(box.x1, box.y1) for box in pairs if box is not None]
        if None in pairs:
            return None
    return points
