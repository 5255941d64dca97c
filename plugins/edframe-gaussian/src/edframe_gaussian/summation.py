"""Sums over atoms in the way that takes the least time: as they are, or cores on the grid and tails on a coarser one.

Tails are summed on a grid that just resolves them and interpolated by its waves, which is exact for them: along open
axes the coarse grid continues beyond the end, as far as a tail reaches, so that it may be periodic. The same is done
with the sum on the coarse grid in turn. The time of each way is estimated from the numbers of pairs and points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edframe.grid import Grid, Region
from edframe_gaussian.radial import add_superposition, point_sums, scaled_to
from edframe_gaussian.separation import RADII, SPACINGS, Profile, Separation, separated

if TYPE_CHECKING:
    from jaxtyping import Float

FEW = 2**22
"""Pairs of a point and an atom, below which nothing is separated: that takes as long as they do."""
POINT = 0.5
"""Time of a point in the interpolation, in units of that of a pair, and as much again for each 64 coarse points."""
SMALL = 40_000
"""Pairs of an atom on a coarse grid at most, because its tail is separated in turn."""
COARSER = 1.4
"""Times the spacing of the grid, from which on a coarser one is worth a thought."""


class Summation:
    """Σ weight · function(|x − R|) over atoms and all their images, for any part of the grid.

    fractions: ``[atom, d]`` of the lattice vectors. slots: ``[atom]``, the field that each is added to. weights:
    ``[atom]``. integral: to which each atom is scaled, see ``add_superposition``. What is common to all parts of the
    grid is made once, here. In three dimensions, where no atom lies beyond an open end, atoms are separated into core
    and tail where that is estimated to take less time; the sum then differs by 1e-5 of its integral at most.
    """

    def __init__(
        self,
        function: Profile,
        fractions: NDArray[np.float64],
        slots: NDArray[np.int64],
        grid: Grid,
        device: torch.device | str,
        *,
        weights: NDArray[np.float64] | None = None,
        integral: float | None = None,
    ) -> None:
        self.function, self.fractions, self.slots, self.grid = function, fractions, slots, grid
        self.weights, self.integral, self.device = weights, integral, torch.device(device)
        chosen = _chosen(function, fractions, grid, len(np.unique(slots)))
        self.tails = None if chosen is None else self._tails(chosen)

    def _tails(self, chosen: Separation) -> Tails:
        self.core = chosen.core
        if self.integral is not None:
            sums = point_sums(self.core, self.core.cutoff, self.fractions, self.grid, self.device)
            sums += chosen.integral  # a smooth function's sum is its integral
            scales = scaled_to(self.integral, sums)
            self.weights, self.integral = scales if self.weights is None else scales * self.weights, None
        return Tails(chosen, self.fractions, self.slots, self.grid, self.device, self.weights)

    def add_to(self, out: Float[Tensor, "slot *grid"], region: Region | None = None) -> None:
        """Add the sum at the points of ``region`` (None: of the grid) to ``out`` ``[slot, …]`` float32, in place."""
        if self.tails is None:
            add_superposition(
                out, self.function, self.function.cutoff, self.fractions, self.slots, self.grid, self.integral,
                weights=self.weights, region=region,
            )  # fmt: skip
            return
        for place, slot in enumerate(self.tails.slots):
            mine = self.slots == slot
            field = self.tails.interpolated(place, region or self.grid.region())
            weights = None if self.weights is None else self.weights[mine]
            add_superposition(
                field[None], self.core, self.core.cutoff, self.fractions[mine], np.zeros(mine.sum(), dtype=np.int64),
                self.grid, weights=weights, region=region,
            )  # fmt: skip
            out[slot] += field.clamp_(min=0) if self._never_negative else field

    @property
    def _never_negative(self) -> bool:
        return self.weights is None or bool((self.weights >= 0).all())


@dataclass(frozen=True)
class Fields:
    """The channels of a batch, ``count`` of each structure, whose atoms ``sums`` add to slot structure · count + k."""

    sums: tuple[Summation, ...]
    structures: int
    count: int

    def on(self, region: Region | None = None) -> Float[Tensor, "b c *grid"]:
        """At the points of ``region``; None: of the grid."""
        one = self.sums[0]
        shape = (region or one.grid.region()).shape
        out = torch.zeros(self.structures * self.count, *shape, device=one.device)
        for each in self.sums:
            each.add_to(out, region)
        return out.view(self.structures, self.count, *shape)


class Tails:
    """Sums of tails on a coarser, periodic grid. slots: those that have atoms."""

    def __init__(
        self,
        separation: Separation,
        fractions: NDArray[np.float64],
        slots: NDArray[np.int64],
        grid: Grid,
        device: torch.device,
        weights: NDArray[np.float64] | None,
    ) -> None:
        self.grid = grid
        self.slots, places = np.unique(slots, return_inverse=True)
        self.longer, self.coarse = _coarse(grid, separation)
        fractions = fractions * np.array(grid.shape) / np.array(self.longer.shape)
        inner = Summation(separation.tail, fractions, places, self.coarse, device, weights=weights)
        self.sums = torch.zeros(len(self.slots), *self.coarse.shape, device=device)
        inner.add_to(self.sums)

    def interpolated(self, place: int, region: Region) -> Float[Tensor, "*region"]:
        """The sum of the slot at ``place`` at the points of ``region``; zero where no coarse point near has a value."""
        field = self.sums[place]
        axes = list(zip(region.indices(self.grid), self.longer.shape, self.coarse.shape, strict=True))
        x, y, z = (_waves(points / n * m, m, field.device) for points, n, m in axes)
        along_x = (x @ field.flatten(1)).view(len(x), *field.shape[1:])
        values = (y @ along_x) @ z.T
        empty = field == 0
        if empty.any():
            for axis in range(3):  # a fine point lies between a coarse point and the next
                empty = empty & empty.roll(-1, axis)
            near = [torch.as_tensor(points * m // n, device=field.device) for points, n, m in axes]
            for axis, chosen in enumerate(near):
                empty = empty.index_select(axis, chosen)
            values.masked_fill_(empty, 0.0)
        return values.contiguous()


def _waves(places: NDArray[np.float64], count: int, device: torch.device) -> Float[Tensor, "p c"]:
    """Values at ``places``, in units of the spacing, from those at ``count`` points of a period, an odd number: all
    waves that these determine, Σ cos(2πk(x − j)/n)/n = sin(πt)/(n sin(πt/n)) with t = x − j."""
    away = places[:, None] - np.arange(count)
    below = np.sin(np.pi * away / count)
    on = np.abs(below) < 1e-9
    values = np.where(on, 1.0, np.sin(np.pi * away) / (count * np.where(on, 1.0, below)))
    return torch.as_tensor(values, dtype=torch.float32, device=device)


def _coarse(grid: Grid, separation: Separation) -> tuple[Grid, Grid]:
    """The grid, continued beyond open ends as far as a tail reaches, and a coarser one of that cell; both periodic."""
    reach = separation.tail.cutoff * np.linalg.norm(np.linalg.inv(grid.voxel), axis=0)
    shape = [n if p else n + int(np.ceil(m)) + 1 for n, p, m in zip(grid.shape, grid.periodic, reach, strict=True)]
    cell = grid.voxel * np.array(shape)[:, None]
    counts = np.ceil(np.linalg.norm(cell, axis=1) / separation.spacing).astype(int)
    return Grid.of(cell, shape), Grid.of(cell, [int(n) | 1 for n in counts])


def _chosen(function: Profile, fractions: NDArray[np.float64], grid: Grid, slots: int) -> Separation | None:
    """The separation that takes the least time by the estimate; None where the sum as it is takes less."""
    best = len(fractions) * _points(function.cutoff, grid)
    if grid.dimension != 3 or best < FEW:
        return None
    open_ends = ~np.array(grid.periodic)
    if ((fractions < 0) | (fractions >= 1))[:, open_ends].any():
        return None
    chosen, smallest = None, 0
    for spacing in SPACINGS:
        if spacing < COARSER * grid.spacing.min():
            continue
        counts = np.linalg.norm(grid.vectors, axis=1) / spacing
        points = grid.points * POINT * (1 + counts[-1] / 64)
        tails = len(fractions) * min(_volume(function.cutoff + spacing) / spacing**3, SMALL)
        for place in range(smallest, len(RADII)):  # a wider spacing takes a core that is as wide or wider
            time = len(fractions) * _points(RADII[place], grid) + tails + slots * points
            if time >= best or RADII[place] > 0.7 * function.cutoff:
                break
            smallest = place
            if (made := separated(function, spacing, RADII[place])) is not None:
                best, chosen = time, made
                break
    return chosen


def _points(radius: float, grid: Grid) -> float:
    """Points of a sphere, about."""
    return _volume(radius + 0.5 * float(np.linalg.norm(grid.spacing))) / grid.voxel_volume


def _volume(radius: float) -> float:
    return 4 / 3 * np.pi * radius**3
