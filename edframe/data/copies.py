"""Samples that are the same: of one structure, or with one density; so that nothing is tested on what was trained on.

Structures are the same when cells and atoms agree within SAME, up to whole lattice vectors and the order of like atoms.
Densities are the same when their cells, norms and first Fourier components agree within ALIKE: those that a CHGCAR and
a cube of one calculation hold do, and those of neighbouring frames do not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edframe.interfaces import Dataset
from edframe.sample import Sample

SAME = 1e-3
"""Å by which cells and positions of one structure may differ: files have 6 decimals or fewer digits."""

ALIKE = 1e-5
"""By how much the marks of one density may differ, as a fraction of its electrons."""


SCALED = 1e-2
"""By how much the logarithms of their electrons may differ."""


@dataclass(frozen=True)
class Identity:
    """What makes a sample the same as another.

    cell ``[3, 3]`` in Å. numbers ``[atom]``, fractions ``[atom, 3]``. mark: of its density, see ``mark_of``; or None.
    """

    cell: NDArray[np.float64]
    numbers: NDArray[np.int64]
    fractions: NDArray[np.float64]
    mark: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, sample: Sample) -> Identity:
        """That of a sample."""
        atoms = sample.structure
        numbers = np.array([site.specie.Z for site in atoms])
        return cls(np.asarray(atoms.lattice.matrix), numbers, atoms.frac_coords, np.array(mark_of(sample)))

    @classmethod
    def stored(cls, facts: Mapping[str, Any]) -> Identity:
        """That of a sample in a store, from all but its density; the mark is in its ``source``."""
        from pymatgen.core.periodic_table import get_el_sp

        structure, mark = facts["structure"], facts["source"].get(MARK)
        kinds = {symbol: get_el_sp(symbol).Z for symbol in set(structure["species"])}
        return cls(
            np.array(structure["lattice"], dtype=float),
            np.array([kinds[symbol] for symbol in structure["species"]]),
            np.array(structure["fractions"], dtype=float),
            None if mark is None else np.array(mark, dtype=float),
        )


MARK = "mark"
"""The name of a density's mark in ``source``."""


def mark_of(sample: Sample) -> list[float]:
    """Numbers that distinguish a density from others, each in units of what it may differ by.

    Its norm and the cosines and sines of one wave along each axis, relative to its electrons, over ALIKE; the logarithm
    of the electrons over SCALED, because labels are scaled; the cell (Å) over SAME.
    """
    grid, total = sample.grid, sample.density[0].astype(np.float64)
    waves = [float(np.sqrt((total**2).sum() * grid.points)) / float(np.abs(total).sum())]
    for axis, size in enumerate(grid.shape):
        profile = total.sum(axis=tuple(k for k in range(grid.dimension) if k != axis)) / total.sum()
        wave = np.exp(2j * np.pi * np.arange(size) / size) @ profile
        waves += [float(wave.real), float(wave.imag)]
    electrons = float(np.log(sample.electrons)) / SCALED
    return [*(np.array(waves) / ALIKE).tolist(), electrons, *(grid.vectors / SAME).ravel().tolist()]


def identities(dataset: Dataset) -> Sequence[Identity]:
    """Of all samples, in order; where a dataset does not have them at hand, from its samples one by one."""
    own: Sequence[Identity] | None = getattr(dataset, "identities", None)
    return own if own is not None else [Identity.of(dataset[index]) for index in range(len(dataset))]


def copies(every: Sequence[Identity]) -> list[int]:
    """A label per sample, from 0 in order; those that share one are the same."""
    sets = Sets(len(every))
    structures: defaultdict[Hashable, list[int]] = defaultdict(list)
    densities: defaultdict[Hashable, list[int]] = defaultdict(list)
    for index, one in enumerate(every):
        structures[one.cell.shape, tuple(np.sort(one.numbers).tolist())].append(index)
        if one.mark is not None and one.mark[0] * ALIKE > 1 + ALIKE:  # a uniform density distinguishes nothing
            densities[len(one.mark)].append(index)
    for members in structures.values():
        _join(members, lambda k: _fingerprint(every[k]), lambda a, b: _same_atoms(every[a], every[b]), sets)
    for members in densities.values():
        _join(members, lambda k: _mark(every[k]), lambda a, b: _same_density(every[a], every[b]), sets)
    return sets.labels()


def merged(groups: Sequence[Hashable], others: Sequence[Hashable]) -> list[int]:
    """Groups of samples that share a label in ``groups`` or in ``others``, from 0 in order."""
    sets = Sets(len(groups))
    for labels in (groups, others):
        first: dict[Hashable, int] = {}
        for index, label in enumerate(labels):
            sets.join(index, first.setdefault(label, index))
    return sets.labels()


class Sets:
    """Disjoint sets of 0 … n − 1, which are joined two by two."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def first(self, index: int) -> int:
        """The member that represents the set of ``index``: its smallest."""
        while self._above[index] != index:
            self._above[index] = index = self._above[self._above[index]]
        return index

    def join(self, one: int, other: int) -> None:
        """Make one set of two."""
        low, high = sorted((self.first(one), self.first(other)))
        self._above[high] = low

    def labels(self) -> list[int]:
        """A label per member, from 0 in order of first appearance."""
        numbers: dict[int, int] = {}
        return [numbers.setdefault(self.first(index), len(numbers)) for index in range(len(self._above))]


def _join(
    members: list[int], vector: Callable[[int], NDArray[np.float64]], same: Callable[[int, int], bool], sets: Sets
) -> None:
    """Join those whose vectors are within 1 in every component and that ``same`` confirms."""
    if len(members) < 2:
        return
    from scipy.spatial import cKDTree

    points = np.array([vector(index) for index in members])
    pairs: Iterable[tuple[int, int]] = cKDTree(points).query_pairs(1.0, p=np.inf)
    for a, b in sorted(pairs):
        one, other = members[a], members[b]
        if sets.first(one) != sets.first(other) and same(one, other):
            sets.join(one, other)


def _fingerprint(one: Identity) -> NDArray[np.float64]:
    """Numbers that change by no more than 1 where cell and atoms move by no more than SAME: the same for any order of
    like atoms and any images of them."""
    lengths = np.linalg.norm(one.cell, axis=1)
    parts = [one.cell.ravel()]
    for number in np.unique(one.numbers):
        waves = np.exp(2j * np.pi * one.fractions[one.numbers == number]).mean(axis=0) * lengths / (2 * np.pi)
        parts += [waves.real, waves.imag]
    # Fractions of a skewed cell change by more than the length of a move.
    skew = max(1.0, float(np.linalg.norm(np.linalg.inv(one.cell) * lengths, ord=2)))
    return np.concatenate(parts) / (SAME * skew)


def _mark(one: Identity) -> NDArray[np.float64]:
    assert one.mark is not None
    return one.mark


def _same_atoms(one: Identity, other: Identity) -> bool:
    if np.abs(one.cell - other.cell).max() > SAME:
        return False
    for number in np.unique(one.numbers):
        apart = one.fractions[one.numbers == number][:, None] - other.fractions[other.numbers == number]
        near = np.linalg.norm((apart - np.rint(apart)) @ one.cell, axis=2) <= 2 * SAME
        if not (near.any(axis=0).all() and near.any(axis=1).all()):
            return False
    return True


def _same_density(one: Identity, other: Identity) -> bool:
    return bool(np.abs(_mark(one) - _mark(other)).max() <= 1.0)
