"""Smooth errors of the alternating iteration, removed on the next coarser grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe_sinkhorn.bands import HEADROOM
from edframe_sinkhorn.kernel import Kernel, OutOfRange
from edframe_sinkhorn.pyramid import prolong, restrict

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

STEPS = 3
"""Conjugate gradient steps on the coarse grid: each is two applications of a kernel eight times as cheap."""

LARGEST = 1e3
"""Largest correction of a log scaling: that of a move by 45 blurs."""


class CoarseCorrection:
    """From a residual r = G(x) − x of the alternating iteration to about (1 − G')⁻¹ r, the error of x.

    G' = T_ab T_ba, the way of an electron from b to a and back by the two conditional plans, is self-adjoint for the
    masses b; its spectrum lies in [0, 1], and close to 1 for smooth fields: those errors the iteration itself takes
    long to remove. The coarse grid, whose transport is solved already, has a G' of its own: with it the smooth part of
    r is replaced by the solution of (1 − G') δ = r, by conjugate gradients. The kernel there is wider, so that the
    smoothest errors seem to vanish up to (blur ratio)² times as fast, others less: the ratio itself is the compromise.

    kernel: of the coarse grid. a, b: masses on it, ``[b, n1, …, nd]``. log_scaling: of b, there. blur_ratio: of the
    coarse grid to the fine one. Raises OutOfRange where the scaling domain is too narrow.
    """

    def __init__(
        self,
        kernel: Kernel,
        a: Float[Tensor, "b *grid"],
        b: Float[Tensor, "b *grid"],
        log_scaling: Float[Tensor, "b *grid"],
        periodic: Sequence[bool],
        blur_ratio: float,
    ) -> None:
        self._kernel = kernel
        self._periodic = tuple(periodic)
        self._blur_ratio = blur_ratio
        self._mass = b
        offset = log_scaling.flatten(1).amax(1).reshape(-1, *[1] * (b.ndim - 1)) - HEADROOM
        self._there = (log_scaling - offset).exp_().mul_(b)  # b v
        self._at_a = self._sums(self._there)
        back = (a * math.exp(HEADROOM)) / self._at_a  # a u, but for a constant factor
        self._back = back * (math.exp(HEADROOM) / back.flatten(1).amax(1)).reshape(offset.shape)
        self._at_b = self._sums(self._back)

    def _sums(self, density: Tensor) -> Tensor:
        sums = self._kernel.apply(density.clone())
        if not all(bool((sums >= limit).all()) for limit in self._kernel.limits(density)):
            raise OutOfRange
        return sums

    def among(self, samples: Bool[Tensor, "b"]) -> CoarseCorrection:
        """The correction for some ``samples`` of the batch only (bool, ``[b]``)."""
        fewer = copy(self)
        for name in ("_mass", "_there", "_at_a", "_back", "_at_b"):
            setattr(fewer, name, getattr(self, name)[samples])
        return fewer

    def improve(
        self, residual: Float[Tensor, "b *grid"], mass: Float[Tensor, "b *grid"], trusted: Bool[Tensor, "b"]
    ) -> None:
        """Replace the smooth part of ``residual``, in place; ``mass``: b on the fine grid. trusted: bool, ``[b]``."""
        mean = restrict(residual * mass, self._kernel.shape).div_(self._mass).nan_to_num_(0.0, 0.0, 0.0)
        change = self._solve(mean).sub_(mean).nan_to_num_(0.0, 0.0, 0.0)
        change.clamp_(-LARGEST, LARGEST).mul_(trusted.reshape(-1, *[1] * (change.ndim - 1)))
        residual.add_(prolong(change, residual.shape[1:], self._periodic))

    def _solve(self, field: Tensor) -> Tensor:
        residual = (field - self._product(field, torch.ones_like(field))).mul_(self._blur_ratio)  # constants are free
        solution = torch.zeros_like(field)
        direction = residual.clone()
        size = self._product(residual, residual)
        for _ in range(STEPS):
            image = direction - self._there_and_back(direction)
            length = size / self._product(direction, image)
            solution.addcmul_(direction, length)
            residual.addcmul_(image, length, value=-1)
            last, size = size, self._product(residual, residual)
            direction.mul_(size / last).add_(residual)
        return solution

    def _there_and_back(self, field: Tensor) -> Tensor:
        at_a = self._kernel.apply(self._there * field).div_(self._at_a)
        return self._kernel.apply(at_a.mul_(self._back)).div_(self._at_b)

    def _product(self, first: Tensor, second: Tensor) -> Tensor:
        """Σ b × first × second, ``[b, 1, …, 1]``."""
        total = (self._mass * first).flatten(1)[:, None] @ second.flatten(1)[:, :, None]
        return total.reshape(-1, *[1] * (first.ndim - 1))
