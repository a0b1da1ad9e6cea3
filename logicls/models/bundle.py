"""The bundle: one folder with everything that prediction needs.

model.safetensors, config.json        weights and sizes; only the adapter of a hub model that was not merged
tokenizer…, preprocessor_config.json  conversion of photos and text to tensors
spec.yaml                             rules
trained_spec.yaml                     rules that the model was trained with, if spec.yaml has others (`bundle update`)
bundle.json                           id, hashes, library versions, most boxes of an answer, base of a hub model
calibration.json, usual.safetensors   calibration of probabilities, and the out-of-distribution model
thresholds.json                       thresholds for review; may be changed
appearance.safetensors                looks of components on good photos, if a rule compares them
split.json                            photos that were trained on, and those kept aside, for training that continues
probe/                                photos and the answers to reproduce (`logicls.predict.self_test`)
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

from jinja2.sandbox import SandboxedEnvironment
from safetensors import SafetensorError

from logicls.constraints.checker.decomposition import decompose
from logicls.constraints.checker.spec_changes import (
    SPEC_FILE,
    TRAINED_SPEC_FILE,
    SpecChanges,
    compare_specs,
    find_new_questions,
    find_trained_spec,
)
from logicls.constraints.spec.loader import load_spec, load_spec_file
from logicls.constraints.spec.models import Spec
from logicls.constraints.spec.yaml_reader import read_text
from logicls.errors import BundleError, DataError, LogiClsError, Problem, SpecError, relative_path
from logicls.io.atomic import atomic_folder, write_text
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
from logicls.records import QueryKind

if TYPE_CHECKING:
    from peft import PeftModel

FORMAT_VERSION = 1
EARLIER_KINDS: tuple[QueryKind, ...] = ("locate", "attribute", "verdict")
"""Kinds of questions when bundles held the hash of the whole file of templates."""
EARLIER_TEMPLATES = {"525b12eacf28": "87a920e5021e"}
"""Hash of such a file → `hash_questions` of its phrasings; a bundle with it is usable while they are the same."""
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
    trained_spec: Spec | None = None
    """Spec that the model was trained with, if `spec` has other rules than that."""
    spec_source: Path | None = None
    """File of `spec`, if that is not the bundle's own."""
    is_external: bool = False
    """True where another model than the bundle's own answers, so that its calibration does not apply."""

    @property
    def question_spec(self) -> Spec:
        """Spec whose questions the model answers: the one that it was trained with."""
        return self.trained_spec or self.spec

    @property
    def spec_file(self) -> Path:
        """File of `spec`."""
        return self.spec_source or (self.path / SPEC_FILE if self.path.is_dir() else self.path)

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
        "questions": hash_questions({query.kind for query in decompose(load_spec(path / "spec.yaml"))}),
        "max_boxes": max_boxes,
        "versions": {name: version(name) for name in LIBRARIES},
    }
    write_text(path / "bundle.json", json.dumps(metadata, indent=1))


def load_bundle(path: Path) -> Bundle:
    """Load a bundle without replaying its probe. Raises `BundleError`."""
    metadata = _read_metadata(path)
    spec, trained_spec = _load_bundle_specs(path)
    hub: HubModelInfo | None = None
    model: NanoForImageTextToText | HubModel
    processor: NanoProcessor | HubProcessor
    if "hub" in metadata:
        _check_hashes(metadata, path, spec, trained_spec)  # before loading, because a hub model is large
        hub, model, processor = load_hub_model(path, metadata["hub"])
    else:
        model, processor = _load_nano(path)
        _check_hashes(metadata, path, spec, trained_spec)
    recorded = metadata.get("versions")
    versions = tuple(sorted(recorded.items())) if isinstance(recorded, dict) else ()
    max_boxes = int(str(metadata["max_boxes"]))
    return Bundle(path, str(metadata["id"]), spec, model, processor, max_boxes, hub, versions, trained_spec)


def load_bundle_without_model(path: Path) -> Bundle:
    """Load a bundle whose model runs elsewhere: its rules, and the processor of a hub model.

    Raises:
        BundleError: It is not a bundle, or spec or question templates differ from those of the bundle.
    """
    metadata = _read_metadata(path)
    spec, trained_spec = _load_bundle_specs(path)
    _check_hashes(metadata, path, spec, trained_spec, weights=str(metadata["id"]))
    hub = hub_from_json(path, metadata["hub"]) if "hub" in metadata else None
    processor = load_processor(path) if hub is not None else None
    max_boxes = int(str(metadata["max_boxes"]))
    return Bundle(path, str(metadata["id"]), spec, None, processor, max_boxes, hub, trained_spec=trained_spec)


def replace_spec(bundle: Bundle, spec_file: Path) -> Bundle:
    """Return a bundle in memory with the rules of another spec.

    Raises:
        SpecError: The spec is invalid, or needs questions that the model was not trained to answer (LC630).
    """
    judged = load_spec_file(spec_file)
    problems = find_new_questions(bundle.question_spec, judged)
    if problems:
        raise SpecError(problems)
    trained = None if judged.spec.hash == bundle.question_spec.hash else bundle.question_spec
    return replace(bundle, spec=judged.spec, trained_spec=trained, spec_source=spec_file)


