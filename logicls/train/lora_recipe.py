"""The part of a recipe that is about learning with an adapter, for nano."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class LoraSettings(BaseModel):
    """Of the adapter (LoRA, Hu et al. 2021, arXiv 2106.09685)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(16, ge=1)
    """In how many directions each linear map may change."""
    alpha: int = Field(32, ge=1)
    """The change is multiplied by alpha / rank."""
    stem: bool = True
    """Train the convolutions that look at the pixels, too: a product's photos look unlike made ones."""
