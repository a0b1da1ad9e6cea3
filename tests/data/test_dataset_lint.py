"""Checks of a readable dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from logicls.constraints.spec.models import Component
from logicls.data.coco import Dataset
from logicls.data.dataset_lint import check_against_spec, find_annotation_errors, lint_dataset
from logicls.errors import Problem
from logicls.records import Box, Instance, Scene

ROOT = Path("kit")


def pins(*boxes: Box) -> tuple[Instance, ...]:
    """Red pins, numbered from 1."""
    return tuple(Instance(number, "pin", box, (("colour", "red"),)) for number, box in enumerate(boxes, 1))


def build_dataset(*instances: Instance, categories: tuple[str, ...] = ("pin",)) -> Dataset:
    """A dataset of one photo with these instances."""
    return Dataset(ROOT, (Scene("a.png", 40, 30, instances),), "", categories)


def lines(problems: list[Problem]) -> list[str]:
    """Problems as text, without the file."""
    return [str(problem).removeprefix("kit/annotations.json ") for problem in problems]


PIN = {"pin": Component(attributes={"colour": ["red", "blue"]})}


def test_dataset_and_spec_must_agree() -> None:
    """Unknown and missing names, and missing and unknown attributes, are problems."""
    instances = (
        Instance(1, "pin", Box(0, 0, 5, 5), (("colour", "rad"),)),
        Instance(2, "pin", Box(9, 0, 15, 5), (("color", "red"),)),
        Instance(3, "trai", Box(0, 0, 5, 5), (("colour", "red"),)),
    )

    problems = check_against_spec(build_dataset(*instances, categories=("pin", "trai")), PIN | {"tray": Component()})

    assert lines(problems) == [
        'LC120 category "trai" is not a component of the spec. Did you mean "tray"?',
        'LC121 component "tray" of the spec is on no photo. Did you mean "trai"?',
        'LC122 pin (annotation 1) on "a.png" has colour "rad", which is not in the spec. Did you mean "red"?',
        'LC123 pin (annotation 2) on "a.png" has no attribute "colour". Did you mean "color"?',
    ]


def test_optional_components_may_be_missing() -> None:
    """A component that remains where another is missing must be annotated at least once."""
    components = PIN | {"note": Component(optional=True), "hole": Component(optional=True)}

    assert check_against_spec(build_dataset(*pins(Box(0, 0, 5, 5))), components) == []
    assert lines(
        check_against_spec(build_dataset(*pins(Box(0, 0, 5, 5))), components | {"pin": Component(leaves="hole")})
    ) == [
        'LC121 component "hole", which remains where a "pin" is missing, is on no photo. '
        "Annotate it on at least one photo."
    ]


def test_attributes_outside_the_spec_are_ignored() -> None:
    """Annotation tools add attributes such as "occluded"."""
    assert check_against_spec(build_dataset(*pins(Box(0, 0, 5, 5))), {"pin": Component()}) == []


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Box(10, 10, 20, 20), "LC124 pin (annotations 1 and 2) on \"a.png\": duplicate boxes. Delete one."),
        (Box(11, 9, 20.5, 21), "LC124 pin (annotations 1 and 2) on \"a.png\": duplicate boxes. Delete one."),
        (
            Box(10, 10, 20, 16),
            'LC125 pin (annotations 1 and 2) on "a.png": the box of 2 lies inside that of 1. '
            "If they annotate one object, delete one.",
        ),
        (
            Box(10, 13, 20, 23),
            'LC125 pin (annotations 1 and 2) on "a.png": the boxes overlap by 54% (IoU). '
            "If they annotate one object, delete one.",
        ),
        (Box(10, 14, 20, 24), ""),
        (Box(20, 10, 30, 20), ""),
    ],
)  # fmt: skip
def test_overlapping_boxes_of_one_component(other: Box, message: str) -> None:
    """The message names both annotations; a small overlap is no problem."""
    problems = find_annotation_errors(build_dataset(*pins(Box(10, 10, 20, 20), other)))

    assert lines(problems) == ([message] if message else [])


def test_boxes_of_different_components_and_photos_may_coincide() -> None:
    """A label lies on its bottle, and photos may have equal boxes."""
    box = Box(10, 10, 20, 20)
    scenes = tuple(Scene(f"{n}.png", 40, 30, (Instance(n, "pin", box), Instance(9 + n, "tray", box))) for n in (1, 2))

    assert find_annotation_errors(Dataset(ROOT, scenes, "")) == []


def test_image_without_annotations() -> None:
    """It is reported."""
    assert lines(lint_dataset(build_dataset(), {"pin": Component(optional=True)})) == [
        'LC126 image "a.png" has no annotation. Annotate it, or remove it from the dataset.'
    ]


def test_at_most_twenty_problems_per_code() -> None:
    """The others are counted."""
    scenes = tuple(Scene(f"{n}.png", 40, 30, ()) for n in range(2500))

    problems = lines(find_annotation_errors(Dataset(ROOT, scenes, "")))

    assert problems[-2:] == [
        'LC126 image "19.png" has no annotation. Annotate it, or remove it from the dataset.',
        "LC126 and 2480 more like these.",
    ]


def test_photos_of_all_blocks_are_checked() -> None:
    """Duplicates at the borders of blocks of 1000 photos are found."""
    duplicates = pins(Box(10, 10, 20, 20), Box(10, 10, 20, 20))
    affected = (999, 1000, 2001)
    scenes = tuple(Scene(f"{n}.png", 40, 30, duplicates if n in affected else duplicates[:1]) for n in range(2002))

    problems = lines(find_annotation_errors(Dataset(ROOT, scenes, "")))

    assert [line.split('"')[1] for line in problems] == ["999.png", "1000.png", "2001.png"]
