"""Hierarchical sparse prompting: what kinds of defect a feature is made of, layer by layer.

After ADSeeker (arXiv 2508.03088): prompts are of *types* of defect (scratch, hole, stain, bent, missing piece, …),
which products share, and not of things. Features of examples of many defects are clustered, and a cluster's middle is
where a type's prompt begins. Each layer of the encoder has prompts of its own; a feature of that layer is coded by N
steps of ISTA in them, and the prompts go down the gradient of what ISTA minimises.

Sparse codes by ISTA: which few prompts make up a feature.

Hierarchical sparse prompting (ADSeeker, arXiv 2508.03088): a feature E_q is made of rows of a dictionary E_l, with
as few of them as will do: the code P minimises 1/2 |E_q - P E_l|^2 + lambda |P|_1. The iterative shrinkage-thresholding
algorithm (Daubechies, Defrise and De Mol 2004; Beck and Teboulle 2009, section 2.3) goes N steps: down the gradient of
the first term, then a soft threshold for the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def soft(values: Tensor, by: float) -> Tensor:
    """Each value moved towards zero by `by`, and no further: the proximal map of by * |x|."""
    return values.sign() * (values.abs() - by).clamp_min(0.0)


def objective(
    asked: Float[Tensor, "queries width"],
    codes: Float[Tensor, "queries atoms"],
    atoms: Float[Tensor, "atoms width"],
    weight: float,
) -> Float[Tensor, " queries"]:
    """1/2 |E_q - P E_l|^2 + weight |P|_1 of each query."""
    return 0.5 * (asked - codes @ atoms).square().sum(1) + weight * codes.abs().sum(1)


def longest_step(atoms: Float[Tensor, "atoms width"]) -> float:
    """1 / L, L the largest eigenvalue of E_l E_l^T: with steps up to it the objective never rises."""
    return 1.0 / max(float(torch.linalg.matrix_norm(atoms, 2)) ** 2, 1e-12)


def step(
    asked: Float[Tensor, "queries width"],
    codes: Float[Tensor, "queries atoms"],
    atoms: Float[Tensor, "atoms width"],
    weight: float,
    size: float,
) -> Float[Tensor, "queries atoms"]:
    """P <- soft(P - size (P E_l - E_q) E_l^T, size * weight)."""
    return soft(codes - size * (codes @ atoms - asked) @ atoms.T, size * weight)


@dataclass(frozen=True, slots=True)
class Coded:
    """What ISTA came to."""

    codes: Float[Tensor, "queries atoms"]
    losses: tuple[float, ...]
    """Mean objective before the first step and after each."""


def ista(
    asked: Float[Tensor, "queries width"], atoms: Float[Tensor, "atoms width"], weight: float, steps: int
) -> Coded:
    """Codes after so many steps from zero, each as long as is safe."""
    codes, size = asked.new_zeros(len(asked), len(atoms)), longest_step(atoms)
    losses = [float(objective(asked, codes, atoms, weight).mean())]
    for _ in range(steps):
        codes = step(asked, codes, atoms, weight, size)
        losses.append(float(objective(asked, codes, atoms, weight).mean()))
    return Coded(codes, tuple(losses))


@dataclass(frozen=True, slots=True)
class Sparsity:
    """How codes are made and prompts learned."""

    weight: float = 0.1
    """lambda: the larger, the fewer prompts a feature is made of."""
    steps: int = 20
    """N of ISTA."""
    rounds: int = 40
    """In which the prompts are changed."""
    rate: float = 0.2


@dataclass(frozen=True, slots=True)
class Level:
    """The prompts of one layer."""

    prompts: Float[Tensor, "prompts width"]
    """Each of length 1."""
    types: Int[Tensor, " prompts"]
    """The type of defect that each is of."""

    def codes(self, asked: Float[Tensor, "queries width"], sparsity: Sparsity) -> Float[Tensor, "queries prompts"]:
        """Sparse codes of features."""
        return ista(asked, self.prompts, sparsity.weight, sparsity.steps).codes


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """The prompts of all layers."""

    levels: tuple[Level, ...]
    names: tuple[str, ...]
    """Of the types."""
    sparsity: Sparsity

    def strengths(self, layers: Sequence[Float[Tensor, "queries _"]]) -> Float[Tensor, "queries types"]:
        """How much of each type is in features, one tensor a layer: squared codes, all layers together, shares of 1.

        A query that no prompt explains has nothing of any.
        """
        found = layers[0].new_zeros(len(layers[0]), len(self.names))
        for level, layer in zip(self.levels, layers, strict=True):
            codes = level.codes(F.normalize(layer, dim=1), self.sparsity)
            found = found.index_add(1, level.types, codes.square())
        return found / found.sum(1, keepdim=True).clamp_min(1e-12) * (found.sum(1, keepdim=True) > 0)


def clusters(features: Float[Tensor, "examples width"], count: int, seed: int) -> Int[Tensor, " examples"]:
    """The cluster of each feature: k-means on the sphere, of scikit-learn."""
    from sklearn.cluster import KMeans

    found = KMeans(min(count, len(features)), n_init=4, random_state=seed).fit(F.normalize(features, dim=1).numpy())
    return torch.from_numpy(found.labels_).long()


def learn_level(
    features: Float[Tensor, "examples width"], types: Int[Tensor, " examples"], each: int, seed: int, sparsity: Sparsity
) -> tuple[Level, tuple[float, ...]]:
    """`each` prompts a type, from clusters of its examples, and the mean objective before and after each round.

    Prompts are columns of a dictionary: between rounds of ISTA they follow the gradient of its objective (Olshausen and
    Field 1997) and are brought back to length 1.
    """
    asked = F.normalize(features, dim=1)
    starts, owners = [], []
    for kind in types.unique().tolist():
        own = asked[types == kind]
        group = clusters(own, each, seed)
        starts += [own[group == number].mean(0) for number in group.unique().tolist()]
        owners += [kind] * len(group.unique())
    prompts = F.normalize(torch.stack(starts), dim=1)
    losses = []
    for _ in range(sparsity.rounds + 1):
        codes = ista(asked, prompts, sparsity.weight, sparsity.steps).codes
        losses.append(float(objective(asked, codes, prompts, sparsity.weight).mean()))
        if len(losses) <= sparsity.rounds:
            down = codes.T @ (codes @ prompts - asked) / len(asked)
            prompts = F.normalize(prompts - sparsity.rate * down, dim=1)
    return Level(prompts, torch.tensor(owners)), tuple(losses)


def learn_hierarchy(
    layers: Sequence[Float[Tensor, "examples _"]],
    types: Int[Tensor, " examples"],
    names: Sequence[str],
    *,
    each: int = 3,
    seed: int = 0,
    sparsity: Sparsity = Sparsity(),
) -> Hierarchy:
    """Prompts of every layer from examples of defects, one tensor of features a layer."""
    levels = tuple(learn_level(layer, types, each, seed, sparsity)[0] for layer in layers)
    return Hierarchy(levels, tuple(names), sparsity)
