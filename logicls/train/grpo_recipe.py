"""The part of a recipe that is about the stage with rewards, and what that stage has to do without."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from logicls.errors import Problem, RecipeError


class RewardSettings(BaseModel):
    """Of the stage `grpo` (Group Relative Policy Optimization: Shao et al. 2024, arXiv 2402.03300, section 4.1)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(100, ge=1)
    questions: int = Field(12, ge=1)
    """That are asked in a step, each about a photo of its own."""
    answers: int = Field(8, ge=2)
    """To each question, drawn by chance; each is held against their mean reward."""
    lr: float = Field(5e-5, gt=0)
    """Peak; a tenth of the steps leads up to it, the rest down to nothing."""
    beta: float = Field(0.02, ge=0)
    """Weight of the divergence from the model that the stage begins with (KL, equation 4); 0: it may go anywhere."""
    hold: float = Field(1.0, ge=0)
    """Weight of the loss of what nano points at, about the same photos: rewards say nothing of it, and it would be
    forgotten (as the pre-training loss in Ouyang et al. 2022, arXiv 2203.02155, equation 2)."""
    temperature: float = Field(1.0, gt=0)
    """The higher, the more the answers differ."""
    evaluate_every: int = Field(20, ge=1)
    """Steps from one look at what is kept aside to the next."""
    looked_at: int = Field(128, ge=1)
    """Examples kept aside that are looked at each time."""


def refuse_other_options(given: Mapping[str, object]) -> None:
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
