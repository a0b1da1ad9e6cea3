"""Inpainting on simple backgrounds with known results."""

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


def add_red_square(background: np.ndarray, box: Box) -> np.ndarray:
    """The background with a red square on it."""
    photo = background.copy()
    photo[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)] = (250, 0, 0)
    return photo


@pytest.mark.parametrize(
    ("background", "tolerance"),
    [(PLAIN, 1), (ACROSS, 12), (DOWN, 12), (STRIPES, 30)],
    ids=["plain", "across", "down", "stripes"],
)
def test_inpainting_matches_the_surroundings(background: np.ndarray, tolerance: int) -> None:
    """Plain, graded and textured backgrounds continue behind the instance; the given photo is not modified."""
    photo = add_red_square(background, BOX)
    before = photo.copy()

    out = inpaint(photo, BOX, FULL, np.random.default_rng(0))

    assert np.abs(out.astype(int) - background).max(2).mean() < 2
    assert np.quantile(np.abs(out.astype(int) - background)[60:90, 80:110], 0.9) <= tolerance
    assert np.array_equal(photo, before)


def test_pixels_outside_the_support_are_not_sampled() -> None:
    """The surroundings of the support do not bleed in."""
    background = np.zeros((160, 200, 3), np.uint8)
    background[40:120, 60:140] = 200
    box = Box(65, 60, 135, 100)

    out = inpaint(add_red_square(background, box), box, np.ones((40, 70), np.float32), np.random.default_rng(0),
                  support=Box(60, 40, 140, 120))  # fmt: skip

    assert np.abs(out[62:98, 68:132].astype(int) - 200).max() <= 14


def test_a_dark_edge_does_not_bleed_in() -> None:
    """A label near the dark glass at its bottle's side is replaced by juice as bright as that above it."""
    background = np.zeros((160, 200, 3), np.uint8)
    background[10:150, 60:140] = 200
    background[10:150, 60:70] = 40
    box = Box(72, 60, 135, 100)

    out = inpaint(add_red_square(background, box), box, np.ones((40, 63), np.float32), np.random.default_rng(0),
                  support=Box(60, 10, 140, 150))  # fmt: skip

    assert np.abs(out[62:98, 76:132].astype(int) - 200).max() <= 14
    assert np.array_equal(out[20:50, 60:140], background[20:50, 60:140])


def test_only_masked_pixels_change() -> None:
    """Pixels of the box that are far from the mask stay."""
    photo, mask = add_red_square(STRIPES, Box(80, 60, 90, 70)), np.zeros((30, 30), np.float32)
    mask[:10, :10] = 1

    out = inpaint(photo, BOX, mask, np.random.default_rng(0))

    assert np.array_equal(out[85:90, 105:110], STRIPES[85:90, 105:110])
    assert (out[62:68, 82:88, 1] > 60).all()


def test_occluders_keep_their_pixels() -> None:
    """An adjacent instance keeps its pixels."""
    photo = add_red_square(PLAIN, BOX)
    photo[60:90, 112:130] = (0, 0, 250)
    neighbour = Box(112, 60, 130, 90)

    out = inpaint(photo, BOX, FULL, np.random.default_rng(0), obstacles=[neighbour],
                  occluders=[(neighbour, np.ones((30, 18), np.float32))])  # fmt: skip

    assert (out[64:86, 118:128] == (0, 0, 250)).all()
    assert np.abs(out[64:86, 84:104].astype(int) - 120).max() <= 3


def test_texture_is_preserved() -> None:
    """On noise, the filled region is as rough as the background."""
    rng = np.random.default_rng(1)
    noise = cv2.GaussianBlur(rng.normal(0, 40, (160, 200)).astype(np.float32), (0, 0), 1.5)
    background = np.clip(120 + noise, 0, 255).astype(np.uint8)[..., None].repeat(3, 2)

    out = inpaint(add_red_square(background, BOX), BOX, FULL, rng)

    roughness = [float(np.std(photo[64:86, 84:106])) for photo in (out, background)]
    assert roughness[0] == pytest.approx(roughness[1], rel=0.4)


def test_a_slanted_thing_leaves_the_texture_of_its_ground() -> None:
    """A patch of the ground is found although the box of the thing with a wide margin hardly fits."""
    background = (
        np.random.default_rng(1).normal(120, 25, (260, 320)).clip(0, 255).astype(np.uint8)[..., None].repeat(3, 2)
    )
    photo, mask = background.copy(), np.zeros((260, 320), np.uint8)
    for canvas, colour in ((photo, (250, 0, 0)), (mask, (1,))):
        cv2.line(canvas, (60, 40), (150, 120), colour, 7)

    out = inpaint(photo, Box(55, 35, 155, 125), mask[35:125, 55:155].astype(np.float32), np.random.default_rng(0))

    is_thing = mask.astype(bool)
    assert np.std(out[is_thing]) == pytest.approx(np.std(background[is_thing]), rel=0.25)
    assert out[is_thing].mean() == pytest.approx(120, abs=8)


@pytest.mark.parametrize("box", [Box(50, 0, 350, 100), Box(7, 6, 393, 94)], ids=["full height", "nearly all"])
def test_a_large_thing_leaves_no_black_block(box: Box) -> None:
    """Far from the rim, where nothing is known, the ground continues at its mean brightness."""
    ground = np.full((100, 400, 3), 180, np.uint8)
    mask = np.ones((round(box.height), round(box.width)), np.float32)

    out = inpaint(add_red_square(ground, box), box, mask, np.random.default_rng(0))

    assert np.abs(out.astype(int) - 180).max() <= 12


def test_ground_of_two_colours_is_not_taken_for_the_darker_one() -> None:
    """A large part between black plastic and a green board leaves both, not a black block."""
    ground = np.full((200, 300, 3), 12, np.uint8)
    ground[80:] = (20, 110, 60)
    box = Box(20, 70, 280, 190)

    out = inpaint(add_red_square(ground, box), box, np.ones((120, 260), np.float32), np.random.default_rng(0))

    assert out[160:186, 60:240, 1].mean() > 50
    assert out[74:80, 60:240, 0].mean() < 60
