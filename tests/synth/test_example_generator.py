"""Examples from seeds: reproducible, true, balanced, and of every kind."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from logicls.constraints.checker.evaluation import build_context, compute_answers
from logicls.constraints.checker.margins import find_near_limits
from logicls.constraints.spec.models import Spec
from logicls.data.coco import Dataset
from logicls.records import Example, Scene
from logicls.synth.augmentation import AugmentationSettings
from logicls.synth.dataset_card import measure_coverage
from logicls.synth.example_generator import ExampleGenerator
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.sampling_plan import BalanceSettings


@pytest.fixture(scope="module")
def examples(spec: Spec, bank: InstanceBank, strength: AugmentationSettings, balance: BalanceSettings) -> list[Example]:
    """A deck: the first 200 examples of a set."""
    maker = ExampleGenerator(spec, bank, strength, balance)
    return [maker.generate(3, index) for index in range(200)]


def few(bank: InstanceBank, photos: tuple[int, ...]) -> InstanceBank:
    """A bank of these photos alone."""
    scenes = tuple(bank.dataset.scenes[number] for number in photos)
    return InstanceBank(replace(bank.dataset, scenes=scenes))


def variant(scene: Scene) -> str:
    """The mark's shape."""
    return scene.instances_of("mark")[0].attribute("shape") or ""


def three(dataset: Dataset) -> tuple[int, ...]:
    """The first photo of each variant."""
    shapes = [variant(scene) for scene in dataset.scenes]
    return tuple(shapes.index(shape) for shape in ("drop", "leaf", "star"))


def test_the_same_seed_makes_the_same_bytes(
    spec: Spec, bank: InstanceBank, strength: AugmentationSettings, balance: BalanceSettings, examples: list[Example]
) -> None:
    """Another maker, and another order, change nothing; another seed does."""
    maker, order = ExampleGenerator(spec, bank, strength, balance), (140, 7, 41, 0, 40)

    made = [maker.generate(3, index) for index in order]

    assert made == [examples[index] for index in order]
    assert [one.image for one in made] == [examples[index].image for index in order]
    assert maker.generate(4, 7).image != examples[7].image


def test_targets_are_met(examples: list[Example], spec: Spec) -> None:
    """As many good and broken ones as stated, every violation as often as any other of its kind, values even."""
    fates = Counter(e.stats.category for e in examples)
    made = Counter(name for e in examples for name in e.violations)
    colours = Counter(v for e in examples for a in e.answers if a.query == "attribute:liquid.colour" for v in a.values)

    assert fates == {"untouched": 40, "twin": 50, "broken": 90, "broken_twice": 20}
    assert [e for e in examples if bool(e.violations) != e.stats.category.startswith("broken")] == []
    assert [
        e for e in examples if e.stats.category == "broken" and not set(e.stats.requested) <= set(e.violations)
    ] == []
    assert (set(made), min(made.values()) >= 6, max(made.values()) <= 20) == (set(spec.violations), True, True)
    assert max(colours.values()) <= 1.25 * min(colours.values())


def test_twins_are_made(examples: list[Example]) -> None:
    """Good photos were edited too, so that an edit says nothing by itself; so were broken ones besides."""
    twins = [e for e in examples if e.stats.category == "twin"]
    besides = [e for e in examples if e.violations and {edit.is_control for edit in e.edits} == {True, False}]

    assert [e for e in twins if not e.edits or not all(edit.is_control for edit in e.edits) or e.violations] == []
    assert (len(twins), len(besides) > 15) == (50, True)


