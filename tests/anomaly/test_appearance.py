"""Memory of a component's look: crops, registration, strangeness, and its state."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from logicls.anomaly.appearance import (
    AppearanceMemory,
    CropFrame,
    GoodPhoto,
    PlacedInstance,
    choose_crop_size,
    find_covers,
    fit_memory,
    memory_from_tensors,
    memory_to_tensors,
    trim_overlaps,
)
from logicls.io.resources import resource_path
from logicls.models.nano import NanoForImageTextToText
from logicls.records import Box

BOX = Box(60, 50, 124, 98)
"""Where the part lies if it is not shifted."""


@pytest.fixture(scope="module")
def stem() -> nn.Sequential:
    """Return the stem of the shipped base."""
    torch.set_num_threads(1)
    model = NanoForImageTextToText.from_pretrained(resource_path("train/base"), local_files_only=True)
    return model.stem.fine.float().eval()


def take_photo(
    seed: int, *, flaw: str = "", label: bool = True, shift: tuple[float, float] = (0.0, 0.0), angle: float = 0.0
) -> np.ndarray:
    """Draw a dark part with print on a board, with a label on it, some light and noise; shifted by pixels."""
    rng = np.random.default_rng(seed)
    photo = np.full((160, 200, 3), (40, 110, 70), np.uint8)
    photo[50:98, 60:124] = (22, 20, 24)
    cv2.putText(photo, "SF17", (66, 80), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (60, 60, 60), 1, cv2.LINE_AA)
    if flaw == "turned":
        photo[50:98, 60:124] = photo[50:98, 60:124][::-1, ::-1]
    if flaw == "scratched":
        cv2.line(photo, (90, 60), (116, 74), (120, 118, 110), 1, cv2.LINE_AA)
    if label:
        photo[86:96, 100:120] = (200, 190, 90)
    turn = cv2.getRotationMatrix2D((92, 74), angle, 1.0)
    turn[:, 2] += shift
    photo = cv2.warpAffine(photo, turn, (200, 160), borderMode=cv2.BORDER_REPLICATE)
    noisy = photo * rng.uniform(0.92, 1.08) + rng.normal(0, 2, photo.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def place(seed: int, shift: tuple[float, float] = (0.0, 0.0), *, covers: tuple[Box, ...] = ()) -> PlacedInstance:
    """Return the box of the part as a model would read it, off by a pixel or so."""
    edges = np.random.default_rng(1000 + seed).normal(0, 1.0, 4)
    box = Box(BOX.x1 + edges[0], BOX.y1 + edges[1], BOX.x2 + edges[2], BOX.y2 + edges[3]).translate(*shift)
    return PlacedInstance(box, covers=covers)


LABEL = Box(100, 86, 120, 96)


@pytest.fixture(scope="module")
def memory(stem: nn.Sequential) -> AppearanceMemory:
    """Fit a memory to twelve good photos, with the label on each as a component of its own."""
    photos = [GoodPhoto(f"{n}.png", take_photo(n), (place(n, covers=(LABEL,)),)) for n in range(12)]
    return fit_memory(stem, photos)


@given(
    st.floats(20, 80), st.floats(20, 80), st.floats(8, 60), st.floats(8, 60),
    st.sampled_from([0.0, 90.0, 180.0, 30.0, -75.0]), st.floats(-0.3, 0.3), st.floats(-0.3, 0.3),
)  # fmt: skip
def test_frames_map_cells_and_boxes_alike(x, y, width, height, angle, dx, dy):
    """The cell that lies in the middle of a box of cells is in the middle of the box on the photo."""
    frame = CropFrame((x, y), (width, height), angle).shift(dx, dy, 1.1)

    cells = frame.locate_cells(6, 4)
    box = frame.to_photo(Box(1, 2, 2, 3), 6, 4)

    assert box.centre == pytest.approx(tuple(cells[2, 1]), abs=1e-6)
    assert frame.to_photo(Box(0, 0, 4, 6), 6, 4).centre == pytest.approx(frame.centre, abs=1e-6)
    assert frame.upright_box.centre == pytest.approx(frame.centre)


def test_crops_are_cut_in_place():
    """A crop without scale and angle is the photo's own pixels; of a frame at 90 degrees they are turned back."""
    photo = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)

    upright = CropFrame((20.0, 15.0), (10.0, 6.0), 0.0).cut(photo, 6, 10)
    turned = CropFrame((20.0, 15.0), (6.0, 10.0), 90.0).cut(photo, 10, 6)
    smaller = CropFrame((20.0, 20.0), (24.0, 24.0), 0.0).cut(photo, 8, 8)

    assert np.array_equal(upright, photo[12:18, 15:25])
    assert np.array_equal(turned, np.rot90(photo[12:18, 15:25], -1))
    assert smaller[2, 5].tolist() == pytest.approx(photo[14:17, 23:26].mean((0, 1)).tolist(), abs=1.0)


