"""Settings of the expert that is fitted to good photos; a part of a recipe, and of `logicls expert fit`.

Settings of the knowledge that a bundle carries; a part of a recipe.

Settings of a second look; a part of a recipe, of a bundle's `plugins.json`, and options of `logicls predict`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from logicls.train.recipe import Recipe, read_recipe_as

ExpertKind = Literal["patches", "prototypes", "texts", "priors"]


class ExpertSettings(BaseModel):
    """Every key may be left out; `{}` asks for an expert with those that were measured to be good."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ExpertKind = "patches"
    """patches: a memory of good patches. prototypes: what good and flawed patches are like, learned from made flaws.
    texts: patches against words for what is right and wrong, by a CLIP-type encoder; nothing is learned. priors: the
    map of prototypes, or of texts where there is an encoder, and a small network's view of the photo as tokens that
    the bundle's own model sees."""
    encoder: str = ""
    """The encoder of texts, and of priors that are built on them: a model of the hub that is on this machine, by its
    name, or a folder."""
    cells: int = Field(5120, ge=64, le=20480)
    """Patches of a photo: the more, the smaller the flaws that are seen, and the slower."""
    share: float = Field(0.5, gt=0, le=1)
    """Of the patches of good photos that are remembered: the more, the better a flaw is told, the larger the file."""
    reach: int = Field(3, ge=-1)
    """A patch is compared with those remembered from so many cells around it; -1: with all, for products that lie
    anywhere."""
    around: int = Field(1, ge=1, le=9)
    """Each feature is the mean over so many cells on each axis; 3 in PatchCore. Odd."""
    overkill: float = Field(0.01, gt=0, lt=0.5)
    """Share of good photos that may be called flawed. Few photos cannot promise so little, and miss flaws for trying:
    of 60 the strangest sets the bar, and with 0.035 the second strangest."""
    steps: int = Field(400, ge=1)
    """In which prototypes are learned, and prior tokens, at most."""
    seed: int = 0

    @model_validator(mode="after")
    def _check_encoder(self) -> ExpertSettings:
        if self.kind != "priors" and bool(self.encoder) != (self.kind == "texts"):
            raise ValueError("kind texts needs an encoder, priors may have one, and no other kind has one")
        return self


class KnowledgeSettings(BaseModel):
    """Every key may be left out; `{}` drafts pages from the spec and the photos that the set was made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str = ""
    """A folder of knowledge that is there already, of this product and others: it is copied into the bundle."""
    count: int = Field(64, ge=8)
    """Made examples that are looked at beside the good photos, where pages are drafted."""
    seed: int = 0

    @model_validator(mode="after")
    def _check_source(self) -> KnowledgeSettings:
        if self.folder and {"count", "seed"} & self.model_fields_set:
            raise ValueError("count and seed are for pages that are drafted: leave them out, or folder")
        return self


ReasonerName = Literal["closer", "latent", "latent-sampled", "latent-still", "random"]
WITHOUT_STEPS = frozenset({"closer", "random"})
"""Reasoners that climb no step."""


class ReasonerSettings(BaseModel):
    """Every key may be left out; `{}` asks for the reasoner that was measured to be the best."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ReasonerName = "closer"
    """closer: the whole photo with a larger input. latent: think tokens that climb, and are shown finer what they look
    at; latent-sampled: by an estimated gradient; latent-still: shown nothing. random: tokens that do not climb."""
    tokens: int | None = Field(None, ge=1, le=64)
    """K, think tokens; 4 if left out."""
    steps: int | None = Field(None, ge=1, le=1000)
    """T, steps of the climb at most; 20 if left out."""
    open: float | None = Field(None, ge=0, le=1)
    """Look again wherever an answer's binary entropy is so high, in bits, whatever the verdict; left out: at photos in
    review alone."""

    @model_validator(mode="after")
    def _check_unused(self) -> ReasonerSettings:
        unused = find_unused(self.name, [name for name in ("tokens", "steps") if getattr(self, name) is not None])
        if unused:
            raise ValueError(f"{self.name} has no {' and no '.join(unused)}")
        return self


def find_unused(name: str, names: Iterable[str]) -> list[str]:
    """Those of the settings given that a reasoner does not have."""
    unsupported = {*(("tokens",) if name == "closer" else ()), *(("steps",) if name in WITHOUT_STEPS else ())}
    return [one for one in names if one in unsupported]


class ProductRecipe(Recipe):
    """A recipe as people write it: how the model is trained, and which plug-ins its bundle gets."""

    expert: ExpertSettings | None = None
    """Fit an expert to the good photos once the model is trained (`logicls expert fit`); `{}` for the default one."""
    reasoner: ReasonerSettings | None = None
    """Have the bundle look again where it is not sure; `{}` for the default one. For nano alone."""
    knowledge: KnowledgeSettings | None = None
    """Have the bundle carry what is known of its product: `{}` drafts it (`logicls knowledge build`)."""


def read_product_recipe(path: Path) -> ProductRecipe:
    """Read a recipe file with its plug-ins. Raises `RecipeError` with every problem in it."""
    return read_recipe_as(ProductRecipe, path)
