"""Crop encoder: crops of instances from the photo at full resolution, and the features computed from them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from logicls.models.nano import NanoForImageTextToText, NanoImageProcessor
from logicls.models.nano.crop_encoder import (
    BACKBONE_FILE,
    CROP_MARGIN,
    CROP_SIDE,
    DIAGONAL_CROP_SHAPE,
    HIGHLIGHT_PROBABILITY,
    MAX_HIGHLIGHTS,
    NORMALIZED_WHITE,
    CropBackbone,
    CropEncoder,
    add_highlights,
    encode_instances,
    extract_crops,
    extract_diagonal_crops,
)
from logicls.models.nano.detection_head import DetectionHead
from logicls.models.nano.processor import expand_model, expand_processor


@pytest.fixture
def encoder():
    """A crop encoder with random weights."""
    torch.manual_seed(0)
    return CropEncoder(8, 16, orientation_invariant=False).eval()


@pytest.fixture
def photo():
    """90 x 120 normalized noise."""
    return torch.randn(1, 3, 90, 120, generator=torch.Generator().manual_seed(1))


def box(x1, y1, x2, y2):
    """Convert a box in pixels of that photo to shares of its sides."""
    return torch.tensor([[[x1 / 120, y1 / 90, x2 / 120, y2 / 90]]])


def crop(photo, boxes, rotation=0.0):
    """Extract a crop without augmentation."""
    return extract_crops(photo, boxes, rotation, augment=False, orientation_invariant=False)


def test_a_crop_contains_the_box_and_a_margin(photo):
    """Pixels are unchanged at a scale of 1; beyond the photo its border is repeated."""
    side = CROP_SIDE / CROP_MARGIN
    inside = crop(photo, box(60 - side / 2, 40 - side / 2, 60 + side / 2, 40 + side / 2))
    beyond = crop(photo, box(-side / 2, 20, side / 2, 20 + side))

    assert torch.allclose(inside[0, :, 0], photo[0, :, 24:56, 44:76], atol=1e-4)
    assert torch.allclose(
        beyond[0, :, 0, :, : CROP_SIDE // 2], beyond[0, :, 0, :, :1].expand(-1, -1, CROP_SIDE // 2), atol=1e-4
    )


def test_a_long_box_keeps_its_aspect_ratio(photo):
    """The side of the crop depends on the longer side of the box."""
    long, square = box(40, 42, 80, 48), box(40, 25, 80, 65)

    assert torch.allclose(crop(photo, long), crop(photo, square), atol=1e-4)


def test_a_rotated_crop(photo):
    """A crop rotated clockwise shows its content rotated counterclockwise."""
    place = box(45, 25, 75, 55)

    upright, rotated = (crop(photo, place, angle)[0, :, 0] for angle in (0.0, math.pi / 2))

    assert torch.allclose(torch.rot90(upright, 1, (1, 2)), rotated, atol=1e-4)


def test_features_are_invariant_to_orientation_where_configured(photo):
    """Rotations by quarter turns leave features unchanged during inference; otherwise they change them."""
    queries, place = torch.randn(1, 1, 8), box(45, 30, 75, 60)
    rotated = torch.rot90(photo, 2, (2, 3))
    there = box(45, 30, 75, 60)
    for is_invariant in (True, False):
        torch.manual_seed(0)
        one = CropEncoder(8, 16, orientation_invariant=is_invariant).eval()
        with torch.no_grad():
            same = torch.allclose(one(photo, place, queries), one(rotated, there, queries), atol=1e-4)
        assert same == is_invariant


def test_crops_are_augmented_during_training(encoder, photo):
    """Shift and rotation are random, so that no feature depends on single pixels."""
    place, queries = box(45, 30, 75, 60), torch.randn(1, 1, 8)
    encoder.train()
    first, second = (encoder(photo, place, queries) for _ in range(2))

    assert not torch.allclose(first, second, atol=1e-4)
    encoder.eval()
    assert torch.equal(*(encoder(photo, place, queries) for _ in range(2)))


def test_the_initial_encoder_adds_zeros_and_is_trainable():
    """Attributes are those of the feature map at first; the gradient reaches the last layer."""
    torch.manual_seed(0)
    head = DetectionHead(16, 16, 16, use_crops=True)
    head.initialize()
    feature_map, queries, boxes = (
        torch.randn(2, 16, 8, 8),
        torch.randn(2, 3, 16),
        torch.rand(2, 3, 4).sort(-1).values * 8,
    )
    photo = torch.randn(2, 3, 128, 128)

    plain, close = (
        head.read_attributes(feature_map, queries, boxes),
        head.read_attributes(feature_map, queries, boxes, photo),
    )
    close.sum().backward()

    assert torch.allclose(plain, close, atol=1e-6)
    assert head.crop_encoder.projection[-1].weight.grad.abs().sum() > 0


def test_photos_have_more_pixels_with_detail():
    """They are `detail` times as large, and downscaled equal the photo in the size of the input."""
    photo = np.random.default_rng(0).integers(0, 255, (480, 320, 3), dtype=np.uint8)
    coarse, fine = NanoImageProcessor((96, 64)), NanoImageProcessor((96, 64), detail=3)

    found = torch.from_numpy(fine(photo)["pixel_values"].numpy()).float()

    assert fine.shape == (288, 192)
    assert found.shape == (1, 3, 288, 192)
    pooled = torch.nn.functional.avg_pool2d(found, 3)
    assert (pooled - torch.from_numpy(coarse(photo)["pixel_values"].numpy()).float()).abs().max() < 2
    assert fine.letterbox_transform(320, 480) == coarse.letterbox_transform(320, 480)


def test_base_weights_are_extended_by_a_crop_encoder(model, processor, tmp_path):
    """All weights of the base are kept; the crop encoder is new, and is saved and loaded with the rest."""
    model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")

    expanded = expand_model(
        tmp_path / "base", expand_processor(tmp_path / "base", [], (64, 32), 2), orientation_invariant=True
    )
    expanded.save_pretrained(tmp_path / "expanded")
    again = NanoForImageTextToText.from_pretrained(tmp_path / "expanded")

    assert {n for n in expanded.state_dict() if n not in model.state_dict()} == {
        n for n in expanded.state_dict() if n.startswith("detection_head.crop_encoder.")
    }
    assert (again.config.detail, again.config.orientation_invariant) == (2, True)
    assert all(torch.equal(weight, again.state_dict()[name]) for name, weight in expanded.state_dict().items())
    assert model.detection_head.crop_encoder is None


def test_the_encoder_starts_from_the_pretrained_backbone(model, processor, tmp_path):
    """The base may have its file, in half precision; without it weights are random."""
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    pretrained = CropBackbone(model.config.width).state_dict()
    save_file({name: weight.half() for name, weight in pretrained.items()}, tmp_path / BACKBONE_FILE)
    fine = expand_processor(tmp_path, [], (64, 32), 2)

    expanded = expand_model(tmp_path, fine)

    loaded = expanded.detection_head.crop_encoder.backbone.state_dict()
    assert all(torch.equal(loaded[name], weight.half().float()) for name, weight in pretrained.items())
    (tmp_path / BACKBONE_FILE).unlink()
    other = expand_model(tmp_path, fine).detection_head.crop_encoder.backbone.state_dict()
    assert not torch.equal(other["0.weight"], loaded["0.weight"])


def test_highlights_are_added_to_some_crops():
    """Their share is the configured one; a highlight lightens pixels up to white, and leaves the rest unchanged."""
    torch.manual_seed(0)
    dark = torch.full((20, 3, 30, CROP_SIDE, CROP_SIDE), -1.5)

    added = add_highlights(dark) - dark

    share = (added.amax((1, 3, 4)) > 0.05).float().mean()
    assert float(share) == pytest.approx(1 - (1 - HIGHLIGHT_PROBABILITY) ** MAX_HIGHLIGHTS, abs=0.06)
    assert float(added.min()) >= 0
    assert NORMALIZED_WHITE + 1.5 >= float(added.max()) > 3
    assert 0.02 < float((added > 0.05).float().mean()) < 0.2
    assert torch.equal(added[:, 0], added[:, 2])


def test_there_are_no_highlights_during_inference(encoder, photo):
    """Features are the same each time."""
    place, queries = box(30, 20, 60, 50), torch.zeros(1, 1, 8)

    assert torch.equal(encoder(photo, place, queries), encoder(photo, place, queries))


def test_crops_along_diagonals_straighten_thin_parts():
    """A bright bar from corner to corner lies along the crop of one diagonal, and crosses that of the other."""
    photo = torch.full((1, 3, 64, 96), -1.0)
    for number in range(48):
        photo[:, :, 8 + number, 20 + number] = photo[:, :, 9 + number, 20 + number] = 1.0
    boxes = torch.tensor([[[20 / 96, 8 / 64, 68 / 96, 56 / 64]]])

    along, across = extract_diagonal_crops(photo, boxes, augment=False)[0, 0]
    turned, _ = extract_diagonal_crops(photo, boxes, math.pi, augment=False)[0, 0]

    assert along.shape == DIAGONAL_CROP_SHAPE
    assert along[14:18, 8:56].amax(0).min() > 0
    assert along[:12].max() < 0
    assert along[20:].max() < 0
    assert across[:, 8:24].max() < 0 < across[:, 28:36].max()
    assert torch.allclose(turned, along.flip(0, 1), atol=1e-4)


def test_the_features_of_both_diagonals_are_joined():
    """Mirroring a photo swaps the diagonals, and changes no feature of a part that may be mirrored."""
    encoder = CropEncoder(8, 16, orientation_invariant=True, along_diagonals=True).eval()
    encoder.initialize()
    torch.nn.init.normal_(encoder.projection[-1].weight)
    photo, boxes = torch.rand(1, 3, 40, 40), torch.tensor([[[0.2, 0.3, 0.6, 0.9]]])
    mirrored = torch.tensor([[[0.4, 0.3, 0.8, 0.9]]])

    with torch.no_grad():
        features = encoder(photo, boxes, torch.zeros(1, 1, 8))
        of_mirrored = encoder(photo.flip(-1), mirrored, torch.zeros(1, 1, 8))

    assert features.abs().max() > 0.01
    assert torch.allclose(features, of_mirrored, atol=1e-4)


def test_crops_of_any_shape_fit_the_backbone():
    """Square ones are not pooled further, so that they have the features that they had before."""
    backbone = CropBackbone(16)
    square = torch.rand(2, 3, 32, 32)

    assert backbone(torch.rand(2, 3, *DIAGONAL_CROP_SHAPE)).shape == (2, 16)
    assert torch.equal(backbone(square), torch.nn.Sequential(*backbone)(square))


@pytest.mark.parametrize("along_diagonals", [False, True])
def test_only_the_crops_of_a_mask_are_encoded(along_diagonals):
    """The features of others are zeros, and those in the mask are what they are without one."""
    backbone, photo = CropBackbone(16), torch.rand(2, 3, 40, 40)
    boxes = torch.tensor([[[0.1, 0.2, 0.5, 0.9], [0.3, 0.3, 0.8, 0.6]]]).repeat(2, 1, 1)
    mask = torch.tensor([[True, False], [False, True]])
    options = {"augment": False, "orientation_invariant": True, "along_diagonals": along_diagonals}
    sizes: list[int] = []
    backbone.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))

    every, some = (encode_instances(backbone, photo, boxes, mask=one, **options) for one in (None, mask))

    assert torch.allclose(some, every * mask[..., None], atol=1e-6)
    assert sizes == ([8, 4] if along_diagonals else [4, 2])
