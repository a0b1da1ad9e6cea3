"""Documents and photos of products as an encoder sees them, and how far from them another photo may be.

The retriever: which product a photo shows, and the documents that are drawn for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from logicls.data.image_io import read_photo
from logicls.errors import DataError, Problem, did_you_mean, relative
from logicls.models.bundle import Bundle
from logicls.plugins.retrieval import q2k
from logicls.plugins.retrieval.drafting import read_usual
from logicls.plugins.retrieval.embedding import Encoder, Photos, Space, encoder_of, space_of
from logicls.plugins.retrieval.knowledge import Knowledge, Page, read_knowledge
from logicls.predict.plugin_protocols import Photo, Recall

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


@dataclass(frozen=True, slots=True)
class Documents:
    """Recalls what a folder of knowledge says of photos."""

    knowledge: Knowledge
    sights: Sights
    expected: str = ""
    """The product that photos are to show; any if empty."""

    def recall(self, photos: list[Photo]) -> list[Recall]:
        """What is known of each photo."""
        return [self._recall(key) for key in self.sights.keys(photos)] if photos else []

    def _recall(self, key: Float[np.ndarray, " width"]) -> Recall:
        likeness = {name: float((kin.features @ key).max()) for name, kin in self.sights.kin.items()}
        product = max(likeness, key=lambda name: likeness[name])
        most, least = likeness[product], self.sights.kin[product].limit
        if most < least:
            doubt = f"unlike every product known: {most:.2f} to {product}, whose own photos have {least:.2f} or more"
            return Recall("", likeness=most, nearest=product, doubt=doubt)
        wrong = f"shows another product: {product}" if self.expected and product != self.expected else ""
        own = [k for k, page in enumerate(self.sights.pages) if page.product == product]
        similarities = self.sights.locks[own] @ key
        drawn = [self.sights.pages[own[k]] for k in self._draw(similarities)]
        # The variant is that of the reference which is the most alike; a product may have pages of defects alone.
        shown = max(own, key=lambda k: (self.sights.pages[k].is_reference, self.sights.locks[k] @ key))
        page = self.sights.pages[shown]
        names, notes = tuple(page.name for page in drawn), tuple(page.text for page in drawn)
        return Recall(product, page.variant, names, most, product, wrong, notes, page.photo)

    def _draw(self, similarities: Float[np.ndarray, " documents"]) -> list[int]:
        settings = self.knowledge.settings
        if settings.draw == "nearest":
            return q2k.nearest(similarities, settings.budget)
        return q2k.draw(similarities, settings.budget)


def documents(bundle: Bundle, folder: Path) -> Documents:
    """The retriever for a bundle. Raises as `read_knowledge` and `sights_of` do, and `DataError` (LC708)."""
    knowledge, product = read_knowledge(folder), bundle.spec.product.name
    if product not in knowledge.products:
        advice = did_you_mean(product, knowledge.products)
        message = f'nothing is known of "{product}", the bundle\'s product.'
        raise DataError(Problem("LC708", message, relative(folder), advice=advice))
    return Documents(knowledge, sights_of(knowledge), product)