def test_crop_size_keeps_the_aspect():
    """The longer side is 128 pixels, both are multiples of 16, and none is tiny."""
    assert choose_crop_size((107.0, 76.0)) == (96, 128)
    assert choose_crop_size((20.0, 400.0)) == (128, 32)


def test_registration_undoes_shifts(memory):
    """A box that is off by some pixels leads to the frame of the part."""
    found = memory.registration.find(take_photo(30), PlacedInstance(BOX.translate(3.0, -2.0)))

    assert found.centre == pytest.approx(BOX.centre, abs=0.7)
    assert found.size == pytest.approx((BOX.width, BOX.height), rel=0.05)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (14.4, -9.7)])
@pytest.mark.parametrize("flaw", ["turned", "scratched"])
def test_flaws_are_strange_and_good_parts_are_not(memory, stem, flaw, shift):
    """Faint print that is the wrong way round, and a scratch, score above all good parts, wherever the part lies."""
    good = [
        memory.compare(stem, take_photo(seed, shift=shift), [place(seed, shift, covers=(LABEL.translate(*shift),))])[0]
        for seed in range(40, 60)
    ]
    (bad,) = memory.compare(
        stem, take_photo(70, flaw=flaw, shift=shift), [place(70, shift, covers=(LABEL.translate(*shift),))]
    )

    assert bad.score > max(look.score for look in good)
    assert bad.is_anomalous
    assert bad.rarity < min(look.rarity for look in good)
    assert sum(look.is_anomalous for look in good) <= 4
    assert sum(look.rarity <= 0.01 for look in good) == 0
    assert bad.box.ioa(BOX.translate(*shift)) > 0.8
    if flaw == "scratched":
        assert bad.box.intersection(Box(90, 60, 116, 74).translate(*shift)) > 0


def test_parts_with_a_look_of_their_own_do_not_count(memory, stem):
    """A label that is missing is no strange look of what it lies on, whether it is read there or not."""
    (read,) = memory.compare(stem, take_photo(80), [place(80, covers=(LABEL,))])
    (missing,) = memory.compare(stem, take_photo(80, label=False), [place(80)])

    assert missing.rarity > 0.01
    assert missing.score < read.score + 1.0
    assert memory.is_covered.any()
    assert not memory.is_covered.all()
    assert find_covers(BOX, [LABEL, Box(0, 0, 200, 160), Box(150, 100, 160, 110)]) == (LABEL,)


