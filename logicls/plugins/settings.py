"""Settings of the plug-ins: sections `expert`, `knowledge` and `reasoner` of a product's recipe.

Expert settings are also options of `logicls expert fit`; reasoner settings are also stored in a bundle's plugins.json
and set by options of `logicls predict`. Keys of earlier versions are accepted as aliases.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from logicls.train.recipe import Recipe, read_recipe_as

ExpertKind = Literal["patches", "prototypes", "texts", "priors"]


class ExpertSettings(BaseModel):
    """Settings of an expert that is fitted to good photos; every key is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ExpertKind = "patches"
    """patches: PatchCore memory bank of normal patches. prototypes: normal and anomalous prototypes, learned from
    synthetic flaws. texts: patches against texts, zero-shot, with a CLIP-type encoder. priors: the localization map
    of prototypes (of texts if there is an encoder) and features of a small network as prior tokens in the bundle's
    own model. Only patches is recommended: prototypes and priors measured worse, texts was not measured with trained
    weights."""
    encoder: str = ""
    """Encoder of texts, and of priors built on them: a local model, by its hub name or its folder."""
    patches: int = Field(5120, ge=64, le=20480, validation_alias=AliasChoices("patches", "cells"))
    """Number of patches of a photo. More patches detect smaller flaws and take longer."""
    coreset_ratio: float = Field(0.5, gt=0, le=1, validation_alias=AliasChoices("coreset_ratio", "share"))
    """Share of the good photos' patches in the memory bank (coreset subsampling). A larger one detects flaws better
    and makes the file larger."""
    neighbourhood: int = Field(3, ge=-1, validation_alias=AliasChoices("neighbourhood", "reach"))
    """A patch is compared with those of the memory bank at most so many patches away; -1: with all, for products
    without a fixed position."""
    averaging_window: int = Field(1, ge=1, le=9, validation_alias=AliasChoices("averaging_window", "around"))
    """Side of the window, in patches, over which features are averaged; 3 in PatchCore. Odd."""
    overkill: float = Field(0.01, gt=0, lt=0.5)
    """Share of good photos that may be called flawed. A small number of photos cannot guarantee a small share, and more
    flaws pass: with 60 photos and 0.01 the highest score sets the threshold, with 0.035 the second highest."""
    steps: int = Field(400, ge=1)
    """Training steps of prototypes, and at most of prior tokens."""
    seed: int = 0

    @model_validator(mode="after")
    def _check_encoder(self) -> ExpertSettings:
        if self.kind != "priors" and bool(self.encoder) != (self.kind == "texts"):
            raise ValueError("kind texts needs an encoder, kind priors accepts one, other kinds do not")
        return self


class KnowledgeSettings(BaseModel):
    """Settings of the knowledge that a bundle carries; every key is optional.

    `{}` drafts pages from the spec and the good photos.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str = ""
    """Existing knowledge folder, of this product and possibly others, that is copied into the bundle."""
    count: int = Field(64, ge=8)
    """Number of synthetic examples to embed beside the good photos when pages are drafted."""
    seed: int = 0

    @model_validator(mode="after")
    def _check_source(self) -> KnowledgeSettings:
        if self.folder and {"count", "seed"} & self.model_fields_set:
            raise ValueError("count and seed apply to drafted pages only: omit them, or folder")
        return self


ReasonerName = Literal["closer", "latent", "latent-sampled", "latent-still", "random"]
WITHOUT_STEPS = frozenset({"closer", "random"})
"""Reasoners without gradient ascent."""


class ReasonerSettings(BaseModel):
    """Settings of a reasoner. Every key is optional; the default is the reasoner that measured best."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ReasonerName = "closer"
    """closer: the same photo with a larger input. latent: think tokens with gradient ascent and visual injection.
    latent-sampled: latent with a sampled gradient. latent-still: latent without visual injection. random: random
    think tokens without ascent. The last two are controls; only closer is recommended, all others measured worse."""
    tokens: int | None = Field(None, ge=1, le=64)
    """K, the number of think tokens; 4 if left out."""
    steps: int | None = Field(None, ge=1, le=1000)
    """T, the most steps of gradient ascent; 20 if left out."""
    min_entropy: float | None = Field(None, ge=0, le=1, validation_alias=AliasChoices("min_entropy", "open"))
    """Entropy in bits: inspect again every photo with an answer of at least this binary entropy, whatever its outcome.
    Left out: only photos in review."""

    @model_validator(mode="after")
    def _check_unused(self) -> ReasonerSettings:
        unused = find_unused(self.name, [name for name in ("tokens", "steps") if getattr(self, name) is not None])
        if unused:
            raise ValueError(f"{self.name} does not use {' and '.join(unused)}")
        return self


def find_unused(name: str, names: Iterable[str]) -> list[str]:
    """Return those of the settings `names` that the reasoner `name` does not support."""
    unsupported = {*(("tokens",) if name == "closer" else ()), *(("steps",) if name in WITHOUT_STEPS else ())}
    return [setting for setting in names if setting in unsupported]


class ProductRecipe(Recipe):
    """Recipe of a product: how its model is trained, and which plug-ins its bundle gets."""

    expert: ExpertSettings | None = None
    """Fit an expert to the good photos after training (`logicls expert fit`); `{}` for the default one."""
    reasoner: ReasonerSettings | None = None
    """Inspect uncertain photos again; `{}` for the default reasoner. For nano only."""
    knowledge: KnowledgeSettings | None = None
    """Store knowledge of the product in the bundle; `{}` drafts it (`logicls knowledge build`)."""


def read_product_recipe(path: Path) -> ProductRecipe:
    """Read a recipe file with its plug-in sections. Raises `RecipeError` with every problem in it."""
    return read_recipe_as(ProductRecipe, path)
