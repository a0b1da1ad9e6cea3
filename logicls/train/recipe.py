"""Training recipe: the settings of a run, read once from YAML and passed on flat.

A recipe applies to nano and to models of the Hugging Face hub; `check_applicable_keys` refuses keys that the chosen
model does not use. Keys of earlier releases are accepted as aliases (`online` was `fresh`, `validation` was `heldout`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from logicls.constraints.spec.loader import validate_tree
from logicls.constraints.spec.yaml_reader import Tree, read_yaml
from logicls.errors import Problem, RecipeError, SpecError

RecipeT = TypeVar("RecipeT", bound="Recipe")
NANO = "nano"
NANO_ONLY_KEYS = frozenset(
    {"visual_tokens", "detail", "base", "width", "encoder_layers", "decoder_layers", "online", "evaluate_every",
     "patience", "minutes", "max_minutes", "processes", "crops"}
)  # fmt: skip
"""Keys that apply to nano and to no model of the hub."""
MAX_DETAIL = 4
"""Upper limit of `Recipe.detail`, per axis."""
REMOVED_KEYS = {"lora": "models of the hub always train an adapter (`hub.rank`); nano trains all of its weights, which "
                        "measured better than its adapter did"}  # fmt: skip
"""Keys of earlier releases that have no successor, and the reason."""


class HubSettings(BaseModel):
    """Settings of LoRA fine-tuning for a model of the hub (LoRA: Hu et al. 2021, arXiv 2106.09685)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(16, ge=1)
    """Rank r of the adapter (section 4.1)."""
    alpha: int = Field(32, ge=1)
    """Scaling: the low-rank update is multiplied by alpha / rank (section 4.1)."""
    dropout: float = Field(0.05, ge=0, lt=1)
    target_modules: Literal["language", "everywhere"] = Field(
        "language", validation_alias=AliasChoices("target_modules", "where")
    )
    """Linear layers that get an adapter: those of the language model, or also those of the vision encoder, for photos
    unlike any on the web; the latter takes more memory."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Data type of the frozen weights; `auto` is bfloat16 on a GPU that computes in it, float32 elsewhere."""
    four_bit: bool = False
    """Quantise the frozen weights to four bits (QLoRA, Dettmers et al. 2023). Needs a GPU and `logicls[four-bit]`."""
    accumulate: int = Field(1, ge=1)
    """Gradient accumulation: a batch is processed in this many equal parts, which takes less memory."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass instead of storing them: less memory, a third slower."""
    merge: bool = False
    """Write the full model with the adapter merged into it, so that the bundle does not need the base model."""
    processor: dict[str, Any] = Field(default_factory=dict)
    """Overrides of the model's image processor settings, such as its size limits."""


class CropSettings(BaseModel):
    """Settings of crop pretraining, which runs before the full model trains where `detail` is above 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(2400, ge=1)
    batch: int = Field(32, ge=1)
    """Crops per step."""
    lr: float = Field(2e-3, gt=0)
    """Peak of the one-cycle schedule."""
    weight_decay: float = Field(0.05, ge=0)
    max_crops: int = Field(12_000, ge=1)
    """Crops that are taken from the training examples; more use memory without improving the encoder."""


class GrpoSettings(BaseModel):
    """Settings of the stage `grpo` (Group Relative Policy Optimization: Shao et al. 2024, arXiv 2402.03300)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(100, ge=1)
    questions: int = Field(12, ge=1)
    """Questions (prompts) per step, each about another photo."""
    generations: int = Field(8, ge=2, validation_alias=AliasChoices("generations", "answers"))
    """Group size G: answers sampled per question; the advantage of each is relative to the group's mean reward."""
    lr: float = Field(5e-5, gt=0)
    """Peak learning rate; a linear warmup over a tenth of the steps, then a cosine decay to 0."""
    beta: float = Field(0.02, ge=0)
    """Weight of the KL divergence from the initial model (equation 4); 0 turns it off."""
    auxiliary_weight: float = Field(1.0, ge=0, validation_alias=AliasChoices("auxiliary_weight", "hold"))
    """Weight of nano's supervised detection loss on the same photos. No reward covers detections, and without this
    loss they would be forgotten (the pretraining loss of Ouyang et al. 2022, arXiv 2203.02155, equation 2)."""
    temperature: float = Field(1.0, gt=0)
    """Sampling temperature of the answers."""
    evaluate_every: int = Field(20, ge=1)
    """Steps between evaluations on the validation examples."""
    validation_examples: int = Field(128, ge=1, validation_alias=AliasChoices("validation_examples", "looked_at"))
    """Validation examples per evaluation, at most."""


