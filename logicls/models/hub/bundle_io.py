"""A hub model in a bundle: its adapter and which model that changes, or the two of them merged.

adapter_model.safetensors, adapter_config.json   unmerged: what was learned; the base model stays where it is
model.safetensors, config.json                   merged: everything, for use without the base model
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from logicls.errors import BundleError, Problem
from logicls.models.box_formats import BoxFamily
from logicls.models.hub.adapters import ADAPTER_FILE, load_adapter, save_adapter
from logicls.models.hub.loading import (
    HubCheckpoint,
    Precision,
    find_checkpoint,
    hash_checkpoint,
    load_model,
    load_processor,
)


@dataclass(frozen=True, slots=True)
class HubModelInfo:
    """Which model was fine-tuned, and how it is used."""

    base: str
    """Name on the hub, or folder."""
    revision: str
    """The commit, for a name on the hub."""
    sha256: str
    """Of the base model's configuration and weights."""
    merged: bool
    precision: Precision
    four_bit: bool
    boxes: BoxFamily
    """How it writes boxes."""


def describe_base(
    base: HubCheckpoint, *, merged: bool, precision: Precision, four_bit: bool, boxes: BoxFamily
) -> HubModelInfo:
    """What a bundle has to know of its base model, which is read once for its hash."""
    return HubModelInfo(base.name, base.revision, hash_checkpoint(base.path), merged, precision, four_bit, boxes)


def save_hub_model(folder: Path, adapter: Any, processor: Any, hub: HubModelInfo) -> None:
    """Write weights and processor. A merged adapter is merged for good."""
    if hub.merged:
        adapter.merge_and_unload().save_pretrained(folder)
    else:
        save_adapter(adapter, folder, hub.base)
    processor.save_pretrained(folder)


def load_hub_model(folder: Path, facts: object) -> tuple[HubModelInfo, Any, Any]:
    """What `save_hub` wrote: facts, model, processor; `written` is what bundle.json has under `hub`.

    Raises:
        BundleError: The base model is not here (LC510) or is not the one (LC514), or something does not load.
    """
    hub = hub_from_json(folder, facts)
    processor = load_processor(folder)
    if hub.merged:
        return hub, load_model(folder, precision=hub.precision, four_bit=hub.four_bit), processor
    base = find_checkpoint(hub.base, revision=hub.revision)
    if hash_checkpoint(base.path) != hub.sha256:
        message = f"{hub.base} is not the model that the adapter was trained on: configuration or weights differ."
        raise BundleError(Problem("LC514", message, str(folder), advice="Bring that model back, or train again."))
    model = load_model(base.path, precision=hub.precision, four_bit=hub.four_bit)
    return hub, load_adapter(model, folder).get_base_model(), processor


def read_adapter(folder: Path) -> tuple[HubModelInfo | None, dict[str, Tensor]]:
    """The facts of a bundle and its adapter's weights; None and nothing for what holds no adapter."""
    try:
        facts = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        hub = TypeAdapter(HubModelInfo).validate_python(facts["hub"])
        return hub, {} if hub.merged else load_file(folder / ADAPTER_FILE)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None, {}


def hub_from_json(folder: Path, facts: object) -> HubModelInfo:
    """What `hub_to_json` gave. Raises `BundleError` (LC501)."""
    try:
        return TypeAdapter(HubModelInfo).validate_python(facts)
    except ValidationError as error:
        raise BundleError(Problem("LC501", "has a bundle.json of another kind (hub).", str(folder))) from error


def hub_to_json(hub: HubModelInfo) -> Mapping[str, object]:
    """What bundle.json has under `hub`."""
    return asdict(hub)


def hash_weights(folder: Path, hub: Mapping[str, Any]) -> str:
    """Twelve hex digits that tell a trained model from any other."""
    if hub.get("merged"):
        return hash_checkpoint(folder)[:12]
    try:
        adapter = (folder / ADAPTER_FILE).read_bytes()
    except OSError as error:
        raise BundleError(Problem("LC502", f"cannot be loaded: {error}", str(folder))) from error
    return hashlib.sha256(str(hub.get("sha256")).encode() + adapter).hexdigest()[:12]
