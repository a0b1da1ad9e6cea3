"""What a bundle has plugged in where nothing else is asked for: `plugins.json` beside its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from logicls.errors import BundleError, Problem, relative
from logicls.jsonl import write_text
from logicls.train.reasoner_recipe import ReasonerSettings

FILE = "plugins.json"
NONE = "none"
"""Asks for nothing where something stands."""


class Standing(BaseModel):
    """plugins.json; every key may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    expert: str = ""
    """Its name; what it knows is a file of the bundle."""
    reasoner: ReasonerSettings | None = None
    """Its name alone, or with its settings."""
    knowledge: str = ""
    """Folder of what is known of products, a path relative to the bundle."""

    @field_validator("reasoner", mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given


def standing(folder: Path) -> Standing:
    """Nothing for a bundle without the file. Raises `BundleError` (LC723)."""
    file = folder / FILE
    if not file.exists():
        return Standing()
    try:
        return Standing.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        places = [(".".join(map(str, one["loc"])), one["msg"][:1].lower() + one["msg"][1:]) for one in error.errors()]
        told = "; ".join(f"{key}: {message}" if key else message for key, message in places)
        raise _wrong(file, f"names no plug-in with {told}") from error
    except (OSError, ValueError) as error:
        raise _wrong(file, f"cannot be read: {error}") from error


def stand(folder: Path, **plugged: str | Mapping[str, object]) -> None:
    """From now on these are on where the bundle predicts, beside those that are. Raises `BundleError`."""
    there = {kind: told for kind, told in standing(folder).model_dump(exclude_none=True).items() if told}
    write_text(folder / FILE, json.dumps({**there, **plugged}, indent=1, sort_keys=True))


def _wrong(file: Path, what: str) -> BundleError:
    advice = 'Write {"expert": "patches"}, or delete the file.'
    return BundleError(Problem("LC723", f"{what}.", relative(file), advice=advice))
