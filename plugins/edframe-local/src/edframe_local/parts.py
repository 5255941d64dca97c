"""The corrected density on parts of a grid: the same points are evaluated or interpolated as on the whole grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core.structure import Structure
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from edframe.grid import Grid, Region
from edframe.interfaces import Features, Featurizer
from edframe_local import subgrid
from edframe_local.base import tiled_base, with_corrections
from edframe_local.neighbours import Images, Surroundings, surroundings

if TYPE_CHECKING:
    from jaxtyping import Float

TOGETHER = 64
"""Grid points next to each other that share a list of atoms."""
ENTRIES = 2**15
"""Pairs of a point and an atom at once: with the default basis some 400 bytes each."""
AT_ONCE = 2**18
"""Points whose neighbours are searched at once."""

Evaluator = Callable[[Tensor], Callable[[Surroundings], Tensor]]
"""From a base density ``[p, s]`` to what gives the parts of its correction, see ``LocalFeaturizer.evaluator``."""


def evaluated(
    evaluate: Callable[[Surroundings], Float[Tensor, "n part s"]],
    coordinates: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    points: NDArray[np.int64],
    images: Images,
    device: torch.device,
) -> Float[Tensor, "part s p"]:
    """``evaluate`` at ``points``, whose ``coordinates`` ``[p, d]`` are in Å: ``[part, s, p]``. Beside the result,
    memory is that of ``AT_ONCE`` points. Where a gradient is wanted, only the result of each part of the points is held
    in memory: the part is computed again on the way back."""
    done = []
    for some in np.split(points, range(AT_ONCE, len(points), AT_ONCE)):
        values, places = [], []
        for around in surroundings(coordinates(some), images, together=TOGETHER, entries=ENTRIES, device=device):
            real = around.points >= 0
            here = replace(around, points=np.where(real, some[around.points], -1))
            block = checkpoint(evaluate, here, use_reentrant=False) if torch.is_grad_enabled() else evaluate(here)
            values.append(block[torch.as_tensor(real.ravel(), device=device)])
            places.append(around.points[real])
        order = torch.as_tensor(np.argsort(np.concatenate(places)), device=device)
        done.append(torch.cat(values)[order])
    return torch.cat(done).permute(1, 2, 0)


def coordinates_on(
    grid: Grid, indices: Sequence[NDArray[np.int64]]
) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
    """From flat indices of the points that have these ``indices`` along each axis to their coordinates in Å."""
    axes = [index / n for index, n in zip(indices, grid.shape, strict=True)]

    def coordinates(points: NDArray[np.int64]) -> NDArray[np.float64]:
        places = np.unravel_index(points, [len(axis) for axis in axes])
        return np.asarray(np.stack([axis[place] for axis, place in zip(axes, places, strict=True)], 1) @ grid.vectors)

    return coordinates


class Parts:
    """Corrections of the density of the featurizer ``base``, on parts of ``grid``.

    interpolation: see ``LocalConfig``.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        images: Images,
        structure: Structure,
        grid: Grid,
        base: Featurizer,
        device: torch.device | str,
        interpolation: float,
    ) -> None:
        self._evaluator, self._images, self._grid, self._interpolation = evaluator, images, grid, interpolation
        self._near = None
        if not subgrid.halved(grid):
            self._base = tiled_base(base, structure, grid, device).on
            return
        near = subgrid.near_atoms(structure.frac_coords[:, : grid.dimension], grid)
        probes = Probes.of(near, grid)
        tiled = tiled_base(base, structure, grid, device, probes.points)
        self._base = tiled.on
        if self._skipping(probes, tiled.known, tiled.total):
            self._near = near

    def on(self, region: Region) -> Features:
        """Channels and baseline, see ``LocalFeaturizer``."""
        features = self._base(region)
        assert features.baseline is not None
        indices = region.indices(self._grid)
        if self._near is None:
            corrections = self._at(indices, features.baseline[0])
        else:
            axes = [list(subgrid.around(a, n)) for a, n in zip(region.start, region.shape, strict=True)]
            wide, base = self._wider(axes)
            corrections = subgrid.interpolated(self._at(wide, base), self._grid.dimension)
            for axis, (first, start, count) in enumerate(
                zip([axis[0] for axis in axes], region.start, region.shape, strict=True), start=2
            ):
                corrections = corrections.narrow(axis, start - first, count)
            near = self._near[np.ix_(*indices)]
            near &= reduce(np.bitwise_or, np.ix_(*(index % 2 for index in indices))) == 1
            if near.any():
                places = torch.as_tensor(np.flatnonzero(near), device=corrections.device)
                exact = self._at(indices, features.baseline[0], np.flatnonzero(near))
                corrections = corrections.flatten(2).index_copy(2, places, exact).reshape(corrections.shape)
        return with_corrections(features, corrections[None])

    def _at(
        self, indices: Sequence[NDArray[np.int64]], base: Tensor, chosen: NDArray[np.int64] | None = None
    ) -> Tensor:
        """The parts of the correction at the points of these indices along each axis, ``[part, s, …]``; chosen: at some
        of them by flat index, ``[part, s, p]``."""
        coordinates = coordinates_on(self._grid, indices)
        points = np.arange(math.prod(len(index) for index in indices)) if chosen is None else chosen
        values = evaluated(self._evaluator(base.flatten(1).T), coordinates, points, self._images, base.device)
        return values if chosen is not None else values.reshape(*values.shape[:2], *(len(i) for i in indices))

    def _wider(self, axes: Sequence[Sequence[int]]) -> tuple[list[NDArray[np.int64]], Tensor]:
        """Indices along each axis within the cell, and the base there ``[s, …]``."""
        wrapped = [np.array(axis) % n for axis, n in zip(axes, self._grid.shape, strict=True)]
        starts, counts = [], []
        for axis, n in zip(axes, self._grid.shape, strict=True):
            whole = axis[-1] - axis[0] + 1 >= n
            starts.append(0 if whole else axis[0])
            counts.append(n if whole else axis[-1] - axis[0] + 1)
        base = self._base(Region(tuple(starts), tuple(counts))).baseline
        assert base is not None
        base = base[0]
        for place, (index, start, n) in enumerate(zip(wrapped, starts, self._grid.shape, strict=True), start=1):
            base = base.index_select(place, torch.as_tensor((index - start) % n, device=base.device))
        return wrapped, base

    def _skipping(self, probes: Probes, known: Float[Tensor, "p s"], total: float) -> bool:
        """Whether interpolation changes the density little enough, by the base ``known`` at ``probes.points``, and
        leaves any point out."""
        if not probes.count:
            return False
        places = coordinates_on(self._grid, self._grid.region().indices(self._grid))(probes.points)
        every = np.arange(len(places))
        values = evaluated(self._evaluator(known), places.__getitem__, every, self._images, known.device)
        weights = torch.as_tensor(probes.weights, dtype=values.dtype, device=values.device)
        owners = torch.as_tensor(probes.owners, device=values.device)
        off = values.new_zeros(*values.shape[:2], probes.count).index_add_(2, owners, values * weights)
        far = float(off.sum(0).abs().mean()) * probes.rest
        return far <= self._interpolation * total


