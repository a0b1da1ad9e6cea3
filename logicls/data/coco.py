"""Reads annotated photos: a folder with `annotations.json` (COCO) and `images/`.

COCO boxes are [x, y, width, height] in pixels of the upright photo. Attributes stand in each annotation's `attributes`,
as CVAT writes them. Segmentations are ignored, and so are annotations of crowds (`iscrowd: 1`).

Annotations in a spec's words.

Many tools know no attributes, and people box each variant as a category of its own: a box called as a variant that
leaves no choice (`one: {of: die, with: {face: one}}`) is one of the component with those attributes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from logicls.constraints.spec.models import Spec, VariantDefinition
from logicls.data.coco_parser import AnnotationHook, CocoParser, Row, parse_json, read_utf8
from logicls.errors import DataError, Problem, relative_path
from logicls.records import Instance, Scene


def read_dataset_for(spec: Spec, root: Path, annotations: Path | None = None) -> Dataset:
    """The annotated photos in `root`, in the spec's words. Raises `DataError` as `read_dataset` does."""
    dataset = read_dataset(root, annotations)
    plain = single_valued_variants(spec)
    scenes = (replace(s, instances=tuple(_named(i, plain) for i in s.instances)) for s in dataset.scenes)
    categories = dict.fromkeys(plain[name].of if name in plain else name for name in dataset.categories)
    return replace(dataset, scenes=tuple(scenes), categories=tuple(categories))


def single_valued_variants(spec: Spec) -> dict[str, VariantDefinition]:
    """The variants that say of each of their attributes which value it has."""
    return {
        name: variant
        for name, variant in spec.variants.items()
        if all(isinstance(value, str) or len(value) == 1 for value in variant.with_.values())
    }


def annotation_vocabulary(spec: Spec) -> dict[str, dict[str, list[str]]]:
    """What a category may be called → the attributes that may be annotated of it → their values."""
    return {
        **spec.attribute_values,
        **{name: spec.attribute_values[variant.of] for name, variant in single_valued_variants(spec).items()},
    }


def _named(instance: Instance, variants: Mapping[str, VariantDefinition]) -> Instance:
    variant = variants.get(instance.component)
    if variant is None:
        return instance
    told = {key: value if isinstance(value, str) else value[0] for key, value in variant.with_.items()}
    return replace(instance, component=variant.of, attributes=tuple({**dict(instance.attributes), **told}.items()))


MAX_PROBLEMS_PER_CODE = 20
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
    custom_annotations: Path | None = None
    """The file that was read where it is not `annotations.json` in the folder."""

    @property
    def annotations_path(self) -> Path:
        """The file that was read."""
        return self.custom_annotations or self.root / "annotations.json"

    def image_path(self, scene: Scene) -> Path:
        """Where the scene's photo is."""
        return self.root / "images" / scene.photo


def read_dataset(root: Path, annotations: Path | None = None) -> Dataset:
    """Read and check `root`.

    Args:
        root: The folder.
        annotations: The file to read where it is not `annotations.json` in the folder.

    Raises:
        DataError: With every problem found, LC101 to LC111, at most 20 of a kind.
    """
    path = annotations or root / "annotations.json"
    reader = CocoParser(root, relative_path(path))
    tables = reader.parse_tables(parse_json(read_utf8(path), relative_path(path), AnnotationHook()))
    reader.check_duplicates(tables)
    reader.check_references(tables)
    scenes = reader.build_scenes(tables)
    if reader.problems:
        raise DataError(truncate_problems(reader.problems))
    return Dataset(
        root, scenes, _licence(tables.licences), tuple(row["name"] for row in tables.categories), annotations
    )


def truncate_problems(problems: Sequence[Problem]) -> list[Problem]:
    """At most `MAX_SHOWN` of each code, then how many more there are; in the order of the codes."""
    kinds: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        kinds[problem.code].append(problem)
    shown: list[Problem] = []
    for code in sorted(kinds):
        found = kinds[code]
        shown += found[:MAX_PROBLEMS_PER_CODE]
        if len(found) > MAX_PROBLEMS_PER_CODE:
            shown.append(Problem(code, f"and {len(found) - MAX_PROBLEMS_PER_CODE} more like these.", found[0].file))
    return shown


def _licence(rows: Sequence[Row]) -> str:
    return "; ".join(str(row["name"]) for row in rows if row.get("name"))
