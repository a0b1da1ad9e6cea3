"""Loading of hub models from this machine, without running foreign code, identified by a hash.

Only `find_checkpoint(..., download=True)` accesses the network. Conventions of a model family that neither its
processor nor its configuration states are in `CONVENTIONS`, by the `model_type` of the configuration.

Types of hub models and their processors name what LogiCls calls of them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from logicls.errors import BundleError, Problem
from logicls.models.box_formats import BOX_FORMATS, BoxFamily, BoxFormat, SmartResize

HubModel = PreTrainedModel
"""An image-text-to-text model of transformers."""


@runtime_checkable
class CallableHubModel(Protocol):
    """A hub model, with or without an adapter."""

    config: Any
    """Configuration; its attributes depend on the family."""

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        ...

    def __call__(self, **inputs: Any) -> Any:
        """Return logits, and the loss where there are labels."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the weights."""
        ...

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients, to None or to zeros."""
        ...


@runtime_checkable
class HasImageProcessor(Protocol):
    """Processor with an image processor, as of vision-language models and dual encoders."""

    @property
    def image_processor(self) -> Any:
        """Its attributes depend on the family."""
        ...


@runtime_checkable
class HubProcessor(Protocol):
    """Processor of a hub model: images and text to tensors."""

    tokenizer: PreTrainedTokenizerBase
    image_processor: Any
    """Its attributes depend on the family; see `logicls.models.hub.loading`."""

    def __call__(self, *, text: Any = ..., images: Any = ..., **settings: Any) -> Mapping[str, Tensor]:
        """Return `input_ids`, `attention_mask`, pixels and whatever else the model takes."""
        ...

    def save_pretrained(self, save_directory: Path, /) -> object:
        """Write the settings and the vocabulary."""
        ...


@dataclass(frozen=True, slots=True)
class FamilyConventions:
    """Conventions of a model family."""

    boxes: BoxFamily = BoxFamily.qwen3_vl
    """Box format; thousandths of the photo's sides for families without one of their own."""
    overview_setting: str = ""
    """Attribute of the processor with the number of visual tokens of the overview image, for families that show one
    beside the tiles into which they split a photo."""


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
"""Processor → one that processes photos identically without a library that only videos need."""


def conventions_for(model_type: str) -> FamilyConventions:
    """Return the conventions of a family; the defaults for an unknown one."""
    return CONVENTIONS.get(model_type, FamilyConventions())


def box_format_for(family: BoxFamily, processor: HubProcessor) -> BoxFormat:
    """Return the family's box format with the size limits of this processor."""
    box_format = BOX_FORMATS[family]
    if box_format.resize is None:
        return box_format
    images = processor.image_processor
    limits = images.size["shortest_edge"], images.size["longest_edge"]
    return replace(box_format, resize=SmartResize(images.patch_size * images.merge_size, *limits))


def count_overview_tokens(conventions: FamilyConventions, processor: HubProcessor) -> int:
    """Return the number of visual tokens of the overview image; 0 without one."""
    return int(getattr(processor, conventions.overview_setting)) if conventions.overview_setting else 0


Precision = Literal["float32", "bfloat16"]
WEIGHT_FILES = "*.safetensors"
DOWNLOAD_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
"""Files that are downloaded: no pickles, no code."""


@dataclass(frozen=True, slots=True)
class HubCheckpoint:
    """A pretrained model in a folder of this machine."""

    name: str
    """Name on the hub, or path of the folder."""
    revision: str
    """Commit of a model on the hub; else empty."""
    path: Path


def find_checkpoint(name: str, *, revision: str = "", download: bool = False) -> HubCheckpoint:
    """Find the folder of a model.

    Args:
        name: Name on the hub, or folder.
        revision: Commit; empty for the cached one, or with `download` the newest.
        download: Download what is not cached.

    Raises:
        BundleError: It is not on this machine, or cannot be downloaded (LC510).
    """
    if Path(name).is_dir():
        path = Path(name).resolve()
        return HubCheckpoint(str(path), "", path)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        patterns = DOWNLOAD_PATTERNS if download else None
        folder = snapshot_download(
            name, revision=revision or None, local_files_only=not download, allow_patterns=patterns
        )  # fmt: skip
    except (LocalEntryNotFoundError, HFValidationError) as error:
        advice = "Pass a folder that contains it" + ("." if download else ", or add --download to fetch it.")
        raise BundleError(Problem("LC510", "this model is not on this machine.", name, advice=advice)) from error
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise BundleError(Problem("LC510", f"this model cannot be downloaded: {first}", name)) from error
    path = Path(folder)
    return HubCheckpoint(name, path.name, path)


