"""Settings of the expert that is fitted to good photos; a part of a recipe, and of `logicls expert fit`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["patches", "prototypes", "texts", "priors"]


class ExpertSettings(BaseModel):
    """Every key may be left out; `{}` asks for an expert with those that were measured to be good."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = "patches"
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
    def _fitting(self) -> ExpertSettings:
        if self.kind != "priors" and bool(self.encoder) != (self.kind == "texts"):
            raise ValueError("kind texts needs an encoder, priors may have one, and no other kind has one")
        return self
