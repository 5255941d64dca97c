"""Kernel ridge regression as weights of the training samples, and the choice of its two numbers.

A prediction is a combination Σ w_i y_i of the training targets. Weights depend on the inputs alone, so errors of
held-out samples follow from the products y_i·y_j: cross-validation never touches the targets, however long they are.
All matrices are float64: their condition number is that of the kernel over the regularisation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float


def squared_distances(one: Float[Tensor, "m f"], other: Float[Tensor, "n f"]) -> Float[Tensor, "m n"]:
    """|a − b|² for ``[m, f]`` and ``[n, f]``: ``[m, n]``."""
    squares = one.square().sum(1)[:, None] + other.square().sum(1)
    return (squares - 2 * one @ other.T).clamp_min(0)


def gaussian(squared: Float[Tensor, "m n"], width: float | Float[Tensor, ""]) -> Float[Tensor, "m n"]:
    """The kernel exp(−d²/2σ²) of squared distances d², σ = ``width``."""
    kernel: Tensor = torch.exp(squared / (-2 * width**2))
    return kernel


def inverted(kernel: Float[Tensor, "n n"], regularisation: float) -> Float[Tensor, "n n"]:
    """(K + λ)⁻¹ of a positive semidefinite ``kernel`` ``[n, n]``."""
    values, vectors = torch.linalg.eigh(kernel)
    inverse: Tensor = vectors / (values.clamp_min(0) + regularisation) @ vectors.T
    return inverse


def combined(kernel: Float[Tensor, "m n"], inverse: Float[Tensor, "n n"]) -> Float[Tensor, "m n"]:
    """Weights ``[m, n]`` of the training targets, each row with sum 1.

    kernel: k ``[m, n]`` to the training samples. inverse: (K + λ)⁻¹ ``[n, n]`` of these. What k(K + λ)⁻¹ lacks of the
    sum 1 is shared by all targets alike, which makes it ridge regression of the targets less their mean.
    """
    weights = kernel @ inverse
    return weights + (1 - weights.sum(1, keepdim=True)) / weights.shape[1]


@dataclass(frozen=True)
class Chosen:
    """Width σ of the kernel, in the unit of the distances, regularisation λ, and the mean square error held out."""

    width: float
    regularisation: float
    error: float


def cross_validated(
    squared: Float[Tensor, "n n"],
    products: Float[Tensor, "n n"],
    widths: Sequence[float],
    regularisations: Sequence[float],
    folds: int,
) -> Chosen:
    """The pair of least mean square error when every ``folds``-th sample is held out, from each start in turn.

    squared: distances d² of the inputs ``[n, n]``. products: y_i·y_j of the targets ``[n, n]``. Data sets list
    neighbours together, so that blocks of samples would measure how well it extrapolates.
    """
    count = len(squared)
    errors = torch.zeros(len(widths), len(regularisations), dtype=torch.float64)
    for start in range(min(folds, count)):
        held = torch.arange(start, count, folds)
        kept = torch.tensor([i for i in range(count) if i % folds != start])
        within, across = products[kept][:, kept], products[held][:, kept]
        for i, width in enumerate(widths):
            values, vectors = torch.linalg.eigh(gaussian(squared[kept][:, kept], width))
            kernel = gaussian(squared[held][:, kept], width) @ vectors
            for j, regularisation in enumerate(regularisations):
                w = combined(kernel / (values.clamp_min(0) + regularisation), vectors.T)
                residuals = products[held, held] - 2 * (w * across).sum(1) + (w @ within * w).sum(1)
                errors[i, j] += float(residuals.sum()) / count
    i, j = divmod(int(errors.nan_to_num(math.inf).argmin()), len(regularisations))
    return Chosen(widths[i], regularisations[j], max(0.0, float(errors[i, j])))
