"""A hub model from this machine: found, read without running foreign code, and told apart by its hash.

Nothing is fetched from the network but by `find_base(..., download=True)`.

What differs from family to family and cannot be asked of a processor or a model. All else is asked.

A family is named by its `model_type`, as the configuration of a checkpoint has it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch
from safetensors import SafetensorError

from logicls.errors import BundleError, Problem
from logicls.models.box_formats import BOX_FORMATS, BoxFamily, BoxFormat, SmartResize


@dataclass(frozen=True, slots=True)
class FamilyConventions:
    """What a family is used to."""

    boxes: BoxFamily = BoxFamily.qwen3_vl
    """How it writes boxes: thousandths of the photo's sides where it was taught nothing else."""
    overview_setting: str = ""
    """The processor's setting for the visual tokens of a small picture of the whole photo, where one is shown beside
    the tiles that the photo is cut into."""


CONVENTIONS: Mapping[str, FamilyConventions] = MappingProxyType(
    {
        "idefics3": FamilyConventions(overview_setting="image_seq_len"),
        "internvl": FamilyConventions(BoxFamily.internvl),
        "llava": FamilyConventions(BoxFamily.llava),
        "llava_next": FamilyConventions(BoxFamily.llava),
        "llava_onevision": FamilyConventions(BoxFamily.llava, overview_setting="num_image_tokens"),
        "qwen2_5_vl": FamilyConventions(BoxFamily.qwen2_5_vl),
        "qwen2_vl": FamilyConventions(BoxFamily.qwen2_vl),
        "smolvlm": FamilyConventions(overview_setting="image_seq_len"),
    }
)
PROCESSOR_SUBSTITUTES: Mapping[str, str] = MappingProxyType({"SmolVLMProcessor": "Idefics3Processor"})
"""Processor → one that does the same with photos, and asks for no library that only videos need."""


def conventions_for(model_type: str) -> FamilyConventions:
    """The habits of a family; those of one that nobody knows are the plainest."""
    return CONVENTIONS.get(model_type, FamilyConventions())


def box_format_for(family: BoxFamily, processor: Any) -> BoxFormat:
    """How boxes are written for this processor: edges as pixels of the picture that it makes have its limits."""
    coordinates = BOX_FORMATS[family]
    if coordinates.resize is None:
        return coordinates
    images = processor.image_processor
    limits = images.size["shortest_edge"], images.size["longest_edge"]
    return replace(coordinates, resize=SmartResize(images.patch_size * images.merge_size, *limits))


def count_overview_tokens(conventions: FamilyConventions, processor: Any) -> int:
    """Visual tokens that show the photo a second time, small."""
    return int(getattr(processor, conventions.overview_setting)) if conventions.overview_setting else 0


Precision = Literal["float32", "bfloat16"]
WEIGHT_FILES = "*.safetensors"
DOWNLOAD_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
"""Files that are fetched: no pickles, no code."""


@dataclass(frozen=True, slots=True)
class HubCheckpoint:
    """A model as others made it, in a folder of this machine."""

    name: str
    """On the hub, or that of its folder."""
    revision: str
    """The commit, for a name on the hub."""
    path: Path


def find_checkpoint(name: str, *, revision: str = "", download: bool = False) -> HubCheckpoint:
    """The folder of a model. `revision` left out is the one that this machine has, or the newest with `download`.

    Raises:
        BundleError: It is not on this machine, or cannot be downloaded (LC510).
    """
    if Path(name).is_dir():
        path = Path(name).resolve()
        return HubCheckpoint(str(path), "", path)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        found = snapshot_download(
            name,
            revision=revision or None,
            local_files_only=not download,
            allow_patterns=DOWNLOAD_PATTERNS if download else None,
        )
    except (LocalEntryNotFoundError, HFValidationError) as error:
        advice = "Name a folder that holds it" + ("." if download else ", or add --download to fetch it from the hub.")
        raise BundleError(Problem("LC510", "this model is not on this machine.", name, advice=advice)) from error
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise BundleError(Problem("LC510", f"this model cannot be downloaded: {first}", name)) from error
    path = Path(found)
    return HubCheckpoint(name, path.name, path)


