"""Types of hub models and their processors: what LogiCls calls of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

HubModel = PreTrainedModel
"""An image-text-to-text model of transformers."""


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
