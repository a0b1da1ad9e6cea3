"""Documents and photos of products as an encoder sees them, and how far from them another photo may be."""

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
from logicls.extras.retriever.space import Space, space_of
from logicls.extras.retriever.usual import read_usual

FOLDS = 4
QUANTILE = 0.95
"""Of a product's own photos: so many are as near to one of the others as the limit says, before it is widened."""
WIDER = 1.5
"""The limit is so many times as far: days differ more than the photos of one set."""


@dataclass(frozen=True, slots=True)
class Kin:
    """What the photos of one product look like."""

    features: Float[np.ndarray, "photos width"]
    """Of those that were looked at when it was built, unit vectors."""
    limit: float
    """The least cosine to one of them that another photo of the product has."""


@dataclass(frozen=True, slots=True)
class Sights:
    """What photos are held against."""

    encoder: Encoder
    space: Space
    pages: tuple[Page, ...]
    """The documents."""
    locks: Float[np.ndarray, "documents width"]
    """The lock feature of each, a unit vector."""
    kin: Mapping[str, Kin]
    """Of each product."""

    def keys(self, photos: Photos) -> Float[np.ndarray, "photos width"]:
        """The key feature of each photo, a unit vector."""
        return self.space.place(self.encoder.embed(photos))


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
        advice, where = "Give a page of it a photo.", relative(knowledge.path)
        raise DataError([Problem("LC707", f'no page shows what "{n}" looks like.', where, advice=advice) for n in bare])
    encoder = encoder_of(knowledge.settings.encoder, knowledge.path)
    seen = encoder.embed([read_photo(page.photo) for page in knowledge.documents if page.photo is not None])
    width = seen.shape[1]
    usual = {name: read_usual(knowledge.path / name, encoder, width) for name in knowledge.products}
    centre = read_usual(knowledge.path, encoder, width).mean(0)
    space, limits = space_of(centre, list(usual.values())), limits_of(centre, usual)
    kin = {name: Kin(space.place(features), limits[name]) for name, features in usual.items()}
    return Sights(encoder, space, knowledge.documents, space.place(seen), kin)


def limits_of(
    centre: Float[np.ndarray, " width"], usual: Mapping[str, Float[np.ndarray, "_ width"]]
) -> dict[str, float]:
    """The limit of each product: of a fold of its photos, held against the others in a space made without it."""
    far: dict[str, list[Float[np.ndarray, " some"]]] = {name: [] for name in usual}
    for fold in range(FOLDS):
        rest = {name: np.delete(features, np.s_[fold::FOLDS], 0) for name, features in usual.items()}
        space = space_of(centre, list(rest.values()))
        for name, features in usual.items():
            cosines = space.place(features[fold::FOLDS]) @ space.place(rest[name]).T
            far[name].append(1 - cosines.max(1, initial=-1.0))
    return {name: 1 - WIDER * float(np.quantile(np.concatenate(some), QUANTILE)) for name, some in far.items()}
