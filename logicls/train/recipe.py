"""The recipe: how a model is trained, read once and passed flat.

The part of a recipe that is about a model of the hub, and what nano and hub models have to do without.

The part of a recipe that is about learning with an adapter, for nano.

The part of a recipe that is about the stage with rewards, and what that stage has to do without.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from logicls.constraints.spec.loader import validate_tree
from logicls.constraints.spec.yaml_reader import read_yaml
from logicls.errors import Problem, RecipeError, SpecError

RecipeT = TypeVar("RecipeT", bound="Recipe")
NANO = "nano"
NANO_ONLY_KEYS = frozenset(
    {"visual_tokens", "detail", "base", "width", "encoder_layers", "decoder_layers", "fresh", "evaluate_every",
     "patience", "minutes", "most_minutes", "processes"}
)  # fmt: skip
"""What a recipe says of nano, and of no model of the hub."""


class HubSettings(BaseModel):
    """How a model of the hub is fine-tuned."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(16, ge=1)
    """Of the adapter (LoRA, Hu et al. 2021): how many directions each linear map may change in."""
    alpha: int = Field(32, ge=1)
    """The change is multiplied by alpha / rank."""
    dropout: float = Field(0.05, ge=0, lt=1)
    target_modules: Literal["language", "everywhere"] = "language"
    """The language model alone, or the part that sees as well: for photos unlike any on the web; takes more memory."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the frozen weights; `auto` is bfloat16 on a GPU that computes in it, float32 elsewhere."""
    four_bit: bool = False
    """Hold the frozen weights in four bits (QLoRA, Dettmers et al. 2023). Needs a GPU and `logicls[four-bit]`."""
    accumulate: int = Field(1, ge=1)
    """Each batch is taken in so many parts: less memory, the same step."""
    gradient_checkpointing: bool = False
    """Compute what lies between the layers again on the way back, in the place of keeping it: less memory, a third
    slower."""
    merge: bool = False
    """Write the whole changed model, so that the bundle does without the base model."""
    processor: dict[str, Any] = Field(default_factory=dict)
    """Settings of the model's image processor that take the place of its own, as its size limits."""


def check_applicable_keys(recipe: Recipe) -> None:
    """Raises `RecipeError` (LC430) for what a recipe says, other than the default, and its model cannot follow."""
    fields = type(recipe).model_fields
    changed = {name for name, field in fields.items() if getattr(recipe, name) != field.get_default()}
    misplaced = sorted({"hub"} & changed if recipe.model == NANO else NANO_ONLY_KEYS & changed)
    problems = [
        Problem("LC430", f"{name} says nothing about the model {recipe.model}.", advice="Leave it out.")
        for name in misplaced
    ]
    settings = recipe.hub
    if recipe.model != NANO and recipe.batch % settings.accumulate:
        message = f"a batch of {recipe.batch} cannot be taken in {settings.accumulate} equal parts (hub.accumulate)."
        problems.append(Problem("LC430", message, advice="Choose a batch that can be divided by it."))
    if settings.merge and settings.four_bit:
        message = "a model in four bits cannot be merged with its adapter without loss (hub.merge, hub.four_bit)."
        problems.append(Problem("LC430", message, advice="Leave out one of the two."))
    if problems:
        raise RecipeError(problems)


