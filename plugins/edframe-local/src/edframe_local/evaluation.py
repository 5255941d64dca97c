"""The linear model on whole grids: coefficients of products are contracted before products are taken.

The part of three bodies is a quadratic form of A for each l and m; that of more bodies, the squares that it needs times
A_sn00: a matrix product per point gives the factor of each A_sn00, and no column of the basis is formed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe_local.basis import Basis

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Contracted:
    """Coefficients in the order in which sums appear, in float32, with c the channels (s, n).

    two: ``[species · pairs, s]``. forms: for each spin and each l ``[c, c]``, of which the first ``widths`` rows and
    columns are not zero. counts: of each l, the channels whose
    squares products are made of, the first of A. factors: ``[k, c · s]`` of these squares.
    """

    basis: Basis
    two: Float[Tensor, "two s"]
    forms: tuple[Float[Tensor, "l c c"], ...]
    widths: tuple[int, ...]
    counts: tuple[int, ...]
    factors: Float[Tensor, "k cs"]

    @classmethod
    def of(cls, basis: Basis, coefficients: Float[Tensor, "size s"]) -> Contracted:
        """Of ``coefficients`` ``[size, s]``."""
        channels, spins, device = basis.channels, coefficients.shape[1], coefficients.device
        two, three, more = torch.split(coefficients.float(), list(basis.sizes))
        placed = basis.placed(basis.triples)
        listed = [(ell, min(i, j), max(i, j)) for ell, i, j in placed]
        places = torch.tensor([(ell * channels + i) * channels + j for ell, i, j in listed], device=device)
        forms = three.new_zeros(len(basis.orders) * channels**2, spins).index_copy(0, places, three)
        forms = forms.reshape(len(basis.orders), channels, channels, spins)
        needed = [listed[triple] for triple, _ in basis.products_listed]
        counts = [max((1 + j for of, _, j in needed if of == ell), default=0) for ell in range(len(basis.orders))]
        squares = [(ell, i, j) for ell, count in enumerate(counts) for i in range(count) for j in range(i, count)]
        row = {square: number for number, square in enumerate(squares)}
        ends = [basis.place(channel) for _, channel in basis.products_listed]
        cells = [row[square] * channels + end for square, end in zip(needed, ends, strict=True)]
        factors = more.new_zeros(len(squares) * channels, spins)
        factors = factors.index_copy(0, torch.tensor(cells, device=device, dtype=torch.long), more)
        widths, factors = tuple(basis.widths(placed)), factors.reshape(len(squares), channels * spins)
        return cls(basis, two, forms.unbind(-1), widths, tuple(counts), factors)

    def __call__(self, two: Float[Tensor, "n two"], moments: Float[Tensor, "n lm c"]) -> Float[Tensor, "n 3 s"]:
        """ρ − ρ₀ by body order, ``[n, 3, s]`` in e/Å^d, from the sums of ``Basis.sums``."""
        three = torch.stack([self._form(moments, spin) for spin in range(len(self.forms))], 1)
        factors = (self._squares(moments).T @ self.factors).reshape(len(two), -1, len(self.forms))
        more = torch.einsum("nc,ncs->ns", moments[:, 0], factors)
        return torch.stack([two @ self.two, three, more], 1)

    def _form(self, moments: Float[Tensor, "n lm c"], spin: int) -> Float[Tensor, "n"]:
        """The part of three bodies: Σ_m of A times its form."""
        total = moments.new_zeros(len(moments))
        for form, width, of_one in zip(self.forms[spin], self.widths, self.basis.by_l(moments), strict=True):
            flat = of_one[..., :width].flatten(0, 1)
            total = total + ((flat @ form[:width, :width]) * flat).reshape(len(moments), -1).sum(1)
        return total

    def _squares(self, moments: Float[Tensor, "n lm c"]) -> Float[Tensor, "k n"]:
        """Σ_m A_l,i,m A_l,j,m for i ≤ j < counts, ``[k, n]``: points last, so that each product is of whole rows."""
        rows = []
        for count, of_one in zip(self.counts, self.basis.by_l(moments), strict=True):
            last = of_one[..., :count].permute(1, 2, 0).contiguous()
            rows += [(last[:, i : i + 1] * last[:, i:]).sum(0) for i in range(count)]
        return torch.cat(rows) if rows else moments.new_zeros(0, len(moments))
