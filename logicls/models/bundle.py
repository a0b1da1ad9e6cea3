"""The bundle: one folder with everything that prediction needs.

model.safetensors, config.json        weights and sizes; only the adapter of a hub model that was not merged
tokenizer…, preprocessor_config.json  conversion of photos and text to tensors
spec.yaml                             rules
bundle.json                           id, hashes, library versions, most boxes of an answer, base of a hub model
calibration.json, usual.safetensors   calibration of probabilities, and the out-of-distribution model
thresholds.json                       thresholds for review; may be changed
probe/                                photos and the answers to reproduce (`logicls.predict.self_test`)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

from safetensors import SafetensorError

from logicls.constraints.spec.loader import load_spec
from logicls.constraints.spec.models import Spec
from logicls.constraints.spec.yaml_reader import read_text
from logicls.errors import BundleError, LogiClsError, Problem
from logicls.io.atomic import write_text
from logicls.io.resources import resource_path
from logicls.models.hub.bundle_io import (
    HubModelInfo,
    hash_weights,
    hub_from_json,
    hub_to_json,
    load_hub_model,
    save_hub_model,
)
from logicls.models.hub.loading import HubModel, HubProcessor, load_processor
from logicls.models.nano import NanoForImageTextToText, NanoProcessor  # registers nano with the Auto classes

if TYPE_CHECKING:
    from peft import PeftModel

FORMAT_VERSION = 1
LIBRARIES = ("torch", "transformers", "peft")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle in memory."""

    path: Path
    id: str
    """Twelve hex digits of the weights' SHA-256."""
    spec: Spec
    model: NanoForImageTextToText | HubModel | None
    """nano, or a hub model where `hub` is set; None where the model runs elsewhere."""
    processor: NanoProcessor | HubProcessor | None
    max_boxes: int
    """Largest number of boxes or values of an answer."""
    hub: HubModelInfo | None = None
    """Base model and settings of a hub model; None for nano."""
    versions: tuple[tuple[str, str], ...] = ()
    """Versions of the libraries with which the bundle was made."""
    is_external: bool = False
    """True where another model than the bundle's own answers, so that its calibration does not apply."""

    @property
    def nano_model(self) -> NanoForImageTextToText:
        """The model of a nano bundle. Raises `TypeError` for a bundle without one."""
        self._require(self.model, is_hub=False)
        return cast(NanoForImageTextToText, self.model)

    @property
    def nano_processor(self) -> NanoProcessor:
        """The processor of a nano bundle. Raises `TypeError` for a bundle without one."""
        self._require(self.processor, is_hub=False)
        return cast(NanoProcessor, self.processor)

    @property
    def hub_model(self) -> HubModel:
        """The model of a bundle with a hub model. Raises `TypeError` for a bundle without one."""
        self._require(self.model, is_hub=True)
        return cast(HubModel, self.model)

    @property
    def hub_processor(self) -> HubProcessor:
        """The processor of a bundle with a hub model. Raises `TypeError` for a bundle without one."""
        self._require(self.processor, is_hub=True)
        return cast(HubProcessor, self.processor)

    def _require(self, part: object, *, is_hub: bool) -> None:
        if part is None or (self.hub is not None) != is_hub:
            raise TypeError(f"the bundle holds no {'hub model' if is_hub else 'nano model'}")


def write_bundle(
    path: Path, *, model: NanoForImageTextToText, processor: NanoProcessor, spec_file: Path, max_boxes: int
) -> Bundle:
    """Write a bundle of nano without its probe, and load it."""
    path.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(path)
    processor.save_pretrained(path)
    _write_metadata(path, {"id": _hash_nano_weights(path)}, spec_file, max_boxes)
    return load_bundle(path)


def write_hub_bundle(
    path: Path, *, adapter: PeftModel, processor: HubProcessor, hub: HubModelInfo, spec_file: Path, max_boxes: int
) -> None:
    """Write a bundle of a hub model without its probe. It is not loaded: two models may not fit into memory."""
    path.mkdir(parents=True, exist_ok=True)
    save_hub_model(path, adapter, processor, hub)
    facts = hub_to_json(hub)
    _write_metadata(path, {"id": hash_weights(path, facts), "hub": facts}, spec_file, max_boxes)


def _write_metadata(path: Path, facts: Mapping[str, object], spec_file: Path, max_boxes: int) -> None:
    write_text(path / "spec.yaml", read_text(spec_file))
    for weights in path.glob("*.safetensors"):  # safetensors makes them readable to their owner alone
        weights.chmod((path / "spec.yaml").stat().st_mode)
    metadata = {
        "format": FORMAT_VERSION,
        **facts,
        "spec": load_spec(path / "spec.yaml").hash,
        "questions": _hash_questions(),
        "max_boxes": max_boxes,
        "versions": {name: version(name) for name in LIBRARIES},
    }
    write_text(path / "bundle.json", json.dumps(metadata, indent=1))


