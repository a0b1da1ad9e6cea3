"""Retriever: matches a photo to a product by its nearest known photo, and selects documents of that product.

A photo whose cosine similarity to all known photos is below the limit of the nearest product is out-of-distribution and
goes to review.

Documents are the most similar ones (top-k), or sampled by Q2K, the query-image-to-knowledge RAG of ADSeeker (arXiv
2508.03088). **Q2K measured worse than top-k**, which is therefore the default. Over documents of all products 7 to 13 %
of the sampled ones were of the right product (top-k: 96 to 97 %); over the product's own documents it found the page of
the defect as often or less often, and took 30 to 107 ms a photo (top-k: under 0.1 ms). See docs/plug-ins/retrieval.md.

A photo's key feature is compared with each document's lock feature by cosine. The similarities of one class are close
to normally distributed, so a Bayesian Gaussian mixture over them finds the number of clusters. With W* the kernel
density estimate (KDE) of the similarities, cluster n weighs

    W_n = (1 / K) Σ exp(W*(m) − max W*)    over the documents m in cluster n,

K the number of documents. The paper's code is not public; chosen here are: W* is the logarithm of the density, its
bandwidth follows Scott's rule, clusters share the budget by largest remainders, and each gives its most similar
documents.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from logicls.data.image_io import read_photo
from logicls.errors import DataError, Problem, relative_path, suggest_name
from logicls.models.bundle import Bundle
from logicls.plugins.retrieval.drafting import read_photo_features
from logicls.plugins.retrieval.embedding import EmbeddingSpace, ImageEncoder, Photos, fit_space, load_encoder
from logicls.plugins.retrieval.knowledge import KnowledgeBase, KnowledgePage, read_knowledge
from logicls.predict.plugin_protocols import Photo, ProductMatch

MAX_CLUSTERS = 6
"""Components of the mixture before fitting; unnecessary ones end up empty."""
MIN_BANDWIDTH = 1e-4
"""Least bandwidth, for similarities that are all equal."""
Similarities = Float[np.ndarray, " documents"]


def log_density(similarities: Similarities) -> Float[np.ndarray, " documents"]:
    """Return W* of each document: the log of a Gaussian kernel density over the similarities, at its own similarity."""
    from sklearn.neighbors import KernelDensity

    column = similarities[:, None]
    # Scott (Multivariate Density Estimation, 1992), one dimension.
    bandwidth = max(float(similarities.std()) * len(similarities) ** -0.2, MIN_BANDWIDTH)
    return np.asarray(KernelDensity(bandwidth=bandwidth).fit(column).score_samples(column), np.float64)


def cluster_documents(similarities: Similarities, seed: int) -> Int[np.ndarray, " documents"]:
    """Label each document's cluster by a Bayesian Gaussian mixture; labels have no order and no gaps."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import BayesianGaussianMixture

    deviation = float(similarities.std())
    if len(similarities) < 2 or deviation < MIN_BANDWIDTH:
        return np.zeros(len(similarities), np.int64)
    column = ((similarities - similarities.mean()) / deviation)[:, None]
    mixture = BayesianGaussianMixture(
        n_components=min(MAX_CLUSTERS, len(similarities)),
        max_iter=200,
        random_state=seed,
        weight_concentration_prior=0.1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = mixture.fit_predict(column)
    return np.asarray(np.unique(labels, return_inverse=True)[1], np.int64)


def cluster_weights(
    density: Float[np.ndarray, " documents"], labels: Int[np.ndarray, " documents"]
) -> Float[np.ndarray, " clusters"]:
    """Return W_n of each cluster."""
    weights = np.exp(density - density.max())
    return np.bincount(labels, weights) / len(density)


def allocate_budget(
    weights: Float[np.ndarray, " clusters"], sizes: Int[np.ndarray, " clusters"], budget: int
) -> Int[np.ndarray, " clusters"]:
    """Allocate documents to clusters in proportion to their weights, at most their size, the budget in total."""
    allocated = np.zeros(len(weights), np.int64)
    while (left := min(budget, int(sizes.sum())) - int(allocated.sum())) > 0:
        remaining = sizes - allocated
        share = np.where(remaining > 0, weights, 0.0)
        share = share if share.sum() > 0 else (remaining > 0).astype(np.float64)
        quotas = left * share / share.sum()
        counts = np.floor(quotas + 1e-9).astype(np.int64)
        remainders = np.where(remaining > counts, quotas - counts, -1.0)
        first = np.argsort(-remainders, kind="stable")[: left - int(counts.sum())]
        counts[first] += 1
        allocated += np.minimum(counts, remaining)  # what a small cluster cannot take is shared out once more
    return allocated


def sample_documents(similarities: Similarities, budget: int, seed: int = 0) -> list[int]:
    """Sample documents by cluster weights, the most similar first.

    Args:
        similarities: Cosine of the photo's key to each document's lock.
        budget: Most documents.
        seed: Seed of the mixture's initialisation.
    """
    if len(similarities) <= budget:
        return top_documents(similarities, budget)
    labels = cluster_documents(similarities, seed)
    counts = allocate_budget(cluster_weights(log_density(similarities), labels), np.bincount(labels), budget)
    order = top_documents(similarities, len(similarities))
    by_cluster = {n: [k for k in order if labels[k] == n][:count] for n, count in enumerate(counts)}
    chosen = {k for members in by_cluster.values() for k in members}
    return [k for k in order if k in chosen]


def top_documents(similarities: Similarities, budget: int) -> list[int]:
    """Return the `budget` most similar documents, in order."""
    return [int(k) for k in np.argsort(-similarities, kind="stable")[:budget]]


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
            return top_documents(similarities, settings.budget)
        return sample_documents(similarities, settings.budget)


def load_retriever(bundle: Bundle, folder: Path) -> DocumentRetriever:
    """Build the retriever of a bundle. Raises as `read_knowledge` and `build_index` do, and `DataError` (LC708)."""
    knowledge, product = read_knowledge(folder), bundle.spec.product.name
    if product not in knowledge.products:
        advice = suggest_name(product, knowledge.products)
        message = f'no page is about "{product}", the product of the bundle.'
        raise DataError(Problem("LC708", message, relative_path(folder), advice=advice))
    return DocumentRetriever(knowledge, build_index(knowledge), product)
