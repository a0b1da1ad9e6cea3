"""State of an expert, stored in the bundle as safetensors: tensors and metadata."""

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
_OLD_TENSORS = (
    ("judge.embeds.", "network.embedding."),
    ("judge.right", "network.normal"),
    ("judge.wrong", "network.anomalous"),
    ("tokens.vis.look.", "tokens.vis.layers."),
    ("tokens.from_loc.", "tokens.loc_projection."),
    ("tokens.from_vis.", "tokens.vis_projection."),
    ("tokens.where.", "tokens.localization_head."),
    ("tokens.places", "tokens.position_embeddings"),
    ("tokens.usual", "tokens.loc_statistics"),
    ("right", "normal"),
    ("wrong", "anomalous"),
    ("spread", "deviation"),
)
"""Prefixes of tensor names in files of earlier versions, and their present ones."""
_OLD_METADATA = {
    "at": "threshold",
    "usual": "median",
    "photos": "photo_count",
    "aside": "is_held_out",
    "wanted": "overkill",
    "promise": "guarantee",
    "around": "window",
    "levels": "layers",
    "look_height": "vis_height",
    "look_width": "vis_width",
}
"""Metadata keys of earlier versions, and their present ones."""


@dataclass(frozen=True, slots=True)
class ExpertState:
    """Tensors by name, and metadata."""

    tensors: Mapping[str, Tensor]
    metadata: Metadata

    def get_float(self, name: str) -> float:
        """Return a number of the metadata. Raises `KeyError`, `ValueError`."""
        return float(str(self.metadata[name]))

    def get_int(self, name: str) -> int:
        """Return an integer of the metadata. Raises `KeyError`, `ValueError`."""
        return int(str(self.metadata[name]))


def expert_file(folder: Path, kind: str) -> Path:
    """Return the path of an expert in a bundle."""
    return folder / f"expert-{kind}.safetensors"


def write_expert_state(folder: Path, kind: str, state: ExpertState) -> Path:
    """Write an expert's state into a bundle, and return the file."""
    tensors = {name: value.detach().contiguous().cpu() for name, value in state.tensors.items()}
    file = expert_file(folder, kind)
    write_bytes(file, save(tensors, metadata={"facts": json.dumps(dict(state.metadata), sort_keys=True)}))
    return file


def read_expert_state(folder: Path, kind: str, bundle: str) -> ExpertState:
    """Read an expert's state of the bundle with the id `bundle`.

    Raises:
        BundleError: It is missing (LC721), it cannot be read, or it was fitted to another bundle (LC722).
    """
    file = _require_file(folder, kind)
    try:
        with safe_open(file, framework="pt") as archive:
            stored = dict(json.loads((archive.metadata() or {})["facts"]))
            metadata = {_OLD_METADATA.get(str(key), str(key)): value for key, value in stored.items()}
            tensors = {_present_name(str(name)): archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
            state = ExpertState(tensors, metadata)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise _file_error(file, f"cannot be read: {error}") from error
    if metadata.get("bundle") != bundle:
        raise _file_error(file, f"was fitted to bundle {metadata.get('bundle')}, not to {bundle}")
    return state


def _present_name(tensor: str) -> str:
    """Translate a tensor name of an earlier version."""
    for old, new in _OLD_TENSORS:
        if tensor.startswith(old):
            return new + tensor.removeprefix(old)
    return tensor


def hash_expert(folder: Path, kind: str) -> str:
    """Return twelve hex digits of the SHA-256 of an expert's file. Raises `BundleError` (LC721)."""
    return file_sha256(_require_file(folder, kind))[:12]


def _require_file(folder: Path, kind: str) -> Path:
    """Return the path of an expert's file. Raises `BundleError` (LC721) if it is missing."""
    file = expert_file(folder, kind)
    if not file.exists():
        advice = f"Fit one: logicls expert fit {relative_path(folder)} --data DATASET --kind {kind}."
        raise BundleError(Problem("LC721", f'has no expert "{kind}".', relative_path(folder), advice=advice))
    return file


def invalid_state_error(folder: Path, kind: str, error: Exception) -> BundleError:
    """Return the error for a state whose tensors or metadata are not those of the kind."""
    return _file_error(expert_file(folder, kind), f'is not the state of an expert "{kind}": {error}')


def _file_error(file: Path, why: str) -> BundleError:
    return BundleError(
        Problem("LC722", f"{why}.", relative_path(file), advice="Fit it again with `logicls expert fit`.")
    )


def to_half(values: Tensor) -> Tensor:
    """Convert to half precision."""
    return values.to(torch.float16)
