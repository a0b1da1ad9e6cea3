"""Checks the rows of a COCO file one by one and turns them into scenes.

Parses a COCO file, each annotation cut down to what is read of it before the next one is parsed.

Outlines can be most of a file; they never stand in memory all at once.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from logicls.data.image_io import read_size
from logicls.errors import DataError, PhotoError, Problem, relative_path
from logicls.records import Box, Instance, Scene

Attributes = tuple[tuple[str, str], ...]
BYTE_ORDER_MARK = "\ufeff"


class CocoAnnotation(NamedTuple):
    """What is read of an annotation whose ids are whole numbers."""

    id: int
    image_id: int
    category_id: int
    bbox: object
    attributes: Attributes | None
    """None where they are not an object."""
    has_segmentation: bool
    """True where there is a segmentation."""


class AnnotationHook:
    """Called with each JSON object in turn: annotations are cut down, all else stays as it is."""

    def __init__(self) -> None:
        self._seen: dict[Attributes, Attributes] = {}

    def __call__(self, row: dict[str, Any]) -> dict[str, Any] | CocoAnnotation:
        """The annotation; the row itself where it is none, is a crowd, or lacks a usable id."""
        number, image, category = row.get("id"), row.get("image_id"), row.get("category_id")
        if type(number) is not int or type(image) is not int or type(category) is not int or row.get("iscrowd") == 1:
            return row
        attributes, outlined = self._told(row.get("attributes")), bool(row.get("segmentation"))
        return CocoAnnotation(number, image, category, row.get("bbox"), attributes, outlined)

    def _told(self, attributes: object) -> Attributes | None:
        """The attributes as text; equal ones are kept once."""
        if not attributes:
            return ()
        if not isinstance(attributes, dict):
            return None
        told = tuple([(key, attribute_to_text(value)) for key, value in attributes.items() if value is not None])
        return self._seen.setdefault(told, told)


def attribute_to_text(value: object) -> str:
    """An attribute's value as the spec writes it."""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else json.dumps(value)


def read_utf8(path: Path) -> str:
    """The file's text.

    Raises:
        DataError: The file cannot be read (LC101), or is not UTF-8 (LC102).
    """
    file = relative_path(path)
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise DataError(Problem("LC101", f"cannot be read: {error.strerror or error}.", file)) from error
    except UnicodeDecodeError as error:
        raise DataError(Problem("LC102", "is not JSON: it is not UTF-8.", file, advice="Save it as UTF-8.")) from error


def parse_json(text: str, file: str, hook: Callable[[dict[str, Any]], object] | None = None) -> object:
    """The JSON in the text.

    Args:
        text: What stands in the file, with or without a byte order mark.
        file: What the file is called in a complaint.
        hook: Called with each object, innermost first; what it returns takes the object's place.

    Raises:
        DataError: It is not JSON (LC102).
    """
    try:
        return json.loads(text.removeprefix(BYTE_ORDER_MARK), object_hook=hook)
    except json.JSONDecodeError as error:
        raise DataError(Problem("LC102", f"is not JSON: {error.msg}.", file, error.lineno, error.colno)) from error
    except (ValueError, RecursionError) as error:
        raise DataError(Problem("LC102", f"is not JSON: {error}.", file)) from error


Row: TypeAlias = Mapping[str, Any]

BOX_TOLERANCE = 1.0
"""Pixels by which a box may leave its photo: annotation tools round."""

REQUIRED_FIELDS: Mapping[str, Mapping[str, type]] = {
    "images": {"id": int, "file_name": str, "width": int, "height": int},
    "categories": {"id": int, "name": str},
    "annotations": {"id": int, "image_id": int, "category_id": int},
}
"""What each row needs, and of which type."""
_SAID = {int: "a whole number", str: "text"}


@dataclass(frozen=True, slots=True)
class CocoTables:
    """The usable rows of the file's lists."""

    images: list[Row]
    categories: list[Row]
    annotations: list[CocoAnnotation]
    licences: list[Row]


