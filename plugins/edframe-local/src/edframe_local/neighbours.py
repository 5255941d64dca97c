"""The atoms around each point, all periodic images among them, exact in any cell."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from edframe_gaussian.atoms import Atoms
from numpy.typing import NDArray
from pymatgen.core.structure import Structure
from scipy.spatial import cKDTree
from torch import Tensor

from edframe.grid import Grid

if TYPE_CHECKING:
    from jaxtyping import Float

NOWHERE = 1e3
"""Distance in Å, in every coordinate, of the atom that fills up lists: beyond every cut-off."""
WIDE = 1.5
"""Å that a group of points may extend, in the median: wider ones list atoms in vain."""


@dataclass(frozen=True)
class Images:
    """All images of atoms that are within ``radius`` Å of a point of the cell, by species: ``[n, d]`` in Å each."""

    places: tuple[NDArray[np.float64], ...]
    radius: float

    @classmethod
    def of(cls, structure: Structure, grid: Grid, species: Sequence[str], radius: float) -> Images:
        """Along open axes there are no images, and points lie between the first and the last grid point.

        On grids of d < 3 atoms are projected along the lattice vectors left out. Raises DataError as ``Atoms.of``
        does: for an unknown species, a partially occupied site, a lattice that is not the grid's.
        """
        atoms = Atoms.of([structure], grid, species)
        periodic = np.array(grid.periodic)
        fractions = np.where(periodic, atoms.fractions % 1.0, atoms.fractions)
        # Along a lattice vector, a distance of one is the height of the cell: the inverse length of the reciprocal one.
        reach = radius * np.linalg.norm(np.linalg.inv(grid.vectors), axis=0) + 1e-9
        steps = [range(-int(r) - 1, int(r) + 2) if p else range(1) for r, p in zip(reach, periodic, strict=True)]
        images = fractions[:, None] + np.array(list(itertools.product(*steps)), dtype=float)
        near = ((images >= -reach) & (images <= 1 + reach)).all(-1)
        mine = [atoms.species == index for index in range(len(species))]
        places = tuple(images[m][near[m]] @ grid.vectors for m in mine)
        return cls(places, radius)


@dataclass(frozen=True)
class Surroundings:
    """Points in groups, and the way from each point to the atoms near its group.

    points: ``[g, p]``, which points, −1 where a group has fewer. vectors: of each species ``[g, p, k, d]`` in Å, from
    the point to the atom; atoms that fill up lists are farther than any cut-off.
    """

    points: NDArray[np.int64]
    vectors: tuple[Float[Tensor, "g p _ d"], ...]


def surroundings(
    points: NDArray[np.float64],
    images: Images,
    *,
    together: int,
    entries: int,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Iterator[Surroundings]:
    """The neighbours of ``points`` ``[n, d]`` in Å, every point once, in parts of bounded size.

    Up to ``together`` points that lie next to each other share a list of candidates, those within the radius of one of
    them or a little farther; a part has at most ``entries`` pairs of point and atom of a species, or one group. A tree
    finds the candidates, so that time per point depends on how many atoms are near, not on how many there are.
    """
    groups = _grouped(points, together)
    filled = points[np.maximum(groups, 0)]
    real = (groups >= 0)[..., None]
    centres = np.where(real, filled, 0).sum(1) / real.sum(1)
    away = np.where(real[..., 0], np.linalg.norm(filled - centres[:, None], axis=-1), 0.0)
    radii = images.radius + away.max(1) + 1e-9
    lists = [_candidates(places, centres, radii) for places in images.places]
    most = np.maximum(1, np.max([[len(near) for near in one] for one in lists], axis=0))
    order = np.argsort(most, kind="stable")  # groups with lists of one length are adjacent
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * groups.shape[1] * most[order[stop]] <= entries:
            stop += 1
        part = order[start:stop]
        start = stop
        inside = torch.as_tensor(filled[part] - centres[part, None], dtype=dtype, device=device)
        vectors = []
        for places, one in zip(images.places, lists, strict=True):
            table = np.full((len(part), max(len(one[i]) for i in part) or 1, points.shape[1]), NOWHERE)
            for row, i in enumerate(part):
                table[row, : len(one[i])] = places[one[i]] - centres[i]
            vectors.append(torch.as_tensor(table, dtype=dtype, device=device)[:, None] - inside[:, :, None])
        yield Surroundings(groups[part], tuple(vectors))


def _candidates(
    places: NDArray[np.float64], centres: NDArray[np.float64], radii: NDArray[np.float64]
) -> list[list[int]]:
    if not len(places):
        return [[] for _ in centres]
    return list(cKDTree(places).query_ball_point(centres, radii, return_sorted=True))


def _grouped(points: NDArray[np.float64], together: int) -> NDArray[np.int64]:
    """Groups ``[g, together]`` of points next to each other, filled up with −1; of fewer points each, half as many or a
    quarter, where groups would be wider than ``WIDE``.

    Points are divided across their longest extent, again and again, at a multiple of ``together``, so that all groups
    but one are full.
    """

    def divided(members: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        if len(members) <= together:
            return [members]
        axis = int(np.ptp(points[members], axis=0).argmax())
        first = -(-len(members) // (2 * together)) * together
        members = members[np.argpartition(points[members, axis], first)]
        return [*divided(members[:first]), *divided(members[first:])]

    parts = divided(np.arange(len(points)))
    while together > 1 and np.median([np.ptp(points[part], axis=0).max() for part in parts]) > WIDE:
        together //= 2
        parts = [half for part in parts for half in divided(part)]
    groups = np.full((len(parts), together), -1, dtype=np.int64)
    for row, part in zip(groups, parts, strict=True):
        row[: len(part)] = part
    return groups