class Recipe(BaseModel):
    """Settings of a training run; every key is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = NANO
    """`nano`, or the name or folder of a model of the hub."""
    hub: HubSettings = HubSettings.model_validate({})
    steps: int = Field(3000, ge=1)
    """Optimizer steps; each processes one batch."""
    minutes: float | None = Field(None, gt=0)
    """Train for this time instead of `steps`: as many steps as fit on this machine, preflight included."""
    max_minutes: float | None = Field(None, gt=0, validation_alias=AliasChoices("max_minutes", "most_minutes"))
    """Reduce `steps` to those that fit into this time; ignored where `minutes` is given."""
    batch: int = Field(32, ge=1)
    """Examples per step, all processes together."""
    lr: float = Field(2e-3, gt=0)
    """Peak learning rate of the one-cycle schedule (Smith and Topin 2018, arXiv 1708.07120)."""
    weight_decay: float = Field(0.05, ge=0)
    visual_tokens: int | None = Field(None, ge=16, le=1024)
    """Size of the model's input in tokens of 16 x 16 pixels. Default: chosen by the smallest component (see
    `logicls.train.preflight`)."""
    detail: int | None = Field(None, ge=1, le=MAX_DETAIL)
    """Resolution of the crops from which attributes are read, relative to the model's input, per axis; 1: no crops.
    Default: what the smallest components with an attribute need, or 1 where `visual_tokens` is given."""
    crops: CropSettings = CropSettings.model_validate({})
    base: bool = True
    """Start from the shipped base weights, which also determine the model's width and layers."""
    width: int | None = Field(None, multiple_of=32)
    """Width of the network, with `base: false`; default 128."""
    encoder_layers: int | None = Field(None, ge=0)
    """Layers of the vision encoder, with `base: false`."""
    decoder_layers: int | None = Field(None, ge=1)
    """Layers of the language decoder, with `base: false`."""
    verdict_weight: float = Field(3.0, gt=0)
    """Weight of the stated verdict's loss relative to that of any other answer: it is one question of many, and the
    hardest."""
    jitter: float = Field(0.15, ge=0, le=0.5)
    """Strength of the random brightness and contrast (colour jitter) of training photos."""
    online: float = Field(0.0, ge=0, le=1, validation_alias=AliasChoices("online", "fresh"))
    """Share of each batch that is synthesised during training from the set's source photos; each such example is used
    once."""
    hard_example_mining: bool = Field(True, validation_alias=AliasChoices("hard_example_mining", "difficulty"))
    """Draw examples with a probability that grows with their current loss and error rate and with the rarity of their
    class (see `logicls.train.sampler`); false: uniform sampling without replacement."""
    validation: float = Field(0.1, ge=0, le=0.5, validation_alias=AliasChoices("validation", "heldout"))
    """Share of the source photos in the validation set. No example made of them is trained on; early stopping selects
    the best weights on them. 0: no validation, and the bundle gets the last weights."""
    evaluate_every: int = Field(100, ge=1)
    """Steps between evaluations on the validation set."""
    patience: int = Field(10, ge=0)
    """Early stopping: evaluations without improvement after which the run ends; 0: run all steps."""
    processes: int = Field(1, ge=1)
    """Processes of data-parallel training; batch and CPU cores are split between them."""
    checkpoint_every: int = Field(200, ge=1)
    """Steps between checkpoints, from which `--resume` continues."""
    grpo: GrpoSettings = GrpoSettings.model_validate({})
    """Settings of `--stage grpo`, which also uses `seed`, `validation`, `verdict_weight` and `hub`."""
    seed: int = 0

    @model_validator(mode="after")
    def _check_sizes(self) -> Recipe:
        sizes = [name for name in ("width", "encoder_layers", "decoder_layers") if getattr(self, name) is not None]
        if self.base and sizes:
            raise ValueError(
                f"{' and '.join(sizes)} cannot be changed with base weights: delete the key, or set base: false"
            )
        return self


