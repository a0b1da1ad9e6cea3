"""A hub model in a bundle: an adapter with the identity of its base model, or the merged model.

adapter_model.safetensors, adapter_config.json   not merged: the adapter; the base model is loaded from elsewhere
model.safetensors, config.json                   merged: the full model, which does not need the base model
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from logicls.errors import BundleError, Problem
from logicls.models.box_formats import BoxFamily
from logicls.models.hub.adapters import ADAPTER_FILE, load_adapter, save_adapter
from logicls.models.hub.loading import (
    HubCheckpoint,
    HubModel,
    HubProcessor,
    Precision,
    find_checkpoint,
    hash_checkpoint,
    load_model,
    load_processor,
)

if TYPE_CHECKING:
    from peft import PeftModel


@dataclass(frozen=True, slots=True)
class HubModelInfo:
    """Base model of a bundle, and the settings with which it is used. bundle.json contains it as `hub`."""

    base: str
    """Name on the hub, or folder."""
    revision: str
    """Commit of a model on the hub."""
    sha256: str
    """Hash of the base model's configuration and weights."""
    merged: bool
    """True where the adapter was merged into the weights."""
    precision: Precision
    four_bit: bool
    boxes: BoxFamily
    """Box format of the model."""


def describe_base(
    base: HubCheckpoint, *, merged: bool, precision: Precision, four_bit: bool, boxes: BoxFamily
) -> HubModelInfo:
    """Describe a base model for a bundle. Reads its weights once, for the hash."""
    return HubModelInfo(base.name, base.revision, hash_checkpoint(base.path), merged, precision, four_bit, boxes)


def save_hub_model(folder: Path, adapter: PeftModel, processor: HubProcessor, hub: HubModelInfo) -> None:
    """Write weights and processor. Where `hub.merged`, the adapter is merged into the model, irreversibly."""
    if hub.merged:
        mergeable: Any = adapter
        mergeable.merge_and_unload().save_pretrained(folder)
    else:
        save_adapter(adapter, folder, hub.base)
    processor.save_pretrained(folder)


def load_hub_model(folder: Path, facts: object) -> tuple[HubModelInfo, HubModel, HubProcessor]:
    """Load what `save_hub_model` wrote. `facts`: the value of `hub` in bundle.json.

    Raises:
        BundleError: The base model is not available (LC510) or is another one (LC514), or a file cannot be loaded.
    """
    hub = hub_from_json(folder, facts)
    processor = load_processor(folder)
    if hub.merged:
        return hub, load_model(folder, precision=hub.precision, four_bit=hub.four_bit), processor
    base = find_checkpoint(hub.base, revision=hub.revision)
    if hash_checkpoint(base.path) != hub.sha256:
        message = f"{hub.base} is not the model that the adapter was trained on: configuration or weights differ."
        advice = "Restore that model, or train again."
        raise BundleError(Problem("LC514", message, str(folder), advice=advice))
    model = load_model(base.path, precision=hub.precision, four_bit=hub.four_bit)
    return hub, cast(HubModel, load_adapter(model, folder).get_base_model()), processor


def read_adapter(folder: Path) -> tuple[HubModelInfo | None, dict[str, Tensor]]:
    """Read a bundle's base model and its adapter's weights; None and {} for a folder without an adapter."""
    try:
        facts = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        hub = TypeAdapter(HubModelInfo).validate_python(facts["hub"])
        return hub, {} if hub.merged else load_file(folder / ADAPTER_FILE)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None, {}


def hub_from_json(folder: Path, facts: object) -> HubModelInfo:
    """Read the value of `hub` in bundle.json. Raises `BundleError` (LC501)."""
    try:
        return TypeAdapter(HubModelInfo).validate_python(facts)
    except ValidationError as error:
        raise BundleError(Problem("LC501", "has an incompatible bundle.json (hub).", str(folder))) from error


def hub_to_json(hub: HubModelInfo) -> Mapping[str, object]:
    """Return the value of `hub` in bundle.json."""
    return asdict(hub)


MERGED_WEIGHT_FILES = "model*.safetensors"
"""Names of the weights of a merged model, as `save_pretrained` writes them: in one file, or in several."""


def hash_weights(folder: Path, hub: Mapping[str, Any]) -> str:
    """Compute twelve hex digits that identify a trained hub model; a bundle's other tensors do not count."""
    if hub.get("merged"):
        return hash_checkpoint(folder, MERGED_WEIGHT_FILES)[:12]
    try:
        adapter = (folder / ADAPTER_FILE).read_bytes()
    except OSError as error:
        raise BundleError(Problem("LC502", f"cannot be loaded: {error}", str(folder))) from error
    return hashlib.sha256(str(hub.get("sha256")).encode() + adapter).hexdigest()[:12]
