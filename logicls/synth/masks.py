"""Which pixels of a box are the thing: as annotated, or estimated where only the box was drawn."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from logicls.records import Box, Scene
from logicls.synth.pixels import Photo, whole

Mask = Float[np.ndarray, "h w"]
SIDE = 96
"""Longer side of the crop on which a mask is estimated, pixels."""
LEAST, MOST = 0.3, 0.86
"""Shares of the box between which an estimate is believed; beyond, the box is all that is known."""


def estimated(photo: Photo, box: Box) -> Mask:
    """Which pixels of the box are the thing, by GrabCut (Rother et al. 2004): unlike what surrounds the box.

    All of them where the estimate makes no sense, or where the thing fills its box.
    """
    x1, y1, x2, y2 = whole(box, photo)
    full = np.ones((y2 - y1, x2 - x1), np.float32)
    margin = max(4, round(0.25 * max(x2 - x1, y2 - y1)))
    cx1, cy1, cx2, cy2 = whole(box, photo, pad=margin)
    if min(x2 - x1, y2 - y1) < 6 or (cx2 - cx1 == x2 - x1 and cy2 - cy1 == y2 - y1):
        return full
    crop = photo[cy1:cy2, cx1:cx2]
    scale = min(1.0, SIDE / max(crop.shape[:2]))
    small = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    labels = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    inner = [round(v * scale) for v in (x1 - cx1, y1 - cy1, x2 - cx1, y2 - cy1)]
    labels[inner[1] : inner[3], inner[0] : inner[2]] = cv2.GC_PR_FGD
    if not (labels == cv2.GC_BGD).any() or not (labels == cv2.GC_PR_FGD).any():
        return full
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small[..., ::-1].copy(), labels, (0, 0, 0, 0), *models, 3, cv2.GC_INIT_WITH_MASK)
    found = _filled_outline(((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8))
    found = found[inner[1] : inner[3], inner[0] : inner[2]]
    if found.size == 0 or not LEAST <= found.mean() <= MOST:
        return full
    return np.asarray(cv2.resize(found.astype(np.float32), full.shape[::-1], interpolation=cv2.INTER_LINEAR))


def _filled_outline(found: np.ndarray) -> np.ndarray:
    """The largest piece without its holes: the pips of a die belong to it."""
    outlines, _ = cv2.findContours(found, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    out = np.zeros_like(found)
    if outlines:
        cv2.drawContours(out, [max(outlines, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return out


def resized(mask: Mask, box: Box, scene: Scene) -> Mask:
    """The mask at the size that the box has on the scene's photo."""
    x1, y1, x2, y2 = whole(box, scene)
    if mask.shape == (y2 - y1, x2 - x1):
        return mask
    return np.asarray(cv2.resize(mask, (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR))
