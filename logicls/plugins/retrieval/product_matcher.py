"""Retriever: matches a photo to a product by its nearest known photo, and selects documents of that product.

A photo whose cosine similarity to all known photos is below the limit of the nearest product is out-of-distribution and
goes to review.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from logicls.data.image_io import read_photo
from logicls.errors import DataError, Problem, relative_path, suggest_name
from logicls.models.bundle import Bundle
from logicls.plugins.retrieval import q2k
from logicls.plugins.retrieval.drafting import read_photo_features
from logicls.plugins.retrieval.embedding import EmbeddingSpace, ImageEncoder, Photos, fit_space, load_encoder
from logicls.plugins.retrieval.knowledge import KnowledgeBase, KnowledgePage, read_knowledge
from logicls.predict.plugin_protocols import Photo, ProductMatch

FOLDS = 4
QUANTILE = 0.95
"""Quantile of cosine distances between photos of a product, before the limit is widened."""
LIMIT_FACTOR = 1.5
"""Factor on the distance limit: photos of other days differ more than photos of one dataset."""


@dataclass(frozen=True, slots=True)
class ProductFeatures:
    """Reference features of one product."""

    features: Float[np.ndarray, "photos width"]
    """Unit vectors of the photos embedded when the knowledge was built."""
    min_similarity: float
    """Least cosine similarity of a photo of the product to its nearest neighbour here."""


@dataclass(frozen=True, slots=True)
class RetrievalIndex:
    """Embedded documents and product photos."""

    encoder: ImageEncoder
    space: EmbeddingSpace
    pages: tuple[KnowledgePage, ...]
    """The documents."""
    locks: Float[np.ndarray, "documents width"]
    """Lock feature of each document, a unit vector."""
    products: Mapping[str, ProductFeatures]
    """Product → its reference features."""

    def embed_keys(self, photos: Photos) -> Float[np.ndarray, "photos width"]:
        """Return the key feature of each photo, a unit vector."""
        return self.space.transform(self.encoder.embed(photos))


def build_index(knowledge: KnowledgeBase) -> RetrievalIndex:
    """Embed the documents of a knowledge folder.

    Raises:
        BundleError: The encoder cannot be used (LC510, LC705).
        DataError: A product has no document (LC707) or no photo features (LC706), or another encoder wrote the features
            (LC704).
        PhotoError: A document's photo cannot be read (LC301 to LC307).
    """
    undocumented = [
        name for name in knowledge.products if not any(page.product == name for page in knowledge.documents)
    ]
    if undocumented:
        advice, folder = "Add a photo to one of its pages.", relative_path(knowledge.path)
        raise DataError(
            [Problem("LC707", f'no page of "{n}" has a photo.', folder, advice=advice) for n in undocumented]
        )
    encoder = load_encoder(knowledge.settings.encoder, knowledge.path)
    features = encoder.embed([read_photo(page.photo) for page in knowledge.documents if page.photo is not None])
    width = features.shape[1]
    photo_features = {name: read_photo_features(knowledge.path / name, encoder, width) for name in knowledge.products}
    centre = read_photo_features(knowledge.path, encoder, width).mean(0)
    space, limits = fit_space(centre, list(photo_features.values())), fit_limits(centre, photo_features)
    products = {
        name: ProductFeatures(space.transform(features), limits[name]) for name, features in photo_features.items()
    }
    return RetrievalIndex(encoder, space, knowledge.documents, space.transform(features), products)


def fit_limits(
    centre: Float[np.ndarray, " width"], photo_features: Mapping[str, Float[np.ndarray, "_ width"]]
) -> dict[str, float]:
    """Fit the similarity limit of each product by cross-validation.

    Each fold is compared with the other folds, in a space fitted without it.
    """
    distances: dict[str, list[Float[np.ndarray, " photos"]]] = {name: [] for name in photo_features}
    for fold in range(FOLDS):
        rest = {name: np.delete(features, np.s_[fold::FOLDS], 0) for name, features in photo_features.items()}
        space = fit_space(centre, list(rest.values()))
        for name, features in photo_features.items():
            cosines = space.transform(features[fold::FOLDS]) @ space.transform(rest[name]).T
            distances[name].append(1 - cosines.max(1, initial=-1.0))
    return {
        name: 1 - LIMIT_FACTOR * float(np.quantile(np.concatenate(values), QUANTILE))
        for name, values in distances.items()
    }


@dataclass(frozen=True, slots=True)
class DocumentRetriever:
    """Retriever over a knowledge folder."""

    knowledge: KnowledgeBase
    index: RetrievalIndex
    expected: str = ""
    """Product that photos should show; empty: any."""

    def match_products(self, photos: list[Photo]) -> list[ProductMatch]:
        """Match each photo to a product, and select its documents."""
        return [self._match(key) for key in self.index.embed_keys(photos)] if photos else []

    def _match(self, key: Float[np.ndarray, " width"]) -> ProductMatch:
        similarities = {
            name: float((product_features.features @ key).max())
            for name, product_features in self.index.products.items()
        }
        product = max(similarities, key=lambda name: similarities[name])
        best, limit = similarities[product], self.index.products[product].min_similarity
        if best < limit:
            doubt = f"out of distribution: similarity {best:.2f} to {product}, the nearest product, needs {limit:.2f}"
            return ProductMatch("", similarity=best, nearest_product=product, review_reason=doubt)
        mismatch = f"shows another product: {product}" if self.expected and product != self.expected else ""
        own = [k for k, page in enumerate(self.index.pages) if page.product == product]
        document_similarities = self.index.locks[own] @ key
        selected = [self.index.pages[own[k]] for k in self._select_documents(document_similarities)]
        # The variant is that of the reference which is the most alike; a product may have pages of defects alone.
        closest = max(own, key=lambda k: (self.index.pages[k].is_reference, self.index.locks[k] @ key))
        page = self.index.pages[closest]
        names, notes = tuple(page.name for page in selected), tuple(page.text for page in selected)
        return ProductMatch(product, page.variant, names, best, product, mismatch, notes, page.photo)

    def _select_documents(self, similarities: Float[np.ndarray, " documents"]) -> list[int]:
        settings = self.knowledge.settings
        if settings.draw == "nearest":
            return q2k.top_documents(similarities, settings.budget)
        return q2k.sample_documents(similarities, settings.budget)


def load_retriever(bundle: Bundle, folder: Path) -> DocumentRetriever:
    """Build the retriever of a bundle. Raises as `read_knowledge` and `build_index` do, and `DataError` (LC708)."""
    knowledge, product = read_knowledge(folder), bundle.spec.product.name
    if product not in knowledge.products:
        advice = suggest_name(product, knowledge.products)
        message = f'no page is about "{product}", the product of the bundle.'
        raise DataError(Problem("LC708", message, relative_path(folder), advice=advice))
    return DocumentRetriever(knowledge, build_index(knowledge), product)
