"""What `check` says of a dataset that can be read."""

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


def dataset(*found: Instance, categories: tuple[str, ...] = ("pin",)) -> Dataset:
    """One photo with these on it."""
    return Dataset(ROOT, (Scene("a.png", 40, 30, found),), "", categories)


def lines(problems: list[Problem]) -> list[str]:
    """Problems as they are shown, without the file."""
    return [str(problem).removeprefix("kit/annotations.json ") for problem in problems]


PIN = {"pin": Component(attributes={"colour": ["red", "blue"]})}


def test_dataset_and_spec_must_agree() -> None:
    """Names on either side that the other lacks, and attributes that are absent or unknown."""
    found = (
        Instance(1, "pin", Box(0, 0, 5, 5), (("colour", "rad"),)),
        Instance(2, "pin", Box(9, 0, 15, 5), (("color", "red"),)),
        Instance(3, "trai", Box(0, 0, 5, 5), (("colour", "red"),)),
    )

    problems = check_against_spec(dataset(*found, categories=("pin", "trai")), PIN | {"tray": Component()})

    assert lines(problems) == [
        'LC120 category "trai" is not a component of the spec. Did you mean "tray"?',
        'LC121 component "tray" of the spec is on no photo. Did you mean "trai"?',
        'LC122 pin (annotation 1) on "a.png" has colour "rad", which the spec does not know. Did you mean "red"?',
        'LC123 pin (annotation 2) on "a.png" has no attribute "colour". Did you mean "color"?',
    ]


def test_what_may_be_absent() -> None:
    """A component that good photos may lack is not missed, unless another one leaves it where it is taken away."""
    components = PIN | {"note": Component(optional=True), "hole": Component(optional=True)}

    assert check_against_spec(dataset(*pins(Box(0, 0, 5, 5))), components) == []
    assert lines(
        check_against_spec(dataset(*pins(Box(0, 0, 5, 5))), components | {"pin": Component(leaves="hole")})
    ) == [
        'LC121 component "hole", which "pin" leaves where it is taken away, is on no photo. '
        "Annotate it on at least one."
    ]


def test_attributes_that_the_spec_does_not_name_are_fine() -> None:
    """Annotation tools add their own, such as "occluded"."""
    assert check_against_spec(dataset(*pins(Box(0, 0, 5, 5))), {"pin": Component()}) == []


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Box(10, 10, 20, 20), "LC124 pin (annotations 1 and 2) on \"a.png\": the same box twice. Delete one."),
        (Box(11, 9, 20.5, 21), "LC124 pin (annotations 1 and 2) on \"a.png\": the same box twice. Delete one."),
        (
            Box(10, 10, 20, 16),
            'LC125 pin (annotations 1 and 2) on "a.png": 2 lies wholly inside 1. If it is one thing, delete one.',
        ),
        (
            Box(10, 13, 20, 23),
            'LC125 pin (annotations 1 and 2) on "a.png": the boxes share 54% of their area. '
            "If it is one thing, delete one.",
        ),
        (Box(10, 14, 20, 24), ""),
        (Box(20, 10, 30, 20), ""),
    ],
)  # fmt: skip
def test_boxes_of_one_component_on_one_another(other: Box, said: str) -> None:
    """The same thing annotated twice is named by both annotations; neighbours that share a little are fine."""
    assert lines(find_annotation_errors(dataset(*pins(Box(10, 10, 20, 20), other)))) == ([said] if said else [])


def test_boxes_of_different_components_and_photos_may_coincide() -> None:
    """A label lies on its bottle, and the same place is annotated on each photo."""
    box = Box(10, 10, 20, 20)
    scenes = tuple(Scene(f"{n}.png", 40, 30, (Instance(n, "pin", box), Instance(9 + n, "tray", box))) for n in (1, 2))

    assert find_annotation_errors(Dataset(ROOT, scenes, "")) == []


def test_a_photo_without_annotations() -> None:
    """It was forgotten, or does not belong there."""
    assert lines(lint_dataset(dataset(), {"pin": Component(optional=True)})) == [
        'LC126 image "a.png" has no annotation. Annotate it, or take it out of the dataset.'
    ]


def test_at_most_twenty_of_a_kind() -> None:
    """A systematic slip does not bury the others."""
    scenes = tuple(Scene(f"{n}.png", 40, 30, ()) for n in range(2500))

    said = lines(find_annotation_errors(Dataset(ROOT, scenes, "")))

    assert said[-2:] == [
        'LC126 image "19.png" has no annotation. Annotate it, or take it out of the dataset.',
        "LC126 and 2480 more like these.",
    ]


def test_photos_beyond_the_first_thousand_are_looked_at() -> None:
    """Nothing is lost where the photos are taken some at a time."""
    twice = pins(Box(10, 10, 20, 20), Box(10, 10, 20, 20))
    scenes = tuple(Scene(f"{n}.png", 40, 30, twice if n in (999, 1000, 2001) else twice[:1]) for n in range(2002))

    said = lines(find_annotation_errors(Dataset(ROOT, scenes, "")))

    assert [line.split('"')[1] for line in said] == ["999.png", "1000.png", "2001.png"]