def hash_checkpoint(folder: Path, pattern: str = WEIGHT_FILES) -> str:
    """Compute the SHA-256 of the configuration and of the weight files that match `pattern`, 64 hex digits."""
    total = hashlib.sha256()
    for file in [folder / "config.json", *sorted(folder.glob(pattern))]:
        with file.open("rb") as data:
            total.update(f"{file.name} {hashlib.file_digest(data, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def load_processor(folder: Path, settings: Mapping[str, Any] | None = None) -> HubProcessor:
    """Load the processor in a folder, for photos alone: without its video processor, and with the PIL backend.

    It needs no torchvision and its images do not depend on whether torchvision is installed. `settings` override those
    of the image processor.

    Raises:
        BundleError: It cannot be loaded, or has no such setting (LC511).
    """
    from transformers import AutoImageProcessor, AutoTokenizer

    try:
        saved, kind = _processor_class(folder)
        images = AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, backend="pil", **(settings or {})
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        accepted = set(inspect.signature(kind).parameters) - {"image_processor", "tokenizer", "video_processor"}
        own = {name: value for name, value in saved.items() if name in accepted}
        processor: HubProcessor = kind(image_processor=images, tokenizer=tokenizer, **own)
    except (OSError, ValueError, KeyError, TypeError, ImportError, AttributeError) as error:
        raise _unloadable("its processor", folder, error) from error
    unknown = [name for name in settings or {} if name not in images.to_dict()]
    if unknown:
        message = f"its image processor has no setting {', '.join(unknown)}."
        available = ", ".join(sorted(name for name in images.to_dict() if not name.startswith("_")))
        raise BundleError(Problem("LC511", message, str(folder), advice=f"Available: {available}."))
    return processor


def _processor_class(folder: Path) -> tuple[dict[str, Any], Any]:
    """Return the saved settings of a folder's processor, and its class without the video processor."""
    from transformers import AutoConfig
    from transformers.models.auto import processing_auto
    from transformers.processing_utils import ProcessorMixin

    saved, _ = ProcessorMixin.get_processor_dict(folder, local_files_only=True)
    name = saved.get("processor_class") or _class_in_preprocessor_config(folder)
    if not name:
        family = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).model_type
        name = str(getattr(processing_auto, "PROCESSOR_MAPPING_NAMES")[family])  # noqa: B009  mypy: not exported
    kind: Any = processing_auto.processor_class_from_name(PROCESSOR_SUBSTITUTES.get(name, name))
    if kind is None:
        raise ValueError(f"transformers has no processor {name}")

    class PhotoProcessor(kind):  # type: ignore[misc]  # transformers returns untyped classes
        """The processor without its video processor."""

        @classmethod
        def get_attributes(cls) -> list[str]:
            """List the parts of the processor."""
            return [part for part in kind.get_attributes() if part != "video_processor"]

    PhotoProcessor.__name__ = kind.__name__  # the name is saved with the processor
    return dict(saved), PhotoProcessor


def _class_in_preprocessor_config(folder: Path) -> str:
    file = folder / "preprocessor_config.json"
    return str(json.loads(file.read_text(encoding="utf-8")).get("processor_class", "")) if file.exists() else ""


def load_model(folder: Path, *, precision: Precision, four_bit: bool = False) -> HubModel:
    """Load the model in a folder, onto the GPU if there is one.

    Raises:
        BundleError: It cannot be loaded (LC511), or not with four bits on this machine (LC512).
    """
    from transformers import AutoModelForImageTextToText

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = getattr(torch, precision)
    settings = {"quantization_config": _four_bit_config(dtype), "device_map": {"": device}} if four_bit else {}
    loaded: Any
    try:
        loaded = AutoModelForImageTextToText.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=dtype, **settings
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise _unloadable("it", folder, error) from error
    model: HubModel = (loaded if four_bit else loaded.to(device)).eval()
    return model


def choose_precision(requested: Literal["auto", "float32", "bfloat16"]) -> Precision:
    """Choose the precision of training: bfloat16 on GPUs that support it, else float32, unless one is requested."""
    if requested != "auto":
        return requested
    return "bfloat16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "float32"


def _four_bit_config(dtype: torch.dtype) -> Any:
    installed = importlib.util.find_spec("bitsandbytes") is not None
    if not (installed and torch.cuda.is_available()):
        reason = "there is no GPU" if installed else "bitsandbytes is not installed"
        advice = "Install logicls[four-bit] on a machine with a GPU, or leave out `four_bit`."
        raise BundleError(Problem("LC512", f"the model cannot be loaded in four bits: {reason}.", advice=advice))
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def _unloadable(subject: str, folder: Path, error: Exception) -> BundleError:
    text = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    message = f"{subject} cannot be loaded: {text.strip().rstrip('.')}."
    advice = "Use a model that transformers loads as image-text-to-text from safetensors."
    return BundleError(Problem("LC511", message, str(folder), advice=advice))
