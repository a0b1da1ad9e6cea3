"""Check a readable dataset: mismatches with the spec and suspicious annotations; all checks of `logicls check`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from logicls.constraints.lint.data_audit import audit_photos
from logicls.constraints.lint.spec_lint import lint_spec
from logicls.constraints.spec.loader import SpecFile
from logicls.data.coco import Dataset, truncate_problems
from logicls.data.defects import check_compared_photos, check_declarations, read_dataset_with_defects
from logicls.data.overlaps import Overlap, find_overlaps
from logicls.errors import Problem, relative_path, suggest_name
from logicls.records import Instance, Scene

if TYPE_CHECKING:
    from logicls.constraints.spec.models import Component

Message: TypeAlias = tuple[str, str, str]
"""Code, message, advice."""

_PHOTOS_PER_BLOCK = 1000


def check_spec(
    spec_file: SpecFile, data: Path | None = None, annotations: Path | None = None, defects: Path | None = None
) -> Iterator[Problem]:
    """Yield problems of the rules, then of the annotations, then photos that break a rule, declared or not.

    Args:
        spec_file: The spec with its source locations.
        data: The dataset's folder; None to check the rules only.
        annotations: An annotation file other than the dataset's own, for example a repaired copy.
        defects: Folder of a further dataset, of defective photos.

    Raises:
        DataError: The dataset is invalid; problems found before have been yielded.
    """
    spec = spec_file.spec
    yield from (spec_file.make_problem(f.code, f.message, f.path, f.advice) for f in lint_spec(spec))
    if data is not None:
        dataset = read_dataset_with_defects(spec, data, defects, annotations)
        yield from lint_dataset(dataset, spec.components)
        yield from check_declarations(dataset, spec.violations)
        yield from check_compared_photos(spec, dataset)
        faults = audit_photos(spec, dataset.scenes, dataset.declared_defects)
        yield from (spec_file.make_problem(f.code, f.message, f.path, f.advice) for f in faults)


def lint_dataset(dataset: Dataset, components: Mapping[str, Component]) -> list[Problem]:
    """Return mismatches with the spec and suspicious annotations, at most 20 problems per code."""
    return [*check_against_spec(dataset, components), *find_annotation_errors(dataset)]


def check_against_spec(dataset: Dataset, components: Mapping[str, Component]) -> list[Problem]:
    """Return mismatches between annotations and the spec's components (LC120 to LC123), at most 20 per code."""
    annotated = {i.component for scene in dataset.scenes for i in scene.instances}
    unknown = sorted({*dataset.categories, *annotated} - set(components))
    messages: list[Message] = [
        ("LC120", f'category "{name}" is not a component of the spec.', suggest_name(name, components))
        for name in unknown
    ]
    messages += _find_missing_components(components, annotated)
    for scene in dataset.scenes:
        for instance in scene.instances:
            if instance.component in components:
                messages += _find_wrong_attributes(scene, instance, components[instance.component])
    return _to_problems(dataset, messages)


def find_annotation_errors(dataset: Dataset) -> list[Problem]:
    """Return duplicate boxes, suspicious overlaps and empty images (LC124 to LC126), at most 20 per code."""
    messages: list[Message] = []
    for start in range(0, len(dataset.scenes), _PHOTOS_PER_BLOCK):
        messages += _find_overlapping_boxes(dataset.scenes[start : start + _PHOTOS_PER_BLOCK])
    advice = "Annotate it, or remove it from the dataset."
    empty = [scene.photo for scene in dataset.scenes if not scene.instances]
    messages += [("LC126", f'image "{photo}" has no annotation.', advice) for photo in empty]
    return _to_problems(dataset, messages)


def _to_problems(dataset: Dataset, messages: list[Message]) -> list[Problem]:
    file = relative_path(dataset.annotations_path)
    return truncate_problems([Problem(code, message, file, advice=advice) for code, message, advice in messages])


def _find_missing_components(components: Mapping[str, Component], annotated: set[str]) -> Iterator[Message]:
    """Find components without any annotation that are not optional or are needed by synthesis."""
    leaving = {component.leaves: name for name, component in components.items() if component.leaves}
    for name, component in components.items():
        if name in annotated:
            continue
        if not component.optional:
            yield "LC121", f'component "{name}" of the spec is on no photo.', suggest_name(name, annotated)
        elif name in leaving:
            message = f'component "{name}", which remains where a "{leaving[name]}" is missing, is on no photo.'
            yield "LC121", message, "Annotate it on at least one photo."


def _find_wrong_attributes(scene: Scene, instance: Instance, component: Component) -> Iterator[Message]:
    """Find attributes that are missing or have an unknown value; attributes that the spec does not name are ignored."""
    for name, values in component.attributes.items():
        value = instance.attribute(name)
        if value in values:
            continue
        location = f'{instance.component} (annotation {instance.id}) on "{scene.photo}"'
        if value is None:
            attributes = [key for key, _ in instance.attributes]
            yield "LC123", f'{location} has no attribute "{name}".', suggest_name(name, attributes)
        else:
            message = f'{location} has {name} "{value}", which is not in the spec.'
            yield "LC122", message, suggest_name(value, values)


def _find_overlapping_boxes(scenes: tuple[Scene, ...]) -> Iterator[Message]:
    """Find boxes of one component on one photo that may annotate one object twice."""
    instances = [(scene, instance) for scene in scenes for instance in scene.instances]
    numbers: dict[tuple[str, str], int] = {}
    groups = [numbers.setdefault((scene.photo, i.component), len(numbers)) for scene, i in instances]
    for overlap in find_overlaps(groups, [instance.box for _, instance in instances]):
        scene, first = instances[overlap.first]
        yield _describe_overlap(scene, first, instances[overlap.second][1], overlap)


def _describe_overlap(scene: Scene, first: Instance, second: Instance, overlap: Overlap) -> Message:
    location = f'{first.component} (annotations {first.id} and {second.id}) on "{scene.photo}"'
    if overlap.kind == "duplicate":
        return "LC124", f"{location}: duplicate boxes.", "Delete one."
    advice = "If they annotate one object, delete one."
    if overlap.kind == "suspicious":
        return "LC125", f"{location}: the boxes overlap by {overlap.iou:.0%} (IoU).", advice
    inner, outer = sorted((first, second), key=lambda i: i.box.area)
    return "LC125", f"{location}: the box of {inner.id} lies inside that of {outer.id}.", advice
