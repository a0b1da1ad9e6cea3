"""Looking closely: each thing in a square of its own, cut from the photo in all its pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from logicls.models.nano import NanoForImageTextToText, NanoImageProcessor
from logicls.models.nano.crop_encoder import (
    MAX_HIGHLIGHTS,
    BACKBONE_FILE,
    CROP_MARGIN,
    HIGHLIGHT_PROBABILITY,
    CROP_SIDE,
    NORMALIZED_WHITE,
    CropEncoder,
    CropBackbone,
    add_highlights,
    extract_crops,
)
from logicls.models.nano.detection_head import DetectionHead
from logicls.models.nano.processor import expand_model, expand_processor


@pytest.fixture
def glimpse():
    """One whose answer depends on what it sees."""
    torch.manual_seed(0)
    return CropEncoder(8, 16, orientation_invariant=False).eval()


@pytest.fixture
def photo():
    """90 x 120 noise, as the network likes it."""
    return torch.randn(1, 3, 90, 120, generator=torch.Generator().manual_seed(1))


def box(x1, y1, x2, y2):
    """In pixels of that photo, as shares of it."""
    return torch.tensor([[[x1 / 120, y1 / 90, x2 / 120, y2 / 90]]])


def cut(photo, place, turn=0.0):
    """The square of a place, looked at to tell what is there."""
    return extract_crops(photo, place, turn, augment=False, orientation_invariant=False)


def test_a_square_shows_the_thing_and_a_margin(photo):
    """Pixel by pixel where it has as many pixels as the photo; beyond the photo its edge goes on."""
    side = CROP_SIDE / CROP_MARGIN
    seen = cut(photo, box(60 - side / 2, 40 - side / 2, 60 + side / 2, 40 + side / 2))
    beyond = cut(photo, box(-side / 2, 20, side / 2, 20 + side))

    assert torch.allclose(seen[0, :, 0], photo[0, :, 24:56, 44:76], atol=1e-4)
    assert torch.allclose(
        beyond[0, :, 0, :, : CROP_SIDE // 2], beyond[0, :, 0, :, :1].expand(-1, -1, CROP_SIDE // 2), atol=1e-4
    )


def test_a_long_thing_keeps_its_proportions(photo):
    """The square's side is that of the longer one."""
    long, square = box(40, 42, 80, 48), box(40, 25, 80, 65)

    assert torch.allclose(cut(photo, long), cut(photo, square), atol=1e-4)


def test_turned_by_a_quarter(photo):
    """One looks with the head turned clockwise, and sees the thing turned against the clock."""
    place = box(45, 25, 75, 55)

    upright, turned = (cut(photo, place, turn)[0, :, 0] for turn in (0.0, math.pi / 2))

    assert torch.allclose(torch.rot90(upright, 1, (1, 2)), turned, atol=1e-4)


def test_what_may_lie_any_way_is_told_alike_however_it_lies(photo):
    """By quarters, when it is looked at to tell; another is told otherwise when its photo is turned."""
    asked, place = torch.randn(1, 1, 8), box(45, 30, 75, 60)
    over = torch.rot90(photo, 2, (2, 3))
    there = box(45, 30, 75, 60)
    for any_way in (True, False):
        torch.manual_seed(0)
        one = CropEncoder(8, 16, orientation_invariant=any_way).eval()
        with torch.no_grad():
            same = torch.allclose(one(photo, place, asked), one(over, there, asked), atol=1e-4)
        assert same == any_way


def test_while_learning_no_look_is_like_the_other(glimpse, photo):
    """A little beside and a little turned: what is learned does not hang on a pixel."""
    place, asked = box(45, 30, 75, 60), torch.randn(1, 1, 8)
    glimpse.train()
    first, second = (glimpse(photo, place, asked) for _ in range(2))

    assert not torch.allclose(first, second, atol=1e-4)
    glimpse.eval()
    assert torch.equal(*(glimpse(photo, place, asked) for _ in range(2)))


