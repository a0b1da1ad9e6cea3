"""Generated examples are reproducible, correctly labelled, balanced, and of every category."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from logicls.constraints.checker.evaluation import build_context, compute_answers, find_near_limits
from logicls.constraints.spec.models import Spec
from logicls.data.coco import Dataset
from logicls.records import Example, Scene
from logicls.synth.dataset_card import measure_coverage
from logicls.synth.example_generator import ExampleGenerator
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.settings import AugmentationSettings, BalanceSettings
from logicls.synth.violation_sampler import ViolationSampler


@pytest.fixture(scope="module")
def examples(
    spec: Spec, bank: InstanceBank, augmentation: AugmentationSettings, balance: BalanceSettings
) -> list[Example]:
    """A block: the first 200 examples of a set."""
    generator = ExampleGenerator(spec, bank, augmentation, balance)
    return [generator.generate(3, index) for index in range(200)]


def select_photos(bank: InstanceBank, photos: tuple[int, ...]) -> InstanceBank:
    """A bank of these photos only."""
    scenes = tuple(bank.dataset.scenes[number] for number in photos)
    return InstanceBank(replace(bank.dataset, scenes=scenes))


def mark_shape(scene: Scene) -> str:
    """Shape of the mark."""
    return scene.instances_of("mark")[0].attribute("shape") or ""


def one_photo_per_variant(dataset: Dataset) -> tuple[int, ...]:
    """The first photo of each variant."""
    shapes = [mark_shape(scene) for scene in dataset.scenes]
    return tuple(shapes.index(shape) for shape in ("drop", "leaf", "star"))


def test_examples_are_reproducible(
    spec: Spec,
    bank: InstanceBank,
    augmentation: AugmentationSettings,
    balance: BalanceSettings,
    examples: list[Example],
) -> None:
    """Another generator and another order change nothing; another seed does."""
    generator, indices = ExampleGenerator(spec, bank, augmentation, balance), (140, 7, 41, 0, 40)

    generated = [generator.generate(3, index) for index in indices]

    assert generated == [examples[index] for index in indices]
    assert [leaf_bank.image for leaf_bank in generated] == [examples[index].image for index in indices]
    assert generator.generate(4, 7).image != examples[7].image


def test_the_sampling_plan_is_met(examples: list[Example], spec: Spec) -> None:
    """Shares of categories as stated, violations about equally frequent, attribute values balanced."""
    categories = Counter(e.stats.category for e in examples)
    generated = Counter(name for e in examples for name in e.violations)
    colours = Counter(v for e in examples for a in e.answers if a.query == "attribute:liquid.colour" for v in a.values)

    assert categories == {"untouched": 40, "control": 50, "broken": 90, "broken_twice": 20}
    assert [e for e in examples if bool(e.violations) != e.stats.category.startswith("broken")] == []
    assert [
        e for e in examples if e.stats.category == "broken" and not set(e.stats.requested) <= set(e.violations)
    ] == []
    assert (set(generated), min(generated.values()) >= 6, max(generated.values()) <= 20) == (
        set(spec.violations),
        True,
        True,
    )
    assert max(colours.values()) <= 1.5 * min(colours.values())


def test_control_edits_are_made(examples: list[Example]) -> None:
    """Good photos are edited as well, so that an edit is no evidence; so are some broken ones."""
    controls = [e for e in examples if e.stats.category == "control"]
    with_control = [e for e in examples if e.violations and {edit.is_control for edit in e.edits} == {True, False}]

    assert [e for e in controls if not e.edits or not all(edit.is_control for edit in e.edits) or e.violations] == []
    assert (len(controls), len(with_control) > 15) == (50, True)


def test_pairs_differ_in_the_violation_only(examples: list[Example]) -> None:
    """Neighbours show the same photo with the same transform; unedited instances coincide; only one is broken."""
    pairs = [(a, b) for a, b in zip(examples[::2], examples[1::2], strict=True) if a.pair >= 0]

    assert [(a.pair, b.pair) for a, b in pairs] == [(a.seed // 2, a.seed // 2) for a, _ in pairs]
    assert [e for e in examples if e.pair >= 0] == [leaf_bank for pair in pairs for leaf_bank in pair]
    assert len(pairs) == 40
    for good, broken in pairs:
        edited = {edit.target for edit in (*good.edits, *broken.edits)}
        boxes = {i.id: i.box for i in good.scene.instances}
        common = [i for i in broken.scene.instances if i.id in boxes and i.id not in edited]
        assert (good.scene.photo, good.violations, bool(broken.violations)) == (broken.scene.photo, (), True)
        assert len([i for i in common if i.box == boxes[i.id]]) >= 3
        assert np.abs(decode_image(good) - decode_image(broken)).mean() < 20


def decode_image(example: Example) -> np.ndarray:
    """Pixels of the example."""
    return np.asarray(Image.open(io.BytesIO(example.image)), int)


def test_no_edit_ends_in_a_dead_zone(examples: list[Example], spec: Spec, bank: InstanceBank) -> None:
    """Measurements in a dead zone occur on unedited photos only."""
    sources = {scene.photo: find_near_limits(spec, build_context(spec, scene)) for scene in bank.dataset.scenes}

    near_limits = {
        e.seed: find_near_limits(spec, build_context(spec, e.scene)) - sources[e.scene.photo] for e in examples
    }

    assert {seed: rules for seed, rules in near_limits.items() if rules} == {}


def test_answers_match_the_scene(spec: Spec, examples: list[Example]) -> None:
    """The stored answers are those of the oracle on the stored image."""
    for example in examples:
        assert example.answers == tuple(answer for answer in compute_answers(spec, example.scene) if answer.readable)
        assert example.answers[-1].values == example.violations
    photo = Image.open(io.BytesIO(examples[0].image))
    assert (photo.format, photo.size) == ("JPEG", (examples[0].scene.width, examples[0].scene.height))


@pytest.mark.parametrize("number", [20, 3])
def test_few_photos_are_enough(
    spec: Spec, bank: InstanceBank, augmentation: AugmentationSettings, balance: BalanceSettings, number: int
) -> None:
    """With 20 photos, and with one of each variant, every violation is made, and all images differ."""
    photos = tuple(range(20)) if number == 20 else one_photo_per_variant(bank.dataset)
    generator = ExampleGenerator(spec, select_photos(bank, photos), augmentation, balance)

    generated = [generator.generate(1, index) for index in range(200)]

    assert {name for e in generated for name in e.violations} == set(spec.violations)
    assert {e.scene.photo for e in generated} == {bank.dataset.scenes[n].photo for n in photos}
    assert len({hashlib.sha256(e.image).digest() for e in generated}) == 200
    assert len({tuple(i.box for i in e.scene.instances) for e in generated}) >= 150


def test_impossible_violations_are_replaced_and_reported(
    spec: Spec, bank: InstanceBank, augmentation: AugmentationSettings, balance: BalanceSettings
) -> None:
    """Photos of one variant have no donor for a wrong mark: other violations replace it, and the coverage says so."""
    shapes = [mark_shape(scene) for scene in bank.dataset.scenes]
    leaf_bank = select_photos(bank, tuple(n for n, shape in enumerate(shapes) if shape == "leaf")[:4])
    generator = ExampleGenerator(spec, leaf_bank, augmentation, balance)

    generated = [generator.generate(1, index) for index in range(200)]

    counts = measure_coverage(generated)
    assert sum(bool(e.violations) for e in generated) == 110
    assert {name for name in counts.requested if counts.achieved[name] < counts.requested[name]} == {"wrong_mark"}
    requested = counts.requested["wrong_mark"]
    assert counts.attempts["wrong_mark"] == 12 * requested
    assert (
        next(counts.to_lines())
        == f"wrong_mark: 0 of {requested} requested examples made; 0% of the photos tried allow it"
    )


def without_spoon(scene: Scene, photo: str) -> Scene:
    """A scene with another photo and without its spoon."""
    return replace(scene, photo=photo, instances=tuple(i for i in scene.instances if i.component != "spoon"))


def test_photos_of_real_defects_are_used(
    spec: Spec, bank: InstanceBank, augmentation: AugmentationSettings, balance: BalanceSettings
) -> None:
    """They keep their labels, replace some edits, and never count as good."""
    complete, *others = bank.dataset.scenes[:9]
    defects = tuple(without_spoon(complete, other.photo) for other in others)
    generator = ExampleGenerator(
        spec, InstanceBank(replace(bank.dataset, scenes=(complete, *defects))), augmentation, balance
    )

    generated = [generator.generate(2, index) for index in range(200)]

    used = [e for e in generated if e.scene.photo != complete.photo]
    assert {(e.violations, e.edits, e.stats.category, e.stats.attempts) for e in used} == {
        (("missing_spoon",), (), "broken", (0,))
    }
    assert 1 <= len(used) < sum("missing_spoon" in e.violations for e in generated)
    assert sum(not e.violations for e in generated) == 90
    assert generator.sampler.count_real_defects() == {"missing_spoon": 8}


@pytest.mark.parametrize(("photos", "share"), [(0, 0.0), (1, 0.05), (3, 0.15), (40, 0.3)])
def test_no_real_defect_makes_most_examples(
    spec: Spec, bank: InstanceBank, balance: BalanceSettings, photos: int, share: float
) -> None:
    """One photo makes a small share of the examples of its violation, however few photos there are."""
    complete = bank.dataset.scenes[0]
    scenes = (complete, *(without_spoon(complete, f"{number}.jpg") for number in range(photos)))
    sampler = ViolationSampler(spec, InstanceBank(replace(bank.dataset, scenes=scenes)), balance)
    rng = np.random.default_rng(0)

    drawn = sum(sampler.sample_real_defect("missing_spoon", rng) is not None for _ in range(4000))

    assert drawn / 4000 == pytest.approx(share, abs=0.025)


def test_defects_that_annotations_do_not_show_are_not_used(
    spec: Spec, bank: InstanceBank, balance: BalanceSettings
) -> None:
    """A photo that is declared to lack its spoon, and has one by its annotations, is neither good nor defective."""
    first, second = bank.dataset.scenes[:2]
    dataset = replace(bank.dataset, scenes=(first, second), declared_defects={second.photo: ("missing_spoon",)})
    sampler = ViolationSampler(spec, InstanceBank(dataset), balance)

    assert {sampler.select_photo(position).canvas.scene.photo for position in (0.0, 0.3, 0.6, 0.99)} == {first.photo}
    assert (sampler.unused_photos, sampler.count_real_defects()) == ([second.photo], {})


def test_photos_that_allow_no_edit_stay_untouched(
    spec: Spec, bank: InstanceBank, augmentation: AugmentationSettings, balance: BalanceSettings
) -> None:
    """No rule can be broken on empty photos: they are used as they are, and the coverage says so."""
    scene = replace(bank.dataset.scenes[0], instances=())
    generator = ExampleGenerator(spec, InstanceBank(replace(bank.dataset, scenes=(scene,))), augmentation, balance)

    generated = [generator.generate(1, index) for index in range(20)]

    assert [e for e in generated if e.edits or e.pair >= 0] == []
    assert {e.violations for e in generated} == {compute_answers(spec, scene)[-1].values}
    assert "requested examples made; 0% of the photos tried allow it" in "\n".join(
        measure_coverage(generated).to_lines()
    )
