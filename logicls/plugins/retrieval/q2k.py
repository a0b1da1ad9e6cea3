"""Q2K: which documents are drawn for a photo (ADSeeker, arXiv 2508.03088).

A photo's key feature is compared with each document's lock feature by cosine. The similarities of one class are near a
normal distribution, so a Bayesian Gaussian mixture over them finds how many groups there are; a kernel density estimate
W* says how common a similarity is, and cluster n weighs

    W_n = (1 / K) Σ exp(W*(m) − max W*)    over the documents m in cluster n,

where K is the number of documents. The paper's code is not public; what it leaves open is chosen here: W* is the
logarithm of the density, its bandwidth Scott's rule, clusters share the budget out by largest remainders, and give
their most alike documents.
"""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float, Int

MOST = 6
"""Clusters that the mixture begins with; those that it does not need it leaves empty."""
NARROWEST = 1e-4
"""Bandwidth at the least: similarities may all be the same."""
Similarities = Float[np.ndarray, " documents"]


def log_density(similarities: Similarities) -> Float[np.ndarray, " documents"]:
    """W* of each document: the logarithm of a Gaussian kernel density over the similarities, at its own."""
    from sklearn.neighbors import KernelDensity

    column = similarities[:, None]
    # Scott (Multivariate Density Estimation, 1992), one dimension.
    width = max(float(similarities.std()) * len(similarities) ** -0.2, NARROWEST)
    return np.asarray(KernelDensity(bandwidth=width).fit(column).score_samples(column), np.float64)


def clusters(similarities: Similarities, seed: int) -> Int[np.ndarray, " documents"]:
    """The number of each document's cluster, by a Bayesian Gaussian mixture; numbers have no order and no gaps."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import BayesianGaussianMixture

    spread = float(similarities.std())
    if len(similarities) < 2 or spread < NARROWEST:
        return np.zeros(len(similarities), np.int64)
    column = ((similarities - similarities.mean()) / spread)[:, None]
    mixture = BayesianGaussianMixture(
        n_components=min(MOST, len(similarities)), max_iter=200, random_state=seed, weight_concentration_prior=0.1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = mixture.fit_predict(column)
    return np.asarray(np.unique(found, return_inverse=True)[1], np.int64)


def cluster_weights(
    density: Float[np.ndarray, " documents"], numbers: Int[np.ndarray, " documents"]
) -> Float[np.ndarray, " clusters"]:
    """W_n of each cluster."""
    each = np.exp(density - density.max())
    return np.bincount(numbers, each) / len(density)


def shared_out(
    weights: Float[np.ndarray, " clusters"], sizes: Int[np.ndarray, " clusters"], budget: int
) -> Int[np.ndarray, " clusters"]:
    """How many documents each cluster gives: in proportion to its weight, no more than it has, the budget in all."""
    given = np.zeros(len(weights), np.int64)
    while (left := min(budget, int(sizes.sum())) - int(given.sum())) > 0:
        room = sizes - given
        share = np.where(room > 0, weights, 0.0)
        share = share if share.sum() > 0 else (room > 0).astype(np.float64)
        wanted = left * share / share.sum()
        whole = np.floor(wanted + 1e-9).astype(np.int64)
        remainders = np.where(room > whole, wanted - whole, -1.0)
        first = np.argsort(-remainders, kind="stable")[: left - int(whole.sum())]
        whole[first] += 1
        given += np.minimum(whole, room)  # what a small cluster cannot take is shared out once more
    return given


def draw(similarities: Similarities, budget: int, seed: int = 0) -> list[int]:
    """The documents that are drawn, the most alike first.

    Args:
        similarities: Cosine of the photo's feature to each document's.
        budget: Most documents.
        seed: Of the mixture's beginning.
    """
    if len(similarities) <= budget:
        return nearest(similarities, budget)
    numbers = clusters(similarities, seed)
    counts = shared_out(cluster_weights(log_density(similarities), numbers), np.bincount(numbers), budget)
    order = nearest(similarities, len(similarities))
    taken = {n: [k for k in order if numbers[k] == n][:count] for n, count in enumerate(counts)}
    chosen = {k for some in taken.values() for k in some}
    return [k for k in order if k in chosen]


def nearest(similarities: Similarities, budget: int) -> list[int]:
    """Plain top-k: the most alike, in order."""
    return [int(k) for k in np.argsort(-similarities, kind="stable")[:budget]]