class CocoParser:
    """Turns the file's tables into scenes and notes every problem on the way."""

    def __init__(self, root: Path, file: str) -> None:
        self.images = root / "images"
        self.file = file
        self.problems: list[Problem] = []

    def add_problem(self, code: str, message: str, advice: str = "") -> None:
        """Note a problem with the file."""
        self.problems.append(Problem(code, message, self.file, advice=advice))

    def parse_tables(self, content: object) -> CocoTables:
        """The four lists, with only those rows that have what a row needs."""
        if not isinstance(content, dict):
            raise DataError(Problem("LC103", "is not a COCO file: an object at the top is needed.", self.file))
        for name in REQUIRED_FIELDS:
            if not isinstance(content.get(name), list):
                self.add_problem("LC103", f'the list "{name}" is missing.', "Export the annotations as COCO.")
        return CocoTables(*(self.parse_rows(name, content.pop(name, None)) for name in (*REQUIRED_FIELDS, "licenses")))

    def parse_rows(self, table: str, rows: object) -> list[Any]:
        """The usable rows of one list."""
        listed = rows if isinstance(rows, list) else []
        return [
            row
            for number, row in enumerate(listed, 1)
            if type(row) is CocoAnnotation or self.is_valid_row(table, number, row)
        ]  # fmt: skip

    def is_valid_row(self, table: str, number: int, row: object) -> bool:
        """True if the row has what its table needs, with the right types."""
        if not isinstance(row, dict):
            self.add_problem("LC103", f"item {number} of {table} is not an object.")
            return False
        if table == "annotations" and row.get("iscrowd") == 1:
            return False
        wrong = [key for key, kind in REQUIRED_FIELDS.get(table, {}).items() if type(row.get(key)) is not kind]
        for key in wrong:
            found = f", not {json.dumps(row[key])[:40]}" if key in row else ""
            said = _SAID[REQUIRED_FIELDS[table][key]]
            self.add_problem("LC103", f'item {number} of {table} needs "{key}", {said}{found}.')
        return not wrong

    def check_duplicates(self, tables: CocoTables) -> None:
        """Ids and names that two rows share."""
        self._check_once("images", "id", (row["id"] for row in tables.images))
        self._check_once("images", "file_name", (row["file_name"] for row in tables.images))
        self._check_once("categories", "id", (row["id"] for row in tables.categories))
        self._check_once("categories", "name", (row["name"] for row in tables.categories))
        self._check_once("annotations", "id", (row.id for row in tables.annotations))

    def _check_once(self, table: str, key: str, values: Iterable[object]) -> None:
        for value, times in Counter(values).items():
            if times > 1:
                self.add_problem("LC104", f"{key} {json.dumps(value)} stands {times} times in {table}.", "Keep one.")

    def check_references(self, tables: CocoTables) -> None:
        """Annotations of images or categories that are not in the file."""
        images, categories = ({row["id"] for row in rows} for rows in (tables.images, tables.categories))
        for row in tables.annotations:
            if row.image_id not in images:
                self.add_problem("LC105", f"annotation {row.id} has image_id {row.image_id}, which is not in images.")
        for row in tables.annotations:
            if row.category_id not in categories:
                message = f"annotation {row.id} has category_id {row.category_id}, which is not in categories."
                self.add_problem("LC105", message)

    def build_scenes(self, tables: CocoTables) -> tuple[Scene, ...]:
        """One scene an image; annotations that cannot be used are left out. Takes the annotations out of `tables`."""
        names = {row["id"]: row["name"] for row in tables.categories}
        rows: dict[int, list[CocoAnnotation]] = defaultdict(list)
        for row in tables.annotations:
            rows[row.image_id].append(row)
        tables.annotations.clear()
        scenes: list[Scene] = []
        for image in tables.images:
            photo, width, height = image["file_name"], image["width"], image["height"]
            self.check_image(photo, width, height)
            found = [self.build_instance(row, names, (width, height), photo) for row in rows.pop(image["id"], ())]
            scenes.append(Scene(photo, width, height, tuple([i for i in found if i is not None])))
        return tuple(scenes)

    def check_image(self, photo: str, width: int, height: int) -> None:
        """The photo must lie in `images/`, be readable, and have the size that was annotated."""
        if is_unsafe_path(photo):
            self.add_problem("LC106", f'file_name "{photo}" leads out of images/.', "Give a path below images/.")
            return
        path = self.images / photo
        # Not `path.is_file()`, which raises for names that are too long.
        if not os.path.isfile(path):
            self.add_problem("LC107", f'image "{photo}" is missing.', f"Put it into {relative_path(self.images)}.")
            return
        try:
            real = read_size(path)
        except PhotoError as error:
            self.problems += error.problems
            return
        if real != (width, height):
            turned = "The photo was annotated before its EXIF rotation. " if real == (height, width) else ""
            message = f'image "{photo}" is {real[0]} x {real[1]} pixels, annotated as {width} x {height}.'
            self.add_problem("LC108", message, f"{turned}Annotate the photo as it is shown.")

    def build_instance(
        self, row: CocoAnnotation, names: Mapping[int, str], size: tuple[int, int], photo: str
    ) -> Instance | None:  # fmt: skip
        """The annotation, or None where it has no usable box or category."""
        if row.has_segmentation and not row.bbox:
            return None
        box = self.check_box(row, size, photo)
        if row.attributes is None:
            self.add_problem("LC111", f'attributes of annotation {row.id} on "{photo}" are not an object.')
            return None
        if box is None or row.category_id not in names:
            return None
        return Instance(row.id, names[row.category_id], box, row.attributes)

    def check_box(self, row: CocoAnnotation, size: tuple[int, int], photo: str) -> Box | None:
        """The box, clipped to the photo."""
        box = parse_bbox(row.bbox)
        fault = find_box_fault(box, size)
        if box is not None and fault is None:
            return box.clip(*size)
        code, what, advice = fault or ("", "", "")
        where = f'of annotation {row.id} on "{photo}"'
        self.add_problem(code, f"bbox {json.dumps(row.bbox)[:80]} {where} {what}", advice)
        return None