def test_at_the_beginning_it_changes_nothing_and_learns():
    """What the map says stands until something better is known; the gradient reaches the last layer first."""
    torch.manual_seed(0)
    pointer = DetectionHead(16, 16, 16, use_crops=True)
    pointer.initialize()
    chart, asked, boxes = torch.randn(2, 16, 8, 8), torch.randn(2, 3, 16), torch.rand(2, 3, 4).sort(-1).values * 8
    photo = torch.randn(2, 3, 128, 128)

    plain, close = pointer.read_attributes(chart, asked, boxes), pointer.read_attributes(chart, asked, boxes, photo)
    close.sum().backward()

    assert torch.allclose(plain, close, atol=1e-6)
    assert pointer.crop_encoder.projection[-1].weight.grad.abs().sum() > 0


def test_photos_come_finer():
    """In `detail` times the pixels; what the model makes of them for its map is the photo in the input's size."""
    photo = np.random.default_rng(0).integers(0, 255, (480, 320, 3), dtype=np.uint8)
    coarse, fine = NanoImageProcessor((96, 64)), NanoImageProcessor((96, 64), detail=3)

    found = torch.from_numpy(fine(photo)["pixel_values"].numpy()).float()

    assert fine.shape == (288, 192)
    assert found.shape == (1, 3, 288, 192)
    pooled = torch.nn.functional.avg_pool2d(found, 3)
    assert (pooled - torch.from_numpy(coarse(photo)["pixel_values"].numpy()).float()).abs().max() < 2
    assert fine.letterbox_transform(320, 480) == coarse.letterbox_transform(320, 480)


def test_base_weights_grow_eyes_where_the_processor_has_the_pixels(model, processor, tmp_path):
    """All weights of the base are taken over; what looks closely is new, saved and loaded with the rest."""
    model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")

    grown = expand_model(
        tmp_path / "base", expand_processor(tmp_path / "base", [], (64, 32), 2), orientation_invariant=True
    )
    grown.save_pretrained(tmp_path / "grown")
    again = NanoForImageTextToText.from_pretrained(tmp_path / "grown")

    assert {n for n in grown.state_dict() if n not in model.state_dict()} == {
        n for n in grown.state_dict() if n.startswith("detection_head.crop_encoder.")
    }
    assert (again.config.detail, again.config.orientation_invariant) == (2, True)
    assert all(torch.equal(weight, again.state_dict()[name]) for name, weight in grown.state_dict().items())
    assert model.detection_head.crop_encoder is None


def test_it_begins_with_what_was_learned_of_marks(model, processor, tmp_path):
    """Where the base has the file, which is in half precision; the rest is as it is without."""
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    learned = CropBackbone(model.config.width).state_dict()
    save_file({name: weight.half() for name, weight in learned.items()}, tmp_path / BACKBONE_FILE)
    fine = expand_processor(tmp_path, [], (64, 32), 2)

    grown = expand_model(tmp_path, fine)

    look = grown.detection_head.crop_encoder.backbone.state_dict()
    assert all(torch.equal(look[name], weight.half().float()) for name, weight in learned.items())
    (tmp_path / BACKBONE_FILE).unlink()
    other = expand_model(tmp_path, fine).detection_head.crop_encoder.backbone.state_dict()
    assert not torch.equal(other["0.weight"], look["0.weight"])


def test_glints_fall_on_some_squares():
    """On as many as is said; a glint makes pixels lighter, up to white, and leaves the rest of a square as it was."""
    torch.manual_seed(0)
    dark = torch.full((20, 3, 30, CROP_SIDE, CROP_SIDE), -1.5)

    added = add_highlights(dark) - dark

    share = (added.amax((1, 3, 4)) > 0.05).float().mean()
    assert float(share) == pytest.approx(1 - (1 - HIGHLIGHT_PROBABILITY) ** MAX_HIGHLIGHTS, abs=0.06)
    assert float(added.min()) >= 0
    assert NORMALIZED_WHITE + 1.5 >= float(added.max()) > 3
    assert 0.02 < float((added > 0.05).float().mean()) < 0.2
    assert torch.equal(added[:, 0], added[:, 2])


def test_no_glints_where_it_is_asked_what_is_there(glimpse, photo):
    """The same answer each time."""
    place, asked = box(30, 20, 60, 50), torch.zeros(1, 1, 8)

    assert torch.equal(glimpse(photo, place, asked), glimpse(photo, place, asked))
