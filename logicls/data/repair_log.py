"""What healing did to a file of annotations, one line each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from logicls.data.image_io import PhotoHeader

Row: TypeAlias = dict[str, Any]
Tables: TypeAlias = dict[str, list[Row]]
"""images, categories and annotations; the rows may be written to, what lies in them may not."""

HeaderReader: TypeAlias = Callable[[str], PhotoHeader | None]
"""file_name → what the photo's header tells; None where there is no readable photo below `images/`."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing that was wrong in a certain way and is right now."""

    location: str
    """`annotation 9`, `image 3`, `category 5` or `file`."""
    action: str
    """What was done, in words that all of its kind share."""
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.location}: {self.action}: {self.detail}" if self.detail else f"{self.location}: {self.action}"


RepairLog: TypeAlias = list[Repair]


def row_name(one: str, row: Row) -> str:
    """What a row is called: `annotation 9`."""
    return f"{one} {json.dumps(row['id'])}" if "id" in row else f"{one} without id"


def is_single_instance(row: Row) -> bool:
    """True for an annotation that is read: not a crowd."""
    return row.get("iscrowd") != 1
