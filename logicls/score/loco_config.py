"""defects_config.json of MVTec LOCO AD: which pixel value of a mask is which defect."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from logicls.errors import DataError, Problem, relative

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


class _Entry(BaseModel):
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


def read_config(path: Path) -> tuple[DefectKind, ...]:
    """The kinds of defects, in the file's order.

    Raises:
        DataError: All that is wrong with the file (LC651).
    """
    file = relative(path)
    try:
        content = path.read_text(encoding="utf-8-sig")
        entries = TypeAdapter(list[_Entry]).validate_json(content)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(Problem("LC651", f"cannot be read: {error}.", file)) from error
    except ValidationError as error:
        raise DataError([Problem("LC651", _told(e["loc"], e["msg"]), file) for e in error.errors()]) from error
    values = [entry.pixel_value for entry in entries]
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated or not entries:
        told = [f"the value {value} stands for more than one defect." for value in repeated] or ["names no defect."]
        raise DataError([Problem("LC651", message, file) for message in told])
    return tuple(
        DefectKind(e.defect_name, e.pixel_value, e.saturation_threshold, e.relative_saturation) for e in entries
    )


def _told(place: tuple[int | str, ...], message: str) -> str:
    where = f"entry {int(place[0]) + 1}, " if place and isinstance(place[0], int) else ""
    key = f"{place[1]}: " if len(place) > 1 else ""
    return f"{where}{key}{message[:1].lower()}{message[1:]}."
