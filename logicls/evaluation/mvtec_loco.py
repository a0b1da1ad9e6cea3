"""Test set of one product of MVTec LOCO AD, in its original layout.

    test/good/*.png                     good photos
    test/logical_anomalies/*.png        photos that violate a rule of the product
    test/structural_anomalies/*.png     photos of damaged products
    ground_truth/<split>/<photo>/*.png  one mask per defect; its non-zero pixels are the region
    defects_config.json                 pixel value of the masks → name and saturation of the defect

Source: Bergmann, Batzner, Fauser, Sattlegger, Steger, "Beyond Dents and Scratches: Logical Constraints in Unsupervised
Anomaly Detection and Localization", International Journal of Computer Vision 130, 2022. `train/` and `validation/` are
not evaluated there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from jaxtyping import Bool
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from logicls.data.image_io import read_size
from logicls.errors import DataError, LogiClsError, PhotoError, Problem, relative_path
from logicls.predict.input.listing import list_photos, no_photos_error

CONFIG = "defects_config.json"


@dataclass(frozen=True, slots=True)
class DefectKind:
    """Kind of defect."""

    name: str
    pixel_value: int
    """Value of its pixels in the masks, 1 to 255."""
    saturation_threshold: float
    """Part of a region that has to be found: a share of its area if `relative_saturation`, otherwise pixels."""
    relative_saturation: bool


class _DefectEntry(BaseModel):
    """Entry of defects_config.json; other keys are ignored."""

    model_config = ConfigDict(strict=True)

    defect_name: Annotated[str, Field(min_length=1)]
    pixel_value: Annotated[int, Field(ge=1, le=255)]
    saturation_threshold: Annotated[float, Field(gt=0)]
    relative_saturation: bool

    @model_validator(mode="after")
    def _check_share(self) -> Self:
        if self.relative_saturation and self.saturation_threshold > 1:
            raise ValueError(f"a share of a region is at most 1, not {self.saturation_threshold:g}")
        return self


def read_defects_config(path: Path) -> tuple[DefectKind, ...]:
    """Read defects_config.json, in the file's order.

    Raises:
        DataError: Every error of the file (LC651).
    """
    file = relative_path(path)
    try:
        content = path.read_text(encoding="utf-8-sig")
        entries = TypeAdapter(list[_DefectEntry]).validate_json(content)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(Problem("LC651", f"cannot be read: {error}.", file)) from error
    except ValidationError as error:
        problems = [Problem("LC651", _error_to_text(e["loc"], e["msg"]), file) for e in error.errors()]
        raise DataError(problems) from error
    values = [entry.pixel_value for entry in entries]
    duplicates = sorted({value for value in values if values.count(value) > 1})
    if duplicates or not entries:
        messages = [f"pixel value {value} is of several defects." for value in duplicates] or ["lists no defect."]
        raise DataError([Problem("LC651", message, file) for message in messages])
    return tuple(
        DefectKind(e.defect_name, e.pixel_value, e.saturation_threshold, e.relative_saturation) for e in entries
    )


def _error_to_text(location: tuple[int | str, ...], message: str) -> str:
    entry = f"entry {int(location[0]) + 1}, " if location and isinstance(location[0], int) else ""
    key = f"{location[1]}: " if len(location) > 1 else ""
    return f"{entry}{key}{message[:1].lower()}{message[1:]}."


GOOD, LOGICAL, STRUCTURAL = "good", "logical_anomalies", "structural_anomalies"
SPLITS = (GOOD, LOGICAL, STRUCTURAL)


@dataclass(frozen=True, slots=True)
class DefectRegion:
    """Region of one defect on one photo."""

    file: Path
    kind: DefectKind

    def read_mask(self) -> Bool[np.ndarray, "height width"]:
        """Read the mask of the region."""
        return np.asarray(_read_mask(self.file) != 0)

    def saturation(self, area: int) -> int:
        """Return the pixels, of `area` in total, that have to be found for full overlap; at least 1."""
        threshold = self.kind.saturation_threshold
        return max(int(threshold * area) if self.kind.relative_saturation else min(int(threshold), area), 1)


@dataclass(frozen=True, slots=True)
class LocoPhoto:
    """Photo of the test set."""

    name: str
    """Path below `test/`."""
    split: str
    """good, logical_anomalies or structural_anomalies."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    regions: tuple[DefectRegion, ...] = ()

    @property
    def defects(self) -> tuple[str, ...]:
        """Distinct names of its defects, sorted."""
        return tuple(sorted({region.kind.name for region in self.regions}))


