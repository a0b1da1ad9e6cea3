"""Hierarchical sparse prompting (ADSeeker, arXiv 2508.03088): types of defect as sparse codes of patch features.

Prompts describe *types* of defect (scratch, hole, stain, bent, missing piece, …), which products share. Features of
example defects are clustered, and cluster means initialise the prompts of a type. Each layer of the encoder has prompts
of its own. A feature E_q is coded in the dictionary E_l of a layer's prompts: the code P minimises

    1/2 |E_q - P E_l|^2 + lambda |P|_1

by N steps of ISTA, the iterative shrinkage-thresholding algorithm (Daubechies, Defrise and De Mol 2004; Beck and
Teboulle 2009, section 2.3): a gradient step on the first term, then a soft threshold for the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def soft_threshold(values: Tensor, amount: float) -> Tensor:
    """Shrink each value towards zero by `amount`: the proximal operator of amount * |x|."""
    return values.sign() * (values.abs() - amount).clamp_min(0.0)


def objective(
    queries: Float[Tensor, "queries width"],
    codes: Float[Tensor, "queries atoms"],
    atoms: Float[Tensor, "atoms width"],
    weight: float,
) -> Float[Tensor, " queries"]:
    """Return 1/2 |E_q - P E_l|^2 + weight |P|_1 of each query."""
    return 0.5 * (queries - codes @ atoms).square().sum(1) + weight * codes.abs().sum(1)


def max_step_size(atoms: Float[Tensor, "atoms width"]) -> float:
    """Return 1 / L, L the largest eigenvalue of E_l E_l^T: up to this step size the objective never increases."""
    return 1.0 / max(float(torch.linalg.matrix_norm(atoms, 2)) ** 2, 1e-12)


def ista_step(
    queries: Float[Tensor, "queries width"],
    codes: Float[Tensor, "queries atoms"],
    atoms: Float[Tensor, "atoms width"],
    weight: float,
    step_size: float,
) -> Float[Tensor, "queries atoms"]:
    """Return soft_threshold(P - step_size (P E_l - E_q) E_l^T, step_size * weight)."""
    return soft_threshold(codes - step_size * (codes @ atoms - queries) @ atoms.T, step_size * weight)


@dataclass(frozen=True, slots=True)
class SparseCodes:
    """Result of ISTA."""

    codes: Float[Tensor, "queries atoms"]
    objectives: tuple[float, ...]
    """Mean objective before the first step and after each."""


def ista(
    queries: Float[Tensor, "queries width"], atoms: Float[Tensor, "atoms width"], weight: float, steps: int
) -> SparseCodes:
    """Compute codes by ISTA, starting at zero, with the largest safe step size."""
    codes, step_size = queries.new_zeros(len(queries), len(atoms)), max_step_size(atoms)
    objectives = [float(objective(queries, codes, atoms, weight).mean())]
    for _ in range(steps):
        codes = ista_step(queries, codes, atoms, weight, step_size)
        objectives.append(float(objective(queries, codes, atoms, weight).mean()))
    return SparseCodes(codes, tuple(objectives))


@dataclass(frozen=True, slots=True)
class SparseCodingSettings:
    """Settings of sparse coding and dictionary learning."""

    weight: float = 0.1
    """lambda: the larger, the sparser the codes."""
    steps: int = 20
    """N, steps of ISTA."""
    rounds: int = 40
    """Updates of the prompts."""
    rate: float = 0.2
    """Learning rate of the prompts."""


@dataclass(frozen=True, slots=True)
class PromptLayer:
    """Prompts of one layer."""

    prompts: Float[Tensor, "prompts width"]
    """Unit vectors."""
    types: Int[Tensor, " prompts"]
    """Type of defect of each prompt."""

    def encode(
        self, queries: Float[Tensor, "queries width"], settings: SparseCodingSettings
    ) -> Float[Tensor, "queries prompts"]:
        """Return sparse codes of features."""
        return ista(queries, self.prompts, settings.weight, settings.steps).codes


@dataclass(frozen=True, slots=True)
class PromptHierarchy:
    """Prompts of all layers."""

    layers: tuple[PromptLayer, ...]
    names: tuple[str, ...]
    """Names of the types."""
    settings: SparseCodingSettings

    def type_strengths(self, features: Sequence[Float[Tensor, "queries _"]]) -> Float[Tensor, "queries types"]:
        """Return each type's share in features: squared codes, summed over layers, normalised to 1.

        `features` has one tensor a layer. A query that no prompt explains gets zeros.
        """
        strengths = features[0].new_zeros(len(features[0]), len(self.names))
        for layer, layer_features in zip(self.layers, features, strict=True):
            codes = layer.encode(F.normalize(layer_features, dim=1), self.settings)
            strengths = strengths.index_add(1, layer.types, codes.square())
        return strengths / strengths.sum(1, keepdim=True).clamp_min(1e-12) * (strengths.sum(1, keepdim=True) > 0)


def cluster_features(features: Float[Tensor, "examples width"], count: int, seed: int) -> Int[Tensor, " examples"]:
    """Cluster features by spherical k-means (scikit-learn)."""
    from sklearn.cluster import KMeans

    clustering = KMeans(min(count, len(features)), n_init=4, random_state=seed).fit(
        F.normalize(features, dim=1).numpy()
    )
    return torch.from_numpy(clustering.labels_).long()


def fit_prompt_layer(
    features: Float[Tensor, "examples width"],
    types: Int[Tensor, " examples"],
    per_type: int,
    seed: int,
    settings: SparseCodingSettings,
) -> tuple[PromptLayer, tuple[float, ...]]:
    """Fit `per_type` prompts of each type, and return them with the mean objective of each round.

    Prompts are atoms of a dictionary: between rounds of ISTA they follow the objective's gradient (Olshausen and Field
    1997) and are normalised to unit length.
    """
    queries = F.normalize(features, dim=1)
    starts, prompt_types = [], []
    for kind in types.unique().tolist():
        of_type = queries[types == kind]
        labels = cluster_features(of_type, per_type, seed)
        starts += [of_type[labels == number].mean(0) for number in labels.unique().tolist()]
        prompt_types += [kind] * len(labels.unique())
    prompts = F.normalize(torch.stack(starts), dim=1)
    objectives = []
    for _ in range(settings.rounds + 1):
        codes = ista(queries, prompts, settings.weight, settings.steps).codes
        objectives.append(float(objective(queries, codes, prompts, settings.weight).mean()))
        if len(objectives) <= settings.rounds:
            gradient = codes.T @ (codes @ prompts - queries) / len(queries)
            prompts = F.normalize(prompts - settings.rate * gradient, dim=1)
    return PromptLayer(prompts, torch.tensor(prompt_types)), tuple(objectives)


def fit_prompt_hierarchy(
    features: Sequence[Float[Tensor, "examples _"]],
    types: Int[Tensor, " examples"],
    names: Sequence[str],
    *,
    per_type: int = 3,
    seed: int = 0,
    settings: SparseCodingSettings = SparseCodingSettings(),
) -> PromptHierarchy:
    """Fit the prompts of every layer to features of example defects, one tensor a layer."""
    layers = tuple(fit_prompt_layer(layer_features, types, per_type, seed, settings)[0] for layer_features in features)
    return PromptHierarchy(layers, tuple(names), settings)
