"""A photo in the size of a model's input: proportions kept, the rest grey. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

GREY = 96
"""Brightness of the border where a photo does not have the input's proportions."""


def placed(size: Sequence[int], width: int, height: int) -> tuple[float, float, float]:
    """(scale, left, top) that take a point of a width x height photo to the input: x * scale + left.

    `size` is (height, width) of the input.
    """
    scale = min(size[0] / height, size[1] / width)
    return scale, (size[1] - width * scale) / 2, (size[0] - height * scale) / 2


def fitted(size: Sequence[int], photo: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "height width 3"]:
    """The photo in that size (height, width), RGB."""
    scale, left, top = placed(size, photo.shape[1], photo.shape[0])
    width, height = max(round(photo.shape[1] * scale), 1), max(round(photo.shape[0] * scale), 1)
    smaller = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas = np.full((size[0], size[1], 3), GREY, np.uint8)
    y, x = round(top), round(left)
    canvas[y : y + height, x : x + width] = smaller[: size[0] - y, : size[1] - x]
    return canvas
