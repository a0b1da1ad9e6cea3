"""What lies under a thing, on grounds so simple that the right answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from logicls.records import Box
from logicls.synth.inpainting import inpaint

PLAIN = np.full((160, 200, 3), 120, np.uint8)
ACROSS = np.repeat(np.linspace(40, 200, 200).astype(np.uint8)[None, :, None], 160, 0).repeat(3, 2)
DOWN = np.repeat(np.linspace(40, 200, 160).astype(np.uint8)[:, None, None], 200, 1).repeat(3, 2)
STRIPES = np.repeat((120 + 40 * np.sin(np.arange(200) * np.pi / 5)).astype(np.uint8)[None, :, None], 160, 0).repeat(
    3, 2
)
BOX = Box(80, 60, 110, 90)
FULL = np.ones((30, 30), np.float32)


def with_red(ground: np.ndarray, box: Box) -> np.ndarray:
    """The ground with a red square on it."""
    photo = ground.copy()
    photo[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)] = (250, 0, 0)
    return photo


@pytest.mark.parametrize(
    ("ground", "off"), [(PLAIN, 1), (ACROSS, 12), (DOWN, 12), (STRIPES, 30)], ids=["plain", "across", "down", "stripes"]
)
def test_a_cleared_place_looks_like_its_surroundings(ground: np.ndarray, off: int) -> None:
    """Plain, graded and textured grounds close behind the thing, and the given photo is not written to."""
    photo = with_red(ground, BOX)
    given = photo.copy()

    out = inpaint(photo, BOX, FULL, np.random.default_rng(0))

    assert np.abs(out.astype(int) - ground).max(2).mean() < 2
    assert np.quantile(np.abs(out.astype(int) - ground)[60:90, 80:110], 0.9) <= off
    assert np.array_equal(photo, given)


def test_nothing_is_learned_from_beyond_the_ground() -> None:
    """What lies around the thing underneath does not bleed in."""
    ground = np.zeros((160, 200, 3), np.uint8)
    ground[40:120, 60:140] = 200
    box = Box(65, 60, 135, 100)

    out = inpaint(with_red(ground, box), box, np.ones((40, 70), np.float32), np.random.default_rng(0),
                  support=Box(60, 40, 140, 120))  # fmt: skip

    assert np.abs(out[62:98, 68:132].astype(int) - 200).max() <= 14


def test_a_dark_edge_beside_it_does_not_leak_in() -> None:
    """A label that reaches almost to the dark glass at its bottle's side leaves juice, as bright as that above it."""
    ground = np.zeros((160, 200, 3), np.uint8)
    ground[10:150, 60:140] = 200
    ground[10:150, 60:70] = 40
    box = Box(72, 60, 135, 100)

    out = inpaint(with_red(ground, box), box, np.ones((40, 63), np.float32), np.random.default_rng(0),
                  support=Box(60, 10, 140, 150))  # fmt: skip

    assert np.abs(out[62:98, 76:132].astype(int) - 200).max() <= 14
    assert np.array_equal(out[20:50, 60:140], ground[20:50, 60:140])


def test_only_what_the_mask_shows_goes() -> None:
    """Far from the thing's own pixels the box keeps what it has."""
    photo, mask = with_red(STRIPES, Box(80, 60, 90, 70)), np.zeros((30, 30), np.float32)
    mask[:10, :10] = 1

    out = inpaint(photo, BOX, mask, np.random.default_rng(0))

    assert np.array_equal(out[85:90, 105:110], STRIPES[85:90, 105:110])
    assert (out[62:68, 82:88, 1] > 60).all()


def test_things_beside_it_stay() -> None:
    """A neighbour that lies against it keeps its pixels."""
    photo = with_red(PLAIN, BOX)
    photo[60:90, 112:130] = (0, 0, 250)
    beside = Box(112, 60, 130, 90)

    out = inpaint(photo, BOX, FULL, np.random.default_rng(0), obstacles=[beside],
                  occluders=[(beside, np.ones((30, 18), np.float32))])  # fmt: skip

    assert (out[64:86, 118:128] == (0, 0, 250)).all()
    assert np.abs(out[64:86, 84:104].astype(int) - 120).max() <= 3


def test_texture_is_carried_over() -> None:
    """On noise, the cleared place is as rough as the ground is, not smooth."""
    rng = np.random.default_rng(1)
    noise = cv2.GaussianBlur(rng.normal(0, 40, (160, 200)).astype(np.float32), (0, 0), 1.5)
    ground = np.clip(120 + noise, 0, 255).astype(np.uint8)[..., None].repeat(3, 2)

    out = inpaint(with_red(ground, BOX), BOX, FULL, rng)

    rough = [float(np.std(picture[64:86, 84:106])) for picture in (out, ground)]
    assert rough[0] == pytest.approx(rough[1], rel=0.4)
