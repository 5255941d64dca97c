"""Ridge regression from sums over points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass
class Normal:
    """Normal equations: Σ v f fᵀ ``[size, size]`` and Σ v f yᵀ ``[size, s]`` in float64, over points of weight v."""

    products: Float[Tensor, "size size"]
    moments: Float[Tensor, "size s"]

    @classmethod
    def empty(cls, size: int, targets: int, device: torch.device | str) -> Normal:
        """No points yet."""
        shapes = ((size, size), (size, targets))
        return cls(*(torch.zeros(shape, dtype=torch.float64, device=device) for shape in shapes))

    def add(
        self, functions: Float[Tensor, "p size"], targets: Float[Tensor, "p s"], weights: Float[Tensor, "p"]
    ) -> None:
        """Points with ``functions`` ``[p, size]``, ``targets`` ``[p, s]`` and ``weights`` v ``[p]``."""
        root = weights.double().sqrt()[:, None]
        f, y = functions.double() * root, targets.double() * root
        if f.device.type == "cpu":
            array = f.numpy()
            self.products += torch.from_numpy(array.T @ array)  # NumPy sees the symmetry: half the work
        else:
            self.products += f.T @ f
        self.moments += f.T @ y

    def __add__(self, other: Normal) -> Normal:
        return Normal(self.products + other.products, self.moments + other.moments)

    def __sub__(self, other: Normal) -> Normal:
        return Normal(self.products - other.products, self.moments - other.moments)

    def solve(self, regularisation: float) -> Float[Tensor, "size s"]:
        """Coefficients ``[size, s]``: columns are scaled to mean square 1, then ``regularisation`` is added."""
        scale, factor = self.factor(regularisation)
        return scale[:, None] * torch.cholesky_solve(self.moments * scale[:, None], factor)

    def factor(self, regularisation: float) -> tuple[Float[Tensor, "size"], Float[Tensor, "size size"]]:
        """The scale D of the columns, ``[size]``, and L with L Lᵀ = D (Σ v f fᵀ) D + regularisation."""
        diagonal = self.products.diagonal()
        scale = torch.where(diagonal > 1e-14 * diagonal.max(), diagonal, torch.inf).rsqrt()  # a column of zeros: 0
        matrix = self.products * scale[:, None] * scale
        matrix.diagonal().add_(regularisation)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if int(failed):  # rounding made it indefinite
            matrix.diagonal().add_(1e-9)
            factor = torch.linalg.cholesky(matrix)
        return scale, factor
