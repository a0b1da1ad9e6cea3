"""Masks from boxes alone, measured against outlines that the renderer knows."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from logicls.records import Box
from logicls.sample_product.camera import rasterize_mask
from logicls.sample_product.render import create_good_kit, render_outlines
from logicls.synth.image_ops import pixel_bounds
from logicls.synth.masks import MIN_CONFIDENCE, estimate_mask


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """IoU of two masks."""
    return float(((a > 0.5) & (b > 0.5)).sum() / ((a > 0.5) | (b > 0.5)).sum())


def draw_disc(size: int, radius: int) -> np.ndarray:
    """A white disc in the middle of a grey photo."""
    photo = np.full((size, size, 3), 90, np.uint8)
    cv2.circle(photo, (size // 2, size // 2), radius, (240, 240, 240), -1)
    return photo


def test_the_mask_of_a_disc_excludes_the_corners() -> None:
    """The estimate covers the disc, not the box."""
    estimate = estimate_mask(draw_disc(120, 30), Box(30, 30, 90, 90))

    y, x = np.mgrid[:60, :60]
    assert iou(estimate.mask, (x - 29.5) ** 2 + (y - 29.5) ** 2 <= 30**2) > 0.93
    assert estimate.confidence > 0.9


@pytest.mark.parametrize(
    "box", [Box(0, 0, 120, 120), Box(5, 5, 9, 9), Box(40, 40, 80, 80)], ids=["all", "tiny", "plain"]
)
def test_nothing_to_segment_is_the_box_without_confidence(box: Box) -> None:
    """No surroundings, no pixels, or no contrast: the mask is the box."""
    estimate = estimate_mask(np.full((120, 120, 3), 90, np.uint8), box)

    assert (estimate.mask == 1).all()
    assert estimate.confidence == 0


def test_a_label_fills_its_box() -> None:
    """A rectangle that fills its box has all of it as its mask, with confidence."""
    photo = np.random.default_rng(0).normal(120, 5, (120, 160, 3)).clip(0, 255).astype(np.uint8)
    photo[40:80, 50:110] = (230, 220, 200)

    estimate = estimate_mask(photo, Box(50, 40, 110, 80))

    assert (estimate.mask == 1).all()
    assert estimate.confidence >= MIN_CONFIDENCE


def test_a_shadow_is_not_part_of_the_thing() -> None:
    """A cast shadow has the colour of the ground, darker."""
    photo = np.full((140, 200, 3), (180, 160, 130), np.float32)
    photo[40:100, 60:160] *= 0.7
    cv2.line(photo, (50, 50), (150, 90), (70.0, 80.0, 110.0), 9)
    truth = np.zeros(photo.shape[:2], np.uint8)
    cv2.line(truth, (50, 50), (150, 90), (1,), 9)
    noisy = (photo + np.random.default_rng(0).normal(0, 2, photo.shape)).clip(0, 255).astype(np.uint8)

    estimate = estimate_mask(noisy, Box(45, 38, 161, 101))

    assert iou(estimate.mask, truth[38:101, 45:161]) > 0.75


def test_half_a_thing_is_not_trusted() -> None:
    """A bar of which one half has the colour of the ground is found by the other half only, without confidence."""
    photo = np.random.default_rng(0).normal(170, 3, (200, 260, 3)).clip(0, 255).astype(np.uint8)
    whole, half = photo.copy(), photo.copy()
    cv2.line(whole, (60, 20), (70, 180), (60, 70, 90), 9)
    cv2.line(half, (60, 20), (64, 85), (60, 70, 90), 9)

    confidences = [estimate_mask(canvas, Box(54, 15, 76, 186)).confidence for canvas in (whole, half)]

    assert confidences[0] >= MIN_CONFIDENCE > confidences[1]


def test_outlines_of_the_sample_product_are_found() -> None:
    """Slanted spoons fill a fifth of their box; parts that do not lie at an angle are found as well."""
    rng = np.random.default_rng(3)
    slanted, straight = [], []
    for number in range(8):
        kit = create_good_kit(rng)
        turned = replace(kit, spoon=(190.0, 160.0, float(rng.uniform(25, 65)) * (1 if number % 2 else -1)), tablets=())
        for source, results, components in ((turned, slanted, ("spoon",)), (kit, straight, ("tablet", "spoon"))):
            rendering = render_outlines(source, rng)
            scene = rendering.scene
            for instance, outlines in zip(scene.instances, rendering.outlines, strict=True):
                if instance.component in components:
                    x1, y1, x2, y2 = pixel_bounds(instance.box, scene)
                    truth = rasterize_mask(outlines)[y1:y2, x1:x2]
                    others = [i.box for i in scene.instances if i.id != instance.id]
                    estimate = estimate_mask(rendering.image, instance.box, others)
                    results.append((iou(estimate.mask, truth), truth.mean(), estimate.confidence))

    slanted_ious, coverages, confidences = zip(*slanted, strict=True)
    assert max(coverages) < 0.3
    assert np.mean(slanted_ious) > 0.85
    assert np.mean([iou for iou, _, _ in straight]) > 0.9
    assert sum(confidence >= MIN_CONFIDENCE for confidence in confidences) >= 6
