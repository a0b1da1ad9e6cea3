"""Repeated decisions of a bundle for an attribute agreement study: each trial varies the photo as if it was retaken.

A variation changes illumination, colour, sharpness, noise, JPEG quality, and shifts the photo slightly.

The decisions are logged to a file, which a rerun continues; the result is study.json.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from logicls.constraints.spec.models import Spec
from logicls.data.image_io import read_photo
from logicls.errors import DataError, PhotoError, Problem, relative_path
from logicls.evaluation.agreement.decisions import BUNDLE_INSPECTOR, MAX_NAMED, OUTCOMES, Decision
from logicls.evaluation.agreement.statistics import (
    EFFECTIVENESS,
    FALSE_ALARM,
    MISS,
    AgreementStudy,
    Appraisal,
    DecisionRate,
    Kappa,
    grade_value,
)
from logicls.evaluation.intervals import Rate
from logicls.io import jsonl
from logicls.predict.decision import decide_photo, load_decision_model
from logicls.predict.readers.protocol import Reader, predict_arrays
from logicls.records import Outcome
from logicls.synth.augmentation import Augmenter
from logicls.synth.image_ops import Photo
from logicls.synth.photometric import apply_photometric_transform, build_photometric_transform
from logicls.synth.settings import AugmentationSettings


class DecisionLog:
    """Decisions of a bundle by photo and trial, in a file that further decisions are appended to."""

    def __init__(self, file: jsonl.Appender, study_id: str, outcomes: Mapping[tuple[str, int], Outcome]) -> None:
        self._file, self._study_id, self._outcomes = file, study_id, outcomes

    def find(self, photos: Sequence[str], trial: int) -> Mapping[str, Outcome] | None:
        """Return the outcomes of these photos in a trial; None if one of them is missing."""
        outcomes = {name: self._outcomes[name, trial] for name in photos if (name, trial) in self._outcomes}
        return outcomes if len(outcomes) == len(photos) else None

    def add(self, outcomes: Mapping[str, Outcome], trial: int) -> None:
        """Append the new ones. Raises `DataError` (LC253)."""
        for name, outcome in outcomes.items():
            if (name, trial) not in self._outcomes:
                self._file.append({"study": self._study_id, "photo": name, "trial": trial, "decision": outcome})


@contextmanager
def open_decision_log(path: Path, settings: Mapping[str, object]) -> Iterator[DecisionLog]:
    """Open the log of decisions with these `settings`; decisions with other settings stay in the file, unused.

    Raises:
        DataError: Another run writes to the file (LC606), it cannot be written (LC253), or a line is invalid (LC250).
    """
    study_id = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    with jsonl.Appender(path) as file:
        outcomes: dict[tuple[str, int], Outcome] = {}
        for line in jsonl.read_records(path):
            photo, trial, decision = (line.get(key) for key in ("photo", "trial", "decision"))
            if line.get("study") == study_id and isinstance(photo, str) and isinstance(trial, int):
                outcomes.update(((photo, trial), outcome) for outcome in OUTCOMES if outcome == decision)
        yield DecisionLog(file, study_id, outcomes)
        file.sync()


def study_to_json(study: AgreementStudy) -> dict[str, object]:
    """Return the content of study.json: shares 0 to 1, null where undefined."""
    board: dict[str, object] = {"n": study.photos, "bad": study.defective}
    board["inspectors"] = {one.name: _appraisal_json(one) for one in study.appraisals}
    board["between"] = {
        **_rate_json("agreement", study.between),
        **_rate_json("effectiveness", study.between_standard),
        **_kappa_json("kappa", study.between_kappa),
        "pairs": [{"inspectors": [one, other], **_kappa_json("kappa", kappa)} for one, other, kappa in study.pairs],
    }
    limits = {"effectiveness": EFFECTIVENESS, "miss_rate": MISS, "false_alarm_rate": FALSE_ALARM}
    board["guidance"] = {name: {"acceptable": a, "marginal": b} for name, (a, b) in limits.items()}
    return board


def _appraisal_json(one: Appraisal) -> dict[str, object]:
    grades = {
        "effectiveness": grade_value(one.effectiveness.value, EFFECTIVENESS),
        "miss_rate": grade_value(one.miss_rate.value, MISS),
        "false_alarm_rate": grade_value(one.false_alarm_rate.value, FALSE_ALARM),
    }
    return {
        "trials": one.trials,
        **_rate_json("within", one.within),
        **_kappa_json("within_kappa", one.within_kappa),
        **_rate_json("effectiveness", one.effectiveness),
        **_rate_json("effectiveness_without_review", one.effectiveness_without_review),
        **_kappa_json("kappa", one.kappa),
        **_rate_json("miss_rate", one.miss_rate),
        **_rate_json("false_alarm_rate", one.false_alarm_rate),
        **_rate_json("review_rate", one.review_rate),
        "grades": grades,
    }


def _rate_json(name: str, rate: Rate | DecisionRate | None) -> dict[str, object]:
    ci95 = rate.ci95 if rate else None
    return {name: rate.value if rate else None, f"{name}_ci95": list(ci95) if ci95 else None}


def _kappa_json(name: str, kappa: Kappa | None) -> dict[str, object]:
    ci95 = kappa.ci95 if kappa else None
    return {name: kappa.value if kappa else None, f"{name}_ci95": list(ci95) if ci95 else None}


MAX_SHIFT = 0.01
"""Largest shift at full strength, as a share of the photo's sides: tolerance of the fixture."""


