"""The basis of a lattice that a model works in: as short as the grid allows, whichever the structure is given in.

A convolution acts on the indices of points, so vectors a, b, c + a are another crystal to it than a, b, c, although
atoms and points are the same. Vectors are therefore shortened by others before the model is called, and its density is
put back: the points stay, and only their order changes, so nothing is interpolated.

The new vector is a_k + Σ m_l a_l with integers m_l. The points of the grid are those of a grid of the same shape over
the new cell exactly where n_k divides m_l n_l; where all n are equal, that is always so. Open axes take no part.
Vectors that are shortest already stay, with their order and direction. The end is a Minkowski-reduced basis, as in
Semaev, Lect. Notes Comput. Sci. 2146, 181 (2001), doi:10.1007/3-540-44670-2_13, for three dimensions.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import gcd
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edframe.data.augmentation import move, move_back
from edframe.grid import Grid, Region
from edframe.interfaces import FittedModel
from edframe.memory import by_points

if TYPE_CHECKING:
    from jaxtyping import Float, Int

SHORTER = 1e-4
"""Part of its length by which a vector must become shorter, because files give cells in few digits."""


@dataclass(frozen=True)
class Basis:
    """Another basis of the lattice of ``given``, on the same points.

    matrix: U, integers ``[d, d]`` of determinant 1; the vectors are U times those given. obstacle: what the numbers of
    points do not allow, in a sentence; empty: all is done.
    """

    given: Grid
    matrix: NDArray[np.int64]
    obstacle: str = ""

    @property
    def same(self) -> bool:
        """Whether the basis is the given one."""
        return np.array_equal(self.matrix, np.eye(len(self.matrix)))

    @cached_property
    def grid(self) -> Grid:
        """The grid over the new cell, of the same shape."""
        given = self.given
        return given if self.same else Grid.of(self.matrix @ given.vectors, given.shape, given.periodic)

    @property
    def index(self) -> Int[Tensor, "1 point"]:
        """For each point of ``grid`` in order, which of ``given`` it is, ``[1, point]``: source indices of ``move``."""
        return self.places(self.given.region())[None]

    def places(self, region: Region, turn: NDArray[np.int64] | None = None) -> Int[Tensor, "point"]:
        """The same for a part of ``grid``, ``[point]``. turn: an operation of ``Grid.symmetries`` of ``grid``, by which
        a point goes elsewhere before."""
        shape = np.array(self.given.shape)
        steps = self.matrix * shape // shape[:, None]  # between points of the new grid, in points of the given
        if turn is not None:
            steps = turn.T @ steps
        along = np.ix_(*region.indices(self.given))
        index = np.zeros(region.shape, dtype=np.int64)
        for axis, n in enumerate(self.given.shape):
            index = index * n + sum(int(step) * points for step, points in zip(steps[:, axis], along, strict=True)) % n
        return torch.from_numpy(index.ravel())


def as_given(grid: Grid) -> Basis:
    """The basis that ``grid`` has."""
    return Basis(grid, np.eye(grid.dimension, dtype=np.int64))


@lru_cache(maxsize=64)
def reduced(grid: Grid) -> Basis:
    """The shortest basis that the points of ``grid`` allow, the given one where its vectors are shortest."""
    matrix = _shortened(grid, as_given(grid).matrix, constrained=True)
    further = _shortened(grid, matrix, constrained=False)
    return Basis(grid, matrix, _obstacle(grid, matrix, further))


def any_basis(model: nn.Module) -> bool:
    """Whether a model is called on grids as they are: it says so, by ``any_basis``, or was fitted on such."""
    return isinstance(model, FittedModel) or bool(getattr(model, "any_basis", False))


def in_reduced_basis(
    model: nn.Module,
    channels: Float[Tensor, "b c *grid"],
    baseline: Float[Tensor, "b s *grid"] | None,
    grid: Grid,
    electrons: Float[Tensor, "b"],
) -> Float[Tensor, "b s *grid"]:
    """The density ``[b, s, x, y, z]`` in e/Å^d of ``model``, called in the ``reduced`` basis unless ``any_basis``."""
    basis = None if any_basis(model) else reduced(grid)
    if basis is None or basis.same:
        density: Tensor = model(channels, baseline, grid, electrons)
        return density
    index = basis.index.to(channels.device).expand(len(channels), -1)
    start = None if baseline is None else move(baseline, index)
    return move_back(model(move(channels, index), start, basis.grid, electrons), index)


def _shortened(grid: Grid, matrix: NDArray[np.int64], *, constrained: bool) -> NDArray[np.int64]:
    """U after every vector has become as short as others make it; constrained: with the points of the grid in place."""
    matrix = matrix.copy()
    axes = [axis for axis, periodic in enumerate(grid.periodic) if periodic]
    while True:
        vectors = matrix @ grid.vectors
        lengths = np.linalg.norm(vectors, axis=1)
        best = None
        for axis in sorted(axes, key=lambda k: -lengths[k]):
            others = [other for other in axes if other != axis]
            n = grid.shape[axis]
            strides = np.array([n // gcd(n, grid.shape[other]) if constrained else 1 for other in others])
            nearest = np.linalg.lstsq(vectors[others].T, -vectors[axis], rcond=None)[0] / strides
            for near in itertools.product((0, -1, 1), repeat=len(others)):
                row = matrix[axis] + ((np.rint(nearest).astype(np.int64) + near) * strides) @ matrix[others]
                gain = 1 - np.linalg.norm(row @ grid.vectors) / lengths[axis]
                if gain > SHORTER + (0.0 if best is None else best[0]):
                    best = float(gain), axis, row
        if best is None:
            return matrix
        matrix[best[1]] = best[2]


def _obstacle(grid: Grid, matrix: NDArray[np.int64], further: NDArray[np.int64]) -> str:
    if np.array_equal(matrix, further):
        return ""
    before, after = (np.linalg.norm(m @ grid.vectors, axis=1) for m in (matrix, further))
    axis = int((after / before).argmin())
    most = max(n for n, periodic in zip(grid.shape, grid.periodic, strict=True) if periodic)
    larger = [most if periodic else n for n, periodic in zip(grid.shape, grid.periodic, strict=True)]
    return (
        f"lattice vector {'abc'[axis]} of {before[axis]:.4g} Å could be one of {after[axis]:.4g} Å, but not on a grid "
        f"of {by_points(grid.shape)} points: the model sees the longer one; a grid of {by_points(larger)} allows it"
    )
