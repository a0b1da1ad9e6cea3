"""Settings of a second look; a part of a recipe, of a bundle's `plugins.json`, and options of `logicls predict`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Literal["closer", "latent", "latent-sampled", "latent-still", "random"]
STEPLESS = frozenset({"closer", "random"})
"""Reasoners that climb no step."""


class ReasonerSettings(BaseModel):
    """Every key may be left out; `{}` asks for the reasoner that was measured to be the best."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = "closer"
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
    def _fitting(self) -> ReasonerSettings:
        idle = without_effect(self.name, [name for name in ("tokens", "steps") if getattr(self, name) is not None])
        if idle:
            raise ValueError(f"{self.name} has no {' and no '.join(idle)}")
        return self


def without_effect(name: str, given: Iterable[str]) -> list[str]:
    """Those of the settings given that a reasoner does not have."""
    less = {*(("tokens",) if name == "closer" else ()), *(("steps",) if name in STEPLESS else ())}
    return [one for one in given if one in less]