def test_pairs_differ_in_the_violation_alone(examples: list[Example]) -> None:
    """Two neighbours: the same photo, moved alike; what no edit touched lies at the same place; only one is broken."""
    pairs = [(a, b) for a, b in zip(examples[::2], examples[1::2], strict=True) if a.pair >= 0]

    assert [(a.pair, b.pair) for a, b in pairs] == [(a.seed // 2, a.seed // 2) for a, _ in pairs]
    assert [e for e in examples if e.pair >= 0] == [one for pair in pairs for one in pair]
    assert len(pairs) == 40
    for good, bad in pairs:
        edited = {edit.target for edit in (*good.edits, *bad.edits)}
        kept = {i.id: i.box for i in good.scene.instances}
        shared = [i for i in bad.scene.instances if i.id in kept and i.id not in edited]
        assert (good.scene.photo, good.violations, bool(bad.violations)) == (bad.scene.photo, (), True)
        assert len([i for i in shared if i.box == kept[i.id]]) >= 3
        assert np.abs(pixels(good) - pixels(bad)).mean() < 20


def pixels(example: Example) -> np.ndarray:
    """Its picture."""
    return np.asarray(Image.open(io.BytesIO(example.image)), int)


def test_no_edit_ends_in_the_dead_zone(examples: list[Example], spec: Spec, bank: InstanceBank) -> None:
    """Where nobody could say whether a rule holds there are photos as they were taken, and nothing else."""
    sources = {scene.photo: find_near_limits(spec, build_context(spec, scene)) for scene in bank.dataset.scenes}

    close = {e.seed: find_near_limits(spec, build_context(spec, e.scene)) - sources[e.scene.photo] for e in examples}

    assert {seed: rules for seed, rules in close.items() if rules} == {}


def test_answers_are_those_of_the_scene(spec: Spec, examples: list[Example]) -> None:
    """What is stored is what a perfect reader sees on the picture that is stored."""
    for example in examples:
        assert example.answers == tuple(answer for answer in compute_answers(spec, example.scene) if answer.readable)
        assert example.answers[-1].values == example.violations
    photo = Image.open(io.BytesIO(examples[0].image))
    assert (photo.format, photo.size) == ("JPEG", (examples[0].scene.width, examples[0].scene.height))


@pytest.mark.parametrize("number", [20, 3])
def test_a_few_photos_are_enough(
    spec: Spec, bank: InstanceBank, strength: AugmentationSettings, balance: BalanceSettings, number: int
) -> None:
    """Of 20 photos, and of one of each variant, every violation is made, and no two pictures are alike."""
    photos = tuple(range(20)) if number == 20 else three(bank.dataset)
    maker = ExampleGenerator(spec, few(bank, photos), strength, balance)

    made = [maker.generate(1, index) for index in range(200)]

    assert {name for e in made for name in e.violations} == set(spec.violations)
    assert {e.scene.photo for e in made} == {bank.dataset.scenes[n].photo for n in photos}
    assert len({hashlib.sha256(e.image).digest() for e in made}) == 200
    assert len({tuple(i.box for i in e.scene.instances) for e in made}) >= 150


def test_what_cannot_be_made_is_told(
    spec: Spec, bank: InstanceBank, strength: AugmentationSettings, balance: BalanceSettings
) -> None:
    """With photos of one variant there is no wrong mark to be put there: others stand in, and the tally says so."""
    shapes = [variant(scene) for scene in bank.dataset.scenes]
    one = few(bank, tuple(n for n, shape in enumerate(shapes) if shape == "leaf")[:4])
    maker = ExampleGenerator(spec, one, strength, balance)

    made = [maker.generate(1, index) for index in range(200)]

    counts = measure_coverage(made)
    assert sum(bool(e.violations) for e in made) == 110
    assert {name for name in counts.requested if counts.achieved[name] < counts.requested[name]} == {"wrong_mark"}
    wanted = counts.requested["wrong_mark"]
    assert counts.attempts["wrong_mark"] == 12 * wanted
    assert next(counts.to_lines()) == f"wrong_mark could be made on 0% of the photos tried: 0 of {wanted} wanted"


def test_photos_of_real_defects_join_in(
    spec: Spec, bank: InstanceBank, strength: AugmentationSettings, balance: BalanceSettings
) -> None:
    """They are shown as what they are, stand in for edits now and then, and are never taken for good ones."""
    whole, other = bank.dataset.scenes[:2]
    bare = replace(whole, photo=other.photo, instances=tuple(i for i in whole.instances if i.component != "spoon"))
    maker = ExampleGenerator(spec, InstanceBank(replace(bank.dataset, scenes=(whole, bare))), strength, balance)

    made = [maker.generate(1, index) for index in range(200)]

    real = [e for e in made if e.scene.photo == bare.photo]
    assert {(e.violations, e.edits, e.stats.category, e.stats.attempts) for e in real} == {
        (("missing_spoon",), (), "broken", (0,))
    }
    assert 1 <= len(real) < sum("missing_spoon" in e.violations for e in made)
    assert sum(not e.violations for e in made) == 90


def test_photos_that_allow_nothing_stay_as_they_are(
    spec: Spec, bank: InstanceBank, strength: AugmentationSettings, balance: BalanceSettings
) -> None:
    """On empty photos no rule can be broken: every example is one of them, and what was wanted is told."""
    scene = replace(bank.dataset.scenes[0], instances=())
    maker = ExampleGenerator(spec, InstanceBank(replace(bank.dataset, scenes=(scene,))), strength, balance)

    made = [maker.generate(1, index) for index in range(20)]

    assert [e for e in made if e.edits or e.pair >= 0] == []
    assert {e.violations for e in made} == {compute_answers(spec, scene)[-1].values}
    assert "could be made on 0% of the photos tried" in "\n".join(measure_coverage(made).to_lines())
