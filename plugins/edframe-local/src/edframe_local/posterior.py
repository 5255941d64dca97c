"""The posterior of a network's last layer, which is linear and has one in closed form: how far from what was trained on
a point is.

Source: Bigi, Chong, Ceriotti, Grasselli, Mach. Learn.: Sci. Technol. 5, 045018 (2024).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float

    from edframe_local.network import PointNetwork

PRIOR = 1e-6
"""Of the weights' precision: this part of the largest eigenvalue of Σ v h hᵀ is added to all."""


class Posterior(nn.Module):
    """√(hᵀ (Σ v h hᵀ / Σ v + λ)⁻¹ h), h the last hidden layer and a constant, the sum over the points trained on.

    Up to a factor, the standard deviation of the network's output by Bayesian linear regression of its last layer.
    """

    factor: Float[Tensor, "h h"]

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("factor", torch.zeros(width + 1, width + 1))

    @property
    def known(self) -> bool:
        """Whether it was fitted."""
        return bool(self.factor.any())

    @torch.no_grad()
    def fit(self, hidden: Float[Tensor, "p width"], volume: Float[Tensor, "p"]) -> None:
        """From the last hidden layer at the points trained on, and what each of them counts."""
        total = torch.zeros_like(self.factor, dtype=torch.float64)
        for part, weight in zip(torch.split(hidden, 8192), torch.split(volume, 8192), strict=True):
            h = _with_constant(part).double()
            total += (h * weight[:, None].double()).T @ h
        total /= float(volume.sum(dtype=torch.float64))
        total.diagonal().add_(PRIOR * float(torch.linalg.eigvalsh(total)[-1]))
        self.factor.copy_(torch.linalg.inv(torch.linalg.cholesky(total)))

    @torch.no_grad()
    def learn(
        self, network: PointNetwork, functions: Float[Tensor, "p inputs"], base: Float[Tensor, "p s"],
        answer: Float[Tensor, "p s"], volume: Float[Tensor, "p"],
    ) -> None:  # fmt: skip
        """From what ``network`` was trained on, see ``PointNetwork``; volume: what each point counts."""
        parts = zip(*(torch.split(tensor, 8192) for tensor in (functions, base, answer)), strict=True)
        hidden = torch.cat([network.hidden(*part) for part in parts])
        self.fit(hidden, volume * network.unit(base)[:, 0])

    def deviations(self, hidden: Float[Tensor, "p width"]) -> Float[Tensor, "p"]:
        """The root for the last hidden layer at some points; its mean square at the points trained on is about h."""
        values: Tensor = (_with_constant(hidden) @ self.factor.T).norm(dim=1)
        return values


def _with_constant(hidden: Float[Tensor, "p width"]) -> Float[Tensor, "p h"]:
    return torch.cat([hidden, hidden.new_ones(len(hidden), 1)], 1)