def test_angles_turn_the_crop(stem):
    """Parts that lie at any angle are compared upright; a wrong angle by a few degrees is no flaw."""

    def lying(angle: float) -> PlacedInstance:
        c, s = abs(np.cos(np.radians(angle))), abs(np.sin(np.radians(angle)))
        width, height = 64 * c + 48 * s, 64 * s + 48 * c
        return PlacedInstance(Box(92 - width / 2, 74 - height / 2, 92 + width / 2, 74 + height / 2), angle)

    angles = [0.0, 90.0, 180.0, 270.0, 20.0, 110.0, 200.0, 290.0, 0.0, 180.0, 65.0, 155.0]
    photos = [GoodPhoto(str(n), take_photo(n, angle=a), (lying(a),)) for n, a in enumerate(angles)]
    memory = fit_memory(stem, photos)

    good = [memory.compare(stem, take_photo(90, angle=a), [lying(a)])[0] for a in (90.0, 200.0, 0.0, 65.0)]
    (bad,) = memory.compare(stem, take_photo(91, angle=90.0, flaw="turned"), [lying(90.0)])

    assert memory.registration.size == pytest.approx((64, 48), abs=1.5)
    assert bad.score > max(look.score for look in good)
    assert bad.frame.angle == 90.0


def test_several_instances_of_a_photo_are_left_out_together(stem):
    """Two instances with a mark that only their photo has are scored without each other."""
    photos = [GoodPhoto(str(n), take_photo(n), (place(n), place(100 + n))) for n in range(10)]
    odd = GoodPhoto("odd", take_photo(50, flaw="scratched"), (place(50), place(51)))

    memory = fit_memory(stem, [*photos, odd])

    assert memory.photo_names[0] == "odd"
    assert len(memory.scores.scores) == 11
    assert memory.scores.scores[0] > memory.scores.review_score
    assert memory.scores.scores[0] > 2 * memory.scores.scores[1]


def test_too_few_photos(stem):
    """One photo cannot be compared with others."""
    with pytest.raises(ValueError, match="instances on 1 good photos"):
        fit_memory(stem, [GoodPhoto("a", take_photo(1), (place(1),)), GoodPhoto("b", take_photo(2), ())])


def test_nothing_to_compare(memory, stem):
    """A photo without the component has no looks; everything hidden hides nothing."""
    assert memory.compare(stem, take_photo(1), []) == []
    covered = replace(memory, is_covered=np.ones_like(memory.is_covered))

    (look,) = covered.compare(stem, take_photo(95, flaw="turned"), [place(95)])

    assert look.is_anomalous


def test_state_round_trip(memory, stem):
    """A memory that was stored compares as before."""
    restored = memory_from_tensors(memory_to_tensors(memory), memory.photo_names)
    photo, instances = take_photo(96, flaw="scratched"), [place(96), place(97)]

    before, after = (one.compare(stem, photo, instances) for one in (memory, restored))

    assert [look.score for look in after] == pytest.approx([look.score for look in before], rel=0.02)
    assert (restored.scores, restored.photo_names, restored.crop) == (memory.scores, memory.photo_names, memory.crop)
    with pytest.raises(KeyError):
        memory_from_tensors({}, ())


@pytest.mark.parametrize(
    ("boxes", "trimmed"),
    [
        ([Box(0, 0, 35, 28), Box(28, 0, 58, 28)], [Box(0, 0, 28, 28), Box(28, 0, 58, 28)]),
        ([Box(10, 0, 40, 28), Box(0, 20, 50, 50)], [Box(10, 0, 40, 28), Box(0, 28, 50, 50)]),
        ([Box(0, 0, 10, 10), Box(20, 0, 30, 10)], [Box(0, 0, 10, 10), Box(20, 0, 30, 10)]),
        ([Box(0, 0, 100, 100), Box(40, 40, 60, 60)], [Box(0, 0, 100, 100), Box(40, 40, 60, 60)]),
        ([Box(0, 0, 10, 10)], [Box(0, 0, 10, 10)]),
        ([], []),
    ],
    ids=["beside", "below", "apart", "inside", "single", "none"],
)
def test_boxes_of_touching_instances(boxes, trimmed):
    """The larger box ends where its neighbour begins; a box around another one stays."""
    assert trim_overlaps(boxes) == trimmed