def load_bundle(path: Path) -> Bundle:
    """Load a bundle without replaying its probe. Raises `BundleError`."""
    metadata = _read_metadata(path)
    spec = _load_bundle_spec(path)
    hub: HubModelInfo | None = None
    model: NanoForImageTextToText | HubModel
    processor: NanoProcessor | HubProcessor
    if "hub" in metadata:
        _check_hashes(metadata, path, spec)  # before loading, because a hub model is large
        hub, model, processor = load_hub_model(path, metadata["hub"])
    else:
        model, processor = _load_nano(path)
        _check_hashes(metadata, path, spec)
    recorded = metadata.get("versions")
    versions = tuple(sorted(recorded.items())) if isinstance(recorded, dict) else ()
    return Bundle(path, str(metadata["id"]), spec, model, processor, int(str(metadata["max_boxes"])), hub, versions)


def load_bundle_without_model(path: Path) -> Bundle:
    """Load a bundle whose model runs elsewhere: its rules, and the processor of a hub model.

    Raises:
        BundleError: It is not a bundle, or spec or question templates differ from those of the bundle.
    """
    metadata = _read_metadata(path)
    spec = _load_bundle_spec(path)
    _check_hashes(metadata, path, spec, weights=str(metadata["id"]))
    hub = hub_from_json(path, metadata["hub"]) if "hub" in metadata else None
    processor = load_processor(path) if hub is not None else None
    return Bundle(path, str(metadata["id"]), spec, None, processor, int(str(metadata["max_boxes"])), hub)


def describe_version_changes(bundle: Bundle) -> str:
    """List the libraries whose version differs from that with which the bundle was made; empty if none does."""
    now = {name: version(name) for name in LIBRARIES}
    changes = [(name, then) for name, then in bundle.versions if now.get(name) != then]
    return ", ".join(f"{name} {now.get(name, 'none')} instead of {then}" for name, then in changes)


def _load_bundle_spec(path: Path) -> Spec:
    try:
        return load_spec(path / "spec.yaml")
    except LogiClsError as error:
        raise _unloadable(error, path) from error


def _load_nano(path: Path) -> tuple[NanoForImageTextToText, NanoProcessor]:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    try:
        model = AutoModelForImageTextToText.from_pretrained(
            path, local_files_only=True, trust_remote_code=False, use_safetensors=True
        ).eval()
        processor = AutoProcessor.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise _unloadable(error, path) from error
    return cast(NanoForImageTextToText, model), cast(NanoProcessor, processor)


def _unloadable(error: Exception, path: Path) -> BundleError:
    return _error("LC502", f"cannot be loaded: {error}", path)


def _read_metadata(path: Path) -> dict[str, object]:
    try:
        metadata: dict[str, object] = dict(json.loads((path / "bundle.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise _error("LC501", "is not a bundle: it has no readable bundle.json.", path,
                     "Make one with `logicls train`.") from error  # fmt: skip
    missing = [key for key in ("format", "id", "spec", "questions", "max_boxes") if key not in metadata]
    if missing or metadata["format"] != FORMAT_VERSION:
        reason = f"it lacks {', '.join(missing)}" if missing else f"its format is {metadata['format']}"
        raise _error("LC501", f"has an incompatible bundle.json: {reason}.", path, "Train again.")
    return metadata


def _check_hashes(metadata: dict[str, object], path: Path, spec: Spec, weights: str = "") -> None:
    """Compare weights, spec and question templates with the hashes in bundle.json.

    `weights`: the hash of the weights, if it need not be computed. Raises `BundleError` (LC503).
    """
    hub = metadata.get("hub")
    weights = weights or (hash_weights(path, hub) if isinstance(hub, dict) else _hash_nano_weights(path))
    found = {"id": weights, "spec": spec.hash, "questions": _hash_questions()}
    weight_files = "the trained weights" if hub else "model.safetensors"
    subjects = {"id": weight_files, "spec": "spec.yaml", "questions": "the installed question templates"}
    problems = [
        Problem("LC503", f"{subjects[key]} changed since the bundle was made.", str(path), advice="Train again.")
        for key in found
        if found[key] != metadata[key]
    ]
    if problems:
        raise BundleError(problems)


def _hash_nano_weights(path: Path) -> str:
    return hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()[:12]


def _hash_questions() -> str:
    return hashlib.sha256(resource_path("synth/questions.j2").read_bytes()).hexdigest()[:12]


def _error(code: str, message: str, path: Path, advice: str = "") -> BundleError:
    return BundleError(Problem(code, message, str(path), advice=advice))
