"""Photos without what was cited, and with nothing else in focus."""

import numpy as np

from logicls.evaluation.necessity import blank_boxes, blur_outside
from logicls.records import Box

BOX = Box(40, 20, 60, 40)


def scene():
    """A red square on a slope of grey with grain, and a blue one elsewhere."""
    rng = np.random.default_rng(1)
    out = (np.linspace(80, 160, 120)[None, :, None] + rng.normal(0, 2, (60, 120, 3))).astype(np.uint8)
    out[20:40, 40:60] = (220, 20, 20)
    out[10:20, 90:100] = (20, 20, 220)
    return out


def test_a_blanked_box_looks_like_its_ground():
    """No red is left, the grey of the slope is there, and what lies elsewhere is as it was."""
    before = scene()

    after = blank_boxes(before, [BOX], [Box(90, 10, 100, 20)], np.random.default_rng(0))

    inside = after[20:40, 40:60].reshape(-1, 3).mean(0)
    assert np.abs(inside - np.linspace(80, 160, 120)[40:60].mean()).max() < 12
    assert (after[10:20, 90:100] == before[10:20, 90:100]).all()
    assert (before[20:40, 40:60] == (220, 20, 20)).all()


def test_only_what_is_kept_is_in_focus():
    """The box is as it was; of the other square hardly any blue is left; the light of the photo stays."""
    before = scene()

    after = blur_outside(before, [BOX])

    assert (after[20:40, 40:60] == before[20:40, 40:60]).all()
    blue = after[10:20, 90:100].astype(int)
    assert (blue[..., 2] - blue[..., 0]).max() < 40
    assert abs(float(after.mean()) - float(before.mean())) < 6
