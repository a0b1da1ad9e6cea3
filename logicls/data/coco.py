"""Read annotated photos: a folder with `annotations.json` in COCO format and `images/`.

COCO boxes are [x, y, width, height] in pixels of the upright photo. Attributes are in an annotation's `attributes`, as
CVAT exports them. Segmentations are ignored here, and so are crowd annotations (`iscrowd: 1`).

Many annotation tools have no attributes, and people use one category per variant instead. `read_dataset_for` therefore
maps a category named like a variant with one value per attribute (`one: {of: die, with: {face: one}}`) to the component
with these attributes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from logicls.constraints.spec.models import Spec, VariantDefinition
from logicls.data.coco_parser import AnnotationHook, CocoParser, JsonObject, parse_json, read_utf8
from logicls.errors import DataError, Problem, relative_path
from logicls.records import Instance, Scene

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

    @property
    def annotations_path(self) -> Path:
        """Path of the annotation file."""
        return self.custom_annotations or self.root / "annotations.json"

    def image_path(self, scene: Scene) -> Path:
        """Return the path of the scene's photo."""
        return self.root / "images" / scene.photo


def read_dataset(root: Path, annotations: Path | None = None) -> Dataset:
    """Read and check a dataset.

    Args:
        root: The dataset's folder.
        annotations: The annotation file, if it is not `annotations.json` in the folder.

    Raises:
        DataError: The file or its photos are invalid (LC101 to LC111, LC301 to LC306); at most 20 problems per code.
    """
    path = annotations or root / "annotations.json"
    parser = CocoParser(root, relative_path(path))
    tables = parser.parse_tables(parse_json(read_utf8(path), relative_path(path), AnnotationHook()))
    parser.check_duplicates(tables)
    parser.check_references(tables)
    scenes = parser.build_scenes(tables)
    if parser.problems:
        raise DataError(truncate_problems(parser.problems))
    categories = tuple(row["name"] for row in tables.categories)
    return Dataset(root, scenes, _join_licences(tables.licences), categories, annotations)


def read_dataset_for(spec: Spec, root: Path, annotations: Path | None = None) -> Dataset:
    """Read a dataset and map categories named like single-valued variants to components. Raises as `read_dataset`."""
    dataset = read_dataset(root, annotations)
    variants = single_valued_variants(spec)
    scenes = (replace(s, instances=tuple(_map_variant(i, variants) for i in s.instances)) for s in dataset.scenes)
    categories = dict.fromkeys(variants[name].of if name in variants else name for name in dataset.categories)
    return replace(dataset, scenes=tuple(scenes), categories=tuple(categories))


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
