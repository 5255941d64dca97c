"""Sums of radial functions over atoms and all their periodic images, on a grid."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edframe.grid import Grid

if TYPE_CHECKING:
    from jaxtyping import Float

Radial = Callable[[Tensor], Tensor]
"""Maps squared distances (Å², float32) to values, element by element; negligible beyond the cutoff."""

_OUTSIDE = -(2**40)
"""Added to the index of a point beyond an open end: no sum with it is a valid index."""


def add_superposition(
    out: Float[Tensor, "slot *grid"],
    radial: Radial,
    cutoff: float,
    fractions: NDArray[np.float64],
    slots: NDArray[np.int64],
    grid: Grid,
    integral: float | None = None,
) -> None:
    """Add ``radial`` around every atom, and around its images along periodic axes, to ``out`` in place.

    out: ``[slot, n1, …, nd]`` float32, contiguous; its device is where the work is done.
    fractions: ``[atom, d]``, of the lattice vectors of ``grid``; they may lie outside the cell.
    slots: ``[atom]``, the field of ``out`` each atom is added to. cutoff: Å, beyond which ``radial`` is left out.
    integral: when given, each atom is scaled so that its sum over the grid, continued without end, times the
    voxel volume has this value: what sampling a narrow peak at points gains or loses is undone atom by atom.

    Exact for any cell: points are enumerated in a sphere around the atom, not in the cell, so a sphere larger
    than the cell wraps onto it as often as it must. The cost is that of the points in the spheres: vacuum is free.
    """
    device, d, shape = out.device, grid.dimension, grid.shape
    reach, steps, displacements = _sphere_of(grid.cell, shape, cutoff, str(device))
    count = len(steps[0])
    is_open = not all(grid.periodic)
    flat = out.view(-1)
    if is_open:  # one element more, in front, takes what falls outside
        flat = torch.cat([flat.new_zeros(1), flat])

    # Geometry in float64 on the host; what is left, an atom's place within its voxel, is small enough for float32.
    scaled = fractions * np.array(shape)
    base = np.floor(scaled).astype(np.int64)
    within = torch.as_tensor((scaled - base) @ grid.voxel, dtype=torch.float32, device=device)
    lookup = [torch.as_tensor(table, device=device) for table in _wrapped(base, grid, reach)]
    start = torch.as_tensor(slots * grid.points, device=device)

    at_once = max(1, (2**24 if device.type == "cuda" else 2**21) // count)  # bounds the memory, tens of bytes a point
    for first in range(0, len(slots), at_once):
        part = slice(first, first + at_once)
        squared = _squared_distances(displacements, within[part])
        values = radial(squared)
        if integral is not None:
            totals = values.sum(1, keepdim=True, dtype=torch.float64) * grid.voxel_volume
            values = values * torch.where(totals > 0, integral / totals, 0.0).to(values.dtype)
        index = start[part, None].expand(-1, count).clone()
        for axis in range(d):
            index += lookup[axis][part].index_select(1, steps[axis])
        if is_open:
            index = index.clamp_(min=-1).add_(1)
        flat.index_add_(0, index.view(-1), values.view(-1))
    if is_open:
        out.copy_(flat[1:].view_as(out))


def _squared_distances(displacements: Tensor, within: Tensor) -> Tensor:
    """``[atom, point]`` in Å². Subtracts before squaring: expanding the square would lose the nucleus in float32."""
    squared = (displacements[0] - within[:, :1]).square_()
    for axis in range(1, len(displacements)):
        difference = displacements[axis] - within[:, axis, None]
        squared.addcmul_(difference, difference)
    return squared


def _wrapped(base: NDArray[np.int64], grid: Grid, reach: tuple[int, ...]) -> list[NDArray[np.int64]]:
    """Per axis ``[atom, 2 reach + 1]``: the share of that axis in the flat index of ``base + step``."""
    tables = []
    for axis, n in enumerate(grid.shape):
        index = base[:, axis, None] + np.arange(-reach[axis], reach[axis] + 1)
        share = (index % n) * int(np.prod(grid.shape[axis + 1 :]))
        inside = grid.periodic[axis] | ((index >= 0) & (index < n))
        tables.append(np.where(inside, share, _OUTSIDE))
    return tables


@lru_cache(maxsize=16)
def _sphere_of(
    cell: tuple[tuple[float, ...], ...], shape: tuple[int, ...], cutoff: float, device: str
) -> tuple[tuple[int, ...], tuple[Tensor, ...], Tensor]:
    """Grid points that can be within ``cutoff`` of an atom in the voxel at the origin.

    Returns the largest step per axis; per axis the steps of the points, ``[point]`` int32, counted from the most
    negative one; and the places of the points, ``[d, point]`` in Å.
    """
    voxel = np.array(cell) / np.array(shape)[:, None]
    corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * len(shape), indexing="ij"), -1).reshape(-1, len(shape)) @ voxel
    radius = cutoff + np.linalg.norm(corners, axis=1).max()
    # A point within the radius has its k-th step at most radius × (length of the k-th reciprocal vector).
    reach = np.ceil(radius * np.linalg.norm(np.linalg.inv(voxel), axis=0)).astype(int)
    steps = np.stack(np.meshgrid(*[np.arange(-m, m + 1) for m in reach], indexing="ij"), -1).reshape(-1, len(shape))
    places = steps @ voxel
    near = np.square(places).sum(1) <= radius**2
    columns = tuple(
        torch.as_tensor(column + most, dtype=torch.int32, device=device)
        for column, most in zip(steps[near].T, reach, strict=True)
    )
    return tuple(reach.tolist()), columns, torch.as_tensor(places[near].T.copy(), dtype=torch.float32, device=device)
