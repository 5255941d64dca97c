"""Anderson mixing of a batch of fixed-point iterations (Anderson 1965; Walker and Ni 2011, type II)."""

from __future__ import annotations

import torch
from torch import Tensor

MEMORY = 6
"""Number of iterates that are mixed."""

REGULARISATION = 1e-12
"""Added to the Gram matrix, relative to its diagonal: residuals become nearly dependent."""


class AndersonMixing:
    """The next iterate of x = G(x) as the affine combination of past G(x) with the least weighted residual.

    Samples are mixed independently. weight: ``[b, N]``, the mass that each component of the residual stands for.
    """

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight
        self._residuals = weight.new_zeros(len(weight), MEMORY, weight.shape[1])
        self._images = torch.zeros_like(self._residuals)
        self._gram = weight.new_zeros(len(weight), MEMORY, MEMORY)
        self._best = weight.new_full((len(weight),), torch.inf)
        self._count = 0

    def keep(self, samples: Tensor) -> None:
        """Go on with some ``samples`` of the batch only (bool, ``[b]``)."""
        for name in ("_weight", "_residuals", "_images", "_gram", "_best"):
            setattr(self, name, getattr(self, name)[samples])

    def mix(self, image: Tensor, residual: Tensor) -> Tensor:
        """The next iterate from G(x) and G(x) − x, all ``[b, N]``."""
        slot = self._count % MEMORY
        self._count += 1
        filled = min(self._count, MEMORY)
        self._images[:, slot] = image
        self._residuals[:, slot] = residual
        products = (self._residuals[:, :filled] @ (self._weight * residual)[:, :, None])[..., 0]
        self._gram[:, slot, :filled] = products
        self._gram[:, :filled, slot] = products
        size = products[:, slot]
        # A step that made things much worse is not worth extrapolating from: take the plain one.
        plain = size > 4 * self._best
        self._best = torch.minimum(self._best, size)
        coefficients = self._coefficients(filled)
        newest = torch.zeros_like(coefficients)
        newest[:, slot] = 1
        plain |= ~coefficients.isfinite().all(1)
        coefficients = torch.where(plain[:, None], newest, coefficients)
        return (coefficients[:, None, :] @ self._images[:, :filled])[:, 0]

    def _coefficients(self, filled: int) -> Tensor:
        gram = self._gram[:, :filled, :filled]
        scale = gram.diagonal(dim1=1, dim2=2).clamp(min=torch.finfo(gram.dtype).tiny).rsqrt()
        scaled = gram * scale[:, :, None] * scale[:, None, :]
        scaled = scaled + REGULARISATION * torch.eye(filled, dtype=gram.dtype, device=gram.device)
        solution, _ = torch.linalg.solve_ex(scaled, scale[:, :, None])
        solution = solution[..., 0] * scale
        normalised: Tensor = solution / solution.sum(1, keepdim=True)
        return normalised
