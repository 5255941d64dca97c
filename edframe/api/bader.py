"""Bader's atoms: the basins of a density, each with the atom nearest to its maximum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edframe.grid import Grid

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

Field = NDArray[np.float64]
Places = NDArray[np.intp]

AT_ONCE = 1_000_000
"""Climbs that go on side by side."""
ALIKE = 1e-3
"""Å. A maximum in the middle of a bond, as in silicon, is shared by its atoms."""


def bader(total: Field, grid: Grid, structure: Structure) -> Field:
    """Electrons of each atom, ``[atom]``: every grid point climbs to a maximum, which belongs to the nearest atom.

    The climbs follow the gradient itself rather than the directions of the grid: each is moved to the grid point
    nearest to its path, and the distance to the path is carried along (the near-grid method of Tang, Sanville &
    Henkelman, J. Phys.: Condens. Matter 21, 084204 (2009)). Where that leads down, the step is one to the highest
    neighbour by slope, of 26 (Henkelman, Arnaldsson & Jónsson, Comput. Mater. Sci. 36, 354 (2006)).

    Maxima of a valence density may lie beside an atom, as around oxygen, whose shell has none at the nucleus.
    """
    top = _maxima(total, grid)
    maxima, basin = np.unique(top, return_inverse=True)
    held = np.bincount(basin, weights=total.ravel()) * grid.voxel_volume
    fractions = np.stack(np.unravel_index(maxima, total.shape), axis=-1) / np.array(total.shape)
    distances = structure.lattice.get_all_distances(fractions, structure.frac_coords)
    nearest = distances < distances.min(axis=1, keepdims=True) + ALIKE
    return np.asarray(held @ (nearest / nearest.sum(axis=1, keepdims=True)))


def _maxima(total: Field, grid: Grid) -> Places:
    """The flat index of the maximum that each point climbs to, ``[point]``."""
    values, shape = total.ravel(), np.array(total.shape)
    steepest = _steepest(total, grid)
    step, rest = _along_gradient(total, grid)
    top = np.empty(total.size, dtype=np.intp)
    for first in range(0, total.size, AT_ONCE):
        climbing = np.arange(first, min(first + AT_ONCE, total.size))
        place = climbing.copy()
        aside = np.zeros((len(climbing), 3), dtype=np.float32)
        while len(climbing):
            ended = steepest[place] == place
            top[climbing[ended]] = place[ended]
            climbing, place, aside = climbing[~ended], place[~ended], aside[~ended]
            aside += rest[place]
            correction = np.rint(aside)
            aside -= correction
            cell = np.stack(np.unravel_index(place, total.shape), axis=-1) + step[place] + correction.astype(np.intp)
            further = np.ravel_multi_index(tuple((cell % shape).T), total.shape)
            down = values[further] <= values[place]
            aside[down] = 0
            place = np.where(down, steepest[place], further)
    return top


def _steepest(total: Field, grid: Grid) -> Places:
    """The flat index of the highest neighbour of each point by slope, ``[point]``; its own where none is higher."""
    own = np.arange(total.size).reshape(total.shape)
    best, target = np.zeros(total.shape), own.copy()
    for step in np.ndindex(3, 3, 3):
        offset = np.array(step) - 1
        if not offset.any():
            continue
        shift = tuple(-offset)
        slope = (np.roll(total, shift, (0, 1, 2)) - total) / float(np.linalg.norm(offset @ grid.voxel))
        better = slope > best
        best = np.where(better, slope, best)
        target = np.where(better, np.roll(own, shift, (0, 1, 2)), target)
    return target.ravel()


def _along_gradient(total: Field, grid: Grid) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The step of grid points nearest to a way along the gradient that is one point long on its longest axis, and what
    remains to it, both ``[point, 3]``; zero where there is no gradient."""
    ways = np.empty((3, *total.shape))
    for axis in range(3):
        after, before = np.roll(total, -1, axis), np.roll(total, 1, axis)
        # Along an axis on which a point is the highest, there is no way up.
        ways[axis] = np.where((total >= after) & (total >= before), 0.0, (after - before) / 2)
    towards = np.linalg.inv(grid.voxel @ grid.voxel.T) @ ways.reshape(3, -1)
    longest = np.abs(towards).max(axis=0)
    towards = np.divide(towards, longest, out=np.zeros_like(towards), where=longest > 0)
    step = np.rint(towards)
    return step.T.astype(np.int8), (towards - step).T.astype(np.float32)