@dataclass(frozen=True, slots=True)
class LocoProduct:
    """Test set of one product."""

    root: Path
    photos: tuple[LocoPhoto, ...]
    kinds: tuple[DefectKind, ...]

    def photos_of(self, split: str) -> tuple[LocoPhoto, ...]:
        """Return the photos of a split."""
        return tuple(photo for photo in self.photos if photo.split == split)


def read_loco(root: Path) -> LocoProduct:
    """Read the folder of a product.

    Raises:
        DataError: Every error: missing folders (LC650), defects_config.json (LC651), invalid masks (LC652), anomalous
            photos without a mask (LC653), unreadable photos (LC301 to LC307).
    """
    missing = [name for name in (f"test/{GOOD}", "ground_truth", CONFIG) if not (root / name).exists()]
    anomalous = [split for split in SPLITS[1:] if (root / "test" / split).is_dir()]
    if not anomalous:
        missing.append(f"test/{LOGICAL}")
    if missing:
        advice = "Give truth.csv, or the folder of one product of MVTec LOCO AD in its original layout."
        raise DataError([Problem("LC650", f'has no "{name}".', relative_path(root), advice=advice) for name in missing])
    reader = _SplitReader(root, read_defects_config(root / CONFIG))
    photos = [photo for split in (GOOD, *anomalous) for photo in reader.read_split(split)]
    if reader.problems:
        raise DataError(reader.problems)
    return LocoProduct(root, tuple(photos), reader.kinds)


@dataclass(frozen=True, slots=True)
class _SplitReader:
    """Reader of splits that collects problems."""

    root: Path
    kinds: tuple[DefectKind, ...]
    problems: list[Problem] = field(default_factory=list)

    def read_split(self, split: str) -> Iterator[LocoPhoto]:
        try:
            folder = self.root / "test" / split
            files = [folder / name for name in list_photos(folder)]
            if not files:
                raise no_photos_error(folder)
        except LogiClsError as error:
            self.problems.extend(error.problems)
            return
        for file in files:
            try:
                size = read_size(file)
            except PhotoError as error:
                self.problems.extend(error.problems)
                continue
            regions = () if split == GOOD else tuple(self.read_regions(split, file, size))
            yield LocoPhoto(file.relative_to(self.root / "test").as_posix(), split, *size, regions)

    def read_regions(self, split: str, photo: Path, size: tuple[int, int]) -> Iterator[DefectRegion]:
        folder = self.root / "ground_truth" / split / photo.stem
        files = sorted(folder.glob("*.png"))
        if not files:
            message = f'"{split}/{photo.name}" is anomalous and has no mask.'
            advice = f"Add its masks to ground_truth/{split}/{photo.stem}/."
            self.problems.append(Problem("LC653", message, relative_path(folder), advice=advice))
        for file in files:
            kind = _identify_kind(file, size, self.kinds)
            if isinstance(kind, Problem):
                self.problems.append(kind)
            else:
                yield DefectRegion(file, kind)


def _identify_kind(file: Path, size: tuple[int, int], kinds: tuple[DefectKind, ...]) -> DefectKind | Problem:
    """Return the kind of a mask by its only non-zero value, or the problem with the mask."""
    try:
        mask = _read_mask(file)
    except (OSError, ValueError) as error:
        return Problem("LC652", f"is not a readable greyscale image: {error}.", relative_path(file))
    if mask.shape != (size[1], size[0]):
        sizes = f"{mask.shape[1]} x {mask.shape[0]} pixels, its photo {size[0]} x {size[1]}"
        return Problem("LC652", f"has {sizes}.", relative_path(file))
    values = [int(value) for value in np.unique(mask) if value]
    if len(values) != 1:
        present = f"the values {', '.join(map(str, values))}" if values else "no value"
        advice = "A mask has one value besides 0: that of its defect."
        return Problem("LC652", f"has {present} besides 0.", relative_path(file), advice=advice)
    kind = next((kind for kind in kinds if kind.pixel_value == values[0]), None)
    if kind is None:
        valid = ", ".join(str(kind.pixel_value) for kind in kinds)
        message = f"has the value {values[0]}, which is not in {CONFIG}."
        return Problem("LC652", message, relative_path(file), advice=f"Valid values: {valid}.")
    return kind


def _read_mask(file: Path) -> np.ndarray:
    with Image.open(file, formats=["PNG"]) as image:
        if image.mode not in ("L", "1"):
            raise ValueError(f'its mode is "{image.mode}"')
        return np.asarray(image.convert("L"))
