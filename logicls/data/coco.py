"""Annotated photos: read a folder with `annotations.json` (COCO) and `images/`, validate it, and convert it to scenes.

Each annotation is reduced to the fields that are needed as soon as it is parsed: segmentations can make up most of a
file and are never in memory all at once.

COCO boxes are [x, y, width, height] in pixels of the upright photo. Attributes are in an annotation's `attributes`, as
CVAT exports them. Crowd annotations (`iscrowd: 1`) are ignored here, and so are segmentations, except for their angle.

The angle of an instance is CVAT's attribute `rotation`, which is clockwise; its box is then the box around the turned
rectangle. Where a rule needs angles that are not given so, they are those of the polygons: a polygon of four points is
an oriented box whose first point is the top left corner of the object; of others the longer side of the smallest
rectangle counts, which leaves out which end is which. Where rules take the pose on good photos as right, angles are
relative to the median of the component's annotations.

Many annotation tools have no attributes, and people use one category per variant instead. `read_dataset_for` therefore
maps a category named like a variant with one value per attribute (`one: {of: die, with: {face: one}}`) to the component
with these attributes.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from logicls.constraints.families.angles import circular_median, normalize_angle
from logicls.constraints.families.edits import Rotate
from logicls.constraints.spec.models import Spec, VariantDefinition
from logicls.data.annotation_angles import measure_polygon_angle, pop_rotation
from logicls.data.image_io import read_size
from logicls.errors import DataError, PhotoError, Problem, relative_path
from logicls.records import Box, Instance, Scene

Attributes: TypeAlias = tuple[tuple[str, str], ...]
JsonObject: TypeAlias = Mapping[str, Any]


BYTE_ORDER_MARK = "\ufeff"
BOX_TOLERANCE = 1.0
"""Pixels by which a box may exceed its photo: annotation tools round."""
REQUIRED_FIELDS: Mapping[str, Mapping[str, type]] = {
    "images": {"id": int, "file_name": str, "width": int, "height": int},
    "categories": {"id": int, "name": str},
    "annotations": {"id": int, "image_id": int, "category_id": int},
}
"""List of the file → required field of its objects → type."""
_TYPE_NAMES = {int: "an integer", str: "a string"}


class CocoAnnotation(NamedTuple):
    """Fields of an annotation whose ids are integers."""

    id: int
    image_id: int
    category_id: int
    bbox: object
    """The JSON value, not validated."""
    attributes: Attributes | None
    """Attributes as text; None if the JSON value is not an object."""
    has_segmentation: bool
    rotation: float | None = None
    """Degrees, clockwise; None if it is not given."""
    polygon_angle: tuple[float, int] | None = None
    """Angle of the segmentation and its period (`measure_polygon_angle`); None if it was not needed or is unknown."""


class AnnotationHook:
    """Reduce annotations while JSON is parsed: an `object_hook` for `json.loads`."""

    def __init__(self, *, measure_polygons: bool = False) -> None:
        """Set up the hook. `measure_polygons`: measure the angles of segmentations."""
        self.measure_polygons = measure_polygons
        self._cache: dict[Attributes, Attributes] = {}

    def __call__(self, row: dict[str, Any]) -> dict[str, Any] | CocoAnnotation:
        """Return the reduced annotation; return `row` if it is no annotation, is a crowd, or has no integer ids."""
        number, image, category = row.get("id"), row.get("image_id"), row.get("category_id")
        if type(number) is not int or type(image) is not int or type(category) is not int or row.get("iscrowd") == 1:
            return row
        segmentation, rotation = row.get("segmentation"), pop_rotation(row.get("attributes"))
        angle = measure_polygon_angle(segmentation) if self.measure_polygons and rotation is None else None
        attributes = self._to_pairs(row.get("attributes"))
        return CocoAnnotation(number, image, category, row.get("bbox"), attributes, bool(segmentation), rotation, angle)

    def _to_pairs(self, attributes: object) -> Attributes | None:
        """Convert attributes to pairs of strings; equal attributes share one object to save memory."""
        if not attributes:
            return ()
        if not isinstance(attributes, dict):
            return None
        pairs = tuple([(key, attribute_to_text(value)) for key, value in attributes.items() if value is not None])
        return self._cache.setdefault(pairs, pairs)


def attribute_to_text(value: object) -> str:
    """Convert an attribute's JSON value to the notation of a spec."""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else json.dumps(value)


