"""Fields on coarser and finer grids over the same cell. All in index space, so for any cell, triclinic too.

| function | integral  | sign      | band limit                | values                                         |
|----------|-----------|-----------|---------------------------|------------------------------------------------|
| coarsen  | preserved | preserved | not preserved             | means around the points of the coarse grid     |
| refine   | preserved | preserved | not preserved             | constant around the points of the coarse grid  |
| fourier  | preserved | lost      | preserved: nothing beyond | the same at shared points, if band-limited     |

The points of all grids are at fractions i/n of the lattice vectors, so nothing moves by part of a voxel. Axes must be
periodic: at an open end half of a coarse point's surroundings would be missing. Raised for open axes is DataError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.grid import Grid

__all__ = ["coarsen", "fourier", "refine"]

Real = TypeVar("Real", np.float32, np.float64)


def coarsen(field: NDArray[Real], grid: Grid, factor: int | Sequence[int]) -> tuple[NDArray[Real], Grid]:
    """Means over the ``factor`` voxels around each point that stays, in the field's precision.

    field: ``[..., x, y, z]`` on ``grid``, of any unit per volume. An even number of voxels reaches from half of one to
    half of another: weights ½, 1, …, 1, ½. Unlike a mean over a block that begins at the point, this has no shift: a
    field that is symmetric about a point that stays is so after it. Preserved: integral, sign, a constant. Not
    preserved: band limit, values. Raises DataError when a factor does not divide its axis, and for open axes.
    """
    _check(field, grid, "coarsened")
    coarse = grid.coarsen(factor)
    for axis, (n, m) in enumerate(zip(grid.shape, coarse.shape, strict=True), start=-grid.dimension):
        f = n // m
        # The two blocks of f voxels that lie around the point as evenly as can be; for odd f they are one and the same.
        field = _mean(*(_blocks(field, axis, f, before) for before in {f // 2, (f - 1) // 2}))
    return field, coarse


def refine(field: NDArray[Real], grid: Grid, factor: int | Sequence[int]) -> tuple[NDArray[Real], Grid]:
    """Each value spread evenly over the ``factor`` voxels around its point.

    field: ``[..., x, y, z]`` on ``grid``, of any unit per volume. ``factor`` times as many points. Of an even number of
    voxels the two outermost are shared by halves with the neighbours. This is the transpose of ``coarsen``: on the
    finer grid, ∫ refine(a) b = ∫ a coarsen(b) on the coarser one. Preserved: integral, sign, a constant; for odd
    factors ``coarsen`` gives the field back. Not preserved: band limit (it has steps). Raises DataError for open axes.
    """
    _check(field, grid, "refined")
    factors = (factor,) * grid.dimension if isinstance(factor, int) else tuple(factor)
    if len(factors) != grid.dimension or min(factors) < 1:
        raise DataError(f"refining by {factors} needs a factor of 1 or more for each of the {grid.dimension} axes")
    for axis, f in enumerate(factors, start=-grid.dimension):
        steps = np.repeat(field, f, axis)
        field = _mean(*(np.roll(steps, -before, axis) for before in {f // 2, (f - 1) // 2}))
    return field, Grid(grid.cell, tuple(n * f for n, f in zip(grid.shape, factors, strict=True)), grid.periodic)


def fourier(field: NDArray[Real], grid: Grid, shape: int | Sequence[int]) -> tuple[NDArray[Real], Grid]:
    """The trigonometric interpolant of a field on any number of points, without the waves that these cannot carry.

    field: ``[..., x, y, z]`` on ``grid``, of any unit per volume, real. shape: the new numbers of points. Preserved:
    integral, and every wave that both grids resolve, exactly. The wave at the edge, half of an even n, which one grid
    has once and a finer one twice, is halved and joined, so that real stays real. Not preserved: sign; a density cut so
    is negative near nuclei. Source: ``scipy.signal.resample`` along each axis. Raises DataError for open axes.
    """
    from scipy.signal import resample

    _check(field, grid, "interpolated by waves")
    target = Grid.of(grid.cell, (shape,) * grid.dimension if isinstance(shape, int) else shape)
    if target.dimension != grid.dimension:
        raise DataError(f"shape {target.shape} for a grid of {grid.dimension} axes; give one number for each")
    for axis, (n, m) in enumerate(zip(grid.shape, target.shape, strict=True), start=-grid.dimension):
        if n != m:
            field = resample(field, m, axis=axis)
    return field, target


def _mean(*fields: NDArray[Real]) -> NDArray[Real]:
    mean: NDArray[Real] = sum(fields) / len(fields)  # type: ignore[assignment]
    return mean


def _blocks(field: NDArray[Real], axis: int, f: int, before: int) -> NDArray[Real]:
    """Means over ``f`` voxels, the first of each ``before`` voxels before the point that stays."""
    moved = np.moveaxis(np.roll(field, before, axis), axis, -1)
    means: Any = moved.reshape(*moved.shape[:-1], -1, f).mean(axis=-1)
    return np.moveaxis(means, -1, axis)


def _check(field: NDArray[Any], grid: Grid, done: str) -> None:
    if field.shape[-grid.dimension :] != grid.shape:
        raise DataError(f"a field of shape {field.shape} is not on a grid of shape {grid.shape}")
    if not all(grid.periodic):
        raise DataError(f"a field on open axes (periodic: {grid.periodic}) cannot be {done}; make the cell periodic")
