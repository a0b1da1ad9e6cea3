"""Reads and writes annotated photos: a folder with `annotations.json` (COCO) and `images/`.

COCO boxes are [x, y, width, height] in pixels of the upright photo. Attributes stand in each annotation's `attributes`,
as CVAT writes them. Segmentations are ignored, and so are annotations of crowds (`iscrowd: 1`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from logicls.data.coco_reader import Reader, Row, parse
from logicls.errors import DataError, Problem, did_you_mean, relative
from logicls.records import Instance, Scene

MAX_SHOWN = 20
"""Problems of one code that are listed; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Annotated photos in a folder."""

    root: Path
    scenes: tuple[Scene, ...]
    """In the order of the file."""
    licence: str
    """Names of its licences; empty where none is given."""
    categories: tuple[str, ...] = ()
    """Every category that the file declares, used or not."""

    def image_path(self, scene: Scene) -> Path:
        """Where the scene's photo is."""
        return self.root / "images" / scene.photo


def read_dataset(root: Path) -> Dataset:
    """Read and check `root`.

    Raises:
        DataError: With every problem found, LC101 to LC111, at most 20 of a kind.
    """
    path = root / "annotations.json"
    reader = Reader(root, relative(path))
    tables = reader.tables(parse(path))
    reader.check_repeats(tables)
    reader.check_references(tables)
    scenes = reader.scenes(tables)
    if reader.problems:
        raise DataError(_shortened(reader.problems))
    categories = tuple(str(category["name"]) for category in tables["categories"])
    return Dataset(root, scenes, _licence(tables["licenses"]), categories)


def dataset_problems(dataset: Dataset, components: Mapping[str, Mapping[str, Sequence[str]]]) -> list[Problem]:
    """Where the annotations do not fit the spec, LC120 to LC123, at most 20 of a kind.

    Args:
        dataset: The annotated photos.
        components: The spec's components → their attributes → the values that each may have.
    """
    file = relative(dataset.root / "annotations.json")
    annotated = {i.component for scene in dataset.scenes for i in scene.instances}
    unknown = sorted({*dataset.categories, *annotated} - set(components))
    problems = [
        Problem("LC120", f'category "{n}" is not a component of the spec.', file, advice=did_you_mean(n, components))
        for n in unknown
    ]
    problems += [
        Problem("LC121", f'component "{name}" of the spec is on no photo.', file, advice=did_you_mean(name, annotated))
        for name in components
        if name not in annotated
    ]
    for scene in dataset.scenes:
        for instance in scene.instances:
            known = components.get(instance.component, {})
            problems += [Problem(*said[:2], file, advice=said[2]) for said in _misfits(scene, instance, known)]
    return _shortened(problems)


def to_coco(scenes: Sequence[Scene], licence: str = "") -> dict[str, object]:
    """The scenes as the content of `annotations.json`, such that `read_dataset` gives them back.

    Annotations keep their ids unless two share one; then all are numbered anew.
    """
    names = sorted({i.component for scene in scenes for i in scene.instances})
    numbers = {name: number for number, name in enumerate(names, 1)}
    pairs = [(image, i) for image, scene in enumerate(scenes, 1) for i in scene.instances]
    keep = len({i.id for _, i in pairs}) == len(pairs)
    return {
        "licenses": [{"id": 1, "name": licence}] if licence else [],
        "images": [
            {"id": number, "file_name": scene.photo, "width": scene.width, "height": scene.height}
            for number, scene in enumerate(scenes, 1)
        ],
        "categories": [{"id": number, "name": name} for name, number in numbers.items()],
        "annotations": [
            {
                "id": instance.id if keep else number,
                "image_id": image,
                "category_id": numbers[instance.component],
                "bbox": [instance.box.x1, instance.box.y1, instance.box.width, instance.box.height],
                "area": instance.box.area,
                "iscrowd": 0,
                "attributes": dict(instance.attributes),
            }
            for number, (image, instance) in enumerate(pairs, 1)
        ],
    }


def _misfits(scene: Scene, instance: Instance, known: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str, str]]:
    """Code, message and advice for each attribute that is absent or has an unknown value."""
    where = f'{instance.component} (annotation {instance.id}) on "{scene.photo}"'
    for name, values in known.items():
        value = instance.attribute(name)
        if value is None:
            given = [key for key, _ in instance.attributes]
            yield "LC123", f'{where} has no attribute "{name}".', did_you_mean(name, given)
        elif value not in values:
            yield "LC122", f'{where} has {name} "{value}", which the spec does not know.', did_you_mean(value, values)


def _licence(rows: Sequence[Row]) -> str:
    return "; ".join(str(row["name"]) for row in rows if row.get("name"))


def _shortened(problems: Sequence[Problem]) -> list[Problem]:
    """At most `MAX_SHOWN` of each code, then how many more there are; in the order of the codes."""
    kinds: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        kinds[problem.code].append(problem)
    shown: list[Problem] = []
    for code in sorted(kinds):
        found = kinds[code]
        shown += found[:MAX_SHOWN]
        if len(found) > MAX_SHOWN:
            shown.append(Problem(code, f"and {len(found) - MAX_SHOWN} more like these.", found[0].file))
    return shown
