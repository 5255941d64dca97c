"""Anderson mixing of a batch of fixed-point iterations (Anderson 1965; Walker and Ni 2011, type II)."""

from __future__ import annotations

import torch
from torch import Tensor

REGULARISATION = 1e-8
"""Added to the Gram matrix, relative to its diagonal: differences of residuals become nearly dependent."""

KEPT = torch.float32
"""Precision of the differences: they only correct the float64 iterate, and are most of the memory of a solve."""


class AndersonMixing:
    """The next iterate of x = G(x): G(x) less the combination of past differences that cancels most of G(x) − x.

    Samples are mixed independently. weight: ``[b, N]``, the mass that each component of the residual stands for.
    memory: number of past differences. relaxation: fraction of the residual that a step goes.
    """

    def __init__(self, weight: Tensor, memory: int, relaxation: float) -> None:
        batch, size = weight.shape
        self._memory = memory
        self._relaxation = relaxation
        self._root = weight.to(KEPT).sqrt_()
        self._residuals = weight.new_empty((batch, memory, size), dtype=KEPT)  # differences, times the root
        self._images = torch.empty_like(self._residuals)  # differences of G(x)
        self._gram = weight.new_zeros((batch, memory, memory))
        self._best = weight.new_full((batch,), torch.inf)
        self._last: Tensor | None = None  # weighted residual
        self._correction: Tensor | None = None
        self._count = 0

    def keep(self, samples: Tensor) -> None:
        """Go on with some ``samples`` of the batch only (bool, ``[b]``)."""
        for name in ("_root", "_residuals", "_images", "_gram", "_best", "_last", "_correction"):
            if getattr(self, name) is not None:
                setattr(self, name, getattr(self, name)[samples])

    def next(self, image: Tensor, residual: Tensor) -> Tensor:
        """The next iterate from G(x) and G(x) − x, ``[b, n1, …, nd]``, which are both overwritten."""
        if self._relaxation != 1:
            image.sub_(residual, alpha=1 - self._relaxation)
            residual.mul_(self._relaxation)
        return self._mix(image.flatten(1), residual.flatten(1)).reshape(image.shape)

    def _mix(self, image: Tensor, residual: Tensor) -> Tensor:
        weighted = residual.to(KEPT).mul_(self._root)
        last, self._last = self._last, weighted
        if last is None:
            return image
        slot = self._count % self._memory
        self._count += 1
        filled = min(self._count, self._memory)
        torch.sub(weighted, last, out=self._residuals[:, slot])
        # G(x') − G(x) = residual' + x' − G(x), and x' − G(x) is minus the last correction.
        self._images[:, slot] = residual if self._correction is None else residual.sub_(self._correction)
        history = self._residuals[:, :filled]
        row = (history @ history[:, slot, :, None])[..., 0].double()
        self._gram[:, slot, :filled] = row
        self._gram[:, :filled, slot] = row
        products = (history @ weighted[:, :, None])[..., 0].double()
        size = torch.linalg.vector_norm(weighted, dim=1).double()
        # A step that made things much worse is not worth extrapolating from: take the plain one.
        plain = size > 2 * self._best
        self._best = torch.minimum(self._best, size)
        coefficients = self._coefficients(products, filled)
        coefficients = coefficients.masked_fill_((plain | ~coefficients.isfinite().all(1))[:, None], 0.0)
        self._correction = (coefficients.to(KEPT)[:, None, :] @ self._images[:, :filled])[:, 0]
        return image.sub_(self._correction)

    def _coefficients(self, products: Tensor, filled: int) -> Tensor:
        gram = self._gram[:, :filled, :filled]
        scale = gram.diagonal(dim1=1, dim2=2).clamp(min=torch.finfo(KEPT).tiny).rsqrt()
        scaled = gram * scale[:, :, None] * scale[:, None, :]
        scaled = scaled + REGULARISATION * torch.eye(filled, dtype=gram.dtype, device=gram.device)
        solution, _ = torch.linalg.solve_ex(scaled, (scale * products)[:, :, None])
        result: Tensor = solution[..., 0] * scale
        return result