def update_bundle(path: Path, spec_file: Path, out: Path) -> SpecChanges:
    """Write a bundle with the rules of another spec, and return the changes from the spec it was trained with.

    `out` may be `path`. Every step leaves a bundle that can be loaded: the rules change when spec.yaml is replaced, the
    last step. Thresholds and calibration stay as they are, and are adapted to the rules when they are read.

    Raises:
        BundleError: The folder is not a bundle, or its rules changed otherwise.
        SpecError: The spec is invalid, or needs questions that the model was not trained to answer (LC630).
        DataError: `out` exists (LC631), or a file cannot be written (LC253).
    """
    metadata = _read_metadata(path)
    spec, trained_spec = _load_bundle_specs(path)
    _check_hashes(metadata, path, spec, trained_spec, weights=str(metadata["id"]))
    judged, trained = load_spec_file(spec_file), trained_spec or spec
    problems = find_new_questions(trained, judged)
    if problems:
        raise SpecError(problems)
    text = read_text(spec_file)
    if out.resolve() != path.resolve():
        if out.exists():
            raise DataError(Problem("LC631", "exists.", relative_path(out), advice="Choose another --out."))
        with atomic_folder(out) as copy:
            shutil.copytree(path, copy)
            _write_rules(copy, metadata, trained, judged.spec, text)
    else:
        _write_rules(path, metadata, trained, judged.spec, text)
    return compare_specs(trained, judged.spec)


def _write_rules(path: Path, metadata: dict[str, object], trained: Spec, spec: Spec, text: str) -> None:
    """Replace the rules of a bundle; spec.yaml comes last."""
    if not (path / TRAINED_SPEC_FILE).exists():
        write_text(path / TRAINED_SPEC_FILE, read_text(path / SPEC_FILE))
    hashes = [*_judged_hashes(metadata), *([spec.hash] if spec.hash != trained.hash else [])]
    write_text(path / "bundle.json", json.dumps({**metadata, "judged_specs": list(dict.fromkeys(hashes))}, indent=1))
    write_text(path / SPEC_FILE, text)


def _judged_hashes(metadata: Mapping[str, object]) -> list[str]:
    """Return the hashes of the specs that replaced the one that the model was trained with."""
    hashes = metadata.get("judged_specs")
    return [str(one) for one in hashes] if isinstance(hashes, list) else []


def describe_version_changes(bundle: Bundle) -> str:
    """List the libraries whose version differs from that with which the bundle was made; empty if none does."""
    now = {name: version(name) for name in LIBRARIES}
    changes = [(name, then) for name, then in bundle.versions if now.get(name) != then]
    return ", ".join(f"{name} {now.get(name, 'none')} instead of {then}" for name, then in changes)


def _load_bundle_specs(path: Path) -> tuple[Spec, Spec | None]:
    """Load the rules, and those that the model was trained with if they differ."""
    try:
        spec, trained = load_spec(path / SPEC_FILE), load_spec(find_trained_spec(path))
    except LogiClsError as error:
        raise _unloadable(error, path) from error
    return spec, None if trained.hash == spec.hash else trained


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


def _check_hashes(
    metadata: dict[str, object], path: Path, spec: Spec, trained_spec: Spec | None, weights: str = ""
) -> None:
    """Compare weights, specs and question templates with the hashes in bundle.json.

    `weights`: the hash of the weights, if it need not be computed. Raises `BundleError` (LC503).
    """
    hub = metadata.get("hub")
    weights = weights or (hash_weights(path, hub) if isinstance(hub, dict) else _hash_nano_weights(path))
    trained = trained_spec or spec
    questions = hash_questions({query.kind for query in decompose(trained)})
    if hash_questions(EARLIER_KINDS) == EARLIER_TEMPLATES.get(str(metadata["questions"])):
        questions = str(metadata["questions"])
    found = {"id": weights, "spec": trained.hash, "questions": questions}
    weight_files = "the trained weights" if hub else "model.safetensors"
    spec_file = TRAINED_SPEC_FILE if trained_spec else SPEC_FILE
    subjects = {"id": weight_files, "spec": spec_file, "questions": "the installed question templates"}
    advice = {"spec": "Restore it, and change the rules with `logicls bundle update`; or train again."}
    problems = [
        Problem(
            "LC503",
            f"{subjects[key]} changed since the bundle was made.",
            str(path),
            advice=advice.get(key, "Train again."),
        )
        for key in found
        if found[key] != metadata[key]
    ]
    if trained_spec and spec.hash not in _judged_hashes(metadata):
        problems.append(
            Problem("LC503", f"{SPEC_FILE} changed since the bundle was made.", str(path), advice=advice["spec"])
        )
    if problems:
        raise BundleError(problems)


def _hash_nano_weights(path: Path) -> str:
    return hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()[:12]


def hash_questions(kinds: Collection[QueryKind]) -> str:
    """Return twelve hex digits of the SHA-256 of the phrasings of these kinds of questions, with placeholder names.

    Phrasings of kinds that a spec does not ask may change without making its bundles unusable.
    """
    template = SandboxedEnvironment(autoescape=False).from_string(
        resource_path("synth/questions.j2").read_text(encoding="utf-8")
    )
    names = {"component": "component", "attribute": "attribute", "product": "product"}
    lines = [line.strip() for kind in sorted(kinds) for line in template.render(kind=kind, **names).splitlines()]
    return hashlib.sha256("\n".join(filter(None, lines)).encode()).hexdigest()[:12]


def _error(code: str, message: str, path: Path, advice: str = "") -> BundleError:
    return BundleError(Problem(code, message, str(path), advice=advice))
