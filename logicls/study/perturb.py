"""The same photo as if it had been taken again: light, colour, blur, noise, a small shift, compression."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from logicls.constraints.spec import Spec
from logicls.synth.augment import Augmenter, Strength
from logicls.synth.light import lighting, lit
from logicls.synth.pixels import Photo

SHIFT = 0.01
"""Share of its sides by which a photo is shifted at the most, at full strength: play of the fixture."""


@dataclass(frozen=True, slots=True)
class Retake:
    """How far two photos of one part may differ: a share of what training varies photos by."""

    limits: Strength
    share: float
    """0 to 1."""

    def again(self, photo: Photo, rng: np.random.Generator) -> Photo:
        """The photo, taken once more."""
        seed = int(rng.integers(2**31))
        moved = _shifted(photo, SHIFT * self.share * rng.uniform(-1, 1, 2))
        low, high = self.limits.quality
        return _compressed(lit(moved, self._light(), seed), int(rng.integers(low, high + 1)))

    def _light(self) -> object:
        s, share = self.limits, self.share
        return lighting(
            brightness=s.brightness * share, contrast=s.contrast * share, cast=s.cast * share,
            hue=round(s.hue * share), uneven=s.uneven, gradient=s.gradient * share, vignette=s.vignette * share,
            blur=s.blur * share, noise=s.noise * share,
        )  # fmt: skip


def retake(spec: Spec, strength: Strength, share: float) -> Retake:
    """How photos of a product are taken again: where a rule asks for a colour, hues stay."""
    return Retake(Augmenter(spec, strength).strength, share)


def _shifted(photo: Photo, by: np.ndarray) -> Photo:
    """Moved by those shares of its width and height; the edge is drawn out over what comes in."""
    height, width = photo.shape[:2]
    there = np.array([[1, 0, by[0] * width], [0, 1, by[1] * height]])
    return np.asarray(cv2.warpAffine(photo, there, (width, height), borderMode=cv2.BORDER_REPLICATE))


def _compressed(photo: Photo, quality: int) -> Photo:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:  # pragma: no cover - the encoder takes every uint8 picture
        raise ValueError("cannot encode a photo")
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))
