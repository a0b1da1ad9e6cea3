"""Photos taken again: like the first one, never the same, as much unlike it as is asked for."""

import numpy as np
import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.evaluation.agreement.repeatability import make_retake
from logicls.io.resources import resource_path
from logicls.synth.settings import load_augmentation_settings


@pytest.fixture(scope="module")
def made():
    """How photos of the sample product are taken again, by how much."""
    spec, strength = (
        load_spec(resource_path("constraints/dosing_kit.yaml")),
        load_augmentation_settings(resource_path("synth/augment.yaml")),
    )
    return lambda much: make_retake(spec, strength, much)


@pytest.fixture
def photo():
    """Red on grey with an edge."""
    out = np.full((80, 120, 3), 120, np.uint8)
    out[20:60, 40:80] = (200, 40, 40)
    return out


def off(one, other):
    """Mean difference in grey levels."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def test_it_is_the_photo_taken_once_more(made, photo):
    """The size stays, pixels differ, and another draw gives another photo; the given one is not written to."""
    before = photo.copy()

    first, second = (made(0.5).again(photo, np.random.default_rng(seed)) for seed in (0, 1))

    assert first.shape == photo.shape
    assert first.dtype == np.uint8
    assert 0 < off(first, photo) < 40
    assert (first != second).any()
    assert (photo == before).all()


def test_the_same_seed_gives_the_same_bytes(made, photo):
    """A study can be repeated."""
    first, second = (made(1.0).again(photo, np.random.default_rng(7)) for _ in range(2))

    assert (first == second).all()


def test_more_strength_is_more_change(made, photo):
    """At 0 there is compression alone."""

    def mean(strength):
        again = made(strength).again
        return np.mean([off(again(photo, np.random.default_rng(seed)), photo) for seed in range(12)])

    means = [mean(strength) for strength in (0, 0.5, 1)]

    assert means[0] < 3 < means[1] < means[2]


def test_it_shifts(made, photo):
    """The left edge of the red thing moves, and never further than by a hundredth of the width."""
    shifted = [made(1.0).again(photo, np.random.default_rng(n)).astype(int) for n in range(12)]
    red = [image[40, :, 0] - image[40, :, 1] for image in shifted]
    # Where half of the red begins, between pixels.
    edges = [float(np.interp(80, line[34:46], np.arange(34, 46))) for line in red]

    assert np.std(edges) > 0.2
    assert max(edges) - min(edges) < 2 * 0.01 * 120 + 1


def test_hues_stay_where_a_rule_reads_a_colour(made):
    """As in training: what a rule asks for is not changed."""
    assert made(1.0).limits.hue == 0
