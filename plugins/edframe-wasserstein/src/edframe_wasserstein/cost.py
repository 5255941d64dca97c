"""The cost |x − y|²/2, along periodic axes to the nearest image in any cell. NumPy only."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from edframe.grid import Grid

PAIRS = 2**15
"""Pairs of points that are treated at once."""


class Cost:
    """|x − y|²/2 in Å² between points, to the nearest image along the periodic axes of ``grid``."""

    def __init__(self, grid: Grid) -> None:
        self.lattice = reduced(grid.vectors[list(grid.periodic)])
        self.inverse = np.linalg.pinv(self.lattice)
        self.images = near_images(self.lattice)

    def __call__(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Costs ``[n, m]`` in Å² between the points ``[n, d]`` and ``[m, d]`` in Å."""
        return np.concatenate([self._rows(rows, y) for rows in _parts(x, len(y))])

    def transform(
        self, x: NDArray[np.float64], y: NDArray[np.float64], potential: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The c-transform: for each x ``[n, d]``, the least c(x, y) − potential(y) over the y ``[m, d]``; ``[n]``."""
        return np.concatenate([(self._rows(rows, y) - potential).min(1) for rows in _parts(x, len(y))])

    def _rows(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        apart = (x[:, None] - y[None]).reshape(-1, x.shape[1])
        apart -= np.rint(apart @ self.inverse) @ self.lattice
        squared: NDArray[np.float64] = np.square(apart).sum(1)
        for image in self.images:
            np.minimum(squared, np.square(apart + image).sum(1), out=squared)
        return squared.reshape(len(x), len(y)) / 2


def _parts(x: NDArray[np.float64], columns: int) -> list[NDArray[np.float64]]:
    """Rows of x, few enough at a time that their pairs with ``columns`` points stay in the processor's cache."""
    return np.array_split(x, -(-len(x) * columns // PAIRS))


def reduced(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """A basis ``[p, d]`` of the same lattice in which no vector gets shorter by adding multiples of another."""
    basis = lattice.copy()
    changed = True
    while changed:
        changed = False
        for i, j in itertools.permutations(range(len(basis)), 2):
            multiple = np.rint(basis[i] @ basis[j] / (basis[j] @ basis[j]))
            changed |= bool(multiple)
            basis[i] -= multiple * basis[j]
    return basis


def near_images(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lattice vectors ``[k, d]``, other than zero, that may make f·lattice shorter for some |f_i| ≤ ½. Any basis.

    v = k·lattice does so if and only if 2 f·(lattice v) + |v|² < 0 for some f, that is |v|² < Σ |lattice v|_i. This
    bounds |v| by the sum of the basis' lengths. None in an orthogonal cell.
    """
    longest = np.linalg.norm(lattice, axis=1).sum()
    reach = np.floor(longest * np.linalg.norm(np.linalg.pinv(lattice), axis=0)).astype(int)
    integers = np.array(list(itertools.product(*(range(-r, r + 1) for r in reach))), dtype=float)
    vectors: NDArray[np.float64] = integers.reshape(len(integers), len(lattice)) @ lattice
    squared = np.square(vectors).sum(1)
    near: NDArray[np.float64] = vectors[(squared > 0) & (squared < (1 - 1e-9) * np.abs(vectors @ lattice.T).sum(1))]
    return near
