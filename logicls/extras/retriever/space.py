"""Where photos lie to one another: features centred, and whitened by how photos of one product differ.

Within-class covariance normalisation (Hatch, Kajarekar and Stolcke, Interspeech 2006): directions in which photos of
the same product differ (light, place, variant, defect) count little, those in which they do not count much. The centre
is the mean feature of made photos of many things, so that it does not move when a product is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

SHRINK = 0.1
"""What is added to each direction's variance, in mean variances over all directions."""
Features = Float[np.ndarray, "photos width"]


@dataclass(frozen=True, slots=True)
class Space:
    """Maps features to unit vectors whose product is the cosine that photos are compared by."""

    centre: Float[np.ndarray, " width"]
    axes: Float[np.ndarray, "axes width"]
    """Orthonormal directions in which photos of one product differ."""
    gains: Float[np.ndarray, " axes"]
    """Less one, what is multiplied along each of them; elsewhere it is one."""

    def place(self, features: Features) -> Features:
        """Unit vectors, one a photo."""
        off = features.astype(np.float64) - self.centre
        off = off + (off @ self.axes.T * self.gains) @ self.axes
        return np.asarray(off / np.maximum(np.linalg.norm(off, axis=1, keepdims=True), 1e-12))


def space_of(centre: Float[np.ndarray, " width"], products: Sequence[Float[np.ndarray, "_ width"]]) -> Space:
    """The space of products, each given by features of its photos; all count alike however many photos they have."""
    width, some = len(centre), [features for features in products if len(features) > 1]
    if not some:
        return Space(centre.astype(np.float64), np.zeros((0, width)), np.zeros(0))
    off = [(f - f.mean(0)).astype(np.float64) / np.sqrt(len(f) * len(some)) for f in some]
    _, sizes, axes = np.linalg.svd(np.concatenate(off), full_matrices=False)
    spans = sizes**2
    least = max(SHRINK * float(spans.sum()) / width, 1e-12)
    return Space(centre.astype(np.float64), axes, np.sqrt(least / (spans + least)) - 1.0)
