"""Where Loc comes from that prior tokens are made of: prototypes that were learned, or an encoder and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from logicls.extras.expert.kept import Kept
from logicls.extras.expert.places import Frame
from logicls.extras.expert.prototypes import Judge, charts_of
from logicls.extras.expert.texts import RIGHT, WRONG, Encoder, encoder_of, loc_of, refuse_dimension
from logicls.extras.expert.tower import Tower, tower_of
from logicls.models.bundle import Bundle
from logicls.plugins import Photo


@runtime_checkable
class Loc(Protocol):
    """Says where patches are like what is wrong."""

    @property
    def frame(self) -> Frame:
        """How its maps lie on photos."""
        ...

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """What it knows."""
        ...

    def charts(self, photos: Sequence[Photo]) -> Float[Tensor, "photos rows columns"]:
        """Loc of photos, 0 to 1."""
        ...


@dataclass(frozen=True, slots=True)
class Learned:
    """By prototypes of good and flawed patches."""

    tower: Tower
    judge: Judge

    @property
    def frame(self) -> Frame:
        """How its maps lie on photos."""
        return self.tower.frame

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """The weights of its layers, and its prototypes."""
        return {f"judge.{name}": value for name, value in self.judge.state_dict().items()}

    def charts(self, photos: Sequence[Photo]) -> Float[Tensor, "photos rows columns"]:
        """Loc of photos, 0 to 1."""
        return charts_of(self.judge, self.tower, photos)


@dataclass(frozen=True, slots=True)
class Worded:
    """By embeddings of words for what is right and wrong."""

    encoder: Encoder
    right: Float[Tensor, "rights width"]
    wrong: Float[Tensor, "wrongs width"]

    @property
    def frame(self) -> Frame:
        """How its maps lie on photos."""
        return self.encoder.frame

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """The words."""
        return {"right": self.right, "wrong": self.wrong}

    def charts(self, photos: Sequence[Photo]) -> Float[Tensor, "photos rows columns"]:
        """Loc of photos, 0 to 1."""
        return torch.stack([self._chart(photo) for photo in photos])

    def _chart(self, photo: Photo) -> Float[Tensor, "rows columns"]:
        return loc_of(self.encoder.patches(photo), self.right, self.wrong, self.frame.size)


def worded(name: str) -> Worded:
    """That of the encoder of that name or folder. Raises `DataError` (LC725)."""
    encoder = encoder_of(name)
    return Worded(encoder, encoder.words(RIGHT), encoder.words(WRONG))


def loc_from(bundle: Bundle, kept: Kept, size: tuple[int, int], file: Path) -> Loc:
    """That of an expert's file. Raises `KeyError`, `RuntimeError`, `DataError` (LC725), `BundleError` (LC726)."""
    name, held = str(kept.facts["encoder"]), kept.tensors
    if name:
        encoder, right = encoder_of(name), held["right"]
        refuse_dimension(name, encoder.width, right.shape[1], file)
        return Worded(encoder, right, held["wrong"])
    weights = {name[6:]: value for name, value in held.items() if name.startswith("judge.")}
    judge = Judge(weights["embeds.0.weight"].shape[1]).eval()
    judge.load_state_dict(weights)
    return Learned(tower_of(bundle, size), judge)
