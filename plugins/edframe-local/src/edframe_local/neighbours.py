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
ROUNDS = 8
"""Groups that are divided at once: a power of two."""
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

    points: ``[g, p]``, which points, −1 where a group has fewer. planes: ``[d, k, n]`` in Å, from each of the n = g p
    points to the atoms, of one species after the other, ``counts`` of each; atoms that fill up lists are farther than
    any cut-off.
    """

    points: NDArray[np.int64]
    planes: Float[Tensor, "d k n"]
    counts: tuple[int, ...]

    @property
    def vectors(self) -> tuple[Float[Tensor, "g p _ d"], ...]:
        """The same of each species."""
        every = self.planes.reshape(*self.planes.shape[:2], *self.points.shape).permute(2, 3, 1, 0)
        return torch.split(every, list(self.counts), 2)


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

    Up to ``together`` points that lie next to each other share a list of atoms, those within the radius of one of
    them or a little farther; a part has at most ``entries`` pairs of point and atom, or one group. A tree finds the
    atoms, so that time per point depends on how many are near, not on how many there are.
    """
    groups = _grouped(points, together)
    places, species = np.concatenate(images.places), len(images.places)
    kinds = np.repeat(np.arange(species), [len(each) for each in images.places])
    tree = cKDTree(places)
    filled = points[np.maximum(groups, 0)]
    real = (groups >= 0)[..., None]
    centres = np.where(real, filled, 0).sum(1) / real.sum(1)
    away = np.where(real[..., 0], np.linalg.norm(filled - centres[:, None], axis=-1), 0.0)
    group, atom = _near(centres, images.radius + away.max(1) + 1e-9, tree)
    slot = group * species + kinds[atom]
    order = np.argsort(slot, kind="stable")
    group, atom, slot = group[order], atom[order], slot[order]
    counts = np.bincount(slot, minlength=len(groups) * species)
    rank = np.arange(len(slot)) - (np.cumsum(counts) - counts)[slot]
    counts = counts.reshape(-1, species)
    begins = np.searchsorted(group, np.arange(len(groups) + 1))
    for part in _parts(counts, entries // groups.shape[1]):
        most = counts[part].max(0)
        most[0] += not most.any()  # one atom that fills up, where there are none
        mine = np.concatenate([np.arange(begins[i], begins[i + 1]) for i in part])
        row = np.repeat(np.arange(len(part)), counts[part].sum(1))
        table = np.full((points.shape[1], most.sum(), len(part), 1), NOWHERE)
        column = (np.cumsum(most) - most)[kinds[atom[mine]]] + rank[mine]
        table[:, column, row, 0] = (places[atom[mine]] - centres[group[mine]]).T
        inside = np.moveaxis(filled[part] - centres[part, None], -1, 0)[:, None]
        planes, inside = (torch.as_tensor(each, dtype=dtype, device=device) for each in (table, inside))
        yield Surroundings(groups[part], (planes - inside).flatten(2), tuple(most.tolist()))


def _near(
    centres: NDArray[np.float64], radii: NDArray[np.float64], tree: cKDTree
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of a centre and an atom within its radius."""
    pairs = cKDTree(centres).sparse_distance_matrix(tree, float(radii.max()), output_type="ndarray")
    pairs = pairs[pairs["v"] <= radii[pairs["i"]]]
    return pairs["i"], pairs["j"]


def _parts(counts: NDArray[np.int64], entries: int) -> Iterator[NDArray[np.int64]]:
    """Groups in parts of at most ``entries`` atoms, or one group; those with lists of one length are adjacent.

    counts: ``[g, species]``, how many atoms of each are near each group.
    """
    order = np.argsort(counts.sum(1), kind="stable")
    start, most = 0, counts[order[0]]
    for stop in range(1, len(order)):
        wider = np.maximum(most, counts[order[stop]])
        if (stop + 1 - start) * wider.sum() > entries:
            yield order[start:stop]
            start, wider = stop, counts[order[stop]]
        most = wider
    yield order[start:]


def _grouped(points: NDArray[np.float64], together: int) -> NDArray[np.int64]:
    """Groups ``[g, together]`` of points next to each other, filled up with −1; of fewer points each, half as many or a
    quarter, where groups would be wider than ``WIDE``.

    Points are divided across their longest extent, again and again, at a multiple of ``together``, so that all groups
    but one are full; the last divisions are made for all at once.
    """
    parts = _divided(points, np.arange(len(points)), ROUNDS * together)
    last = parts.pop()
    groups = np.array(parts, dtype=np.int64).reshape(-1, ROUNDS * together)
    while groups.shape[1] > together:
        groups = _halves(points, groups)
    ends = _divided(points, last, together)
    while together > 1 and np.median(np.concatenate([_widths(points, groups)] + [
        _widths(points, each[None]) for each in ends
    ])) > WIDE:  # fmt: skip
        together //= 2
        groups = _halves(points, groups)
        ends = [half for each in ends for half in _divided(points, each, together)]
    filled = [np.pad(each, (0, together - len(each)), constant_values=-1) for each in ends]
    return np.concatenate([groups, np.stack(filled)])


def _divided(points: NDArray[np.float64], members: NDArray[np.int64], together: int) -> list[NDArray[np.int64]]:
    """Parts of ``members`` of ``together`` each, the last of them of as many at most."""
    if len(members) <= together:
        return [members]
    places = points[members]
    axis = int((places.max(0) - places.min(0)).argmax())
    first = -(-len(members) // (2 * together)) * together
    members = members[np.argpartition(places[:, axis], first)]
    return [*_divided(points, members[:first], together), *_divided(points, members[first:], together)]


def _halves(points: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each of the groups ``[g, p]`` divided into two, ``[2 g, p / 2]``, across its longest extent."""
    places = points[groups]
    axis = (places.max(1) - places.min(1)).argmax(1) if len(groups) else np.zeros(0, dtype=np.int64)
    along = np.take_along_axis(places, axis[:, None, None], 2)[..., 0]
    order = np.argpartition(along, groups.shape[1] // 2, axis=1)
    return np.take_along_axis(groups, order, 1).reshape(-1, groups.shape[1] // 2)


def _widths(points: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    places = points[groups]
    return np.asarray((places.max(1) - places.min(1)).max(1)) if len(groups) else np.zeros(0)