def parse_bbox(sides: object) -> Box | None:
    """COCO's [x, y, width, height] as corners; None for what is not four finite numbers."""
    if not isinstance(sides, list) or len(sides) != 4:
        return None
    for side in sides:
        if type(side) is not int and type(side) is not float:
            return None
    try:
        x, y, width, height = map(float, sides)
    except OverflowError:
        return None
    return Box(x, y, x + width, y + height) if math.isfinite(x + y + width + height) else None


def find_box_fault(box: Box | None, size: tuple[int, int]) -> tuple[str, str, str] | None:
    """Code, message and advice where a box cannot be used on a photo of that size."""
    if box is None:
        return "LC109", "is not [x, y, width, height].", ""
    if box.x2 <= box.x1 or box.y2 <= box.y1:
        return "LC109", "has no area.", "Draw it again, or delete it."
    if min(box.x1, box.y1) < -BOX_TOLERANCE or box.x2 > size[0] + BOX_TOLERANCE or box.y2 > size[1] + BOX_TOLERANCE:
        return "LC110", f"lies outside of its {size[0]} x {size[1]} pixels.", ""
    if box.x2 <= 0 or box.y2 <= 0 or box.x1 >= size[0] or box.y1 >= size[1]:
        return "LC109", "has no area on the photo.", "Draw it again, or delete it."
    return None


def is_unsafe_path(name: str) -> bool:
    """True if the name may lead out of the folder it is meant for, on any system."""
    parts = name.replace("\\", "/").split("/")
    inner = [part for part in parts if part not in ("", ".")]
    drive = name[1:2] == ":"
    return not inner or not parts[0] or ".." in inner or drive or "\0" in name
