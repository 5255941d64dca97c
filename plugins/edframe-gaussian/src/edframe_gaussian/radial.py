"""Sums of radial functions over atoms and all their periodic images, on a grid or a part of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edframe.grid import Grid, Region
from edframe_gaussian.sphere import Points, points_of, sphere_of

if TYPE_CHECKING:
    from jaxtyping import Float

Radial = Callable[[Tensor], Tensor]
"""Maps squared distances (Å², float32), which it may overwrite, to values, element by element; negligible beyond the
cutoff."""

PAIRS = {"cpu": 2**17, "cuda": 2**24}
"""Of a point and an atom, at once: on a CPU so many that they stay in the cache."""


def add_superposition(
    out: Float[Tensor, "slot *grid"],
    radial: Radial,
    cutoff: float,
    fractions: NDArray[np.float64],
    slots: NDArray[np.int64],
    grid: Grid,
    integral: float | None = None,
    *,
    weights: NDArray[np.float64] | None = None,
    region: Region | None = None,
) -> None:
    """Add ``radial`` around every atom, and around its images along periodic axes, to ``out`` in place.

    out: ``[slot, n1, …, nd]`` float32, contiguous; its device is where the work is done.
    fractions: ``[atom, d]``, of the lattice vectors of ``grid``; they may lie outside the cell.
    slots: ``[atom]``, the field of ``out`` each atom is added to. cutoff: Å, beyond which ``radial`` is left out.
    integral: when given, each atom is scaled so that its sum over the grid, continued without end, times the
    voxel volume has this value: what sampling a narrow peak at points gains or loses is undone atom by atom.
    weights: ``[atom]``, factors. region: the points that ``out`` is for; None: all of ``grid``.

    Exact for any cell: points are enumerated in a sphere around the atom, not in the cell, so a sphere larger
    than the cell wraps onto it as often as it must. The cost is that of the points in the spheres: vacuum is free.
    """
    device = out.device
    sphere = sphere_of(grid.cell, grid.shape, cutoff)
    base = np.rint(fractions * np.array(grid.shape)).astype(np.int64)
    tables, low = _wrapped(base, grid, region or grid.region(), sphere.reach)
    seen = np.arange(len(slots))
    if region is not None:  # the others have no point in it
        spans = zip(tables, (base - low).T, sphere.reach, strict=True)
        seen = np.flatnonzero(np.all([_any_inside(table, first, 2 * m + 1) for table, first, m in spans], axis=0))
    seen = seen[np.lexsort([*(base[seen].T[::-1]), slots[seen]])]  # neighbours in memory, one after the other
    if not len(seen):
        return
    fractions, base = fractions[seen], base[seen]
    factors = None if weights is None else weights[seen]
    if integral is not None and sphere.count > 2 * PAIRS[device.type]:
        sums = point_sums(radial, cutoff, fractions, grid, device)
        scales = scaled_to(integral, sums)
        factors, integral = scales if factors is None else scales * factors, None

    # int32 is faster where it suffices; what lies outside stays negative in the sum over the axes.
    small = out.numel() < 2**28
    kind, outside = (torch.int32, -(2**29)) if small else (torch.int64, -(2**40))
    lookup = [
        torch.as_tensor(np.where(table >= 0, table * stride, outside), dtype=kind, device=device)
        for table, stride in zip(tables, out.stride()[1:], strict=True)
    ]
    first = torch.as_tensor(base - low, dtype=torch.int32, device=device)
    start = torch.as_tensor(slots[seen] * out[0].numel(), dtype=kind, device=device)
    factor = None if factors is None else torch.as_tensor(factors, dtype=torch.float32, device=device)
    complete = all((table >= 0).all() for table in tables)
    flat = out.view(-1)
    for points, part, squared in _pairs(cutoff, fractions, grid, device):
        values = radial(squared)
        if integral is not None:
            totals = values.sum(1, keepdim=True, dtype=torch.float64) * grid.voxel_volume
            values *= torch.where(totals > 0, integral / totals, 0.0).to(values.dtype)
        if factor is not None:
            values *= factor[part, None]
        index = torch.empty(values.numel(), dtype=kind, device=device)
        index.view_as(values).copy_(start[part, None])
        for axis, step in enumerate(points.steps):
            index += lookup[axis].index_select(0, (step + first[part, axis, None]).view(-1))
        values = values.view(-1)
        if not complete:
            values.masked_fill_(index < 0, 0.0)
            index.clamp_(min=0)
        flat.scatter_add_(0, index.long(), values)


def scaled_to(integral: float, sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """The factors that make each of ``sums`` the ``integral``; zero for one that is not positive."""
    positive = sums > 0
    return np.where(positive, integral / np.where(positive, sums, 1.0), 0.0)


def point_sums(
    radial: Radial, cutoff: float, fractions: NDArray[np.float64], grid: Grid, device: torch.device
) -> NDArray[np.float64]:
    """Of each atom the sum of its values over the grid, continued without end, times the voxel volume, ``[atom]``."""
    sums = torch.zeros(len(fractions), dtype=torch.float64, device=device)
    for _, part, squared in _pairs(cutoff, fractions, grid, device):
        sums[part] += radial(squared).sum(1, dtype=torch.float64)
    return np.asarray((sums * grid.voxel_volume).cpu().numpy())


def _pairs(
    cutoff: float, fractions: NDArray[np.float64], grid: Grid, device: torch.device
) -> Iterator[tuple[Points, slice, Tensor]]:
    """Points of the sphere, some of the atoms, and the squared distances ``[atom, point]`` in Å² between them.

    Geometry in float64 on the host; what is left, an atom's place within its voxel, is small enough for float32.
    Subtracts before squaring: expanding the square would lose the nucleus in float32.
    """
    scaled = fractions * np.array(grid.shape)
    within = torch.as_tensor((scaled - np.rint(scaled)) @ grid.voxel, dtype=torch.float32, device=device)
    for rows in sphere_of(grid.cell, grid.shape, cutoff).parts():
        points = points_of(grid.cell, grid.shape, cutoff, rows, str(device))
        places = points.places
        at_once = max(1, PAIRS[device.type] // places.shape[1])
        for first in range(0, len(fractions), at_once):
            part = slice(first, first + at_once)
            squared = (places[0] - within[part, :1]).square_()
            for axis in range(1, len(places)):
                difference = places[axis] - within[part, axis, None]
                squared.addcmul_(difference, difference)
            yield points, part, squared


def _wrapped(
    base: NDArray[np.int64], grid: Grid, region: Region, reach: tuple[int, ...]
) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """Per axis, for every index from the lowest that an atom at ``base`` reaches, its place in ``region``, or −1.

    And the index ``[d]`` that added to such a lowest one makes it zero. Along periodic axes ``base`` is wrapped in
    place.
    """
    tables, lows = [], []
    for axis, (n, m) in enumerate(zip(grid.shape, reach, strict=True)):
        if grid.periodic[axis]:
            base[:, axis] %= n
        low, high = (base[:, axis].min(), base[:, axis].max()) if len(base) else (0, 0)
        place = np.arange(low - m, high + m + 1) - region.start[axis]
        if grid.periodic[axis]:
            place %= n
        tables.append(np.where((place >= 0) & (place < region.shape[axis]), place, -1))
        lows.append(low)
    return tables, np.array(lows)


def _any_inside(table: NDArray[np.int64], first: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Whether one of the ``count`` entries of ``table`` from ``first`` ``[atom]`` on lies in the region, ``[atom]``."""
    before = np.concatenate([[0], np.cumsum(table >= 0)])
    return np.asarray(before[first + count] > before[first])
