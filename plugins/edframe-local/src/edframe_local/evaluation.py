"""The linear model on whole grids: coefficients are contracted before products are taken.

The part of three bodies is linear in the squares A Aᵀ of each l, that of more bodies in those times A_sn00: a matrix
product per point gives the factor of each A_sn00, and no column of the basis is formed but the few that these need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe_local.basis import Basis

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Contracted:
    """Coefficients in the order in which sums appear, in float32, with c = species · radial.

    two: ``[species · pairs, s]``. squares: for each l ``[c², s]``. needed: the places ``[k]`` of the k triples that
    products are made of, in the squares of all l. factors: ``[k, c · s]``.
    """

    basis: Basis
    two: Float[Tensor, "two s"]
    squares: tuple[Float[Tensor, "cc s"], ...]
    needed: Int[Tensor, "k"]
    factors: Float[Tensor, "k cs"]

    @classmethod
    def of(cls, basis: Basis, coefficients: Float[Tensor, "size s"]) -> Contracted:
        """Of ``coefficients`` ``[size, s]``."""
        channels, spins, device = basis.species * basis.radial, coefficients.shape[1], coefficients.device
        two, three, more = torch.split(coefficients.float(), list(basis.sizes))
        largest = max((ell for ell, _, _ in basis.triples_listed), default=0)
        where = torch.tensor(basis.triples_listed, device=device).reshape(-1, 3)
        places = (where[:, 0] * channels + where[:, 1]) * channels + where[:, 2]
        table = three.new_zeros((largest + 1) * channels**2, spins).index_copy(0, places, three)
        pairs = torch.tensor(basis.products_listed, device=device, dtype=torch.long).reshape(-1, 2)
        # In order of their places, so of l.
        triples, rows = torch.unique(places[pairs[:, 0]], return_inverse=True)
        factors = more.new_zeros(len(triples) * channels, spins).index_copy(0, rows * channels + pairs[:, 1], more)
        squares = torch.split(table, channels**2)
        return cls(basis, two, squares, triples, factors.reshape(len(triples), channels * spins))

    def __call__(self, two: Float[Tensor, "n two"], moments: list[Float[Tensor, "n c _"]]) -> Float[Tensor, "n 3 s"]:
        """ρ − ρ₀ by body order, ``[n, 3, s]`` in e/Å^d, from the sums of ``Basis.sums``."""
        squares = [(a @ a.transpose(1, 2)).flatten(1) for a in moments]
        three = torch.stack([t @ w for t, w in zip(squares, self.squares, strict=True)]).sum(0)
        size = squares[0].shape[1]
        among = [(self.needed[self.needed // size == ell]) % size for ell in range(len(squares))]
        needed = torch.cat([t.index_select(1, chosen) for t, chosen in zip(squares, among, strict=True)], 1)
        factors = (needed @ self.factors).reshape(len(two), -1, self.two.shape[1])
        more = torch.einsum("nc,ncs->ns", moments[0][..., 0], factors)
        return torch.stack([two @ self.two, three, more], 1)
