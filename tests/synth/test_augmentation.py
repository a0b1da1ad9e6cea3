"""Augmentation keeps labels true: the same rules are broken, and boxes match the pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logicls.constraints.checker.evaluation import build_context, compute_answers, find_near_limits
from logicls.constraints.spec.models import Spec
from logicls.records import Box, Instance, Scene
from logicls.synth.augmentation import Augmenter
from logicls.synth.compositor import Canvas
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.settings import AugmentationSettings

SEEDS = st.integers(0, 2**32 - 1)
NO_PHOTOMETRY = {
    "brightness": 0.0,
    "contrast": 0.0,
    "colour_cast": 0,
    "hue": 0,
    "illumination": 0.0,
    "blur": 0.0,
    "noise": 0.0,
}


def counting_spec(**keys: object) -> Spec:
    """A spec that counts tablets, which does not restrict augmentation."""
    body = {"logicls": 1, "product": {"name": "tray"}, "components": {"tablet": {}}}
    rule = {"id": "one", "quantity": {"of": "tablet", "exactly": 1}}
    return Spec.model_validate({**body, "constraints": [rule], **keys})


def augment_canvas(augmenter: Augmenter, canvas: Canvas, seed: int) -> Canvas:
    """The canvas after random transforms."""
    return augmenter.augment([canvas], np.random.default_rng(seed)).canvases[0]


def test_labels_stay_true(spec: Spec, bank: InstanceBank, augmentation: AugmentationSettings) -> None:
    """No instance is lost or cut off, the same rules are broken, and no measurement enters a dead zone."""
    augmenter, transformed = Augmenter(spec, augmentation), []

    @settings(max_examples=60)
    @given(st.sampled_from(bank.dataset.scenes), st.sets(st.integers(0, 8), max_size=3), SEEDS)
    def check(scene: Scene, removed: set[int], seed: int) -> None:
        instances = tuple(i for number, i in enumerate(scene.instances) if number not in removed)
        before = Canvas(bank.load_photo(scene), Scene(scene.photo, scene.width, scene.height, instances))
        after = augment_canvas(augmenter, before, seed)
        bounds = Box(-0.5, -0.5, scene.width + 0.5, scene.height + 0.5)
        transformed.append(after.scene != before.scene)
        assert after.photo.shape == before.photo.shape
        assert [(i.id, i.component, i.attributes) for i in after.scene.instances] == [
            (i.id, i.component, i.attributes) for i in instances
        ]
        assert [i for i in after.scene.instances if i.box.ioa(bounds) < 1 - 1e-6] == []
        assert compute_answers(spec, after.scene)[-1] == compute_answers(spec, before.scene)[-1]
        assert find_near_limits(spec, build_context(spec, after.scene)) <= find_near_limits(
            spec, build_context(spec, before.scene)
        )

    check()

    assert sum(transformed) > 20


@pytest.mark.parametrize("flip", [[], ["x"], ["x", "y"]], ids=["plain", "x", "x and y"])
@pytest.mark.parametrize(("rotation", "perspective"), [(0.0, 0.0), (2.0, 0.0), (2.0, 0.01)])
def test_boxes_follow_pixels(
    augmentation: AugmentationSettings, flip: list[str], rotation: float, perspective: float
) -> None:
    """A bright ellipse fills its box to 1.5 pixels, plus the slack that rotation adds."""
    keys = {**NO_PHOTOMETRY, "geometric": 1.0, "flip": flip, "rotation": rotation, "perspective": perspective}
    augmenter = Augmenter(counting_spec(), augmentation.model_copy(update=keys))
    transformed: list[Box] = []

    @settings(max_examples=25)
    @given(st.integers(40, 140), st.integers(40, 190), SEEDS)
    def check(x: int, y: int, seed: int) -> None:
        rows, columns = np.mgrid[:320, :256]
        is_inside = ((columns + 0.5 - x - 25) / 25) ** 2 + ((rows + 0.5 - y - 30) / 30) ** 2 <= 1
        photo = np.where(is_inside[..., None], 230, 40).astype(np.uint8).repeat(3, 2)
        instance = Instance(1, "tablet", Box(x, y, x + 50, y + 60))
        out = augment_canvas(augmenter, Canvas(photo, Scene("a.png", 256, 320, (instance,))), seed)
        is_bright, box = out.photo.mean(2) > 130, out.scene.instances[0].box
        rows_found, columns_found = np.flatnonzero(is_bright.any(1)), np.flatnonzero(is_bright.any(0))
        extent = (columns_found[0], rows_found[0], columns_found[-1] + 1, rows_found[-1] + 1)
        slack = 1.5 + (0.04 * 60 if rotation else 0.0)
        assert extent == pytest.approx((box.x1, box.y1, box.x2, box.y2), abs=slack)
        transformed.extend([box] if box != instance.box else [])

    check()

    assert len(transformed) > 18


def test_photos_of_a_group_get_the_same_transform(
    spec: Spec, bank: InstanceBank, augmentation: AugmentationSettings
) -> None:
    """Equal pixels stay equal, and equal boxes stay equal."""
    augmenter, scene = Augmenter(spec, augmentation), bank.dataset.scenes[0]
    full = Canvas(bank.load_photo(scene), scene)
    without_first = Canvas(full.photo.copy(), Scene(scene.photo, scene.width, scene.height, scene.instances[1:]))

    for seed in range(20):
        first, second = augmenter.augment([full, without_first], np.random.default_rng(seed)).canvases
        assert np.array_equal(first.photo, second.photo)
        assert first.scene.instances[1:] == second.scene.instances


@pytest.mark.parametrize("x", [0.0, 76.0])
def test_instances_cut_off_by_the_edge_stay_there(spec: Spec, augmentation: AugmentationSettings, x: float) -> None:
    """No transform moves them inwards, and draws that would are counted as rejected."""
    augmenter = Augmenter(spec, augmentation.model_copy(update={"geometric": 1.0}))
    scene = Scene("a.png", 100, 100, (Instance(1, "tablet", Box(x, 10, x + 24, 34)),))
    canvas = Canvas(np.full((100, 100, 3), 90, np.uint8), scene)

    groups = [augmenter.augment([canvas], np.random.default_rng(seed)) for seed in range(40)]

    boxes = [out.canvases[0].scene.instances[0].box for out in groups]
    assert [box for box in boxes if (abs(box.x1) if x == 0 else abs(box.x2 - 100)) > 1.5] == []
    assert max(out.rejected_draws for out in groups) >= 3


def test_no_instance_is_clipped(augmentation: AugmentationSettings) -> None:
    """A white instance on a grey background stays visible, whatever brightness is requested."""
    keys = {**NO_PHOTOMETRY, "geometric": 0.0, "brightness": 0.9}
    augmenter = Augmenter(counting_spec(), augmentation.model_copy(update=keys))
    photo = np.full((90, 90, 3), 150, np.uint8)
    photo[30:60, 30:60] = 235
    canvas = Canvas(photo, Scene("a.png", 90, 90, (Instance(1, "tablet", Box(20, 20, 70, 70)),)))

    photos = [augment_canvas(augmenter, canvas, seed).photo for seed in range(60)]

    assert {photo.shape for photo in photos} == {(90, 90, 3)}
    assert min(int(photo[45, 45, 0]) - int(photo[25, 25, 0]) for photo in photos) > 10
    assert len({int(photo[45, 45, 0]) for photo in photos}) > 20


def test_restrictions_are_described_with_reasons(spec: Spec, augmentation: AugmentationSettings) -> None:
    """Transforms that are requested and not allowed are listed; others are not."""
    requested, disabled = (
        augmentation.model_copy(update={"flip": ["y", "x"]}),
        {"hue": 0, "rotation": 0.0, "perspective": 0.0},
    )

    assert list(Augmenter(spec, requested).describe_restrictions()) == [
        "no hue shift: mark.shape is queried",
        "no rotation and no perspective: level measures height",
        "no vertical flip: spoon-straight fixes an orientation",
        "no horizontal flip: spoon-straight fixes an orientation",
    ]
    assert list(Augmenter(counting_spec(), requested).describe_restrictions()) == []
    assert list(Augmenter(spec, augmentation.model_copy(update={**disabled, "flip": []})).describe_restrictions()) == []


@pytest.mark.parametrize(
    ("component", "size", "flip", "turns"),
    [
        ("pin", (80, 80), ["x", "y"], True),
        ("pin", (80, 60), ["x", "y"], False),
        ("pin", (80, 80), ["x"], False),
        ("upright_pin", (80, 80), ["x", "y"], False),
    ],
    ids=["free", "not square", "one flip", "a name tells the orientation"],
)
def test_square_photos_of_loose_things_turn_by_a_quarter(
    augmentation: AugmentationSettings, component: str, size: tuple[int, int], flip: list[str], turns: bool
) -> None:
    """A wide box becomes a high one, exactly, and the pixels turn with it."""
    still = {"geometric": 1.0, "shift": 0.0, "scale": 0.0, "rotation": 0.0, "perspective": 0.0, "flip": flip}
    body = {"logicls": 1, "product": {"name": "box"}, "components": {component: {}}}
    rules = [{"id": "pins", "quantity": {"of": component, "at_least": 1}, "violation": "missing"}]
    augmenter = Augmenter(
        Spec.model_validate({**body, "constraints": rules}), augmentation.model_copy(update={**NO_PHOTOMETRY, **still})
    )
    width, height = size
    photo = np.full((height, width, 3), 120, np.uint8)
    photo[10:18, 20:50] = 30
    canvas = Canvas(photo, Scene("a.png", width, height, (Instance(1, component, Box(20, 10, 50, 18)),)))

    boxes = set()
    for seed in range(24):
        out = augment_canvas(augmenter, canvas, seed)
        box = out.scene.instances[0].box
        x1, y1, x2, y2 = (round(edge) for edge in (box.x1, box.y1, box.x2, box.y2))
        assert (out.photo[y1:y2, x1:x2].mean() < 40, out.photo.mean() == pytest.approx(photo.mean(), abs=1)) == (1, 1)
        boxes.add((x2 - x1, y2 - y1))

    assert boxes == ({(30, 8), (8, 30)} if turns else {(30, 8)})
