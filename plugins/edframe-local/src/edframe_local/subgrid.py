"""Corrections on every second point of a grid, and on all near the nuclei: the rest is interpolated.

Away from nuclei a correction is smooth on the scale of a grid that resolves the cores, so an eighth of the points is
enough there. Some of those left out are evaluated to see whether it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edframe.grid import Grid

if TYPE_CHECKING:
    from jaxtyping import Float

NEAR = 10.0
"""Spacings from a nucleus within which every point is evaluated."""
WIDEST = 0.16
"""Spacing in Å up to which points are left out."""
PROBES = 600
"""Points left out that are evaluated for an estimate of that."""
WEIGHTS = (3 / 256, -25 / 256, 150 / 256, 150 / 256, -25 / 256, 3 / 256)
"""Of the six points about a midpoint: the polynomial of fifth degree through them."""


def halved(grid: Grid) -> bool:
    """Whether every second point is enough: even numbers of points on periodic axes, close together."""
    even = all(n % 2 == 0 and n >= 2 * len(WEIGHTS) for n in grid.shape)
    return even and all(grid.periodic) and float(grid.spacing.max()) <= WIDEST


@dataclass(frozen=True)
class Chosen:
    """Flat indices of points. second: every second one of each axis, in the order of their grid. near: all others near
    atoms. probes: some of the rest, ``rest`` of them in all."""

    second: NDArray[np.int64]
    near: NDArray[np.int64]
    probes: NDArray[np.int64]
    rest: int


def chosen(atoms: NDArray[np.float64], grid: Grid) -> Chosen:
    """For ``atoms`` ``[n, d]`` in fractions of the lattice vectors."""
    second = np.zeros(grid.shape, dtype=bool)
    second[(slice(None, None, 2),) * grid.dimension] = True
    near = near_atoms(atoms, grid)
    probes, rest = probed(near, grid)
    return Chosen(np.flatnonzero(second), np.flatnonzero(near & ~second), probes, rest)


def near_atoms(atoms: NDArray[np.float64], grid: Grid) -> NDArray[np.bool_]:
    """Which points, ``[n1, …, nd]``, lie near one of ``atoms`` ``[n, d]`` in fractions of the lattice vectors."""
    shape = np.array(grid.shape)
    radius = NEAR * float(grid.spacing.max())
    reach = np.ceil(radius * np.linalg.norm(np.linalg.inv(grid.voxel), axis=0)).astype(int) + 1
    axes = np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij")
    steps = np.stack(axes, -1).reshape(-1, grid.dimension)
    places = steps @ grid.voxel
    keep = (places**2).sum(1) <= (radius + float(grid.spacing.sum())) ** 2
    steps, places = steps[keep], places[keep]
    near = np.zeros(grid.shape, dtype=bool)
    for atom in atoms * shape:
        first = np.floor(atom).astype(int)
        inside = ((places - (atom - first) @ grid.voxel) ** 2).sum(1) <= radius**2
        near[tuple(((first + steps[inside]) % shape).T)] = True
    return near


def probed(near: NDArray[np.bool_], grid: Grid) -> tuple[NDArray[np.int64], int]:
    """Flat indices of some of the points that are left out, evenly, and how many are left out in all."""
    others = np.indices((2,) * grid.dimension).reshape(grid.dimension, -1).T[1:]  # offsets of all but every second
    rest = sum(int((~near[tuple(slice(k, None, 2) for k in offset)]).sum()) for offset in others)
    step, before, chosen = max(1, rest // PROBES), 0, [np.zeros(0, dtype=np.int64)]
    layer = near.size // grid.shape[0]
    for index, one in enumerate(near):
        free = ~one
        if index % 2 == 0:
            free[(slice(None, None, 2),) * (grid.dimension - 1)] = False
        places = np.flatnonzero(free)
        chosen.append(places[-before % step :: step] + index * layer)
        before += len(places)
    return np.concatenate(chosen), rest


def stencil(place: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The points along an axis, and their weights, from which the value at ``place`` is interpolated."""
    if place % 2 == 0:
        return np.array([place]), np.ones(1)
    return place + np.arange(1 - len(WEIGHTS), len(WEIGHTS), 2), np.array(WEIGHTS)


def around(start: int, count: int) -> range:
    """Every second point that those from ``start`` on, ``count`` of them, are interpolated from."""
    return range(start // 2 * 2 - 4, (start + count - 1) // 2 * 2 + 7, 2)


def interpolated(values: Float[Tensor, "*coarse"], dimension: int) -> Float[Tensor, "*fine"]:
    """Fields ``[…, n1, …, nd]`` on every second point → on all, ``[…, 2 n1, …, 2 nd]``, periodic."""
    for axis in range(values.ndim - dimension, values.ndim):
        middle = torch.zeros_like(values)
        for place, weight in enumerate(WEIGHTS):
            middle.add_(values.roll(len(WEIGHTS) // 2 - 1 - place, axis), alpha=weight)
        shape = list(values.shape)
        shape[axis] *= 2
        values = torch.stack([values, middle], axis + 1).reshape(shape)
    return values
