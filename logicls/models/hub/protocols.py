"""Types of hub models and their processors: what LogiCls calls of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

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
