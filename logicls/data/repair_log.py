"""Types shared by the repairs: tables of a COCO file, and the log of repairs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from logicls.data.image_io import PhotoHeader

Row: TypeAlias = dict[str, Any]
Tables: TypeAlias = dict[str, list[Row]]
"""Lists `images`, `categories` and `annotations`; rows may be modified, nested values may not."""

HeaderReader: TypeAlias = Callable[[str], PhotoHeader | None]
"""Function from file_name to the photo's header; None if there is no readable photo below `images/`."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One repair."""

    location: str
    """`annotation 9`, `image 3`, `category 5` or `file`."""
    action: str
    """Description shared by all repairs of this kind."""
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.location}: {self.action}: {self.detail}" if self.detail else f"{self.location}: {self.action}"


RepairLog: TypeAlias = list[Repair]


def row_name(kind: str, row: Row) -> str:
    """Name a row by its id: `annotation 9`."""
    return f"{kind} {json.dumps(row['id'])}" if "id" in row else f"{kind} without id"


def is_single_instance(row: Row) -> bool:
    """Return True unless the annotation is a crowd; crowds are not read."""
    return row.get("iscrowd") != 1