def read_recipe(path: Path) -> Recipe:
    """Read a recipe file. Raises `RecipeError` with every problem in it."""
    return read_recipe_as(Recipe, path)


def read_recipe_as(schema: type[RecipeT], path: Path) -> RecipeT:
    """Read a recipe file into `schema`, a subclass of `Recipe` with further settings. Raises `RecipeError`."""
    try:
        tree = read_yaml(path)
        _check_removed_keys(tree, str(path))
        return validate_tree(schema, tree, str(path))
    except SpecError as error:
        raise RecipeError(error.problems) from error


def _check_removed_keys(tree: Tree, file: str) -> None:
    """Raise `RecipeError` (LC021) for keys that earlier releases had."""
    keys = REMOVED_KEYS.keys() & tree.value.keys() if isinstance(tree.value, dict) else set()
    problems = [
        Problem("LC021", f'key "{key}" was removed: {REMOVED_KEYS[key]}.', file, *tree.position((key,), key=True),
                advice="Delete it.")
        for key in sorted(keys)
    ]  # fmt: skip
    if problems:
        raise RecipeError(problems)


def upgrade_settings(schema: type[BaseModel], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Rename keys of a recorded recipe (JSON) that have an alias in `schema`, and add the defaults of new keys.

    A run that an earlier release started can be resumed by comparing the result with the current recipe.
    """
    upgraded = dict(settings)
    for name, field in schema.model_fields.items():
        alias = field.validation_alias
        for old in alias.choices[1:] if isinstance(alias, AliasChoices) else ():
            if isinstance(old, str) and old in upgraded:
                upgraded[name] = upgraded.pop(old)
        nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        if nested and isinstance(upgraded.get(name, {}), dict):
            assert isinstance(field.annotation, type)
            upgraded[name] = upgrade_settings(field.annotation, upgraded.get(name, {}))
        elif name not in upgraded:
            upgraded[name] = field.get_default(call_default_factory=True)
    return upgraded


def check_applicable_keys(recipe: Recipe) -> None:
    """Raise `RecipeError` (LC430) for keys that differ from their default and that the recipe's model does not use."""
    fields = type(recipe).model_fields
    changed = {name for name, field in fields.items() if getattr(recipe, name) != field.get_default()}
    misplaced = sorted({"hub"} & changed if recipe.model == NANO else NANO_ONLY_KEYS & changed)
    problems = [
        Problem("LC430", f"{name} does not apply to the model {recipe.model}.", advice="Delete the key.")
        for name in misplaced
    ]
    settings = recipe.hub
    if recipe.model != NANO and recipe.batch % settings.accumulate:
        message = f"a batch of {recipe.batch} cannot be split into {settings.accumulate} equal parts (hub.accumulate)."
        problems.append(Problem("LC430", message, advice="Make batch a multiple of hub.accumulate."))
    if settings.merge and settings.four_bit:
        message = "an adapter cannot be merged into a model in four bits without loss (hub.merge, hub.four_bit)."
        problems.append(Problem("LC430", message, advice="Delete one of the two keys."))
    if problems:
        raise RecipeError(problems)


def check_grpo_options(options: Mapping[str, object]) -> None:
    """Raise `RecipeError` (LC437) for command-line options with a value that the stage `grpo` does not use."""
    problems = [
        Problem("LC437", f"--{name} does not apply to the stage grpo.", advice=_describe_grpo_option(name))
        for name, value in options.items()
        if value
    ]
    if problems:
        raise RecipeError(problems)


def _describe_grpo_option(name: str) -> str:
    if name == "resume":
        return "The stage writes no checkpoints: start it again from the bundle of --from."
    return "Leave it out; settings of the stage are under `grpo` in the recipe."