class GrpoSettings(BaseModel):
    """Of the stage `grpo` (Group Relative Policy Optimization: Shao et al. 2024, arXiv 2402.03300, section 4.1)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(100, ge=1)
    questions: int = Field(12, ge=1)
    """That are asked in a step, each about a photo of its own."""
    generations: int = Field(8, ge=2)
    """To each question, drawn by chance; each is held against their mean reward."""
    lr: float = Field(5e-5, gt=0)
    """Peak; a tenth of the steps leads up to it, the rest down to nothing."""
    beta: float = Field(0.02, ge=0)
    """Weight of the divergence from the model that the stage begins with (KL, equation 4); 0: it may go anywhere."""
    auxiliary_weight: float = Field(1.0, ge=0)
    """Weight of the loss of what nano points at, about the same photos: rewards say nothing of it, and it would be
    forgotten (as the pre-training loss in Ouyang et al. 2022, arXiv 2203.02155, equation 2)."""
    temperature: float = Field(1.0, gt=0)
    """The higher, the more the answers differ."""
    evaluate_every: int = Field(20, ge=1)
    """Steps from one look at what is kept aside to the next."""
    validation_examples: int = Field(128, ge=1)
    """Examples kept aside that are looked at each time."""


def check_grpo_options(given: Mapping[str, object]) -> None:
    """Raises `RecipeError` (LC437) for options, by name, that were given (not None, not false)."""
    problems = [
        Problem("LC437", f"--{name} says nothing about the stage grpo.", advice=_advice(name))
        for name, value in given.items()
        if value
    ]
    if problems:
        raise RecipeError(problems)


def _advice(name: str) -> str:
    if name == "resume":
        return "It keeps no checkpoints: begin it anew from the bundle of --from."
    return "Leave it out; what the stage is told stands under `grpo` in the recipe."


MAX_DETAIL = 4
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
    max_minutes: float | None = Field(None, gt=0)
    """Where `steps` would take longer than this, as many as fit into it; says nothing beside `minutes`."""
    batch: int = Field(32, ge=1)
    lr: float = Field(2e-3, gt=0)
    """Peak of the one-cycle schedule (Smith and Topin 2018)."""
    weight_decay: float = Field(0.05, ge=0)
    visual_tokens: int | None = Field(None, ge=16, le=1024)
    """Size of the model's input: each token sees 16 x 16 of its pixels. Left out: as many as the smallest component
    needs (see `preflight`)."""
    detail: int | None = Field(None, ge=1, le=MAX_DETAIL)
    """So many times the input's pixels on each axis are there to tell what things are like; 1: none are looked at
    closely. Left out beside `visual_tokens`: as many as the smallest things with an attribute need; else 1."""
    base: bool = True
    """Begin with the base weights that are shipped, whose sizes are the model's."""
    width: int | None = Field(None, multiple_of=32)
    """Of the network, where it begins with nothing; 128 if left out. So are the layers."""
    encoder_layers: int | None = Field(None, ge=0)
    decoder_layers: int | None = Field(None, ge=1)
    verdict_weight: float = Field(3.0, gt=0)
    """Weight of the stated verdict's loss against that of another answer: it is one question among many, and the
    hardest."""
    jitter: float = Field(0.15, ge=0, le=0.5)
    """Random brightness and contrast while training."""
    online: float = Field(0.0, ge=0, le=1)
    """Share of each batch that is made while training, out of the photos that the set was made of: the model sees each
    of these examples once."""
    difficulty: bool = True
    """Draw examples the more often the harder they are at the moment and the rarer their kind (see `difficulty`)."""
    validation: float = Field(0.1, ge=0, le=0.5)
    """Share of the source photos that is kept aside: what was made of them is not learned but read now and then, and
    the weights that read it best are the bundle's. 0: the last weights are."""
    evaluate_every: int = Field(100, ge=1)
    """Steps from one look at what was kept aside to the next."""
    patience: int = Field(10, ge=0)
    """The run ends after so many such looks without a better one; 0: never before its last step."""
    processes: int = Field(1, ge=1)
    """That train together, each on its share of every batch and of the cores."""
    checkpoint_every: int = Field(200, ge=1)
    grpo: GrpoSettings = GrpoSettings.model_validate({})
    """Of the stage with rewards (`--stage grpo`), which also follows `seed`, `heldout`, `verdict_weight` and `hub`."""
    seed: int = 0

    @model_validator(mode="after")
    def _check_sizes(self) -> Recipe:
        sizes = [name for name in ("width", "encoder_layers", "decoder_layers") if getattr(self, name) is not None]
        if self.base and sizes:
            raise ValueError(f"{' and '.join(sizes)} cannot be chosen with base weights: leave out, or say base: false")
        return self


def read_recipe(path: Path) -> Recipe:
    """Read the settings of training from a file. Raises `RecipeError` with every problem in it."""
    return read_recipe_as(Recipe, path)


def read_recipe_as(schema: type[RecipeT], path: Path) -> RecipeT:
    """Read a recipe file into a subclass of `Recipe` with settings of its own. Raises `RecipeError`."""
    try:
        return validate_tree(schema, read_yaml(path), str(path))
    except SpecError as error:
        raise RecipeError(error.problems) from error