def hash_checkpoint(folder: Path, pattern: str = WEIGHT_FILES) -> str:
    """SHA-256 of the configuration and of the weights in files of those names, 64 hex digits."""
    total = hashlib.sha256()
    for file in [folder / "config.json", *sorted(folder.glob(pattern))]:
        with file.open("rb") as data:
            total.update(f"{file.name} {hashlib.file_digest(data, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def load_processor(folder: Path, settings: Mapping[str, Any] | None = None) -> Any:
    """The processor in a folder, for photos alone: what it needs for videos is left out, and PIL makes the pictures.

    So it needs no torchvision, and makes the same pictures where there is one. `settings` take the place of those of
    its image processor.

    Raises:
        BundleError: It cannot be loaded, or has no such setting (LC511).
    """
    from transformers import AutoImageProcessor, AutoTokenizer

    try:
        facts, kind = _processor_class(folder)
        images = AutoImageProcessor.from_pretrained(folder, local_files_only=True, backend="pil", **(settings or {}))
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        wanted = set(inspect.signature(kind).parameters) - {"image_processor", "tokenizer", "video_processor"}
        processor = kind(
            image_processor=images, tokenizer=tokenizer, **{k: v for k, v in facts.items() if k in wanted}
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, ImportError, AttributeError) as error:
        raise _unloadable("its processor", folder, error) from error
    unknown = [name for name in settings or {} if name not in images.to_dict()]
    if unknown:
        message = f"its image processor has no setting {', '.join(unknown)}."
        known = ", ".join(sorted(name for name in images.to_dict() if not name.startswith("_")))
        raise BundleError(Problem("LC511", message, str(folder), advice=f"Available: {known}."))
    return processor


def _processor_class(folder: Path) -> tuple[dict[str, Any], type]:
    """The settings of a folder's processor, and its class without videos."""
    from transformers import AutoConfig
    from transformers.models.auto import processing_auto
    from transformers.processing_utils import ProcessorMixin

    facts, _ = ProcessorMixin.get_processor_dict(folder, local_files_only=True)
    name = facts.get("processor_class") or _said_by_images(folder)
    if not name:
        family = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
        name = str(getattr(processing_auto, "PROCESSOR_MAPPING_NAMES")[family])  # noqa: B009  mypy: not exported
    found: Any = processing_auto.processor_class_from_name(PROCESSOR_SUBSTITUTES.get(name, name))
    if found is None:
        raise ValueError(f"transformers knows no processor {name}")

    class ForPhotos(found):  # type: ignore[misc]  # transformers hands out untyped classes
        """The processor without what it needs for videos."""

        @classmethod
        def get_attributes(cls) -> list[str]:
            """Parts of the processor."""
            return [part for part in found.get_attributes() if part != "video_processor"]

    ForPhotos.__name__ = found.__name__  # it is written down when the processor is saved
    return dict(facts), ForPhotos


def _said_by_images(folder: Path) -> str:
    file = folder / "preprocessor_config.json"
    return str(json.loads(file.read_text(encoding="utf-8")).get("processor_class", "")) if file.exists() else ""


def load_model(folder: Path, *, precision: Precision, four_bit: bool = False) -> Any:
    """The model in a folder, on the GPU where there is one.

    Raises:
        BundleError: It cannot be loaded (LC511), or not in four bits on this machine (LC512).
    """
    from transformers import AutoModelForImageTextToText

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = getattr(torch, precision)
    placed = {"quantization_config": _four_bits(dtype), "device_map": {"": device}} if four_bit else {}
    model: Any
    try:
        model = AutoModelForImageTextToText.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=dtype, **placed
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise _unloadable("it", folder, error) from error
    return (model if four_bit else model.to(device)).eval()


def choose_precision(requested: Literal["auto", "float32", "bfloat16"]) -> Precision:
    """The precision to train in: 16 bits where a GPU computes in them, 32 elsewhere, unless one was asked for."""
    if requested != "auto":
        return requested
    return "bfloat16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "float32"


def _four_bits(dtype: torch.dtype) -> Any:
    installed = importlib.util.find_spec("bitsandbytes") is not None
    if not (installed and torch.cuda.is_available()):
        why = "there is no GPU" if installed else "bitsandbytes is not installed"
        advice = "Install logicls[four-bit] on a machine with a GPU, or leave out `four_bit`."
        raise BundleError(Problem("LC512", f"the model cannot be loaded in four bits: {why}.", advice=advice))
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def _unloadable(what: str, folder: Path, error: Exception) -> BundleError:
    text = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    message = f"{what} cannot be loaded: {text.strip().rstrip('.')}."
    advice = "Any model that transformers loads as image-text-to-text from safetensors will do."
    return BundleError(Problem("LC511", message, str(folder), advice=advice))
