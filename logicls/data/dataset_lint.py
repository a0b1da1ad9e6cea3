"""What is wrong with a dataset that can be read: where it does not fit the spec, and what looks like a slip.

A spec held against itself and against a dataset: everything that `logicls check` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from logicls.constraints.lint.data_audit import audit_photos
from logicls.constraints.lint.spec_lint import lint_spec
from logicls.constraints.spec.loader import SpecFile
from logicls.data.coco import Dataset, read_dataset_for, truncate_problems
from logicls.data.overlaps import Overlap, find_overlaps
from logicls.errors import Problem, relative_path, suggest_name
from logicls.records import Instance, Scene

if TYPE_CHECKING:
    from logicls.constraints.spec.models import Component

Said = tuple[str, str, str]
"""Code, message, advice."""

_PHOTOS_AT_A_TIME = 1000


def lint_dataset(dataset: Dataset, components: Mapping[str, Component]) -> list[Problem]:
    """Misfits and slips, at most 20 of a kind."""
    return [*check_against_spec(dataset, components), *find_annotation_errors(dataset)]


def check_against_spec(dataset: Dataset, components: Mapping[str, Component]) -> list[Problem]:
    """Where the annotations do not fit the spec's components, LC120 to LC123, at most 20 of a kind."""
    annotated = {i.component for scene in dataset.scenes for i in scene.instances}
    unknown = sorted({*dataset.categories, *annotated} - set(components))
    said: list[Said] = [
        ("LC120", f'category "{name}" is not a component of the spec.', suggest_name(name, components))
        for name in unknown
    ]
    said += _absent(components, annotated)
    for scene in dataset.scenes:
        for instance in scene.instances:
            if instance.component in components:
                said += _wrong_attributes(scene, instance, components[instance.component])
    return _problems(dataset, said)


def find_annotation_errors(dataset: Dataset) -> list[Problem]:
    """What nobody means to annotate, LC124 to LC126, at most 20 of a kind."""
    said: list[Said] = []
    for start in range(0, len(dataset.scenes), _PHOTOS_AT_A_TIME):
        said += _doubled(dataset.scenes[start : start + _PHOTOS_AT_A_TIME])
    advice = "Annotate it, or take it out of the dataset."
    said += [("LC126", f'image "{s.photo}" has no annotation.', advice) for s in dataset.scenes if not s.instances]
    return _problems(dataset, said)


def _problems(dataset: Dataset, said: list[Said]) -> list[Problem]:
    file = relative_path(dataset.annotations_path)
    return truncate_problems([Problem(code, message, file, advice=advice) for code, message, advice in said])


def _absent(components: Mapping[str, Component], annotated: set[str]) -> Iterator[Said]:
    """Components that should be on some photo and are on none."""
    leavers = {component.leaves: name for name, component in components.items() if component.leaves}
    for name, component in components.items():
        if name in annotated:
            continue
        if not component.optional:
            yield "LC121", f'component "{name}" of the spec is on no photo.', suggest_name(name, annotated)
        elif name in leavers:
            message = f'component "{name}", which "{leavers[name]}" leaves where it is taken away, is on no photo.'
            yield "LC121", message, "Annotate it on at least one."


def _wrong_attributes(scene: Scene, instance: Instance, component: Component) -> Iterator[Said]:
    """Attributes that are absent or have an unknown value; those the spec does not name are nobody's business."""
    for name, values in component.attributes.items():
        value = instance.attribute(name)
        if value in values:
            continue
        where = f'{instance.component} (annotation {instance.id}) on "{scene.photo}"'
        if value is None:
            given = [key for key, _ in instance.attributes]
            yield "LC123", f'{where} has no attribute "{name}".', suggest_name(name, given)
        else:
            yield "LC122", f'{where} has {name} "{value}", which the spec does not know.', suggest_name(value, values)


def _doubled(scenes: tuple[Scene, ...]) -> Iterator[Said]:
    """Boxes of one component on one photo that lie on one another."""
    found = [(scene, instance) for scene in scenes for instance in scene.instances]
    numbers: dict[tuple[str, str], int] = {}
    groups = [numbers.setdefault((scene.photo, i.component), len(numbers)) for scene, i in found]
    for overlap in find_overlaps(groups, [instance.box for _, instance in found]):
        scene, first = found[overlap.first]
        yield _said(scene, first, found[overlap.second][1], overlap)


def _said(scene: Scene, first: Instance, second: Instance, overlap: Overlap) -> Said:
    what = f'{first.component} (annotations {first.id} and {second.id}) on "{scene.photo}"'
    if overlap.kind == "same":
        return "LC124", f"{what}: the same box twice.", "Delete one."
    if overlap.kind == "likely":
        return "LC125", f"{what}: the boxes share {overlap.iou:.0%} of their area.", "If it is one thing, delete one."
    inner, outer = sorted((first, second), key=lambda i: i.box.area)
    message = f"{what}: {inner.id} lies wholly inside {outer.id}."
    return "LC125", message, "If it is one thing, delete one."


def check_spec(sheet: SpecFile, data: Path | None = None, annotations: Path | None = None) -> Iterator[Problem]:
    """Problems with the rules, then with the annotations, then good photos that break a rule.

    `annotations` is another file than the dataset's own, such as a healed copy.

    Raises:
        DataError: The dataset cannot be read; what was found before has been yielded.
    """
    yield from (sheet.make_problem(f.code, f.message, f.path, f.advice) for f in lint_spec(sheet.spec))
    if data is not None:
        dataset = read_dataset_for(sheet.spec, data, annotations)
        yield from lint_dataset(dataset, sheet.spec.components)
        found = audit_photos(sheet.spec, dataset.scenes)
        yield from (sheet.make_problem(f.code, f.message, f.path, f.advice) for f in found)
