"""Sparse codes by ISTA: which few prompts make up a feature.

Hierarchical sparse prompting (ADSeeker, arXiv 2508.03088): a feature E_q is made of rows of a dictionary E_l, with
as few of them as will do: the code P minimises 1/2 |E_q - P E_l|^2 + lambda |P|_1. The iterative shrinkage-thresholding
algorithm (Daubechies, Defrise and De Mol 2004; Beck and Teboulle 2009, section 2.3) goes N steps: down the gradient of
the first term, then a soft threshold for the second.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
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
