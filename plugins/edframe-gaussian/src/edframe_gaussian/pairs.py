"""Atoms near single points, in any cell: what a sum over atoms needs where there is no grid to go through."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from edframe.grid import Grid

Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def pairs(points: NDArray[np.float64], atoms: NDArray[np.float64], grid: Grid, cutoff: float) -> Pairs:
    """Every pair of a point and an atom, or an image of one, less than ``cutoff`` Å apart: point, atom, distance in Å.

    points ``[p, d]`` and atoms ``[a, d]`` are fractions of the lattice vectors of ``grid``. Images are those along its
    periodic axes, as many as the cutoff reaches; along open ones there are none.
    """
    periodic = np.array(grid.periodic)
    inside = np.where(periodic, points % 1.0, points)
    home = np.where(periodic, atoms % 1.0, atoms)
    # A sphere of this radius about a point of the cell ends so far, in fractions, beyond it.
    reach = cutoff * np.linalg.norm(np.linalg.inv(grid.vectors), axis=0)
    low, high = (inside.min(0) - reach, inside.max(0) + reach) if len(inside) else (0 * reach, 0 * reach)
    steps = [np.arange(-np.ceil(r), np.ceil(r) + 1) if wraps else [0] for r, wraps in zip(reach, periodic, strict=True)]
    images, owners = [np.zeros((0, grid.dimension))], [np.zeros(0, dtype=np.int64)]
    for step in itertools.product(*steps):
        there = home + np.array(step)
        near = np.flatnonzero(((there >= low) & (there <= high)).all(1))
        images.append(there[near])
        owners.append(near)
    trees = [cKDTree(fractions @ grid.vectors) for fractions in (inside, np.concatenate(images))]
    close = trees[0].sparse_distance_matrix(trees[1], cutoff, output_type="ndarray")
    return close["i"], np.concatenate(owners)[close["j"]], close["v"]
