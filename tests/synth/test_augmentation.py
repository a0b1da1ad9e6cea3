"""A varied photo breaks exactly the rules that it broke before, and its boxes are still where the things are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logicls.constraints.checker.evaluation import build_context, compute_answers
from logicls.constraints.checker.margins import find_near_limits
from logicls.constraints.spec.models import Spec
from logicls.errors import SpecError
from logicls.io.resources import share
from logicls.records import Box, Instance, Scene
from logicls.synth.augmentation import Augmenter, AugmentationSettings, load_augmentation_settings
from logicls.synth.compositor import Canvas
from logicls.synth.instance_bank import InstanceBank

SEEDS = st.integers(0, 2**32 - 1)
STILL = {"brightness": 0.0, "contrast": 0.0, "cast": 0, "hue": 0, "uneven": 0.0, "blur": 0.0, "noise": 0.0}


def counting(**keys: object) -> Spec:
    """A rule that counts tablets, which lets a photo go through anything."""
    body = {"logicls": 1, "product": {"name": "tray"}, "components": {"tablet": {}}}
    rule = {"id": "one", "quantity": {"of": "tablet", "exactly": 1}}
    return Spec.model_validate({**body, "constraints": [rule], **keys})


def varied(augment: Augmenter, canvas: Canvas, seed: int) -> Canvas:
    """The canvas after random changes."""
    return augment.augment([canvas], np.random.default_rng(seed)).canvases[0]


def test_the_truth_survives(spec: Spec, bank: InstanceBank, strength: AugmentationSettings) -> None:
    """Nothing is lost or cut, the same rules are broken, and none has come closer to its limit than anybody can say."""
    augment, moved = Augmenter(spec, strength), []

    @settings(max_examples=60)
    @given(st.sampled_from(bank.dataset.scenes), st.sets(st.integers(0, 8), max_size=3), SEEDS)
    def survives(scene: Scene, lost: set[int], seed: int) -> None:
        kept = tuple(i for number, i in enumerate(scene.instances) if number not in lost)
        before = Canvas(bank.photo(scene), Scene(scene.photo, scene.width, scene.height, kept))
        after = varied(augment, before, seed)
        room = Box(-0.5, -0.5, scene.width + 0.5, scene.height + 0.5)
        moved.append(after.scene != before.scene)
        assert after.photo.shape == before.photo.shape
        assert [(i.id, i.component, i.attributes) for i in after.scene.instances] == [
            (i.id, i.component, i.attributes) for i in kept
        ]
        assert [i for i in after.scene.instances if i.box.ioa(room) < 1 - 1e-6] == []
        assert compute_answers(spec, after.scene)[-1] == compute_answers(spec, before.scene)[-1]
        assert find_near_limits(spec, build_context(spec, after.scene)) <= find_near_limits(
            spec, build_context(spec, before.scene)
        )

    survives()

    assert sum(moved) > 20


@pytest.mark.parametrize("mirror", [[], ["x"], ["x", "y"]], ids=["plain", "x", "x and y"])
@pytest.mark.parametrize(("turn", "perspective"), [(0.0, 0.0), (2.0, 0.0), (2.0, 0.01)])
def test_boxes_follow_the_pixels(
    strength: AugmentationSettings, mirror: list[str], turn: float, perspective: float
) -> None:
    """A bright ellipse lies in its box, and fills it up to a pixel and a half and what a turned box may be looser."""
    keys = {**STILL, "geometric": 1.0, "mirror": mirror, "turn": turn, "perspective": perspective}
    augment = Augmenter(counting(), strength.model_copy(update=keys))
    moved: list[Box] = []

    @settings(max_examples=25)
    @given(st.integers(40, 140), st.integers(40, 190), SEEDS)
    def follows(x: int, y: int, seed: int) -> None:
        rows, columns = np.mgrid[:320, :256]
        round_one = ((columns + 0.5 - x - 25) / 25) ** 2 + ((rows + 0.5 - y - 30) / 30) ** 2 <= 1
        photo = np.where(round_one[..., None], 230, 40).astype(np.uint8).repeat(3, 2)
        thing = Instance(1, "tablet", Box(x, y, x + 50, y + 60))
        out = varied(augment, Canvas(photo, Scene("a.png", 256, 320, (thing,))), seed)
        bright, box = out.photo.mean(2) > 130, out.scene.instances[0].box
        seen_rows, seen_columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
        seen = (seen_columns[0], seen_rows[0], seen_columns[-1] + 1, seen_rows[-1] + 1)
        slack = 1.5 + (0.04 * 60 if turn else 0.0)
        assert seen == pytest.approx((box.x1, box.y1, box.x2, box.y2), abs=slack)
        moved.extend([box] if box != thing.box else [])

    follows()

    assert len(moved) > 18


def test_two_photos_vary_alike(spec: Spec, bank: InstanceBank, strength: AugmentationSettings) -> None:
    """Where two photos are the same they are so afterwards, pixel by pixel, and their boxes have moved alike."""
    augment, scene = Augmenter(spec, strength), bank.dataset.scenes[0]
    whole = Canvas(bank.photo(scene), scene)
    fewer = Canvas(whole.photo.copy(), Scene(scene.photo, scene.width, scene.height, scene.instances[1:]))

    for seed in range(20):
        one, other = augment.augment([whole, fewer], np.random.default_rng(seed)).canvases
        assert np.array_equal(one.photo, other.photo)
        assert one.scene.instances[1:] == other.scene.instances


@pytest.mark.parametrize("x", [0.0, 76.0])
def test_a_thing_cut_by_the_edge_stays_there(spec: Spec, strength: AugmentationSettings, x: float) -> None:
    """Nobody knows what it looks like outside: no move brings that in, and those that would are counted."""
    augment = Augmenter(spec, strength.model_copy(update={"geometric": 1.0}))
    scene = Scene("a.png", 100, 100, (Instance(1, "tablet", Box(x, 10, x + 24, 34)),))
    canvas = Canvas(np.full((100, 100, 3), 90, np.uint8), scene)

    outs = [augment.augment([canvas], np.random.default_rng(seed)) for seed in range(40)]

    boxes = [out.canvases[0].scene.instances[0].box for out in outs]
    assert [box for box in boxes if (abs(box.x1) if x == 0 else abs(box.x2 - 100)) > 1.5] == []
    assert max(out.rejected_draws for out in outs) >= 3


def test_nothing_drowns_in_light(strength: AugmentationSettings) -> None:
    """A white thing on a grey ground is never washed out, however strong the light that is asked for."""
    keys = {**STILL, "geometric": 0.0, "brightness": 0.9}
    augment = Augmenter(counting(), strength.model_copy(update=keys))
    photo = np.full((90, 90, 3), 150, np.uint8)
    photo[30:60, 30:60] = 235
    canvas = Canvas(photo, Scene("a.png", 90, 90, (Instance(1, "tablet", Box(20, 20, 70, 70)),)))

    shown = [varied(augment, canvas, seed).photo for seed in range(60)]

    assert {photo.shape for photo in shown} == {(90, 90, 3)}
    assert min(int(photo[45, 45, 0]) - int(photo[25, 25, 0]) for photo in shown) > 10
    assert len({int(photo[45, 45, 0]) for photo in shown}) > 20


def test_settings_that_the_rules_forbid_are_told(spec: Spec, strength: AugmentationSettings) -> None:
    """What is asked for and left out is said with the reason; what is not asked for is not mentioned."""
    asked, nothing = strength.model_copy(update={"mirror": ["y", "x"]}), {"hue": 0, "turn": 0.0, "perspective": 0.0}

    assert list(Augmenter(spec, asked).describe_restrictions()) == [
        "no change of hue: mark.shape is asked for",
        "no turn and no perspective: level measures height",
        "no mirroring along y: liquid fills vial",
        "no mirroring along x: region spoon_place lies to one side",
    ]
    assert list(Augmenter(counting(), asked).describe_restrictions()) == []
    assert list(Augmenter(spec, strength.model_copy(update={**nothing, "mirror": []})).describe_restrictions()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("shift: 0.04", "shift: 0.9"), "shift"),
        (("quality: [80, 95]", "quality: [95, 80]"), "quality: 95 is more than 80"),
        (("mirror: [x, y]", "mirror: [z]"), "mirror"),
        (("blur: ", "blurr: "), "blurr"),
    ],
)
def test_settings_are_checked(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    """What cannot be is an error at its place in the file."""
    path = tmp_path / "augment.yaml"
    path.write_text(share("synth/augment.yaml").read_text(encoding="utf-8").replace(*change, 1), encoding="utf-8")

    with pytest.raises(SpecError) as caught:
        load_augmentation_settings(path)

    assert said in str(caught.value)
