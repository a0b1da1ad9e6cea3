"""Lights of photos that are read together: each photo has its own, however many the others have."""

from __future__ import annotations

import numpy as np
import torch

from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.models.nano.detection_head import CELL_PIXELS
from logicls.predict.readers.detections import BOXES_PER_PASS, Detection, detect

ROWS, COLUMNS = 12, 10


class Pointer:
    """Has the chart's planes for lights, one a question, and gives a thing the box of the cell it lies in."""

    def __init__(self) -> None:
        self.asked_for: list[int] = []

    def lights(self, chart, asked):
        """The planes."""
        return chart

    def boxes(self, chart, asked, rows, columns):
        """A cell, as wide as what is asked for says."""
        self.asked_for.append(rows.numel())
        box = torch.stack([columns, rows, columns + 0.5 * asked[..., 0], rows + 0.5], -1).float()
        return box, box


class Model:
    """Nothing but a pointer."""

    def __init__(self) -> None:
        self.pointer = Pointer()


class AsItIs(NanoAnswerCodec):
    """Leaves boxes where they are."""

    def __init__(self) -> None:
        pass

    def boxes(self, edges, size):
        """The same."""
        return edges


def charts(*counts):
    """Planes of two questions with so many lights in them, in cells that do not touch, each of another chance."""
    out = torch.full((len(counts), 2, ROWS, COLUMNS), -9.0)
    for photo, count in enumerate(counts):
        for number in range(count):
            row, column = divmod(number // 2, COLUMNS // 2)
            out[photo, number % 2, 2 * row, 2 * column] = 3.0 - 0.1 * ((7 * number) % 41)
    return out


def pointed(planes):
    """What is pointed out there."""
    asked = torch.tensor([1.0, 2.0])[None, :, None].expand(len(planes), -1, 3)
    model = Model()
    return detect(model, AsItIs(), planes, asked, [(80, 96)] * len(planes)), model.pointer


def test_a_photo_has_the_same_lights_alone_and_among_others():
    """One without any, one with a few, one with more than are looked at in one go."""
    planes = charts(3, 0, 4 * BOXES_PER_PASS + 5, BOXES_PER_PASS)

    together, _ = pointed(planes)

    assert together == [pointed(planes[n : n + 1])[0][0] for n in range(len(planes))]
    assert [[len(some) for some in one] for one in together] == [[2, 1], [0, 0], [19, 18], [4, 4]]


def test_lights_of_a_question_are_its_own_the_surest_first():
    """With the box of the cell, as wide as that question says, in pixels."""
    ((_, second),), _ = pointed(charts(7))

    assert [light.probability for light in second] == sorted((light.probability for light in second), reverse=True)
    assert isinstance(second[0], Detection)
    for light in second:
        assert light.cell_box[2] - light.cell_box[0] == 1.0
        assert np.allclose((light.box.x1, light.box.y1), np.multiply(light.cell_box[:2], CELL_PIXELS))


def test_few_lights_are_not_asked_for_again_beside_many():
    """A photo that is full of lights costs the others nothing."""
    _, pointer = pointed(charts(2, 2, 2, 5 * BOXES_PER_PASS))

    assert pointer.asked_for == [4 * BOXES_PER_PASS, BOXES_PER_PASS, BOXES_PER_PASS, BOXES_PER_PASS, BOXES_PER_PASS]
