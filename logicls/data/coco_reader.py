"""Checks the rows of a COCO file one by one and turns them into scenes."""

from __future__ import annotations

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TypeAlias

from logicls.data.picture import photo_size
from logicls.errors import DataError, PhotoError, Problem, relative
from logicls.records import Box, Instance, Scene

Row: TypeAlias = Mapping[str, object]
Tables: TypeAlias = Mapping[str, Sequence[Row]]

SLACK = 1.0
"""Pixels by which a box may leave its photo: annotation tools round."""

_REQUIRED: Mapping[str, Mapping[str, type]] = {
    "images": {"id": int, "file_name": str, "width": int, "height": int},
    "categories": {"id": int, "name": str},
    "annotations": {"id": int, "image_id": int, "category_id": int},
}
_SAID = {int: "a whole number", str: "text"}


def parse(path: Path) -> object:
    """The JSON in the file.

    Raises:
        DataError: The file cannot be read (LC101), or is not JSON (LC102).
    """
    file = relative(path)
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise DataError(Problem("LC101", f"cannot be read: {error.strerror or error}.", file)) from error
    except json.JSONDecodeError as error:
        raise DataError(Problem("LC102", f"is not JSON: {error.msg}.", file, error.lineno, error.colno)) from error
    except UnicodeDecodeError as error:
        raise DataError(Problem("LC102", "is not JSON: it is not UTF-8.", file, advice="Save it as UTF-8.")) from error
    except (ValueError, RecursionError) as error:
        raise DataError(Problem("LC102", f"is not JSON: {error}.", file)) from error


