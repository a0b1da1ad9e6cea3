"""The part of a recipe that is about a model of the hub, and what nano and hub models have to do without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from logicls.errors import Problem, RecipeError

if TYPE_CHECKING:
    from logicls.train.recipe import Recipe

NANO = "nano"
NANO_ALONE = frozenset(
    {"visual_tokens", "detail", "base", "width", "encoder_layers", "decoder_layers", "fresh", "evaluate_every",
     "patience", "minutes", "most_minutes", "processes", "lora"}
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
    where: Literal["language", "everywhere"] = "language"
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


def refuse_misplaced(recipe: Recipe) -> None:
    """Raises `RecipeError` (LC430) for what a recipe says, other than the default, and its model cannot follow."""
    fields = type(recipe).model_fields
    said = {name for name, field in fields.items() if getattr(recipe, name) != field.get_default()}
    misplaced = sorted({"hub"} & said if recipe.model == NANO else NANO_ALONE & said)
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
