"""The grid a density lives on: a cell, a shape, and which axes are periodic. NumPy only."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edframe.errors import DataError

__all__ = ["Grid", "Region", "density_unit", "slabs"]


@dataclass(frozen=True)
class Region:
    """A box of grid points: ``shape`` of them, the first at index ``start``.

    Along a periodic axis it may begin before the first point of the grid or end behind the last, and is no longer than
    the axis; along an open axis it lies within the grid.
    """

    start: tuple[int, ...]
    shape: tuple[int, ...]

    def indices(self, grid: Grid) -> list[NDArray[np.int64]]:
        """Per axis, which points of ``grid`` these are, ``[n]``."""
        axes = zip(self.start, self.shape, grid.shape, strict=True)
        return [np.arange(first, first + count) % n for first, count, n in axes]


@dataclass(frozen=True)
class Grid:
    """A regular grid over a cell of dimension d = 1, 2 or 3.

    Points sit at fractions i/n of each lattice vector (VASP's FFT convention), so the integral of a field is
    the sum of its values times the voxel volume.

    cell: ``[d, d]`` in Å, rows are lattice vectors. shape: points per axis ``(n1, …, nd)``.
    periodic: one flag per axis. Raises DataError when they do not fit together or the cell has no volume.
    """

    cell: tuple[tuple[float, ...], ...]
    shape: tuple[int, ...]
    periodic: tuple[bool, ...]

    @classmethod
    def of(cls, cell: ArrayLike, shape: int | Sequence[int], periodic: bool | Sequence[bool] = True) -> Grid:
        """A grid from array-likes; one number for ``shape`` or ``periodic`` holds for every axis.

        A ``cell`` of d numbers is an orthogonal box with these sides.
        """
        matrix = np.asarray(cell, dtype=float)
        if matrix.ndim == 1:
            matrix = np.diag(matrix)
        d = len(matrix)
        sizes = (shape,) * d if isinstance(shape, int) else shape
        flags = (periodic,) * d if isinstance(periodic, bool) else periodic
        return cls(
            tuple(tuple(float(x) for x in row) for row in matrix),
            tuple(int(n) for n in sizes),
            tuple(bool(p) for p in flags),
        )

    def __post_init__(self) -> None:
        d = len(self.shape)
        if d not in (1, 2, 3):
            raise DataError(f"a grid has 1, 2 or 3 axes, not {d} (shape {self.shape})")
        if len(self.cell) != d or any(len(row) != d for row in self.cell) or len(self.periodic) != d:
            raise DataError(f"cell, shape and periodic of a grid must agree on {d} axes (cell {self.cell})")
        if min(self.shape) < 1:
            raise DataError(f"a grid needs at least one point on every axis, not shape {self.shape}")
        longest = np.linalg.norm(self.vectors, axis=1).prod()
        if not np.isfinite(self.vectors).all() or abs(np.linalg.det(self.vectors)) <= 1e-9 * longest:
            raise DataError(f"the cell {self.cell} has no volume: its lattice vectors are linearly dependent")

    @property
    def dimension(self) -> int:
        """d, the number of axes."""
        return len(self.shape)

    @cached_property
    def vectors(self) -> NDArray[np.float64]:
        """Lattice vectors as rows, ``[d, d]`` in Å."""
        return np.array(self.cell)

    @cached_property
    def voxel(self) -> NDArray[np.float64]:
        """Edges of one voxel as rows, ``[d, d]`` in Å."""
        edges: NDArray[np.float64] = self.vectors / np.array(self.shape)[:, None]
        return edges

    @cached_property
    def spacing(self) -> NDArray[np.float64]:
        """Lengths of the voxel edges, ``[d]`` in Å."""
        lengths: NDArray[np.float64] = np.linalg.norm(self.voxel, axis=1)
        return lengths

    @property
    def points(self) -> int:
        """Number of grid points."""
        return int(np.prod(self.shape))

    @property
    def volume(self) -> float:
        """Volume of the cell, Å^d."""
        return float(abs(np.linalg.det(self.vectors)))

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel, Å^d."""
        return self.volume / self.points

    @cached_property
    def orthogonal(self) -> bool:
        """Whether the lattice vectors are mutually perpendicular (to 1e-9 of their lengths)."""
        metric = self.vectors @ self.vectors.T
        scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
        return bool((np.abs(metric - np.diag(np.diag(metric))) <= 1e-9 * scale).all())

    def region(self) -> Region:
        """All of its points."""
        return Region((0,) * self.dimension, self.shape)

    def part(self, region: Region) -> Grid:
        """The points of ``region`` as a grid of their own: open along each axis of which it has but a part."""
        whole = [a == b for a, b in zip(region.shape, self.shape, strict=True)]
        periodic = [p and w for p, w in zip(self.periodic, whole, strict=True)]
        return Grid.of(self.voxel * np.array(region.shape)[:, None], region.shape, periodic)

    def fractions(self) -> NDArray[np.float64]:
        """Fractional coordinates of all points, ``[n1, …, nd, d]``, each in [0, 1)."""
        axes = [np.arange(n) / n for n in self.shape]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)

    def coordinates(self) -> NDArray[np.float64]:
        """Cartesian coordinates of all points, ``[n1, …, nd, d]`` in Å."""
        return self.fractions() @ self.vectors

    def coarsen(self, factor: int | Sequence[int]) -> Grid:
        """The grid of block averages over ``factor`` voxels per axis.

        Block averages keep the integral and the sign of a field. They belong to the centres of their blocks,
        which lie half a block less half a voxel after the coarse points. Raises DataError when a factor does
        not divide its axis.
        """
        factors = (factor,) * self.dimension if isinstance(factor, int) else tuple(factor)
        if len(factors) != self.dimension or any(f < 1 or n % f for n, f in zip(self.shape, factors, strict=True)):
            raise DataError(f"coarsening by {factors} needs factors that divide the shape {self.shape}")
        shape = tuple(n // f for n, f in zip(self.shape, factors, strict=True))
        return Grid(self.cell, shape, self.periodic)

    def symmetries(self) -> NDArray[np.int64]:
        """Point operations of the lattice that map grid points to grid points, ``[op, d, d]``.

        A point with index ``i`` goes to ``(W @ i) mod n``. The first is the identity. Open axes stay as they are. A
        cubic cell with equal n has 48, a triclinic one 2. Lengths and angles count as equal to about 1e-5, because
        files give cells in few digits.
        """
        d = self.dimension
        metric = self.vectors @ self.vectors.T
        lengths = np.sqrt(np.diag(metric))
        ratio = np.array(self.shape)[:, None] / np.array(self.shape)[None, :]
        # Column a of an operation is a lattice vector as long as vector a. Its coefficients are products with the
        # reciprocal vectors, so they are at most the product of the two lengths.
        reach = np.floor(lengths.max() * np.linalg.norm(np.linalg.inv(self.vectors), axis=0) * (1 + 1e-5)).astype(int)
        candidates = np.array(list(itertools.product(*(range(-r, r + 1) for r in reach))))
        squares = np.einsum("ki,ij,kj->k", candidates, metric, candidates)
        columns = [candidates[np.abs(squares - length**2) <= 1e-5 * length**2] for length in lengths]
        operations = []
        for chosen in itertools.product(*columns):
            w = np.stack(chosen, axis=1)
            if (np.abs(w.T @ metric @ w - metric) > 1e-5 * np.outer(lengths, lengths)).any():
                continue
            if not all(p or _fixes_axis(w, axis) for axis, p in enumerate(self.periodic)):
                continue
            scaled = w * ratio
            if np.allclose(scaled, np.rint(scaled)):
                operations.append(np.rint(scaled).astype(np.int64))
        operations.sort(key=lambda w: (not np.array_equal(w, np.eye(d)), tuple(w.ravel())))
        return np.stack(operations)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists for JSON; ``Grid.of(**d)`` reads them back."""
        return {
            "cell": [list(row) for row in self.cell],
            "shape": list(self.shape),
            "periodic": list(self.periodic),
        }


def slabs(grid: Grid, points: int, axis: int = 0) -> Iterator[Region]:
    """The grid in slices of an axis, each of at most ``points`` points, or one layer."""
    whole, n = grid.region(), grid.shape[axis]
    step = max(1, points // (grid.points // n))
    for first in range(0, n, step):
        start, shape = list(whole.start), list(whole.shape)
        start[axis], shape[axis] = first, min(step, n - first)
        yield Region(tuple(start), tuple(shape))


def in_dimension(unit: str, dimension: int) -> str:
    """``unit`` on grids of ``dimension`` axes, as printed: "e/Å^d" is e/Å² on two. One without Å^d stays as it is."""
    return unit.replace("Å^d", "Å" + {1: "", 2: "²", 3: "³"}[dimension])


def density_unit(dimension: int) -> str:
    """Unit of a density on grids of ``dimension`` axes, as printed: e/Å^d."""
    return in_dimension("e/Å^d", dimension)


def _fixes_axis(w: NDArray[np.int64], axis: int) -> bool:
    unit = np.eye(len(w))[axis]
    return np.array_equal(w[axis], unit) and np.array_equal(w[:, axis], unit)
