"""The bundle: one folder with all that prediction needs and no knob.

model.safetensors, config.json        weights and sizes
tokenizer…, preprocessor_config.json  how photos and words become tensors
spec.yaml                             the rules
bundle.json                           id, hashes, versions, the most boxes an answer may have
probe/                                photos with the answers that the bundle must still give
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

import logicls.models.nano  # noqa: F401  registers nano with the Auto classes
from logicls.assets import share
from logicls.constraints.load import load_spec
from logicls.constraints.spec import Spec
from logicls.constraints.yaml_tree import read_text
from logicls.errors import BundleError, LogiClsError, Problem
from logicls.jsonl import write_text

FORMAT = 1
LIBRARIES = ("torch", "transformers")


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


def write_bundle(path: Path, *, model: Any, processor: Any, spec_file: Path, max_boxes: int) -> Bundle:
    """Write everything but the probe."""
    path.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(path)
    processor.save_pretrained(path)
    write_text(path / "spec.yaml", read_text(spec_file))
    facts = {
        "format": FORMAT,
        "id": _weights_hash(path),
        "spec": load_spec(path / "spec.yaml").hash,
        "questions": _questions_hash(),
        "max_boxes": max_boxes,
        "versions": {name: version(name) for name in LIBRARIES},
    }
    write_text(path / "bundle.json", json.dumps(facts, indent=1))
    return read_bundle(path)


def read_bundle(path: Path) -> Bundle:
    """Load a bundle without replaying its probe. Raises `BundleError`."""
    facts = _facts(path)
    from transformers import AutoModelForImageTextToText, AutoProcessor

    try:
        spec = load_spec(path / "spec.yaml")
        model = AutoModelForImageTextToText.from_pretrained(path, local_files_only=True, use_safetensors=True).eval()
        processor = AutoProcessor.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, KeyError, SafetensorError, LogiClsError) as error:
        raise _error("LC502", f"cannot be loaded: {error}", path) from error
    _agree(facts, path, spec)
    return Bundle(path, str(facts["id"]), spec, model, processor, int(str(facts["max_boxes"])))


def _facts(path: Path) -> dict[str, object]:
    try:
        facts: dict[str, object] = dict(json.loads((path / "bundle.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise _error("LC501", "is not a bundle: it has no readable bundle.json.", path,
                     "Make one with `logicls train`.") from error  # fmt: skip
    missing = [key for key in ("format", "id", "spec", "questions", "max_boxes") if key not in facts]
    if missing or facts["format"] != FORMAT:
        raise _error("LC501", f"has a bundle.json of another kind (lacks {missing}).", path, "Train it again.")
    return facts


def _agree(facts: dict[str, object], path: Path, spec: Spec) -> None:
    found = {"id": _weights_hash(path), "spec": spec.hash, "questions": _questions_hash()}
    what = {"id": "model.safetensors", "spec": "spec.yaml", "questions": "the shipped questions"}
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
    return hashlib.sha256(share("synth/questions.j2").read_bytes()).hexdigest()[:12]


def _error(code: str, message: str, path: Path, advice: str = "") -> BundleError:
    return BundleError(Problem(code, message, str(path), advice=advice))
