"""The bundle: one folder with all that prediction needs and no knob.

model.safetensors, config.json        weights and sizes; of a hub model the adapter alone, where it was not merged
tokenizer…, preprocessor_config.json  how photos and words become tensors
spec.yaml                             the rules
bundle.json                           id, hashes, versions, the most boxes an answer may have, the base of a hub model
calibration.json, usual.safetensors   how sure it may be, and what its photos look like (`logicls.predict.decision`)
thresholds.json                       when a person looks; may be changed
probe/                                photos with the answers that the bundle must still give
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

import logicls.models.nano  # noqa: F401  registers nano with the Auto classes
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
from logicls.models.hub.loading import load_processor

FORMAT_VERSION = 1
LIBRARIES = ("torch", "transformers", "peft")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle in memory."""

    path: Path
    id: str
    """Twelve hex digits of the weights' SHA-256."""
    spec: Spec
    model: Any
    processor: Any
    max_boxes: int
    hub: HubModelInfo | None = None
    """Which hub model was fine-tuned; None for nano."""
    versions: tuple[tuple[str, str], ...] = ()
    """Of the libraries that it was made with."""
    is_external: bool = False
    """True where another model answers than its own: nothing holds that was fitted to its own."""


def write_bundle(path: Path, *, model: Any, processor: Any, spec_file: Path, max_boxes: int) -> Bundle:
    """Write everything but the probe."""
    path.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(path)
    processor.save_pretrained(path)
    _write_metadata(path, {"id": _weights_hash(path)}, spec_file, max_boxes)
    return load_bundle(path)


def write_hub_bundle(
    path: Path, *, adapter: Any, processor: Any, hub: HubModelInfo, spec_file: Path, max_boxes: int
) -> None:  # fmt: skip
    """The same for a hub model, given as an adapter of peft. It is not read back: two of them may not fit in memory."""
    path.mkdir(parents=True, exist_ok=True)
    save_hub_model(path, adapter, processor, hub)
    facts = hub_to_json(hub)
    _write_metadata(path, {"id": hash_weights(path, facts), "hub": facts}, spec_file, max_boxes)


def _write_metadata(path: Path, facts: Mapping[str, object], spec_file: Path, max_boxes: int) -> None:
    write_text(path / "spec.yaml", read_text(spec_file))
    for weights in path.glob("*.safetensors"):  # safetensors writes them for their owner alone
        weights.chmod((path / "spec.yaml").stat().st_mode)
    written = {
        "format": FORMAT_VERSION,
        **facts,
        "spec": load_spec(path / "spec.yaml").hash,
        "questions": _questions_hash(),
        "max_boxes": max_boxes,
        "versions": {name: version(name) for name in LIBRARIES},
    }
    write_text(path / "bundle.json", json.dumps(written, indent=1))


def load_bundle(path: Path) -> Bundle:
    """Load a bundle without replaying its probe. Raises `BundleError`."""
    facts = _read_metadata(path)
    try:
        spec = load_spec(path / "spec.yaml")
    except LogiClsError as error:
        raise _unloadable(error, path) from error
    hub = None
    if "hub" in facts:
        _check_hashes(facts, path, spec)  # first, because a model of the hub is large
        hub, model, processor = load_hub_model(path, facts["hub"])
    else:
        model, processor = _nano(path)
        _check_hashes(facts, path, spec)
    versions = facts.get("versions")
    made_with = tuple(sorted(versions.items())) if isinstance(versions, dict) else ()
    return Bundle(path, str(facts["id"]), spec, model, processor, int(str(facts["max_boxes"])), hub, made_with)


def load_bundle_without_model(path: Path) -> Bundle:
    """A bundle without its model, which runs elsewhere: the rules, and the processor of a hub model.

    Raises:
        BundleError: It is none, or spec or questions are not those that it was made with.
    """
    facts = _read_metadata(path)
    try:
        spec = load_spec(path / "spec.yaml")
    except LogiClsError as error:
        raise _unloadable(error, path) from error
    _check_hashes(facts, path, spec, weights=str(facts["id"]))
    hub = hub_from_json(path, facts["hub"]) if "hub" in facts else None
    processor = load_processor(path) if hub is not None else None
    return Bundle(path, str(facts["id"]), spec, None, processor, int(str(facts["max_boxes"])), hub)


def describe_version_changes(bundle: Bundle) -> str:
    """Which libraries have another version than when the bundle was made; empty where all are the same."""
    now = {name: version(name) for name in LIBRARIES}
    changed = [(name, then) for name, then in bundle.versions if now.get(name) != then]
    return ", ".join(f"{name} {now.get(name, 'none')} instead of {then}" for name, then in changed)


def _nano(path: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    try:
        model = AutoModelForImageTextToText.from_pretrained(path, local_files_only=True, use_safetensors=True).eval()
        return model, AutoProcessor.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise _unloadable(error, path) from error


def _unloadable(error: Exception, path: Path) -> BundleError:
    return _error("LC502", f"cannot be loaded: {error}", path)


def _read_metadata(path: Path) -> dict[str, object]:
    try:
        facts: dict[str, object] = dict(json.loads((path / "bundle.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise _error("LC501", "is not a bundle: it has no readable bundle.json.", path,
                     "Make one with `logicls train`.") from error  # fmt: skip
    missing = [key for key in ("format", "id", "spec", "questions", "max_boxes") if key not in facts]
    if missing or facts["format"] != FORMAT_VERSION:
        raise _error("LC501", f"has a bundle.json of another kind (lacks {missing}).", path, "Train it again.")
    return facts


def _check_hashes(facts: dict[str, object], path: Path, spec: Spec, weights: str = "") -> None:
    """`weights` is their hash, where it need not be worked out."""
    hub = facts.get("hub")
    weights = weights or (hash_weights(path, hub) if isinstance(hub, dict) else _weights_hash(path))
    found = {"id": weights, "spec": spec.hash, "questions": _questions_hash()}
    learned = "what was learned" if hub else "model.safetensors"
    what = {"id": learned, "spec": "spec.yaml", "questions": "the shipped questions"}
    problems = [
        Problem("LC503", f"{what[key]} is not what the bundle was made with.", str(path), advice="Train it again.")
        for key in found
        if found[key] != facts[key]
    ]
    if problems:
        raise BundleError(problems)


def _weights_hash(path: Path) -> str:
    return hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()[:12]


def _questions_hash() -> str:
    return hashlib.sha256(resource_path("synth/questions.j2").read_bytes()).hexdigest()[:12]


def _error(code: str, message: str, path: Path, advice: str = "") -> BundleError:
    return BundleError(Problem(code, message, str(path), advice=advice))
