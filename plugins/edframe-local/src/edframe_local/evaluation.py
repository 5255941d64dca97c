"""The linear model on whole grids: coefficients of products are contracted before products are taken.

The part of three bodies is a quadratic form of A for each l and m; that of more bodies, the squares that it needs times
A_sn00: a matrix product per point gives the factor of each A_sn00, and no column of the basis is formed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe_local.basis import Basis
from edframe_local.squares import Squares

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Contracted:
    """Coefficients in the order in which sums appear, in float32, with c the channels of A.

    two: ``[s, species · pairs]``. three: ``[s, triples]``. forms: the same for each l and spin, ``[w, w]`` of the first
    w channels of A, those that are needed: few for high l, by their degree. squares: those that products are made of.
    factors: ``[s, c, k]`` of these.
    """

    two: Float[Tensor, "s two"]
    three: Float[Tensor, "s triples"]
    forms: tuple[Float[Tensor, "s _ _"], ...]
    squares: Squares
    factors: Float[Tensor, "s c k"]

    @classmethod
    def of(cls, basis: Basis, coefficients: Float[Tensor, "size s"]) -> Contracted:
        """Of ``coefficients`` ``[size, s]``."""
        spins, device = coefficients.shape[1], coefficients.device
        two, three, more = torch.split(coefficients.float().T, list(basis.sizes), 1)
        placed = basis.placed(basis.triples)
        forms = []
        for ell in range(len(basis.orders)):
            mine = [(number, i, j) for number, (of, i, j) in enumerate(placed) if of == ell]
            width = max((1 + j for _, _, j in mine), default=0)
            numbers = torch.tensor([number for number, _, _ in mine], device=device, dtype=torch.long)
            places = torch.tensor([i * width + j for _, i, j in mine], device=device, dtype=torch.long)
            form = three.new_zeros(spins, width**2).index_copy(1, places, three.index_select(1, numbers))
            forms.append(form.reshape(spins, width, width))
        wanted = [placed[triple] for triple, _ in basis.products_listed]
        squares = Squares.of(wanted)
        ends = [basis.place(channel) for _, channel in basis.products_listed]
        cells = [end * len(squares.row) + squares.row[square] for square, end in zip(wanted, ends, strict=True)]
        count = max(ends, default=-1) + 1
        factors = more.new_zeros(spins, count * len(squares.row))
        factors = factors.index_copy(1, torch.tensor(cells, device=device, dtype=torch.long), more)
        return cls(two, three, tuple(forms), squares, factors.reshape(spins, count, len(squares.row)))

    def __call__(
        self,
        two: Float[Tensor, "two n"],
        moments: Sequence[Float[Tensor, "_ _ n"]],
        triples: Float[Tensor, "some n"] | None = None,
    ) -> Float[Tensor, "n 3 s"]:
        """ρ − ρ₀ by body order, ``[n, 3, s]`` in e/Å^d, from the sums of ``Basis.sums``. triples: the first ones, where
        they are known: when they are all, they are not summed again."""
        squares, first = self.squares(moments), moments[0][: self.factors.shape[1], 0]
        more = torch.stack([((factors @ squares) * first).sum(0) for factors in self.factors])
        if triples is not None and len(triples) == self.three.shape[1]:
            three = self.three @ triples
        else:
            three = torch.stack([self._form(moments, spin) for spin in range(len(self.factors))])
        return torch.stack([self.two @ two, three, more]).permute(2, 0, 1)

    def _form(self, moments: Sequence[Float[Tensor, "_ _ n"]], spin: int) -> Float[Tensor, "n"]:
        """The part of three bodies: Σ_m of A times its form."""
        parts = []
        for form, of_one in zip(self.forms, moments, strict=True):
            flat = of_one[: form.shape[1]].flatten(1)
            parts.append(((form[spin] @ flat) * flat).sum(0).view(of_one.shape[1:]).sum(0))
        return torch.stack(parts).sum(0)
