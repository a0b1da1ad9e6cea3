"""What fixed filters see: colours and edges of a photo, by derivatives of Gaussians. Nothing is learned.

The stem keeps what a product's questions need, and each of its features depends on the whole photo through its norms.
Filters see all there is, dents above all, and one place alone: the local jet (Koenderink and van Doorn 1987) in
opponent colours (van de Sande et al., TPAMI 2010), both signs apart, as cells of SIFT and HOG count them.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

CELL = 4
"""Pixels, on each axis, over which responses are averaged."""
WIDTHS = (1.0, 2.0)
"""Standard deviations of the Gaussians, pixels."""
ORDERS = ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
"""How often is derived along x and along y."""
CHANNELS = 3 * (1 + 2 * len(WIDTHS) * len(ORDERS))
"""Three colours, and of each the positive and the negative part of every derivative."""


def edges(photo: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "channels rows columns"]:
    """The features of an RGB photo, one for each `CELL` x `CELL` pixels; sides are multiples of these."""
    colours = opponent(photo)
    cells = photo.shape[1] // CELL, photo.shape[0] // CELL
    seen = [colours]
    for width in WIDTHS:
        lines = [gaussian(width, order) for order in range(3)]
        for across, down in ORDERS:
            found = cv2.sepFilter2D(colours, cv2.CV_32F, lines[across], lines[down], borderType=cv2.BORDER_REFLECT)
            seen += [np.maximum(found, 0), np.maximum(-found, 0)]
    pooled = [cv2.resize(one, cells, interpolation=cv2.INTER_AREA) for one in seen]
    return np.concatenate(pooled, axis=-1).transpose(2, 0, 1)


def opponent(photo: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "height width 3"]:
    """Brightness, red against green, yellow against blue; 1 is 64 levels."""
    red, green, blue = np.moveaxis(photo.astype(np.float32) / 64, -1, 0)
    return np.stack([(red + green + blue) / 3, red - green, (red + green) / 2 - blue], axis=-1)


def gaussian(width: float, order: int) -> Float32[np.ndarray, " taps"]:
    """A Gaussian on a line or its derivative, to correlate with; times `width` to the power of `order`.

    So all widths count alike. What is the same everywhere has no derivative, also to a bell that is cut off.
    """
    at = np.arange(-int(np.ceil(3 * width)), int(np.ceil(3 * width)) + 1) / width
    bell = np.exp(-(at**2) / 2)
    bell /= bell.sum()
    shape = (np.ones_like(at), at, at**2 - (at**2 * bell).sum())[order]
    return np.asarray(shape * bell, np.float32)
