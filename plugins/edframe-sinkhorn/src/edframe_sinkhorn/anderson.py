"""Anderson mixing of a batch of fixed-point iterations (Anderson 1965; Walker and Ni 2011, type II)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

REGULARISATION = 1e-8
"""Added to the Gram matrix, relative to its diagonal: differences of residuals become nearly dependent."""

KEPT = torch.float32
"""Precision of the differences: they only correct the float64 iterate, and are most of the memory of a solve."""


class AndersonMixing:
    """The next iterate of x = G(x): G(x) less the combination of past differences that cancels most of G(x) − x.

    Samples are mixed independently. weight: ``[b, N]``, the mass that belongs to each component of the residual.
    memory: number of past differences. relaxation: fraction of the residual that a step goes.
    """

    def __init__(self, weight: Float[Tensor, "b n"], memory: int, relaxation: float) -> None:
        batch, size = weight.shape
        self._memory = memory
        self._relaxation = relaxation
        self._root = weight.to(KEPT).sqrt_()
        # Differences of residuals, and the residual itself in the last place; all times the root of the weight.
        self._residuals = weight.new_zeros((batch, memory + 1, size), dtype=KEPT)
        self._images = weight.new_empty((batch, memory, size), dtype=KEPT)  # differences of G(x)
        self._best = weight.new_full((batch,), torch.inf, dtype=KEPT)
        self._correction: Tensor | None = None
        self._count = -1

    def keep(self, samples: Bool[Tensor, "b"]) -> None:
        """Go on with some ``samples`` of the batch only (bool, ``[b]``)."""
        for name in ("_root", "_residuals", "_images", "_best", "_correction"):
            if getattr(self, name) is not None:
                setattr(self, name, getattr(self, name)[samples])

    def advance(self, x: Float[Tensor, "b *grid"], residual: Float[Tensor, "b *grid"]) -> None:
        """Make x the next iterate, from G(x) − x; both ``[b, n1, …, nd]``, float64 and overwritten."""
        if self._relaxation != 1:
            residual.mul_(self._relaxation)
        x.add_(residual)
        self._mix(residual.flatten(1))
        if self._correction is not None:
            x.sub_(self._correction.reshape(x.shape))

    def _mix(self, residual: Tensor) -> None:
        weighted = residual.to(KEPT).mul_(self._root)
        if self._count >= 0:
            slot = self._count % self._memory
            torch.sub(weighted, self._residuals[:, -1], out=self._residuals[:, slot])
            # G(x') − G(x) = residual' + x' − G(x), and x' − G(x) is minus the last correction.
            self._images[:, slot] = residual if self._correction is None else residual.sub_(self._correction)
        self._residuals[:, -1] = weighted
        self._count += 1
        filled = min(self._count, self._memory)
        if filled:
            self._correction = (self._coefficients(filled)[:, None, :] @ self._images[:, :filled])[:, 0]

    def _coefficients(self, filled: int) -> Tensor:
        """Of the differences, ``[b, filled]``: the least squares solution for the residual."""
        products = (self._residuals @ self._residuals.mT).double()
        size = products[:, -1, -1].to(KEPT)
        # A step that made things much worse is not worth extrapolating from: take the plain one.
        plain = size > 4 * self._best
        self._best = torch.minimum(self._best, size)
        scale = products.diagonal(dim1=1, dim2=2).clamp(min=torch.finfo(KEPT).tiny).rsqrt()[:, :filled]
        gram = products[:, :filled, :filled] * scale[:, :, None] * scale[:, None, :]
        gram.diagonal(dim1=1, dim2=2).add_(REGULARISATION)
        solution, _ = torch.linalg.solve_ex(gram, scale * products[:, :filled, -1])
        coefficients: Tensor = solution * scale
        return coefficients.masked_fill_(plain[:, None], 0.0).nan_to_num_(0.0, 0.0, 0.0).to(KEPT)
