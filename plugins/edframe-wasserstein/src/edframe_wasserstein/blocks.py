"""Blocks of voxels: what a density is coarsened to before an exact transport. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edframe.grid import Grid

NEGLIGIBLE = 1e-4
"""Fraction of the electrons that may be left out where there are too many points: the emptiest voxels or blocks."""


@dataclass(frozen=True)
class Blocks:
    """The voxels of ``grid``, grouped into ``shape`` boxes of whole voxels whose sides differ by at most one voxel."""

    grid: Grid
    shape: tuple[int, ...]

    def starts(self, axis: int) -> NDArray[np.int64]:
        """Index of the first voxel of each block along ``axis``."""
        first: NDArray[np.int64] = np.arange(self.shape[axis]) * self.grid.shape[axis] // self.shape[axis]
        return first

    def sizes(self, axis: int) -> NDArray[np.int64]:
        """Number of voxels of each block along ``axis``."""
        return np.diff(self.starts(axis), append=self.grid.shape[axis])

    def sum(self, mass: NDArray[np.float64]) -> NDArray[np.float64]:
        """Masses ``[n1, …, nd]`` of the voxels to those of the blocks: the total stays the same."""
        for axis in range(mass.ndim):
            mass = np.add.reduceat(mass, self.starts(axis), axis=axis)
        return mass

    def prolong(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values of the blocks to the voxels ``[n1, …, nd]``: the transpose of ``sum``."""
        for axis in range(values.ndim):
            values = np.repeat(values, self.sizes(axis), axis=axis)
        return values

    def centres(self) -> NDArray[np.float64]:
        """The mean position of the points of each block, in Å, ``[m1 · … · md, d]``: the same for every density."""
        fractions = [(self.starts(axis) + (self.sizes(axis) - 1) / 2) / n for axis, n in enumerate(self.grid.shape)]
        points = np.stack(np.meshgrid(*fractions, indexing="ij"), axis=-1)
        centres: NDArray[np.float64] = points.reshape(-1, self.grid.dimension) @ self.grid.vectors
        return centres

    @property
    def spacing(self) -> float:
        """The longest edge of a block, Å."""
        return max(float(self.sizes(axis).max() * h) for axis, h in enumerate(self.grid.spacing))


def finest_blocks(a: NDArray[np.float64], b: NDArray[np.float64], grid: Grid, max_points: int) -> Blocks:
    """The finest blocks, as near to cubes as voxels allow, that leave at most ``max_points`` points in a and in b.

    Found by bisection, because the number of points grows as blocks get smaller. a, b: masses ``[n1, …, nd]``.
    """
    lengths = np.array(grid.shape) * grid.spacing

    def blocks(count: int) -> Blocks:
        """About ``count`` along the longest edge of the cell."""
        counts = np.clip(np.rint(lengths * count / lengths.max()).astype(int), 1, grid.shape)
        return Blocks(grid, tuple(int(n) for n in counts))

    def fits(count: int) -> bool:
        coarse = blocks(count)
        return max(len(support(coarse.sum(mass), max_points)) for mass in (a, b)) <= max_points

    low, high = 1, int(np.ceil(lengths.max() / grid.spacing.min()))  # one block; single voxels
    if fits(high):
        return blocks(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return blocks(low)


def support(mass: NDArray[np.float64], max_points: int) -> NDArray[np.int64]:
    """Flat indices of all positive entries, where they are at most ``max_points``.

    Where they are more, the smallest that together hold at most ``NEGLIGIBLE`` of the sum are left out.
    """
    positive: NDArray[np.int64] = np.flatnonzero(mass)
    if len(positive) <= max_points:
        return positive
    order = np.argsort(mass, axis=None)
    below = np.cumsum(mass.ravel()[order])
    return np.sort(order[below > NEGLIGIBLE * below[-1]])
