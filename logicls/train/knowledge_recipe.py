"""Settings of the knowledge that a bundle carries; a part of a recipe."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class KnowledgeSettings(BaseModel):
    """Every key may be left out; `{}` drafts pages from the spec and the photos that the set was made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str = ""
    """A folder of knowledge that is there already, of this product and others: it is copied into the bundle."""
    count: int = Field(64, ge=8)
    """Made examples that are looked at beside the good photos, where pages are drafted."""
    seed: int = 0

    @model_validator(mode="after")
    def _fitting(self) -> KnowledgeSettings:
        if self.folder and {"count", "seed"} & self.model_fields_set:
            raise ValueError("count and seed are for pages that are drafted: leave them out, or folder")
        return self
