"""Smooth errors of the alternating iteration, removed on the next coarser grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe_sinkhorn.bands import HEADROOM
from edframe_sinkhorn.fourier import LEAST
from edframe_sinkhorn.kernel import Kernel, OutOfRange
from edframe_sinkhorn.pyramid import prolong, restrict

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

STEPS = 3
"""Conjugate gradient steps on the coarse grid: each is two applications of a kernel eight times as cheap."""

LARGEST = 1e3
"""Largest correction of a log scaling: that of a move by 45 blurs."""

CORRECTED = 20
"""Iterations that are corrected: where as many have not served, corrections from a coarse grid are no help."""

DISTRUST = 4.0
"""A coarse correction is given up once the error is this many times the least one so far."""


SINGLE_HEADROOM = 80.0
"""Largest exponent of a density in float32: sums stay below its e^88."""

SINGLE_LEAST = 4e6
"""Sums in float32 above lack nothing: a kernel drops below e^−87, times e^80 that is e^−22 of them."""


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
        held = kernel.single and self._hold(a, b, log_scaling, torch.float32, SINGLE_HEADROOM)
        if not held and not self._hold(a, b, log_scaling, torch.float64, HEADROOM):
            raise OutOfRange

    def _hold(self, a: Tensor, b: Tensor, log_scaling: Tensor, precision: torch.dtype, headroom: float) -> bool:
        """Set the two plans; False where a number of this precision does not hold them."""
        offset = log_scaling.flatten(1).amax(1).reshape(-1, *[1] * (b.ndim - 1)) - headroom
        there = (log_scaling - offset).exp_().mul_(b).to(precision)  # b v
        at_a = self._sums(there)
        if at_a is None:
            return False
        back = a.to(precision) / at_a * math.exp(headroom)  # a u, but for a constant factor
        back.mul_(math.exp(headroom) / back.flatten(1).amax(1).reshape(offset.shape))
        at_b = self._sums(back)
        if at_b is None:
            return False
        # With fields times √b the iteration is symmetric, and products need no weights.
        self._even = all(bool(sums.amin() >= LEAST * sums.amax()) for sums in (at_a, at_b))
        self._root, back = b.sqrt().to(precision), back.div_(at_a)
        self._inverse_root = self._root.reciprocal().nan_to_num_(0.0, 0.0, 0.0)
        self._there, self._back, self._here = there * self._inverse_root, back, at_b.reciprocal_().mul_(self._root)
        return True

    def _sums(self, density: Tensor) -> Tensor | None:
        sums = self._kernel.apply(density.clone())
        limits = self._kernel.limits(density) if density.dtype == torch.float64 else [SINGLE_LEAST]
        return sums if all(bool((sums >= limit).all()) for limit in limits) else None

    def among(self, samples: Bool[Tensor, "b"]) -> CoarseCorrection:
        """The correction for some ``samples`` of the batch only (bool, ``[b]``)."""
        fewer = copy(self)
        for name in ("_root", "_inverse_root", "_there", "_back", "_here"):
            setattr(fewer, name, getattr(self, name)[samples])
        return fewer

    def improve(
        self, residual: Float[Tensor, "b *grid"], mass: Float[Tensor, "b *grid"], trusted: Bool[Tensor, "b"] | None
    ) -> None:
        """Replace the smooth part of ``residual``, in place; ``mass``: b on the fine grid.

        trusted: bool, ``[b]``; None: all are.
        """
        mean = restrict(residual * mass, self._kernel.shape).to(self._root.dtype).mul_(self._inverse_root)
        change = self._solve(mean).sub_(mean).mul_(self._inverse_root).nan_to_num_(0.0, 0.0, 0.0)
        change.clamp_(-LARGEST, LARGEST)
        if trusted is not None:
            change.mul_(trusted.reshape(-1, *[1] * (change.ndim - 1)))
        residual.add_(prolong(change.to(residual.dtype), residual.shape[1:], self._periodic))

    def _solve(self, field: Tensor) -> Tensor:
        residual = (field - self._product(field, self._root) * self._root).mul_(self._blur_ratio)  # constants are free
        direction = residual.clone()
        size = self._product(residual, residual)
        solution = torch.zeros_like(field)
        for step in range(1, STEPS + 1):
            image = direction - self._there_and_back(direction)
            length = size / self._product(direction, image)
            solution.addcmul_(direction, length)
            if step < STEPS:
                residual.addcmul_(image, length, value=-1)
                last, size = size, self._product(residual, residual)
                direction.mul_(size / last).add_(residual)
        return solution

    def _there_and_back(self, field: Tensor) -> Tensor:
        at_a = self._kernel.apply(self._there * field, even=self._even)
        return self._kernel.apply(at_a.mul_(self._back), even=self._even).mul_(self._here)

    def _product(self, first: Tensor, second: Tensor) -> Tensor:
        """Σ first × second, ``[b, 1, …, 1]``."""
        batch = len(first)
        total = torch.bmm(first.view(batch, 1, -1), second.view(batch, -1, 1))
        return total.view(batch, *[1] * (first.ndim - 1))