def read_utf8(path: Path) -> str:
    """Read a text file.

    Raises:
        DataError: The file cannot be read (LC101), or is not UTF-8 (LC102).
    """
    file = relative_path(path)
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise DataError(Problem("LC101", f"cannot be read: {error.strerror or error}.", file)) from error
    except UnicodeDecodeError as error:
        message = "is not valid JSON: its encoding is not UTF-8."
        raise DataError(Problem("LC102", message, file, advice="Save it as UTF-8.")) from error


def parse_json(text: str, file: str, hook: Callable[[dict[str, Any]], object] | None = None) -> object:
    """Parse JSON.

    Args:
        text: Content of the file, with or without a byte order mark.
        file: Name of the file for error messages.
        hook: Called with each object, innermost first; its result replaces the object.

    Raises:
        DataError: The text is not valid JSON (LC102).
    """
    try:
        return json.loads(text.removeprefix(BYTE_ORDER_MARK), object_hook=hook)
    except json.JSONDecodeError as error:
        problem = Problem("LC102", f"is not valid JSON: {error.msg}.", file, error.lineno, error.colno)
        raise DataError(problem) from error
    except (ValueError, RecursionError) as error:
        raise DataError(Problem("LC102", f"is not valid JSON: {error}.", file)) from error


@dataclass(frozen=True, slots=True)
class CocoTables:
    """Valid objects of the file's lists."""

    images: list[JsonObject]
    categories: list[JsonObject]
    annotations: list[CocoAnnotation]
    licences: list[JsonObject]


