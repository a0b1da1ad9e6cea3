"""A folder that holds one run: what it was begun with is written down, and a run with anything else is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from logicls.errors import LogiClsError
from logicls.io.atomic import write_text


class Difference(NamedTuple):
    """A setting that is not the one that the folder was begun with."""

    key: str
    there: object
    now: object


def claim(
    mark: Path,
    wanted: Mapping[str, object],
    refusal: Callable[[Sequence[Difference]], LogiClsError],
    **notes: object,
) -> None:
    """Write what the folder is begun with to `mark`, or check that it is the same.

    `notes` are written beside it and may differ. Raises what `refusal` makes of the differences; then nothing in the
    folder was touched.
    """
    there = claimed(mark)
    differences = [Difference(key, there.get(key), now) for key, now in wanted.items() if there.get(key) != now]
    if there and differences:
        raise refusal(differences)
    write_text(mark, json.dumps({**wanted, **notes}, indent=1))


def claimed(mark: Path) -> Mapping[str, object]:
    """What the folder was begun with; empty for a new one, or where that cannot be read."""
    try:
        there = json.loads(mark.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return there if isinstance(there, dict) else {}