class Reader:
    """Turns the file's tables into scenes and notes every problem on the way."""

    def __init__(self, root: Path, file: str) -> None:
        self.root = root
        self.file = file
        self.problems: list[Problem] = []

    def complain(self, code: str, message: str, advice: str = "") -> None:
        """Note a problem with the file."""
        self.problems.append(Problem(code, message, self.file, advice=advice))

    def tables(self, content: object) -> Tables:
        """The four lists, with only those rows that have what a row needs."""
        if not isinstance(content, dict):
            raise DataError(Problem("LC103", "is not a COCO file: an object at the top is needed.", self.file))
        for name in _REQUIRED:
            if not isinstance(content.get(name), list):
                self.complain("LC103", f'the list "{name}" is missing.', "Export the annotations as COCO.")
        lists = {name: content.get(name) for name in (*_REQUIRED, "licenses")}
        return {
            name: [row for number, row in enumerate(rows, 1) if self.is_row(name, number, row)]
            for name, rows in ((name, rows if isinstance(rows, list) else []) for name, rows in lists.items())
        }

    def is_row(self, table: str, number: int, row: object) -> bool:
        """True if the row has what its table needs, with the right types."""
        if not isinstance(row, dict):
            self.complain("LC103", f"item {number} of {table} is not an object.")
            return False
        if table == "annotations" and row.get("iscrowd") == 1:
            return False
        wrong = [key for key, kind in _REQUIRED.get(table, {}).items() if type(row.get(key)) is not kind]
        for key in wrong:
            found = f", not {json.dumps(row[key])[:40]}" if key in row else ""
            said = _SAID[_REQUIRED[table][key]]
            self.complain("LC103", f'item {number} of {table} needs "{key}", {said}{found}.')
        return not wrong

    def check_repeats(self, tables: Tables) -> None:
        """Ids and names that two rows share."""
        keys = (("images", "id"), ("images", "file_name"), ("categories", "id"), ("categories", "name"))
        for table, key in (*keys, ("annotations", "id")):
            for value, times in Counter(row[key] for row in tables[table]).items():
                if times > 1:
                    self.complain("LC104", f"{key} {json.dumps(value)} stands {times} times in {table}.", "Keep one.")

    def check_references(self, tables: Tables) -> None:
        """Annotations of images or categories that are not in the file."""
        for key, table in (("image_id", "images"), ("category_id", "categories")):
            known = {row["id"] for row in tables[table]}
            for row in tables["annotations"]:
                if row[key] not in known:
                    self.complain("LC105", f"annotation {row['id']} has {key} {row[key]}, which is not in {table}.")

    def scenes(self, tables: Tables) -> tuple[Scene, ...]:
        """One scene an image; annotations that cannot be used are left out."""
        names = {row["id"]: str(row["name"]) for row in tables["categories"]}
        rows: dict[object, list[Row]] = defaultdict(list)
        for row in tables["annotations"]:
            rows[row["image_id"]].append(row)
        scenes: list[Scene] = []
        for image in tables["images"]:
            photo, width, height = str(image["file_name"]), int(str(image["width"])), int(str(image["height"]))
            self.check_photo(photo, width, height)
            found = [self.instance(row, names, (width, height), photo) for row in rows[image["id"]]]
            scenes.append(Scene(photo, width, height, tuple(i for i in found if i is not None)))
        return tuple(scenes)

    def check_photo(self, photo: str, width: int, height: int) -> None:
        """The photo must lie in `images/`, be readable, and have the size that was annotated."""
        if _leaves(photo):
            self.complain("LC106", f'file_name "{photo}" leads out of images/.', "Give a path below images/.")
            return
        path = self.root / "images" / photo
        # Not `path.is_file()`, which raises for names that are too long.
        if not os.path.isfile(path):
            self.complain("LC107", f'image "{photo}" is missing.', f"Put it into {relative(self.root / 'images')}.")
            return
        try:
            real = photo_size(path)
        except PhotoError as error:
            self.problems += error.problems
            return
        if real != (width, height):
            turned = "The photo was annotated before its EXIF rotation. " if real == (height, width) else ""
            message = f'image "{photo}" is {real[0]} x {real[1]} pixels, annotated as {width} x {height}.'
            self.complain("LC108", message, f"{turned}Annotate the photo as it is shown.")

    def instance(self, row: Row, names: Mapping[object, str], size: tuple[int, int], photo: str) -> Instance | None:
        """The annotation, or None where it has no usable box or category."""
        if not row.get("bbox") and row.get("segmentation"):
            return None
        box = self.box(row, size, photo)
        attributes = row.get("attributes") or {}
        if not isinstance(attributes, dict):
            self.complain("LC111", f'attributes of annotation {row["id"]} on "{photo}" are not an object.')
            return None
        if box is None or row["category_id"] not in names:
            return None
        told = tuple((str(key), _text(value)) for key, value in attributes.items() if value is not None)
        return Instance(int(str(row["id"])), names[row["category_id"]], box, told)

    def box(self, row: Row, size: tuple[int, int], photo: str) -> Box | None:
        """The box, clipped to the photo."""
        sides, where = row.get("bbox"), f'of annotation {row["id"]} on "{photo}"'
        shown = json.dumps(sides)[:80]
        numbers = [_number(side) for side in sides] if isinstance(sides, list) else []
        if len(numbers) != 4 or not all(math.isfinite(number) for number in numbers):
            self.complain("LC109", f"bbox {shown} {where} is not [x, y, width, height].")
            return None
        x, y, width, height = numbers
        if width <= 0 or height <= 0:
            self.complain("LC109", f"bbox {shown} {where} has no area.", "Draw it again, or delete it.")
            return None
        box = Box(x, y, x + width, y + height)
        if min(x, y) < -SLACK or box.x2 > size[0] + SLACK or box.y2 > size[1] + SLACK:
            self.complain("LC110", f"bbox {shown} {where} lies outside of its {size[0]} x {size[1]} pixels.")
            return None
        clipped = box.clipped(*size)
        if not clipped.area:
            self.complain("LC109", f"bbox {shown} {where} has no area on the photo.", "Draw it again, or delete it.")
            return None
        return clipped


def _leaves(name: str) -> bool:
    """True if the name may lead out of the folder it is meant for, on any system."""
    windows = PureWindowsPath(name)
    parts = {*PurePosixPath(name).parts, *windows.parts}
    return not parts or ".." in parts or bool(windows.anchor) or PurePosixPath(name).is_absolute() or "\0" in name


def _number(value: object) -> float:
    """The number; NaN for what is none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _text(value: object) -> str:
    """An attribute's value as the spec writes it."""
    return value if isinstance(value, str) else json.dumps(value)
