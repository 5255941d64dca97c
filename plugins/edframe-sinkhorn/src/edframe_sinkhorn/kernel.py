"""The Gibbs kernel of the squared distance on an orthogonal grid, applied axis by axis."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

HEADROOM = 600.0
"""Largest exponent put into the scaling domain; a sum over all points stays below float64's e^709."""

SMALLEST = 1e-280
"""Results below are not trusted: float64 loses digits below 2e-308, and so may terms that were dropped on the way."""


def squared_distances(length: float, points: int, periodic: bool) -> Tensor:
    """|x − y|² in Å² between the points of one axis, ``[points, points]``; to the nearest image when periodic."""
    index = torch.arange(points, dtype=torch.float64)
    apart = (index[:, None] - index[None, :]).abs()
    if periodic:
        apart = torch.minimum(apart, points - apart)
    return (apart * (length / points)) ** 2


class SeparableKernel:
    """K = exp(−c/ε), c(x, y) = |x − y|²/2, as the product K₁ ⊗ … ⊗ K_d of one matrix per axis.

    lengths: sides of the orthogonal cell in Å. shape, periodic: of the grid. epsilon: ε = blur² in Å².
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
        self._logs = [
            -squared_distances(length, n, flag).to(device) / (2 * epsilon)
            for length, n, flag in zip(lengths, shape, periodic, strict=True)
        ]
        self._matrices = [log.exp() for log in self._logs]

    def log_apply(self, log_density: Tensor, wanted: Tensor | None = None) -> Tensor:
        """log(K exp(``log_density``)), float64 ``[b, n1, …, nd]``; −inf stands for zero density.

        Computed in the scaling domain, where all sums are positive and keep their relative accuracy. Samples with
        a result below its range, at a point in ``wanted`` (bool, ``[b, n1, …, nd]``; None: any point), are
        computed again in the log domain, which has no limit and takes some 50 times longer.
        """
        offset = log_density.flatten(1).amax(1) - HEADROOM
        offset = offset.reshape(-1, *[1] * len(self.shape))
        sums = _along_axes((log_density - offset).exp_(), self._matrices)
        checked = sums if wanted is None else sums.masked_fill(~wanted, 1.0)
        lost = ~(checked.flatten(1).amin(1) >= SMALLEST)
        result = sums.log_().add_(offset)
        if lost.any():
            result[lost] = _log_along_axes(log_density[lost], self._logs)
        return result


def _along_axes(density: Tensor, matrices: list[Tensor]) -> Tensor:
    """Multiply every axis of ``[b, n1, …, nd]`` by its symmetric matrix."""
    shape = density.shape
    for axis, matrix in enumerate(matrices, start=1):
        if axis == len(matrices):
            density = density.reshape(-1, shape[axis]) @ matrix
        else:
            trailing = shape[axis + 1 :].numel()
            density = matrix @ density.reshape(-1, shape[axis], trailing)
    return density.reshape(shape)


def _log_along_axes(log_density: Tensor, logs: list[Tensor]) -> Tensor:
    """The same with log-sum-exp; one row of the matrix at a time keeps the memory at that of the density."""
    for axis, log_matrix in enumerate(logs, start=1):
        moved = log_density.movedim(axis, -1)
        rows = [torch.logsumexp(moved + row, dim=-1) for row in log_matrix]
        log_density = torch.stack(rows, dim=axis)
    return log_density
