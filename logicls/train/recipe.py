"""The recipe: how a model is trained, read once and passed flat."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from logicls.constraints.load import validate
from logicls.constraints.yaml_tree import read_yaml
from logicls.errors import RecipeError, SpecError
from logicls.train.expert_recipe import ExpertSettings
from logicls.train.grpo_recipe import RewardSettings
from logicls.train.hub_recipe import NANO, HubSettings
from logicls.train.knowledge_recipe import KnowledgeSettings
from logicls.train.lora_recipe import LoraSettings
from logicls.train.reasoner_recipe import ReasonerSettings

FINEST = 4
"""Times the input's pixels on each axis, at most, for looking closely."""


class Recipe(BaseModel):
    """Settings of a training run; every key may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = NANO
    """`nano`, or a model of the hub by its name or its folder."""
    hub: HubSettings = HubSettings.model_validate({})
    steps: int = Field(3000, ge=1)
    minutes: float | None = Field(None, gt=0)
    """In the place of `steps`: as many as fit into these minutes on this machine, preflight included."""
    most_minutes: float | None = Field(None, gt=0)
    """Where `steps` would take longer than this, as many as fit into it; says nothing beside `minutes`."""
    batch: int = Field(32, ge=1)
    lr: float = Field(2e-3, gt=0)
    """Peak of the one-cycle schedule (Smith and Topin 2018)."""
    weight_decay: float = Field(0.05, ge=0)
    visual_tokens: int | None = Field(None, ge=16, le=1024)
    """Size of the model's input: each token sees 16 x 16 of its pixels. Left out: as many as the smallest component
    needs (see `preflight`)."""
    detail: int | None = Field(None, ge=1, le=FINEST)
    """So many times the input's pixels on each axis are there to tell what things are like; 1: none are looked at
    closely. Left out beside `visual_tokens`: as many as the smallest things with an attribute need; else 1."""
    base: bool = True
    """Begin with the base weights that are shipped, whose sizes are the model's."""
    width: int | None = Field(None, multiple_of=32)
    """Of the network, where it begins with nothing; 128 if left out. So are the layers."""
    encoder_layers: int | None = Field(None, ge=0)
    decoder_layers: int | None = Field(None, ge=1)
    lora: LoraSettings | None = None
    """Learn low-rank changes of the base's linear maps in the place of all its weights; `{}` for the default ones."""
    verdict_weight: float = Field(3.0, gt=0)
    """Weight of the stated verdict's loss against that of another answer: it is one question among many, and the
    hardest."""
    jitter: float = Field(0.15, ge=0, le=0.5)
    """Random brightness and contrast while training."""
    fresh: float = Field(0.0, ge=0, le=1)
    """Share of each batch that is made while training, out of the photos that the set was made of: the model sees each
    of these examples once."""
    difficulty: bool = True
    """Draw examples the more often the harder they are at the moment and the rarer their kind (see `difficulty`)."""
    heldout: float = Field(0.1, ge=0, le=0.5)
    """Share of the source photos that is kept aside: what was made of them is not learned but read now and then, and
    the weights that read it best are the bundle's. 0: the last weights are."""
    evaluate_every: int = Field(100, ge=1)
    """Steps from one look at what was kept aside to the next."""
    patience: int = Field(10, ge=0)
    """The run ends after so many such looks without a better one; 0: never before its last step."""
    processes: int = Field(1, ge=1)
    """That train together, each on its share of every batch and of the cores."""
    checkpoint_every: int = Field(200, ge=1)
    grpo: RewardSettings = RewardSettings.model_validate({})
    """Of the stage with rewards (`--stage grpo`), which also follows `seed`, `heldout`, `verdict_weight` and `hub`."""
    expert: ExpertSettings | None = None
    """Fit an expert to the good photos once the model is trained (`logicls expert fit`); `{}` for the default one."""
    reasoner: ReasonerSettings | None = None
    """Have the bundle look again where it is not sure; `{}` for the default one. For nano alone."""
    knowledge: KnowledgeSettings | None = None
    """Have the bundle carry what is known of its product: `{}` drafts it (`logicls knowledge build`)."""
    seed: int = 0

    @model_validator(mode="after")
    def _sizes(self) -> Recipe:
        given = [name for name in ("width", "encoder_layers", "decoder_layers") if getattr(self, name) is not None]
        if self.base and given:
            raise ValueError(f"{' and '.join(given)} cannot be chosen with base weights: leave out, or say base: false")
        if self.lora and not self.base:
            raise ValueError("lora changes base weights: leave it out, or do not say base: false")
        return self


def read_recipe(path: Path) -> Recipe:
    """Read a recipe file. Raises `RecipeError` with every problem in it."""
    try:
        return validate(Recipe, read_yaml(path), str(path))
    except SpecError as error:
        raise RecipeError(error.problems) from error
