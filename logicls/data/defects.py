"""Real defects: annotated photos that break rules, declared by `truth.csv` or by a folder of their own.

An undeclared photo that breaks a rule is an error of the annotation, of the rule or of the selection. A declared one is
training data that no edit can replace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from logicls.constraints.checker.evaluation import build_context, compute_answers
from logicls.constraints.lint.data_audit import ANY_VIOLATION
from logicls.constraints.spec.models import Spec
from logicls.data.coco import Dataset, read_dataset_for
from logicls.data.ground_truth import read_truth
from logicls.errors import DataError, Problem, count_text, relative_path, suggest_name
from logicls.records import Scene

TRUTH_FILE = "truth.csv"
MIN_COMPARED_PHOTOS = 5
"""Good photos with a component that a rule about its appearance needs."""


def read_dataset_with_defects(
    spec: Spec, root: Path, defects: Path | None = None, annotations: Path | None = None
) -> Dataset:
    """Read the photos of `root` and of the folder `defects`, with the violations that are declared for them.

    `truth.csv` beside the annotations of either folder declares violations by photo. Photos of `defects` that it does
    not list, or all of them without the file, are declared to be defective.

    Args:
        spec: Rules of the product.
        root: Folder of the dataset.
        defects: Folder of a further dataset, of defective photos only.
        annotations: Annotation file of `root`, if it is not `annotations.json`.

    Raises:
        DataError: As `read_dataset`; `truth.csv` is invalid (LC240 to LC246); both folders have a photo of one name
            and the folders have one name (LC104).
    """
    dataset = replace(read_dataset_for(spec, root, annotations), declared_defects=_read_declared(root))
    if defects is not None:
        others = read_dataset_for(spec, defects, reference_angles=dataset.reference_angles)
        dataset = merge_defects(dataset, others)
    scenes = (_mark_declared(spec, scene, dataset.declared_defects.get(scene.photo, ())) for scene in dataset.scenes)
    return replace(dataset, scenes=tuple(scenes))


def _mark_declared(spec: Spec, scene: Scene, declared: Sequence[str]) -> Scene:
    """Mark what is declared and what boxes and attributes cannot show, such as damage."""
    for constraint in spec.constraints if declared else ():
        for mode in constraint.failure_modes:
            if constraint.violation_name(mode) in declared:
                scene = constraint.rule.mark_declared(scene, build_context(spec, scene), mode) or scene
    return scene


def merge_defects(dataset: Dataset, defects: Dataset) -> Dataset:
    """Add the photos of a dataset of defects, as `FOLDER/PHOTO`; their annotation ids follow those of `dataset`."""
    shift, folder = id_shift(dataset), defects.root.resolve().name
    names = {scene.photo: f"{folder}/{scene.photo}" for scene in defects.scenes}
    clash = next((name for name in names.values() if any(scene.photo == name for scene in dataset.scenes)), None)
    if clash is not None:
        message = f'photo "{clash}" is in {relative_path(dataset.root)} as well.'
        raise DataError(Problem("LC104", message, relative_path(defects.root), advice="Rename the folder of defects."))
    scenes = tuple(
        replace(scene, photo=names[scene.photo], instances=tuple(replace(i, id=i.id + shift) for i in scene.instances))
        for scene in defects.scenes
    )
    declared = _read_declared(defects.root)
    return replace(
        dataset,
        scenes=(*dataset.scenes, *scenes),
        categories=tuple(dict.fromkeys([*dataset.categories, *defects.categories])),
        declared_defects={
            **dataset.declared_defects,
            **{name: declared.get(photo, (ANY_VIOLATION,)) for photo, name in names.items()},
        },
        defect_images={names[scene.photo]: defects.image_path(scene) for scene in defects.scenes},
        merged_annotations=((defects.annotations_path, shift),),
    )


def id_shift(dataset: Dataset) -> int:
    """Return the number that `merge_defects` adds to annotation ids."""
    return max((i.id for scene in dataset.scenes for i in scene.instances), default=0)


def select_good(dataset: Dataset) -> Dataset:
    """Return the dataset without the photos that are declared to be defective."""
    return replace(dataset, scenes=tuple(s for s in dataset.scenes if s.photo not in dataset.declared_defects))


def select_flawless(spec: Spec, dataset: Dataset) -> Dataset:
    """Return the dataset without the photos that are declared to be defective or break a rule."""
    good = select_good(dataset)
    return replace(good, scenes=tuple(s for s in good.scenes if not compute_answers(spec, s)[-1].values))


def check_compared_photos(spec: Spec, dataset: Dataset) -> Iterator[Problem]:
    """Yield components that a rule compares with good photos and that are on too few of them (LC416)."""
    scenes = select_flawless(spec, dataset).scenes if spec.overkill_by_component else ()
    for component in spec.overkill_by_component:
        count = sum(bool(scene.instances_of(component)) for scene in scenes)
        if count < MIN_COMPARED_PHOTOS:
            photos = count_text(count, "good photo")
            message = f"{component} is on {photos}; its appearance needs at least {MIN_COMPARED_PHOTOS}."
            yield Problem("LC416", message, relative_path(dataset.root), advice="Take more, better 12 to 30.")


def check_declarations(dataset: Dataset, violations: Sequence[str]) -> Iterator[Problem]:
    """Yield declared violations that the spec does not have, and declared photos that are not annotated (LC056)."""
    file = relative_path(dataset.root / TRUTH_FILE)
    counts = _count_names(dataset.declared_defects.values())
    for name in sorted(set(counts) - {*violations, ANY_VIOLATION}):
        message = f'"{name}", declared for {counts[name]} of the photos, is not a violation of the spec.'
        yield Problem("LC056", message, file, advice=suggest_name(name, violations))
    missing = sorted(set(dataset.declared_defects) - {scene.photo for scene in dataset.scenes})
    if missing:
        listed = ", ".join(missing[:4]) + (" ..." if len(missing) > 4 else "")
        message = f"{len(missing)} of the declared photos are not annotated: {listed}."
        yield Problem("LC056", message, file, advice="Annotate them, or ignore this note: they are not used.")


def _count_names(declared: Iterable[tuple[str, ...]]) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for names in declared:
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    return counts


def _read_declared(root: Path) -> dict[str, tuple[str, ...]]:
    """Return photo → violations from the folder's truth.csv, without good photos; empty without the file."""
    file = root / TRUTH_FILE
    return {photo: names for photo, names in read_truth(file).items() if names} if file.is_file() else {}