class CocoParser:
    """Convert the lists of a COCO file to scenes and collect all problems."""

    def __init__(self, root: Path, file: str, needed_angles: Mapping[str, int] | None = None) -> None:
        """Set up the parser. `needed_angles`: category whose angle must be annotated → the turn up to which."""
        self.images = root / "images"
        self.file = file
        self.needed_angles = needed_angles or {}
        self.problems: list[Problem] = []

    def add_problem(self, code: str, message: str, advice: str = "") -> None:
        """Record a problem of the file."""
        self.problems.append(Problem(code, message, self.file, advice=advice))

    def parse_tables(self, content: object) -> CocoTables:
        """Return the four lists without invalid objects. Raises `DataError` if `content` is not an object (LC103)."""
        if not isinstance(content, dict):
            raise DataError(Problem("LC103", "is not a COCO file: the top level must be an object.", self.file))
        for name in REQUIRED_FIELDS:
            if not isinstance(content.get(name), list):
                self.add_problem("LC103", f'the list "{name}" is missing.', "Export the annotations as COCO.")
        return CocoTables(*(self.parse_rows(name, content.pop(name, None)) for name in (*REQUIRED_FIELDS, "licenses")))

    def parse_rows(self, table: str, rows: object) -> list[Any]:
        """Return the valid objects of one list."""
        items = rows if isinstance(rows, list) else []
        return [
            row
            for number, row in enumerate(items, 1)
            if type(row) is CocoAnnotation or self.is_valid_row(table, number, row)
        ]  # fmt: skip

    def is_valid_row(self, table: str, number: int, row: object) -> bool:
        """Check one object of a list; False for crowds and invalid objects."""
        if not isinstance(row, dict):
            self.add_problem("LC103", f"item {number} of {table} is not an object.")
            return False
        if table == "annotations" and row.get("iscrowd") == 1:
            return False
        invalid = [key for key, kind in REQUIRED_FIELDS.get(table, {}).items() if type(row.get(key)) is not kind]
        for key in invalid:
            actual = f", not {json.dumps(row[key])[:40]}" if key in row else ""
            expected = _TYPE_NAMES[REQUIRED_FIELDS[table][key]]
            self.add_problem("LC103", f'item {number} of {table} needs "{key}", {expected}{actual}.')
        return not invalid

    def check_duplicates(self, tables: CocoTables) -> None:
        """Record ids and names that occur more than once in a list (LC104)."""
        self._check_unique("images", "id", (row["id"] for row in tables.images))
        self._check_unique("images", "file_name", (row["file_name"] for row in tables.images))
        self._check_unique("categories", "id", (row["id"] for row in tables.categories))
        self._check_unique("categories", "name", (row["name"] for row in tables.categories))
        self._check_unique("annotations", "id", (row.id for row in tables.annotations))

    def _check_unique(self, table: str, key: str, values: Iterable[object]) -> None:
        for value, count in Counter(values).items():
            if count > 1:
                self.add_problem("LC104", f"{key} {json.dumps(value)} occurs {count} times in {table}.", "Keep one.")

    def check_references(self, tables: CocoTables) -> None:
        """Record annotations whose image or category is not in the file (LC105)."""
        images, categories = ({row["id"] for row in rows} for rows in (tables.images, tables.categories))
        for row in tables.annotations:
            if row.image_id not in images:
                self.add_problem("LC105", f"annotation {row.id} has image_id {row.image_id}, which is not in images.")
        for row in tables.annotations:
            if row.category_id not in categories:
                message = f"annotation {row.id} has category_id {row.category_id}, which is not in categories."
                self.add_problem("LC105", message)

    def build_scenes(self, tables: CocoTables) -> tuple[Scene, ...]:
        """Build one scene per image without invalid annotations. Empties `tables.annotations` to save memory."""
        names = {row["id"]: row["name"] for row in tables.categories}
        rows: dict[int, list[CocoAnnotation]] = defaultdict(list)
        for row in tables.annotations:
            rows[row.image_id].append(row)
        tables.annotations.clear()
        scenes: list[Scene] = []
        for image in tables.images:
            photo, width, height = image["file_name"], image["width"], image["height"]
            self.check_image(photo, width, height)
            instances = [self.build_instance(row, names, (width, height), photo) for row in rows.pop(image["id"], ())]
            scenes.append(Scene(photo, width, height, tuple([i for i in instances if i is not None])))
        return tuple(scenes)

    def check_image(self, photo: str, width: int, height: int) -> None:
        """Check that the photo is below `images/`, readable, and of the annotated size (LC106 to LC108)."""
        if is_unsafe_path(photo):
            self.add_problem(
                "LC106", f'file_name "{photo}" is not a path below images/.', "Use a relative path without `..`."
            )
            return
        path = self.images / photo
        # Not `path.is_file()`, which raises for names that are too long.
        if not os.path.isfile(path):
            self.add_problem("LC107", f'image "{photo}" is missing.', f"Copy it to {relative_path(self.images)}.")
            return
        try:
            actual = read_size(path)
        except PhotoError as error:
            self.problems += error.problems
            return
        if actual != (width, height):
            rotation = "It was annotated without its EXIF rotation. " if actual == (height, width) else ""
            message = f'image "{photo}" is {actual[0]} x {actual[1]} pixels, annotated as {width} x {height}.'
            self.add_problem("LC108", message, f"{rotation}Annotate the photo as image viewers show it.")

    def build_instance(
        self, row: CocoAnnotation, names: Mapping[int, str], size: tuple[int, int], photo: str
    ) -> Instance | None:  # fmt: skip
        """Convert an annotation; None if its box, attributes or category are invalid."""
        if row.has_segmentation and not row.bbox:
            return None
        box = self.check_box(row, size, photo)
        if row.attributes is None:
            self.add_problem("LC111", f'attributes of annotation {row.id} on "{photo}" are not an object.')
            return None
        if box is None or row.category_id not in names:
            return None
        angle = self.find_angle(row, names[row.category_id], photo)
        return Instance(row.id, names[row.category_id], box, row.attributes, angle)

    def find_angle(self, row: CocoAnnotation, category: str, photo: str) -> float:
        """Return the angle of an annotation; 0 without one, which is a problem where a rule needs it (LC113)."""
        needed = self.needed_angles.get(category)
        if row.rotation is not None:
            return normalize_angle(-row.rotation)
        if needed is None:
            return 0.0
        angle, period = row.polygon_angle or (0.0, 0)
        if period < needed:
            subject = f'annotation {row.id} ("{category}") on "{photo}"'
            message = f"{subject} has no angle, and a rule needs it."
            advice = "Draw a rotated box, or remove `is` and `relative_to` from the rule."
            if period:
                message = f"{subject} has a polygon, which gives its angle up to turns by {period}°."
                advice = f"Draw a rotated box, or write `symmetry: {period}` in the rule."
            self.add_problem("LC113", message, advice)
        return angle

    def check_box(self, row: CocoAnnotation, size: tuple[int, int], photo: str) -> Box | None:
        """Return the box clipped to the photo; None if it is invalid (LC109, LC110)."""
        box = parse_bbox(row.bbox)
        if box is not None and row.rotation and not row.has_segmentation:
            # A segmentation is where it is; a box is written before its rotation, and may stick out of the photo.
            turned = Rotate(row.id, -row.rotation).rotate_box(box).clip(*size)
            box = turned if turned.area else box
        fault = find_box_fault(box, size)
        if box is not None and fault is None:
            return box.clip(*size)
        code, message, advice = fault or ("", "", "")
        location = f'of annotation {row.id} on "{photo}"'
        self.add_problem(code, f"bbox {json.dumps(row.bbox)[:80]} {location} {message}", advice)
        return None


