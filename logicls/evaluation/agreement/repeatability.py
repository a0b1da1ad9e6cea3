"""A bundle as an inspector: it decides on each photo several times, taken anew each time.

The same photo as if it had been taken again: light, colour, blur, noise, a small shift, compression.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from logicls.constraints.spec.models import Spec
from logicls.data.image_io import read_photo
from logicls.errors import DataError, PhotoError, Problem, relative_path
from logicls.evaluation.agreement.decisions import LOGICLS, Decision
from logicls.evaluation.agreement.storage import Kept
from logicls.predict.decision import load_decision_model, decide_photo
from logicls.predict.readers.protocol import Reader
from logicls.records import Outcome
from logicls.synth.augmentation import Augmenter, AugmentationSettings
from logicls.synth.image_ops import Photo
from logicls.synth.photometric import build_photometric_transform, apply_photometric_transform

SHIFT = 0.01
"""Share of its sides by which a photo is shifted at the most, at full strength: play of the fixture."""


@dataclass(frozen=True, slots=True)
class Retake:
    """How far two photos of one part may differ: a share of what training varies photos by."""

    limits: AugmentationSettings
    share: float
    """0 to 1."""

    def again(self, photo: Photo, rng: np.random.Generator) -> Photo:
        """The photo, taken once more."""
        seed = int(rng.integers(2**31))
        moved = _shifted(photo, SHIFT * self.share * rng.uniform(-1, 1, 2))
        low, high = self.limits.jpeg_quality
        return _compressed(apply_photometric_transform(moved, self._light(), seed), int(rng.integers(low, high + 1)))

    def _light(self) -> object:
        s, share = self.limits, self.share
        return build_photometric_transform(
            brightness=s.brightness * share, contrast=s.contrast * share, colour_cast=s.colour_cast * share,
            hue=round(s.hue * share), illumination=s.illumination, gradient=s.gradient * share, vignette=s.vignette * share,
            blur=s.blur * share, noise=s.noise * share,
        )  # fmt: skip


def retake(spec: Spec, strength: AugmentationSettings, share: float) -> Retake:
    """How photos of a product are taken again: where a rule asks for a colour, hues stay."""
    return Retake(Augmenter(spec, strength).settings, share)


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


MOST = 20
"""Photos that cannot be read which are named."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often a photo is decided, and what chance does."""

    trials: int
    seed: int
    batch: int = 16
    """Photos at a time."""


def check_photos(photos: Sequence[str], images: Path) -> None:
    """Every photo of the truth is there. Raises `DataError` (LC668)."""
    missing = [name for name in photos if not (images / name).is_file()]
    if missing:
        named = ", ".join(missing[:MOST]) + (f" and {len(missing) - MOST} more" if len(missing) > MOST else "")
        message = f"{len(missing)} of {len(photos)} photos of the truth are not there: {named}."
        raise DataError(Problem("LC668", message, relative_path(images)))


def decide_again(
    reader: Reader,
    photos: Sequence[str],
    images: Path,
    retake: Retake,
    repeats: Repeats,
    *,
    kept: Kept | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> Iterator[Decision]:
    """A decision for each photo and trial; a photo that cannot be read goes to review. `done` is told how many more.

    What chance does to a photo depends on the seed, the trial and the photo's name alone. A batch that was decided on
    as a whole, by what is `kept`, is not looked at again.
    """
    for start in range(0, len(photos), repeats.batch):
        some, pixels = photos[start : start + repeats.batch], None
        for trial in range(1, repeats.trials + 1):
            outcomes = kept.on(some, trial) if kept else None
            if outcomes is None:
                pixels = _pixels(images, some) if pixels is None else pixels
                rngs = (np.random.default_rng([repeats.seed, trial, zlib.crc32(name.encode())]) for name in pixels)
                shown = [retake.again(photo, rng) for photo, rng in zip(pixels.values(), rngs, strict=True)]
                came = dict(zip(pixels, outcomes_of(reader, shown), strict=True))
                outcomes = {name: came.get(name, "review") for name in some}
                if kept:
                    kept.add(outcomes, trial)
            yield from (Decision(name, LOGICLS, trial, outcomes[name]) for name in some)
            done(len(some))


def outcomes_of(reader: Reader, photos: Sequence[np.ndarray]) -> list[Outcome]:
    """What the bundle decides on photos, uint8 RGB [height width 3]."""
    grounds = load_decision_model(reader.bundle)
    looks = reader.predict_pixels(photos) if photos else []
    return [decide_photo(grounds, look, "", photo).outcome for look, photo in zip(looks, photos, strict=True)]


def _pixels(images: Path, photos: Sequence[str]) -> dict[str, np.ndarray]:
    """Those that can be read."""
    return {name: photo for name in photos for photo in [_read(images / name)] if photo is not None}


def _read(path: Path) -> np.ndarray | None:
    try:
        return read_photo(path)
    except PhotoError:
        return None