@dataclass(frozen=True, slots=True)
class PhotoVariation:
    """Random variation of a photo, at a share of the strength of the augmentation in training."""

    settings: AugmentationSettings
    strength: float
    """0 to 1."""

    def apply(self, photo: Photo, rng: np.random.Generator) -> Photo:
        """Return a variation of the photo."""
        seed = int(rng.integers(2**31))
        shifted = _shift(photo, MAX_SHIFT * self.strength * rng.uniform(-1, 1, 2))
        low, high = self.settings.jpeg_quality
        varied = apply_photometric_transform(shifted, self._photometric_transform(), seed)
        return _compress(varied, int(rng.integers(low, high + 1)))

    def _photometric_transform(self) -> object:
        settings, strength = self.settings, self.strength
        return build_photometric_transform(
            brightness=settings.brightness * strength,
            contrast=settings.contrast * strength,
            colour_cast=settings.colour_cast * strength,
            hue=round(settings.hue * strength),
            illumination=settings.illumination,
            gradient=settings.gradient * strength,
            vignette=settings.vignette * strength,
            blur=settings.blur * strength,
            noise=settings.noise * strength,
        )


def make_variation(spec: Spec, settings: AugmentationSettings, strength: float) -> PhotoVariation:
    """Return the variation for photos of a product; without hue changes if a rule depends on a colour."""
    return PhotoVariation(Augmenter(spec, settings).settings, strength)


def _shift(photo: Photo, shares: np.ndarray) -> Photo:
    """Shift by shares of width and height; border pixels are replicated."""
    height, width = photo.shape[:2]
    matrix = np.array([[1, 0, shares[0] * width], [0, 1, shares[1] * height]])
    return np.asarray(cv2.warpAffine(photo, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE))


def _compress(photo: Photo, quality: int) -> Photo:
    is_done, data = cv2.imencode(".jpg", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not is_done:  # pragma: no cover - the encoder accepts every uint8 image
        raise ValueError("cannot encode a photo")
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))


@dataclass(frozen=True, slots=True)
class RepeatOptions:
    """Number of trials, and the seed of their variations."""

    trials: int
    seed: int
    batch: int = 16
    """Number of photos at a time."""


def check_photos(photos: Sequence[str], images: Path) -> None:
    """Check that every photo of the truth exists. Raises `DataError` (LC668)."""
    missing = [name for name in photos if not (images / name).is_file()]
    if missing:
        more = f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
        message = f"{len(missing)} of {len(photos)} photos of the truth are missing: {', '.join(missing[:MAX_NAMED])}"
        raise DataError(Problem("LC668", f"{message}{more}.", relative_path(images)))


def repeat_decisions(
    reader: Reader,
    photos: Sequence[str],
    images: Path,
    variation: PhotoVariation,
    options: RepeatOptions,
    *,
    log: DecisionLog | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Iterator[Decision]:
    """Yield a decision for each photo and trial; a photo that cannot be read goes to review.

    The variation of a photo depends on the seed, the trial and the photo's name only. Batches whose decisions are all
    in the `log` are not predicted again. `on_progress` is called with the number of further decisions.
    """
    for start in range(0, len(photos), options.batch):
        chunk, pixels = photos[start : start + options.batch], None
        for trial in range(1, options.trials + 1):
            outcomes = log.find(chunk, trial) if log else None
            if outcomes is None:
                pixels = _read_photos(images, chunk) if pixels is None else pixels
                rngs = (np.random.default_rng([options.seed, trial, zlib.crc32(name.encode())]) for name in pixels)
                varied = [variation.apply(photo, rng) for photo, rng in zip(pixels.values(), rngs, strict=True)]
                predicted = dict(zip(pixels, predict_outcomes(reader, varied), strict=True))
                outcomes = {name: predicted.get(name, "review") for name in chunk}
                if log:
                    log.add(outcomes, trial)
            yield from (Decision(name, BUNDLE_INSPECTOR, trial, outcomes[name]) for name in chunk)
            on_progress(len(chunk))


def predict_outcomes(reader: Reader, photos: Sequence[np.ndarray]) -> list[Outcome]:
    """Return the bundle's outcome of each photo, uint8 RGB [height width 3]."""
    model = load_decision_model(reader.bundle)
    predictions = predict_arrays(reader, photos) if photos else []
    return [decide_photo(model, one, "", photo).outcome for one, photo in zip(predictions, photos, strict=True)]


def _read_photos(images: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read the photos that can be read."""
    photos = {}
    for name in names:
        try:
            photos[name] = read_photo(images / name)
        except PhotoError:
            continue
    return photos
