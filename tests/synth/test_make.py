"""Examples from seeds: reproducible, true, and of every kind."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from logicls.constraints.look import look
from logicls.constraints.spec import Spec
from logicls.records import Example
from logicls.synth.augment import Strength
from logicls.synth.bank import Bank
from logicls.synth.make import Maker


@pytest.fixture(scope="module")
def examples(spec: Spec, bank: Bank, strength: Strength) -> list[Example]:
    """The first examples of a set."""
    maker = Maker(spec, bank, strength)
    return [maker.make(3, index) for index in range(120)]


def test_the_same_seed_makes_the_same_bytes(
    spec: Spec, bank: Bank, strength: Strength, examples: list[Example]
) -> None:
    """Another maker, and another order, change nothing; another seed does."""
    maker = Maker(spec, bank, strength)

    assert [maker.make(3, index) for index in (40, 7, 0)] == [examples[index] for index in (40, 7, 0)]
    assert [maker.make(3, index).image for index in (40, 7, 0)] == [examples[index].image for index in (40, 7, 0)]
    assert maker.make(4, 7).image != examples[7].image


def test_every_defect_is_made(spec: Spec, examples: list[Example]) -> None:
    """No rule of the spec is left without examples, and a good share is good."""
    assert {name for example in examples for name in example.violations} == set(spec.violations)
    assert 0.25 < sum(not example.violations for example in examples) / len(examples) < 0.65


def test_twins_are_made(examples: list[Example]) -> None:
    """Good photos were edited too, so that an edit says nothing by itself."""
    twins = [e for e in examples if e.edits and not e.violations and all(edit.twin for edit in e.edits)]

    assert len(twins) > 10


def test_answers_are_those_of_the_scene(spec: Spec, examples: list[Example]) -> None:
    """What is stored is what a perfect reader sees on the picture that is stored."""
    for example in examples:
        assert example.answers == tuple(answer for answer in look(spec, example.scene) if answer.readable)
        assert example.answers[-1].values == example.violations
    photo = Image.open(io.BytesIO(examples[0].image))
    assert (photo.format, photo.size) == ("JPEG", (examples[0].scene.width, examples[0].scene.height))
