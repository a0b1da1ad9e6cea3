"""The documents of a folder as an encoder sees them, and how far from them a photo of their product may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from logicls.data.picture import read_photo
from logicls.errors import DataError, Problem, relative
from logicls.extras.retriever.embed import Encoder, Photos, encoder_of
from logicls.extras.retriever.folder import Knowledge
from logicls.extras.retriever.page import Page
from logicls.extras.retriever.space import Features, Space, space_of
from logicls.extras.retriever.usual import read_usual

FOLDS = 4
QUANTILE = 0.99
"""Of a product's own photos: so many are as near to its documents as the limit says, before it is widened."""
WIDER = 1.3
"""The limit is so many times as far: days differ more than the photos of one set."""


@dataclass(frozen=True, slots=True)
class Sights:
    """What photos are held against."""

    encoder: Encoder
    space: Space
    pages: tuple[Page, ...]
    """The documents."""
    locks: Float[np.ndarray, "documents width"]
    """The lock feature of each, a unit vector."""
    limits: Mapping[str, float]
    """Product → the least cosine to one of its documents that its photos have."""

    def similarities(self, photos: Photos) -> Float[np.ndarray, "photos documents"]:
        """Cosine of each photo's key feature to each document's lock feature."""
        return self.space.place(self.encoder.embed(photos)) @ self.locks.T


def sights_of(knowledge: Knowledge) -> Sights:
    """Look at a folder's documents.

    Raises:
        BundleError: The encoder cannot be used (LC510, LC705).
        DataError: A product has no document (LC707) or no photos that say how much they differ (LC706), another encoder
            made the features (LC704).
        PhotoError: A document's photo cannot be read (LC301 to LC307).
    """
    bare = [name for name in knowledge.products if not any(page.product == name for page in knowledge.documents)]
    if bare:
        advice = "Give a page of it a photo, or run `logicls knowledge build` for it."
        where = relative(knowledge.path)
        raise DataError(
            [Problem("LC707", f'no page shows what "{name}" looks like.', where, advice=advice) for name in bare]
        )
    encoder = encoder_of(knowledge.settings.encoder, knowledge.path)
    seen = encoder.embed([read_photo(page.photo) for page in knowledge.documents if page.photo is not None])
    width = seen.shape[1]
    usual = {name: read_usual(knowledge.path / name, encoder, width) for name in knowledge.products}
    centre = read_usual(knowledge.path, encoder, width).mean(0)
    space = space_of(centre, list(usual.values()))
    owner = np.asarray([page.product for page in knowledge.documents])
    nearest = _nearest(centre, usual, {name: seen[owner == name] for name in usual})
    limits = {name: 1 - WIDER * float(np.quantile(far, QUANTILE)) for name, far in nearest.items()}
    return Sights(encoder, space, knowledge.documents, space.place(seen), limits)


def _nearest(
    centre: Float[np.ndarray, " width"], usual: Mapping[str, Features], documents: Mapping[str, Features]
) -> dict[str, Float[np.ndarray, " photos"]]:
    """How far each photo of a product is from its documents, one less their cosine, in a space made without it."""
    far: dict[str, list[Float[np.ndarray, " some"]]] = {name: [] for name in usual}
    for fold in range(FOLDS):
        space = space_of(centre, [np.delete(f, np.s_[fold::FOLDS], 0) for f in usual.values()])
        for name, features in usual.items():
            held = space.place(features[fold::FOLDS]) @ space.place(documents[name]).T
            far[name].append(1 - held.max(1, initial=-1.0))
    return {name: np.concatenate(some) for name, some in far.items()}
