"""Components are drawn at their boxes, to a fraction of a pixel."""

from __future__ import annotations

import numpy as np
import pytest

from logicls.pretraining.camera import render_photo, warp_points
from logicls.pretraining.catalogue import KINDS, are_confusable
from logicls.pretraining.drawing import SCALE, Pose, ellipse, fill
from logicls.pretraining.scene_builder import SceneBuilder
from logicls.pretraining.vessels import draw_vessels

GREEN = np.array((0.1, 0.75, 0.2), dtype=np.float32)


def plain_scene(seed: int, height: int, width: int) -> SceneBuilder:
    """Return a scene without shadows on a uniform background in a colour that no kind has."""
    scene = SceneBuilder(np.random.default_rng(seed), height, width)
    scene.canvas[:] = GREEN[:, None, None]
    scene.shadow_brightness, scene.has_seams = 1.0, False
    return scene


def find_edges(image: np.ndarray, background: np.ndarray) -> tuple[float, float, float, float]:
    """Return x1, y1, x2, y2 of the difference to the background, weighted by coverage of the outermost pixels."""
    change = np.abs(image - background).max(axis=2)
    share = np.clip(change / (0.9 * change.max()), 0, 1)
    down, right = share.max(axis=1), share.max(axis=0)
    rows, columns = np.flatnonzero(down > 0.1), np.flatnonzero(right > 0.1)
    return (
        columns[0] + 1 - right[columns[0]],
        rows[0] + 1 - down[rows[0]],
        columns[-1] + right[columns[-1]],
        rows[-1] + down[rows[-1]],
    )


@pytest.mark.parametrize("size", [5.0, 13.3, 40.6, 101.7])
@pytest.mark.parametrize("is_warped", [False, True])
def test_disc_matches_its_box(size, is_warped):
    """The pixels of a disc end at its contour, also after the camera's warp."""
    canvas = np.full((3, 128 * SCALE, 128 * SCALE), 0.2, dtype=np.float32)
    background = render_photo(canvas, None)
    warp = np.array([(0.998, 0.05, -3.3), (-0.05, 1.01, 4.7)]) if is_warped else None
    contour = Pose(60.3, 63.8, size).transform(ellipse(1, 1))
    fill(canvas, contour, (1, 1, 1))

    image = render_photo(canvas, warp)

    low, high = warp_points(contour, warp).min(axis=0), warp_points(contour, warp).max(axis=0)
    assert find_edges(image, background) == pytest.approx((*low, *high), abs=0.5)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.names[0].replace(" ", "_"))
def test_kind_fills_its_box(kind):
    """Paint reaches each side of the box within 1.5 pixels, and exceeds it by at most one."""
    values = kind.values or ("",)
    for number, value in enumerate(values[:3]):
        scene = plain_scene(number, 96, 96)
        background = render_photo(scene.canvas, None)
        colour = next(
            (name for name in kind.colours if name not in ("green", "turquoise")), "green" if kind.colours else ""
        )
        if colour == "green":
            scene.canvas[:] = (GREEN[::-1] * 0.9)[:, None, None]
            background = render_photo(scene.canvas, None)
        scene.add(
            kind,
            Pose(48.2, 47.7, 70),
            scene.sample_style(kind, colour, (0.4, 0.6, 0.3), "off" if value == "on" else value),
        )

        x1, y1, x2, y2 = find_edges(render_photo(scene.canvas, None), background)

        (left, top), (right, bottom) = scene.components[0].contour.min(axis=0), scene.components[0].contour.max(axis=0)
        assert left - 1 < x1 < left + 1.5
        assert top - 1 < y1 < top + 1.5
        assert right - 1.5 < x2 < right + 1
        assert bottom - 1.5 < y2 < bottom + 1


def test_contours_have_unit_size():
    """Contours have unit size and are centred: a pose's size is the component's longer side."""
    for kind in KINDS:
        look = plain_scene(0, 32, 32).sample_style(kind, kind.colours[0] if kind.colours else "", (0.5, 0.5, 0.5))
        contour = kind.contour(look)
        assert np.ptp(contour, axis=0).max() == pytest.approx(1, abs=0.03), kind.names
        assert (contour.min(axis=0) + contour.max(axis=0)) / 2 == pytest.approx((0, 0), abs=0.03), kind.names


def test_confusable_kinds():
    """The relation is symmetric, excludes the kind itself, and includes kinds with equal words."""
    by_name = {kind.names[0]: kind for kind in KINDS}

    assert are_confusable(by_name["screw"], by_name["long screw"])
    assert not are_confusable(by_name["gear"], by_name["banana"])
    for one in KINDS:
        assert not are_confusable(one, one)
        assert all(are_confusable(one, other) == are_confusable(other, one) for other in KINDS)


def test_liquid_level():
    """The box of a liquid starts where its colour does."""
    checked = 0
    for seed in range(260):
        scene = plain_scene(seed, 256, 128)
        scene.background = (0.1, 0.75, 0.2)
        draw_vessels(scene)
        liquids = [
            component
            for component in scene.components
            if component.names[0] in ("liquid", "juice", "fluid", "drink", "syrup")
        ]
        if (
            len(liquids) != 1
            or len(scene.components) != 2
            or liquids[0].colour not in ("red", "purple", "blue", "pink")
        ):
            continue
        checked += 1
        contour = liquids[0].contour
        column = int(contour.mean(axis=0)[0])
        strip = render_photo(scene.canvas, None)[:, column - 3 : column + 4].mean(axis=1)
        coloured = strip[:, 1] - strip[:, 0] - strip[:, 2] < -60
        level = float(contour[:, 1].min())
        close = int(level) - 7
        top = close + int(np.flatnonzero(coloured[max(close, 0) :])[0]) - min(close, 0)
        assert abs(top - level) < 2.5, seed

    assert checked >= 5