def parse_bbox(bbox: object) -> Box | None:
    """Convert COCO's [x, y, width, height] to a box with corners; None if it is not four finite numbers."""
    if not isinstance(bbox, list) or len(bbox) != 4:
        return None
    for side in bbox:
        if type(side) is not int and type(side) is not float:
            return None
    try:
        x, y, width, height = map(float, bbox)
    except OverflowError:
        return None
    return Box(x, y, x + width, y + height) if math.isfinite(x + y + width + height) else None


def find_box_fault(box: Box | None, size: tuple[int, int]) -> tuple[str, str, str] | None:
    """Return code, message and advice if a box is invalid on a photo of `size` (width, height); None if it is valid."""
    if box is None:
        return "LC109", "is not [x, y, width, height].", ""
    if box.x2 <= box.x1 or box.y2 <= box.y1:
        return "LC109", "has no area.", "Redraw or delete it."
    if min(box.x1, box.y1) < -BOX_TOLERANCE or box.x2 > size[0] + BOX_TOLERANCE or box.y2 > size[1] + BOX_TOLERANCE:
        return "LC110", f"exceeds the photo of {size[0]} x {size[1]} pixels.", ""
    if box.x2 <= 0 or box.y2 <= 0 or box.x1 >= size[0] or box.y1 >= size[1]:
        return "LC109", "lies outside the photo.", "Redraw or delete it."
    return None


def is_unsafe_path(name: str) -> bool:
    """Return True if a relative path may lead out of its folder, on POSIX or on Windows."""
    parts = name.replace("\\", "/").split("/")
    inner = [part for part in parts if part not in ("", ".")]
    drive = name[1:2] == ":"
    return not inner or not parts[0] or ".." in inner or drive or "\0" in name


MAX_PROBLEMS_PER_CODE = 20
"""Number of problems of one code that are listed; the others are counted."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Annotated photos in a folder."""

    root: Path
    scenes: tuple[Scene, ...]
    """One scene per image, in the order of the file."""
    licence: str
    """Names of the licences, separated by semicolons; empty if the file names none."""
    categories: tuple[str, ...] = ()
    """Categories that the file declares, used or not."""
    custom_annotations: Path | None = None
    """The annotation file, if it is not `annotations.json` in the folder."""
    declared_defects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Photo → violations that it is declared to have: `ANY_VIOLATION` of `logicls.constraints.lint.data_audit`
    alone if it is only said to be defective."""
    defect_images: Mapping[str, Path] = field(default_factory=dict)
    """Photo of another folder of defective photos → its file (`merge_defects`)."""
    merged_annotations: tuple[tuple[Path, int], ...] = ()
    """Annotation file of each merged dataset, and the number that was added to its ids."""

    reference_angles: Mapping[str, float] = field(default_factory=dict)
    """Component → the annotated angle that is its right pose, and counts as 0."""

    @property
    def annotations_path(self) -> Path:
        """Path of the annotation file."""
        return self.custom_annotations or self.root / "annotations.json"

    def image_path(self, scene: Scene) -> Path:
        """Return the path of the scene's photo."""
        return self.defect_images.get(scene.photo) or self.root / "images" / scene.photo


def read_dataset(
    root: Path, annotations: Path | None = None, needed_angles: Mapping[str, int] | None = None
) -> Dataset:
    """Read and check a dataset.

    Args:
        root: The dataset's folder.
        annotations: The annotation file, if it is not `annotations.json` in the folder.
        needed_angles: Category whose angle must be annotated → the turn in degrees up to which it must be known.

    Raises:
        DataError: The file or its photos are invalid (LC101 to LC111, LC113, LC301 to LC306); at most 20 problems per
            code.
    """
    path = annotations or root / "annotations.json"
    parser = CocoParser(root, relative_path(path), needed_angles)
    hook = AnnotationHook(measure_polygons=bool(needed_angles))
    tables = parser.parse_tables(parse_json(read_utf8(path), relative_path(path), hook))
    parser.check_duplicates(tables)
    parser.check_references(tables)
    scenes = parser.build_scenes(tables)
    if parser.problems:
        raise DataError(truncate_problems(parser.problems))
    categories = tuple(row["name"] for row in tables.categories)
    return Dataset(root, scenes, _join_licences(tables.licences), categories, annotations)


