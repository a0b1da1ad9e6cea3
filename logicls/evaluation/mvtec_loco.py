"""Reads the folder of one product of MVTec LOCO AD as it is.

    test/good/*.png                 good photos
    test/logical_anomalies/*.png    photos that break a rule of the product
    test/structural_anomalies/*.png photos with damage
    ground_truth/<type>/<photo>/*.png   one picture a defect; its pixels that are not 0 are the region
    defects_config.json             pixel value → the defect's name and its saturation

Bergmann, Batzner, Fauser, Sattlegger, Steger: "Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly
Detection and Localization", International Journal of Computer Vision 130, 2022. `train/` and `validation/` are not part
of what is measured there.

defects_config.json of MVTec LOCO AD: which pixel value of a mask is which defect.
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
    """One kind of defect."""

    name: str
    pixel_value: int
    """Of its pixels in the masks, 1 to 255."""
    saturation_threshold: float
    """How much of a region has to be found: a share of it where that is `relative_saturation`, else pixels."""
    relative_saturation: bool


class _DefectEntry(BaseModel):
    """One entry as it is written; other keys are passed over."""

    model_config = ConfigDict(strict=True)

    defect_name: Annotated[str, Field(min_length=1)]
    pixel_value: Annotated[int, Field(ge=1, le=255)]
    saturation_threshold: Annotated[float, Field(gt=0)]
    relative_saturation: bool

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.relative_saturation and self.saturation_threshold > 1:
            raise ValueError(f"a share of a region is at most 1, not {self.saturation_threshold:g}")
        return self


def read_defects_config(path: Path) -> tuple[DefectKind, ...]:
    """The kinds of defects, in the file's order.

    Raises:
        DataError: All that is wrong with the file (LC651).
    """
    file = relative_path(path)
    try:
        content = path.read_text(encoding="utf-8-sig")
        entries = TypeAdapter(list[_DefectEntry]).validate_json(content)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(Problem("LC651", f"cannot be read: {error}.", file)) from error
    except ValidationError as error:
        raise DataError([Problem("LC651", _error_to_text(e["loc"], e["msg"]), file) for e in error.errors()]) from error
    values = [entry.pixel_value for entry in entries]
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated or not entries:
        told = [f"the value {value} stands for more than one defect." for value in repeated] or ["names no defect."]
        raise DataError([Problem("LC651", message, file) for message in told])
    return tuple(
        DefectKind(e.defect_name, e.pixel_value, e.saturation_threshold, e.relative_saturation) for e in entries
    )


def _error_to_text(place: tuple[int | str, ...], message: str) -> str:
    where = f"entry {int(place[0]) + 1}, " if place and isinstance(place[0], int) else ""
    key = f"{place[1]}: " if len(place) > 1 else ""
    return f"{where}{key}{message[:1].lower()}{message[1:]}."


GOOD, LOGICAL, STRUCTURAL = "good", "logical_anomalies", "structural_anomalies"
SPLITS = (GOOD, LOGICAL, STRUCTURAL)


@dataclass(frozen=True, slots=True)
class DefectRegion:
    """One defect on one photo."""

    file: Path
    kind: DefectKind

    def read_mask(self) -> Bool[np.ndarray, "height width"]:
        """Where it is."""
        return np.asarray(_read_mask(self.file) != 0)

    def saturation(self, area: int) -> int:
        """Pixels of it, of `area` in all, that have to be found for it to count as found wholly; at least 1."""
        share = self.kind.saturation_threshold
        return max(int(share * area) if self.kind.relative_saturation else min(int(share), area), 1)


@dataclass(frozen=True, slots=True)
class LocoPhoto:
    """One photo of the test set."""

    name: str
    """Path below `test/`."""
    split: str
    """good, logical_anomalies or structural_anomalies."""
    width: int
    """Pixels."""
    height: int
    regions: tuple[DefectRegion, ...] = ()

    @property
    def defects(self) -> tuple[str, ...]:
        """Names of its defects, sorted, each once."""
        return tuple(sorted({region.kind.name for region in self.regions}))


@dataclass(frozen=True, slots=True)
class LocoProduct:
    """The test set of one product."""

    root: Path
    photos: tuple[LocoPhoto, ...]
    kinds: tuple[DefectKind, ...]

    def photos_of(self, split: str) -> tuple[LocoPhoto, ...]:
        """The photos of a split."""
        return tuple(photo for photo in self.photos if photo.split == split)


def read_loco(root: Path) -> LocoProduct:
    """Read the folder of a product.

    Raises:
        DataError: All that is wrong: folders that are missing (LC650), defects_config.json (LC651), regions that
            cannot be used (LC652), anomalous photos without one (LC653), photos that cannot be read (LC301 to LC307).
    """
    missing = [name for name in (f"test/{GOOD}", "ground_truth", CONFIG) if not (root / name).exists()]
    anomalous = [split for split in SPLITS[1:] if (root / "test" / split).is_dir()]
    if not anomalous:
        missing.append(f"test/{LOGICAL}")
    if missing:
        advice = "Give truth.csv, or the folder of one product of MVTec LOCO AD as it was unpacked."
        raise DataError([Problem("LC650", f'has no "{name}".', relative_path(root), advice=advice) for name in missing])
    reader = _SplitReader(root, read_defects_config(root / CONFIG))
    photos = [photo for split in (GOOD, *anomalous) for photo in reader.split(split)]
    if reader.problems:
        raise DataError(reader.problems)
    return LocoProduct(root, tuple(photos), reader.kinds)


@dataclass(frozen=True, slots=True)
class _SplitReader:
    """Reads splits, and gathers what is wrong."""

    root: Path
    kinds: tuple[DefectKind, ...]
    problems: list[Problem] = field(default_factory=list)

    def split(self, split: str) -> Iterator[LocoPhoto]:
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
            regions = () if split == GOOD else tuple(self.regions(split, file, size))
            yield LocoPhoto(file.relative_to(self.root / "test").as_posix(), split, *size, regions)

    def regions(self, split: str, photo: Path, size: tuple[int, int]) -> Iterator[DefectRegion]:
        folder = self.root / "ground_truth" / split / photo.stem
        files = sorted(folder.glob("*.png"))
        if not files:
            message = f'"{split}/{photo.name}" is anomalous and has no region.'
            advice = f"Put its masks into ground_truth/{split}/{photo.stem}/."
            self.problems.append(Problem("LC653", message, relative_path(folder), advice=advice))
        for file in files:
            found = _identify_kind(file, size, self.kinds)
            if isinstance(found, Problem):
                self.problems.append(found)
            else:
                yield DefectRegion(file, found)


def _identify_kind(file: Path, size: tuple[int, int], kinds: tuple[DefectKind, ...]) -> DefectKind | Problem:
    """The kind of a region, by the one value that its pixels have; or what is wrong with it."""
    try:
        mask = _read_mask(file)
    except (OSError, ValueError) as error:
        return Problem("LC652", f"is not a grey picture that can be read: {error}.", relative_path(file))
    if mask.shape != (size[1], size[0]):
        told = f"{mask.shape[1]} x {mask.shape[0]} pixels, its photo {size[0]} x {size[1]}"
        return Problem("LC652", f"has {told}.", relative_path(file))
    values = [int(value) for value in np.unique(mask) if value]
    if len(values) != 1:
        told = f"the values {', '.join(map(str, values))}" if values else "no value"
        advice = "A region is one picture in which all its pixels have the defect's value."
        return Problem("LC652", f"has {told} besides 0.", relative_path(file), advice=advice)
    kind = next((kind for kind in kinds if kind.pixel_value == values[0]), None)
    if kind is None:
        known = ", ".join(str(kind.pixel_value) for kind in kinds)
        message = f"has the value {values[0]}, which {CONFIG} does not know."
        return Problem("LC652", message, relative_path(file), advice=f"Available: {known}.")
    return kind


def _read_mask(file: Path) -> np.ndarray:
    with Image.open(file, formats=["PNG"]) as image:
        if image.mode not in ("L", "1"):
            raise ValueError(f'its mode is "{image.mode}"')
        return np.asarray(image.convert("L"))
