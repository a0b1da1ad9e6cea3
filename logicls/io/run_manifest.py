"""Record the settings of a run in its output folder, and refuse to continue the folder with other settings."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from logicls.errors import LogiClsError
from logicls.io.atomic import write_text


class ManifestDifference(NamedTuple):
    """A setting whose requested value differs from the recorded one."""

    key: str
    recorded: object
    requested: object


def check_manifest(
    path: Path,
    settings: Mapping[str, object],
    make_error: Callable[[Sequence[ManifestDifference]], LogiClsError],
    **metadata: object,
) -> None:
    """Check that the settings equal those recorded in `path`, and write them there.

    Args:
        path: The manifest, a JSON file in the output folder.
        settings: Settings that must not change between runs; JSON values.
        make_error: Creates the exception to raise from the differences.
        **metadata: Values to record beside the settings; they may change.

    Raises:
        LogiClsError: The result of `make_error`; the folder is unchanged.
    """
    recorded = read_manifest(path)
    differences = [
        ManifestDifference(key, recorded.get(key), value)
        for key, value in settings.items()
        if recorded.get(key) != value
    ]
    if recorded and differences:
        raise make_error(differences)
    write_text(path, json.dumps({**settings, **metadata}, indent=1))


def read_manifest(path: Path) -> Mapping[str, object]:
    """Return the recorded settings and metadata; empty if there is no readable manifest."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
