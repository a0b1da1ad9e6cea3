"""The recipe: how a model is trained, read once and passed flat."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from logicls.constraints.load import validate
from logicls.constraints.yaml_tree import read_yaml
from logicls.errors import RecipeError, SpecError
from logicls.train.hub_recipe import NANO, HubSettings


class Recipe(BaseModel):
    """Settings of a training run; every key may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = NANO
    """`nano`, or a model of the hub by its name or its folder."""
    hub: HubSettings = HubSettings.model_validate({})
    steps: int = Field(3000, ge=1)
    batch: int = Field(32, ge=1)
    lr: float = Field(2e-3, gt=0)
    """Peak of the one-cycle schedule (Smith and Topin 2018)."""
    weight_decay: float = Field(0.05, ge=0)
    visual_tokens: int = Field(128, ge=16, le=1024)
    """Size of the model's input: each token sees 16 x 16 of its pixels."""
    width: int = Field(128, multiple_of=32)
    encoder_layers: int = Field(2, ge=0)
    decoder_layers: int = Field(4, ge=1)
    bins: int = Field(256, ge=16, le=1000)
    """Steps of a coordinate on each axis."""
    verdict_weight: float = Field(3.0, gt=0)
    """Weight of the stated verdict's loss against that of another answer: it is one question among many, and the
    hardest."""
    jitter: float = Field(0.15, ge=0, le=0.5)
    """Random brightness and contrast while training."""
    fresh: float = Field(0.0, ge=0, le=1)
    """Share of each batch that is made while training, out of the photos that the set was made of: the model sees each
    of these examples once."""
    checkpoint_every: int = Field(200, ge=1)
    seed: int = 0


def read_recipe(path: Path) -> Recipe:
    """Read a recipe file. Raises `RecipeError` with every problem in it."""
    try:
        return validate(Recipe, read_yaml(path), str(path))
    except SpecError as error:
        raise RecipeError(error.problems) from error
