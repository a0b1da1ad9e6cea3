"""A folder that holds one run: what it was begun with is written down, and a run with anything else is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from logicls.errors import LogiClsError
from logicls.io.atomic import write_text


class ManifestDifference(NamedTuple):
    """A setting that is not the one that the folder was begun with."""

    key: str
    recorded: object
    requested: object


def check_manifest(
    path: Path,
    settings: Mapping[str, object],
    make_error: Callable[[Sequence[ManifestDifference]], LogiClsError],
    **metadata: object,
) -> None:
    """Write what the folder is begun with to `mark`, or check that it is the same.

    `notes` are written beside it and may differ. Raises what `refusal` makes of the differences; then nothing in the
    folder was touched.
    """
    there = read_manifest(path)
    differences = [
        ManifestDifference(key, there.get(key), now) for key, now in settings.items() if there.get(key) != now
    ]
    if there and differences:
        raise make_error(differences)
    write_text(path, json.dumps({**settings, **metadata}, indent=1))


def read_manifest(path: Path) -> Mapping[str, object]:
    """What the folder was begun with; empty for a new one, or where that cannot be read."""
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return there if isinstance(there, dict) else {}
