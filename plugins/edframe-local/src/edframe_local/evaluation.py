"""The linear model on whole grids: coefficients are contracted before products are taken.

ρ − ρ₀ is linear in the squares T = A Aᵀ of each l, and in those times A_sn00. So one matrix product per point gives
the sum over three bodies and the factors of all A_sn00, and no column of the basis is ever formed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edframe_local.basis import Basis


@dataclass(frozen=True)
class Contracted:
    """Coefficients in the order in which sums appear.

    two: ``[species · pairs, s]``. squares: for each l ``[c², (1 + c) s]``, c = species · radial. All float32.
    """

    basis: Basis
    two: Tensor
    squares: tuple[Tensor, ...]
    spins: int

    @classmethod
    def of(cls, basis: Basis, coefficients: Tensor) -> Contracted:
        """Of ``coefficients`` ``[size, s]``."""
        channels, spins = basis.species * basis.radial, coefficients.shape[1]
        two, three, more = torch.split(coefficients, list(basis.sizes))
        largest = max((ell for ell, _, _ in basis.triples_listed), default=0)
        table = coefficients.new_zeros(largest + 1, channels, channels, 1 + channels, spins)
        where = torch.tensor(basis.triples_listed, device=coefficients.device).reshape(-1, 3)
        table[where[:, 0], where[:, 1], where[:, 2], 0] = three
        if len(more):
            pairs = torch.tensor(basis.products_listed, device=coefficients.device)
            ell, i, j = where[pairs[:, 0]].T
            table[ell, i, j, 1 + pairs[:, 1]] = more
        squares = tuple(one.reshape(channels**2, -1).float().contiguous() for one in table)
        return cls(basis, two.float(), squares, spins)

    def __call__(self, two: Tensor, moments: list[Tensor]) -> Tensor:
        """ρ − ρ₀ by body order, ``[n, 3, s]`` in e/Å^d, from the sums of ``Basis.sums``."""
        pairs = zip(moments, self.squares, strict=True)
        found = torch.stack([(a @ a.transpose(1, 2)).flatten(1) @ w for a, w in pairs]).sum(0)
        factors = found.reshape(len(found), -1, self.spins)
        more = torch.einsum("nc,ncs->ns", moments[0][..., 0], factors[:, 1:])
        return torch.stack([two @ self.two, factors[:, 0], more], 1)
