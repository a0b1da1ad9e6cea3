"""Q2K sampling of documents for a photo: query-image-to-knowledge RAG (ADSeeker, arXiv 2508.03088).

**Measured worse than plain top-k**, which is therefore the default. Over documents of all products 7 to 13 % of the
sampled ones were of the right product (top-k: 96 to 97 %); over the product's own documents it found the page of the
defect as often or less often, and took 30 to 107 ms a photo (top-k: under 0.1 ms). See the retriever's documentation.

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

import numpy as np
from jaxtyping import Float, Int

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