@dataclass(frozen=True)
class Probes:
    """Points left out, ``count`` of ``rest``: what is interpolated there less what is evaluated is, for each, a sum of
    values at ``points`` ``[p]``, flat indices, times ``weights`` ``[p]``; ``owners`` says of which, ``[p]``."""

    points: NDArray[np.int64]
    weights: NDArray[np.float64]
    owners: NDArray[np.int64]
    count: int
    rest: int

    @classmethod
    def of(cls, near: NDArray[np.bool_], grid: Grid) -> Probes:
        """Of a grid with points ``near`` atoms, see ``subgrid.probed``."""
        chosen, rest = subgrid.probed(near, grid)
        points: list[NDArray[np.int64]] = []
        weights: list[NDArray[np.float64]] = []
        owners: list[NDArray[np.int64]] = []
        for owner, flat in enumerate(chosen):
            lines = [subgrid.stencil(int(k)) for k in np.unravel_index(flat, grid.shape)]
            along = np.ix_(*(line % n for (line, _), n in zip(lines, grid.shape, strict=True)))
            around = np.ravel_multi_index(along, grid.shape)
            points += [around.ravel(), chosen[owner : owner + 1]]
            weights += [reduce(np.multiply.outer, [weight for _, weight in lines]).ravel(), -np.ones(1)]
            owners += [np.full(around.size + 1, owner)]
        if not len(chosen):
            return cls(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0, dtype=np.int64), 0, rest)
        return cls(np.concatenate(points), np.concatenate(weights), np.concatenate(owners), len(chosen), rest)
