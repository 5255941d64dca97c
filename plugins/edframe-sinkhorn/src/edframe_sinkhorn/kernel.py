"""The Gibbs kernel K = exp(−c/ε) on a grid: what every kernel can do, and the one for orthogonal grids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from edframe_sinkhorn.bands import DIGITS, HEADROOM, banded
from edframe_sinkhorn.small import along_axis, apply_along, small

if TYPE_CHECKING:
    from jaxtyping import Float

LOWEST = -700.0
"""Exponents below are dropped from float64 numbers, or lose digits."""

SMALLEST = 1e-280
"""Sums above lack nothing, if no entry of the kernel is below e^LOWEST."""


class OutOfRange(Exception):
    """The scaling domain cannot hold the sums of this batch."""


class Kernel(Protocol):
    """A symmetric kernel over the points of one grid; all its entries are positive. single: ``apply`` takes float32."""

    shape: tuple[int, ...]
    epsilon: float
    single: bool

    def apply(
        self, density: Float[Tensor, "b *grid"], other: Float[Tensor, "b *grid"] | None = None, even: bool = False
    ) -> Float[Tensor, "b *grid"]:
        """K ``density``, ``[b, n1, …, nd]``, contiguous. It is overwritten, as is ``other``: either may be the result.

        All sums are of nonnegative terms, so that they keep their relative accuracy. even: that is not wanted, and
        ``density`` may have either sign: errors may be as large as those of the largest sum.
        """

    def limits(self, density: Float[Tensor, "b *grid"]) -> list[Float[Tensor, "..."] | float]:
        """Sums of ``apply(density)`` below any of these may lack terms, for a density of e^HEADROOM at most."""

    def log_apply(self, log_density: Float[Tensor, "b *grid"]) -> Float[Tensor, "b *grid"]:
        """log(K exp(``log_density``)) of any range, float64 ``[b, n1, …, nd]``; −inf means zero density."""


def smallest_with(lowest: float, points: int) -> float:
    """The limit of a sum for a kernel over ``points`` points with no entry below e^``lowest``."""
    return SMALLEST if lowest > LOWEST else math.exp(HEADROOM + LOWEST + math.log(points) + DIGITS)


class SeparableKernel:
    """The squared distance on an orthogonal grid: K₁ ⊗ … ⊗ K_d, one matrix per axis.

    lengths: sides of the cell in Å. shape, periodic: of the grid. epsilon: ε = blur² in Å²; c(x, y) = |x − y|²/2.
    """

    def __init__(
        self,
        lengths: Sequence[float],
        shape: Sequence[int],
        periodic: Sequence[bool],
        epsilon: float,
        device: torch.device | str,
    ) -> None:
        self.shape = tuple(shape)
        self.epsilon = epsilon
        self.single = True
        self._logs = [
            -squared_distances(length, n, flag).to(device) / (2 * epsilon)
            for length, n, flag in zip(lengths, shape, periodic, strict=True)
        ]
        matrices = [log.exp() for log in self._logs]
        self._matrices = {torch.float64: matrices, torch.float32: [in_single(matrix) for matrix in matrices]}
        self._arrays = {kind: [m.cpu().numpy() for m in those] for kind, those in self._matrices.items()}
        self._underflows = [float(log.amin()) <= LOWEST for log in self._logs]

    def apply(
        self, density: Float[Tensor, "b *grid"], other: Float[Tensor, "b *grid"] | None = None, even: bool = False
    ) -> Float[Tensor, "b *grid"]:
        """K ``density``: one matrix product per axis, 2 n^(d+1) flops each, to and fro between two buffers."""
        other = torch.empty_like(density) if other is None else other
        matrices = self._matrices[density.dtype]
        if small(density):
            here, there = density.numpy(), other.numpy()
            with np.errstate(all="ignore"):  # sums that leave the range are seen to elsewhere
                for axis, matrix in enumerate(self._arrays[density.dtype], start=1):
                    apply_along(matrix, here, axis, there)
                    here, there = there, here
            return other if len(matrices) % 2 else density
        for axis in range(1, density.ndim):
            if len(density) == 1:  # the last axis becomes the first, and they are in order again at the end
                n = self.shape[-axis]
                torch.mm(matrices[-axis], density.view(-1, n).T, out=other.view(n, -1))
            else:
                along_axis(matrices[axis - 1], density, axis, other)
            density, other = other, density
        return density

    def limits(self, density: Float[Tensor, "b *grid"]) -> list[Float[Tensor, "..."] | float]:
        """SMALLEST, and for axes longer than 37 blurs what the largest density beyond that distance amounts to."""
        limits: list[Tensor | float] = [SMALLEST]
        for axis, (log_matrix, underflows) in enumerate(zip(self._logs, self._underflows, strict=True), start=1):
            if underflows:
                slabs = density.movedim(axis, 1).reshape(len(density), len(log_matrix), -1).amax(2).log()  # [b, n]
                dropped = (log_matrix + slabs[:, None]).masked_fill_(log_matrix > LOWEST, -torch.inf).amax(2)
                limit = (dropped + math.log(density[0].numel()) + DIGITS).exp_()
                limits.append(limit.reshape(*limit.shape, *[1] * (density.ndim - 2)).movedim(1, axis))
        return limits

    def log_apply(self, log_density: Float[Tensor, "b *grid"]) -> Float[Tensor, "b *grid"]:
        """The same for any range: by bands of magnitude in the scaling domain, and what they lose in the log domain."""
        result = banded(self, self._logs, log_density)
        if result is None:
            return self._log_box(log_density, [slice(0, n) for n in self.shape])
        total, lost = result
        if bool(lost.any()):
            points = lost.any(0).nonzero()
            box = [slice(int(low), int(high) + 1) for low, high in zip(points.amin(0), points.amax(0), strict=True)]
            total[(slice(None), *box)] = self._log_box(log_density, box)
        return total

    def _log_box(self, log_density: Tensor, box: Sequence[slice]) -> Tensor:
        """log(K exp(``log_density``)) at the points of a ``box``: axis by axis, that with the fewest rows first."""
        for axis in sorted(range(1, log_density.ndim), key=lambda axis: box[axis - 1].stop - box[axis - 1].start):
            rows = self._logs[axis - 1][box[axis - 1]]
            lines = log_density.movedim(axis, 1)
            product = log_product(rows, lines.reshape(*lines.shape[:2], -1))
            log_density = product.reshape(len(product), len(rows), *lines.shape[2:]).movedim(1, axis)
        return log_density.contiguous()


def in_single(matrix: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """In float32, without subnormal numbers, which are slow."""
    single = matrix.float()
    return single.masked_fill_(single < torch.finfo(single.dtype).tiny, 0.0)


def squared_distances(length: float, points: int, periodic: bool) -> Float[Tensor, "{points} {points}"]:
    """|x − y|² in Å² between the points of one axis, ``[points, points]``; to the nearest image when periodic."""
    index = torch.arange(points, dtype=torch.float64)
    apart = (index[:, None] - index[None, :]).abs()
    if periodic:
        apart = torch.minimum(apart, points - apart)
    return (apart * (length / points)) ** 2


def log_product(log_matrix: Float[Tensor, "m n"], lines: Float[Tensor, "b n k"]) -> Float[Tensor, "b m k"]:
    """log(exp(``log_matrix``) exp(``lines``)): ``[m, n]`` times ``[b, n, k]``, −inf allowed in ``lines``.

    Rows of the lines are taken in blocks so short that, shifted by its own maximum, each block of the matrix and of
    every line stays within the range of float64: a plain matrix product then has its full relative accuracy.
    """
    total = None
    for start, stop in row_blocks(log_matrix):
        log_block, block = log_matrix[:, start:stop], lines[:, start:stop]
        row = log_block.amax(dim=1, keepdim=True)
        top = block.amax(dim=1, keepdim=True)
        shifted = torch.where(top == -torch.inf, 0.0, top)
        part = ((log_block - row).exp() @ (block - shifted).exp_()).log_().add_(shifted).add_(row)
        total = part if total is None else torch.logaddexp(total, part)
    assert total is not None
    return total


def row_blocks(log_matrix: Float[Tensor, "rows columns"]) -> list[tuple[int, int]]:
    """Ranges of columns within which no row of the matrix varies by more than the range allowed."""
    steps = (log_matrix[:, 1:] - log_matrix[:, :-1]).abs().amax(dim=0) if log_matrix.shape[1] > 1 else None
    blocks, start, spent = [], 0, 0.0
    for column, step in enumerate([] if steps is None else steps.tolist(), start=1):
        spent += step
        if spent > HEADROOM:
            blocks.append((start, column))
            start, spent = column, 0.0
    return [*blocks, (start, log_matrix.shape[1])]
