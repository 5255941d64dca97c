"""Ridge regression from sums over points: normal equations per fold, and the regularisation by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Normal:
    """Σ v f fᵀ ``[size, size]``, Σ v f yᵀ ``[size, s]`` and Σ v y² ``[s]`` in float64, over points of weight v."""

    products: Tensor
    moments: Tensor
    squares: Tensor

    @classmethod
    def empty(cls, size: int, targets: int, device: torch.device | str) -> Normal:
        """No points yet."""
        shapes = ((size, size), (size, targets), (targets,))
        return cls(*(torch.zeros(shape, dtype=torch.float64, device=device) for shape in shapes))

    def add(self, functions: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Points with ``functions`` ``[p, size]``, ``targets`` ``[p, s]`` and ``weights`` v ``[p]``."""
        root = weights.double().sqrt()[:, None]
        f, y = functions.double() * root, targets.double() * root
        if f.device.type == "cpu":
            array = f.numpy()
            self.products += torch.from_numpy(array.T @ array)  # NumPy sees the symmetry: half the work
        else:
            self.products += f.T @ f
        self.moments += f.T @ y
        self.squares += y.square().sum(0)

    def __add__(self, other: Normal) -> Normal:
        return Normal(self.products + other.products, self.moments + other.moments, self.squares + other.squares)

    def __sub__(self, other: Normal) -> Normal:
        return Normal(self.products - other.products, self.moments - other.moments, self.squares - other.squares)

    def solve(self, regularisation: float) -> Tensor:
        """Coefficients ``[size, s]``: columns are scaled to mean square 1, then ``regularisation`` is added."""
        diagonal = self.products.diagonal()
        scale = torch.where(diagonal > 1e-14 * diagonal.max(), diagonal, torch.inf).rsqrt()  # a column of zeros: 0
        matrix = self.products * scale[:, None] * scale
        matrix.diagonal().add_(regularisation)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if int(failed):  # rounding made it indefinite
            matrix.diagonal().add_(1e-9)
            factor = torch.linalg.cholesky(matrix)
        return scale[:, None] * torch.cholesky_solve(self.moments * scale[:, None], factor)

    def error(self, coefficients: Tensor) -> float:
        """Σ v |y − fᵀc|² over the points and targets."""
        explained = (coefficients * (2 * self.moments - self.products @ coefficients)).sum()
        return max(0.0, float(self.squares.sum() - explained))


def cross_validated(folds: Sequence[Normal], regularisations: Sequence[float]) -> tuple[float, float]:
    """The regularisation with the least error on each fold of a fit to the others, and that error over Σ v y²."""
    total = sum(folds[1:], folds[0])
    errors = [sum(held.error((total - held).solve(r)) for held in folds) for r in regularisations]
    best = min(range(len(errors)), key=errors.__getitem__)
    return regularisations[best], errors[best] / max(float(total.squares.sum()), 1e-300)
