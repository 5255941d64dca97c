"""Steps of matrices whose singular values are all alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float

MOMENTUM = 0.95
POLYNOMIAL = (3.4445, -4.7750, 2.0315)
"""Of the iteration σ → aσ + bσ³ + cσ⁵, which takes any σ in (0, 1] to within 0.7 and 1.2 in five rounds."""


def orthogonalised(matrix: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """U Vᵀ of the singular value decomposition of ``matrix`` ``[m, n]``, singular values between 0.7 and 1.2."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x: Tensor = wide / wide.norm().clamp_min(1e-12)
    a, b, c = POLYNOMIAL
    for _ in range(5):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


class Orthogonal(torch.optim.Optimizer):
    """Gradient descent with Nesterov's momentum, each step made orthogonal, with Adam's usual root mean square.

    PyTorch has it as ``torch.optim.Muon`` from 2.9 on; older versions are supported here. Sources: K. Jordan et al.,
    Muon: an optimizer for hidden layers in neural networks (2024); Liu et al., arXiv:2502.16982 (size of the step).
    """

    def __init__(self, matrices: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(matrices, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step by the gradients that are there."""
        for group in self.param_groups:
            for matrix in group["params"]:
                moment = self.state[matrix].setdefault("moment", torch.zeros_like(matrix))
                moment.lerp_(matrix.grad, 1 - MOMENTUM)
                direction = orthogonalised(matrix.grad.lerp(moment, MOMENTUM))
                matrix.add_(direction, alpha=-0.2 * group["lr"] * max(matrix.shape) ** 0.5)
