"""What an expert knows, as a file of the bundle: tensors and a few facts, safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from logicls.data.image_io import sha256
from logicls.errors import BundleError, Problem, relative
from logicls.io.atomic import write_bytes

Facts = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Kept:
    """Tensors by name, and numbers and words."""

    tensors: Mapping[str, Tensor]
    facts: Facts

    def number(self, name: str) -> float:
        """A fact. Raises `KeyError`, `ValueError`."""
        return float(str(self.facts[name]))

    def whole(self, name: str) -> int:
        """The same for a whole number."""
        return int(str(self.facts[name]))


def file_of(folder: Path, kind: str) -> Path:
    """Where an expert of that kind lies in a bundle."""
    return folder / f"expert-{kind}.safetensors"


def write_kept(folder: Path, kind: str, kept: Kept) -> Path:
    """Into a bundle; returns the file."""
    held = {name: value.detach().contiguous().cpu() for name, value in kept.tensors.items()}
    file = file_of(folder, kind)
    write_bytes(file, save(held, metadata={"facts": json.dumps(dict(kept.facts), sort_keys=True)}))
    return file


def read_kept(folder: Path, kind: str, bundle: str) -> Kept:
    """That of the bundle whose id is `bundle`.

    Raises:
        BundleError: There is none (LC721), it cannot be read, or it was fitted to another bundle (LC722).
    """
    file = _there(folder, kind)
    try:
        with safe_open(file, framework="pt") as opened:
            facts = dict(json.loads((opened.metadata() or {})["facts"]))
            kept = Kept({name: opened.get_tensor(name) for name in opened.keys()}, facts)  # noqa: SIM118  no mapping
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise _unreadable(file, f"cannot be read: {error}") from error
    if facts.get("bundle") != bundle:
        raise _unreadable(file, f"was fitted to bundle {facts.get('bundle')}, and this is {bundle}")
    return kept


def kept_hash(folder: Path, kind: str) -> str:
    """Twelve hex digits of the SHA-256 of all that the expert of a bundle knows. Raises `BundleError` (LC721)."""
    return sha256(_there(folder, kind))[:12]


def _there(folder: Path, kind: str) -> Path:
    file = file_of(folder, kind)
    if not file.exists():
        advice = f"Fit it: logicls expert fit {relative(folder)} --data DATASET --kind {kind}."
        raise BundleError(Problem("LC721", f'has no expert "{kind}".', relative(folder), advice=advice))
    return file


def unreadable(folder: Path, kind: str, error: Exception) -> BundleError:
    """For tensors that are not those of such an expert."""
    return _unreadable(file_of(folder, kind), f"is not what such an expert knows: {error}")


def _unreadable(file: Path, what: str) -> BundleError:
    return BundleError(Problem("LC722", f"{what}.", relative(file), advice="Fit it again with `logicls expert fit`."))


def halved(values: Tensor) -> Tensor:
    """In half the bytes."""
    return values.to(torch.float16)
