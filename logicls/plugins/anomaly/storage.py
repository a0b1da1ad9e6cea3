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

from logicls.data.image_io import file_sha256
from logicls.errors import BundleError, Problem, relative_path
from logicls.io.atomic import write_bytes

Metadata = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ExpertState:
    """Tensors by name, and numbers and words."""

    tensors: Mapping[str, Tensor]
    metadata: Metadata

    def get_float(self, name: str) -> float:
        """A fact. Raises `KeyError`, `ValueError`."""
        return float(str(self.metadata[name]))

    def get_int(self, name: str) -> int:
        """The same for a whole number."""
        return int(str(self.metadata[name]))


def expert_file(folder: Path, kind: str) -> Path:
    """Where an expert of that kind lies in a bundle."""
    return folder / f"expert-{kind}.safetensors"


def write_expert_state(folder: Path, kind: str, state: ExpertState) -> Path:
    """Into a bundle; returns the file."""
    tensors = {name: value.detach().contiguous().cpu() for name, value in state.tensors.items()}
    file = expert_file(folder, kind)
    write_bytes(file, save(tensors, metadata={"facts": json.dumps(dict(state.metadata), sort_keys=True)}))
    return file


def read_expert_state(folder: Path, kind: str, bundle: str) -> ExpertState:
    """That of the bundle whose id is `bundle`.

    Raises:
        BundleError: There is none (LC721), it cannot be read, or it was fitted to another bundle (LC722).
    """
    file = _require_file(folder, kind)
    try:
        with safe_open(file, framework="pt") as archive:
            metadata = dict(json.loads((archive.metadata() or {})["facts"]))
            state = ExpertState({name: archive.get_tensor(name) for name in archive.keys()}, metadata)  # noqa: SIM118  no mapping
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise _file_error(file, f"cannot be read: {error}") from error
    if metadata.get("bundle") != bundle:
        raise _file_error(file, f"was fitted to bundle {metadata.get('bundle')}, and this is {bundle}")
    return state


def hash_expert(folder: Path, kind: str) -> str:
    """Twelve hex digits of the SHA-256 of all that the expert of a bundle knows. Raises `BundleError` (LC721)."""
    return file_sha256(_require_file(folder, kind))[:12]


def _require_file(folder: Path, kind: str) -> Path:
    file = expert_file(folder, kind)
    if not file.exists():
        advice = f"Fit it: logicls expert fit {relative_path(folder)} --data DATASET --kind {kind}."
        raise BundleError(Problem("LC721", f'has no expert "{kind}".', relative_path(folder), advice=advice))
    return file


def invalid_state_error(folder: Path, kind: str, error: Exception) -> BundleError:
    """For tensors that are not those of such an expert."""
    return _file_error(expert_file(folder, kind), f"is not what such an expert knows: {error}")


def _file_error(file: Path, why: str) -> BundleError:
    return BundleError(Problem("LC722", f"{why}.", relative_path(file), advice="Fit it again with `logicls expert fit`."))


def to_half(values: Tensor) -> Tensor:
    """In half the bytes."""
    return values.to(torch.float16)
