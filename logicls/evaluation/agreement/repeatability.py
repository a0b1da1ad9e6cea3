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
from logicls.evaluation.agreement.decisions import BUNDLE_INSPECTOR, Decision
from logicls.evaluation.agreement.storage import DecisionLog
from logicls.predict.decision import decide_photo, load_decision_model
from logicls.predict.readers.protocol import Reader, predict_arrays
from logicls.records import Outcome
from logicls.synth.augmentation import Augmenter
from logicls.synth.image_ops import Photo
from logicls.synth.photometric import apply_photometric_transform, build_photometric_transform
from logicls.synth.settings import AugmentationSettings

MAX_SHIFT = 0.01
"""Share of its sides by which a photo is shifted at the most, at full strength: play of the fixture."""


@dataclass(frozen=True, slots=True)
class Retake:
    """How far two photos of one part may differ: a share of what training varies photos by."""

    limits: AugmentationSettings
    share: float
    """0 to 1."""

    def apply(self, photo: Photo, rng: np.random.Generator) -> Photo:
        """The photo, taken once more."""
        seed = int(rng.integers(2**31))
        moved = _shift(photo, MAX_SHIFT * self.share * rng.uniform(-1, 1, 2))
        low, high = self.limits.jpeg_quality
        return _compress(apply_photometric_transform(moved, self._light(), seed), int(rng.integers(low, high + 1)))

    def _light(self) -> object:
        s, share = self.limits, self.share
        return build_photometric_transform(
            brightness=s.brightness * share, contrast=s.contrast * share, colour_cast=s.colour_cast * share,
            hue=round(s.hue * share), illumination=s.illumination, gradient=s.gradient * share, vignette=s.vignette * share,
            blur=s.blur * share, noise=s.noise * share,
        )  # fmt: skip


def make_retake(spec: Spec, strength: AugmentationSettings, share: float) -> Retake:
    """How photos of a product are taken again: where a rule asks for a colour, hues stay."""
    return Retake(Augmenter(spec, strength).settings, share)


def _shift(photo: Photo, by: np.ndarray) -> Photo:
    """Moved by those shares of its width and height; the edge is drawn out over what comes in."""
    height, width = photo.shape[:2]
    there = np.array([[1, 0, by[0] * width], [0, 1, by[1] * height]])
    return np.asarray(cv2.warpAffine(photo, there, (width, height), borderMode=cv2.BORDER_REPLICATE))


def _compress(photo: Photo, quality: int) -> Photo:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:  # pragma: no cover - the encoder takes every uint8 picture
        raise ValueError("cannot encode a photo")
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))


MAX_NAMED = 20
"""Photos that cannot be read which are named."""


@dataclass(frozen=True, slots=True)
class RepeatOptions:
    """How often a photo is decided, and what chance does."""

    trials: int
    seed: int
    batch: int = 16
    """Photos at a time."""


def check_photos(photos: Sequence[str], images: Path) -> None:
    """Every photo of the truth is there. Raises `DataError` (LC668)."""
    missing = [name for name in photos if not (images / name).is_file()]
    if missing:
        named = ", ".join(missing[:MAX_NAMED]) + (
            f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
        )
        message = f"{len(missing)} of {len(photos)} photos of the truth are not there: {named}."
        raise DataError(Problem("LC668", message, relative_path(images)))


def repeat_decisions(
    reader: Reader,
    photos: Sequence[str],
    images: Path,
    retake: Retake,
    options: RepeatOptions,
    *,
    log: DecisionLog | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Iterator[Decision]:
    """A decision for each photo and trial; a photo that cannot be read goes to review. `done` is told how many more.

    What chance does to a photo depends on the seed, the trial and the photo's name alone. A batch that was decided on
    as a whole, by what is `kept`, is not looked at again.
    """
    for start in range(0, len(photos), options.batch):
        some, pixels = photos[start : start + options.batch], None
        for trial in range(1, options.trials + 1):
            outcomes = log.find(some, trial) if log else None
            if outcomes is None:
                pixels = _read_photos(images, some) if pixels is None else pixels
                rngs = (np.random.default_rng([options.seed, trial, zlib.crc32(name.encode())]) for name in pixels)
                shown = [retake.apply(photo, rng) for photo, rng in zip(pixels.values(), rngs, strict=True)]
                came = dict(zip(pixels, predict_outcomes(reader, shown), strict=True))
                outcomes = {name: came.get(name, "review") for name in some}
                if log:
                    log.add(outcomes, trial)
            yield from (Decision(name, BUNDLE_INSPECTOR, trial, outcomes[name]) for name in some)
            on_progress(len(some))


def predict_outcomes(reader: Reader, photos: Sequence[np.ndarray]) -> list[Outcome]:
    """What the bundle decides on photos, uint8 RGB [height width 3]."""
    grounds = load_decision_model(reader.bundle)
    looks = predict_arrays(reader, photos) if photos else []
    return [decide_photo(grounds, look, "", photo).outcome for look, photo in zip(looks, photos, strict=True)]


def _read_photos(images: Path, photos: Sequence[str]) -> dict[str, np.ndarray]:
    """Those that can be read."""
    return {name: photo for name in photos for photo in [_read_or_none(images / name)] if photo is not None}


def _read_or_none(path: Path) -> np.ndarray | None:
    try:
        return read_photo(path)
    except PhotoError:
        return None