def read_dataset_for(
    spec: Spec,
    root: Path,
    annotations: Path | None = None,
    reference_angles: Mapping[str, float] | None = None,
) -> Dataset:
    """Read a dataset: categories named like single-valued variants become components, angles are those of the rules.

    Args:
        spec: Rules of the product.
        root: The dataset's folder.
        annotations: The annotation file, if it is not `annotations.json` in the folder.
        reference_angles: Angle of each component in its right pose, of another dataset; that of this one by default.

    Raises:
        DataError: As `read_dataset`.
    """
    variants = single_valued_variants(spec)
    absolute = spec.absolute_angles
    of_variants = {name: absolute[variant.of] for name, variant in variants.items() if variant.of in absolute}
    dataset = read_dataset(root, annotations, {**absolute, **of_variants})
    scenes = [replace(s, instances=tuple(_map_variant(i, variants) for i in s.instances)) for s in dataset.scenes]
    categories = dict.fromkeys(variants[name].of if name in variants else name for name in dataset.categories)
    references = _find_reference_angles(spec, scenes) if reference_angles is None else reference_angles
    turned = tuple(_subtract_references(scene, references) for scene in scenes)
    return replace(dataset, scenes=turned, categories=tuple(categories), reference_angles=references)


def _find_reference_angles(spec: Spec, scenes: Sequence[Scene]) -> dict[str, float]:
    """Return the median angle of each component whose right pose is that on good photos, if it is not 0."""
    periods = spec.vocabulary.angle_periods
    angles: dict[str, list[float]] = defaultdict(list)
    for instance in (i for scene in scenes for i in scene.instances):
        if instance.component in periods and instance.component not in spec.absolute_angles:
            angles[instance.component].append(instance.angle)
    medians = {component: circular_median(found, periods[component]) for component, found in angles.items()}
    return {component: median for component, median in medians.items() if median}


def _subtract_references(scene: Scene, references: Mapping[str, float]) -> Scene:
    if not any(i.component in references for i in scene.instances):
        return scene
    instances = (
        replace(i, angle=normalize_angle(i.angle - references[i.component])) if i.component in references else i
        for i in scene.instances
    )
    return replace(scene, instances=tuple(instances))


def single_valued_variants(spec: Spec) -> dict[str, VariantDefinition]:
    """Return the variants that fix exactly one value for each of their attributes."""
    return {
        name: variant
        for name, variant in spec.variants.items()
        if all(isinstance(value, str) or len(value) == 1 for value in variant.with_.values())
    }


def annotation_vocabulary(spec: Spec) -> dict[str, dict[str, list[str]]]:
    """Return valid category names → attributes that such an annotation may have → their values."""
    return {
        **spec.attribute_values,
        **{name: spec.attribute_values[variant.of] for name, variant in single_valued_variants(spec).items()},
    }


def truncate_problems(problems: Sequence[Problem]) -> list[Problem]:
    """Keep at most `MAX_PROBLEMS_PER_CODE` problems per code, then the number of the others; sorted by code."""
    by_code: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        by_code[problem.code].append(problem)
    truncated: list[Problem] = []
    for code, group in sorted(by_code.items()):
        truncated += group[:MAX_PROBLEMS_PER_CODE]
        if len(group) > MAX_PROBLEMS_PER_CODE:
            more = len(group) - MAX_PROBLEMS_PER_CODE
            truncated.append(Problem(code, f"and {more} more like {'this' if more == 1 else 'these'}.", group[0].file))
    return truncated


def _map_variant(instance: Instance, variants: Mapping[str, VariantDefinition]) -> Instance:
    variant = variants.get(instance.component)
    if variant is None:
        return instance
    values = {key: value if isinstance(value, str) else value[0] for key, value in variant.with_.items()}
    return replace(instance, component=variant.of, attributes=tuple({**dict(instance.attributes), **values}.items()))


def _join_licences(rows: Sequence[JsonObject]) -> str:
    return "; ".join(str(row["name"]) for row in rows if row.get("name"))
