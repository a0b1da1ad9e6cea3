"""What a bundle has plugged in where nothing else is asked for: `plugins.json` beside its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from logicls.errors import BundleError, Problem, relative
from logicls.extras.by_name import NAMES
from logicls.jsonl import write_text

FILE = "plugins.json"
NONE = "none"
"""Asks for nothing where something stands."""


def standing(folder: Path) -> Mapping[str, str]:
    """Kind → name. Nothing for a bundle without the file. Raises `BundleError` (LC723)."""
    file = folder / FILE
    if not file.exists():
        return {}
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _wrong(file, f"cannot be read: {error}") from error
    if not isinstance(told, dict):
        raise _wrong(file, "does not hold an object")
    wrong = [f'"{kind}": {name!r}' for kind, name in told.items() if kind not in NAMES or not isinstance(name, str)]
    if wrong:
        raise _wrong(file, f"names no plug-in with {', '.join(wrong)}")
    return told


def stand(folder: Path, kind: str, name: str) -> None:
    """From now on that plug-in is on where the bundle predicts. Raises `BundleError`."""
    write_text(folder / FILE, json.dumps({**standing(folder), kind: name}, indent=1, sort_keys=True))


def _wrong(file: Path, what: str) -> BundleError:
    advice = 'Write {"expert": "patches"}, or delete the file.'
    return BundleError(Problem("LC723", f"{what}.", relative(file), advice=advice))
