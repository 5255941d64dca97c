"""What surrounded the atoms that a model was trained on, and whether a structure has atoms in other surroundings.

An environment is described by the moments of the directions to its neighbours, per radial function and species: an
atom-centred descriptor in the spirit of Bartók, Kondor and Csányi, Phys. Rev. B 87, 184115 (2013), of which only norms
are used, because only distances between environments are needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.runs.tensors import numbers, positive

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from edframe.interfaces import Dataset
    from edframe.runs.directory import Run

CUTOFF = 5.0
"""Å; neighbours beyond are not seen, those before it count less and less."""
WIDTH = 0.5
"""Å; the standard deviation of the radial Gaussians, and their distance from one another."""
RANK = 3
"""Highest rank of the moments: 1 sees an open side, 2 an axis, 3 a threefold one."""
STRUCTURES = 1000
"""Training structures that are described at most; of more, these are drawn evenly."""
ATOMS = 4096
"""Atoms that are described at once."""
KEPT = 1000
"""Environments of a species that are saved at most: those farthest from one another."""
QUANTILE = 0.999
"""Of the training set's own distances, which is its unit of length."""
FILE = "environments.safetensors"


@dataclass(frozen=True)
class Novelty:
    """The atom of a structure that is farthest from the training set.

    atom: its index in the structure, from 0. species: its symbol. distance: from the nearest training environment of
    that species, in units of the distance that 99.9% of the training environments keep from those of other groups.
    """

    atom: int
    species: str
    distance: float

    @property
    def far(self) -> bool:
        """Whether the structure lies outside of the training set."""
        return self.distance > 1

    def __str__(self) -> str:
        return (
            f"the surroundings of atom {self.atom + 1} ({self.species}) are unlike any in the training set, "
            f"{self.distance:.1f} times as far from the nearest as those keep from one another; the prediction is an "
            "extrapolation"
        )


@dataclass(frozen=True)
class TrainingSet:
    """Kept environments ``[n, feature]`` of each species, and the unit of their distances.

    neighbours: the species that the features distinguish, in order.
    """

    neighbours: tuple[str, ...]
    environments: dict[str, NDArray[np.float32]]
    units: dict[str, float]

    @classmethod
    def of(cls, structures: Sequence[Structure], groups: Sequence[int], neighbours: Sequence[str]) -> TrainingSet:
        """Described by ``structures`` with a group label each, see ``Dataset.groups``.

        A species has a unit, and so a judgement, where it is in at least two groups: mirror images and neighbours in
        time say nothing about the distance of what is new.
        """
        from scipy.spatial.distance import cdist

        features = np.concatenate([describe(structure, neighbours) for structure in structures])
        species = np.array([site.specie.symbol for structure in structures for site in structure])
        labels = np.repeat(groups, [len(structure) for structure in structures])
        environments, units = {}, {}
        for symbol in sorted(set(species.tolist())):
            mine, group = features[species == symbol], labels[species == symbol]
            if len(set(group)) < 2:
                continue
            chosen = _farthest_points(mine, KEPT)
            nearest = np.concatenate([
                np.where(group[rows, None] != group[chosen], cdist(mine[rows], mine[chosen]), np.inf).min(1)
                for rows in np.array_split(np.arange(len(mine)), len(mine) // 1000 + 1)
            ])  # fmt: skip
            # Copies of one structure have no distance: what differs from them by rounding alone is not new.
            rounding = 1e-3 * float(np.linalg.norm(mine, axis=1).max())
            environments[symbol] = mine[chosen].astype(np.float32)
            units[symbol] = max(float(np.quantile(nearest[np.isfinite(nearest)], QUANTILE)), rounding)
        return cls(tuple(neighbours), environments, units)

    def judge(self, structure: Structure) -> Novelty | None:
        """The atom that is farthest from the training set; None where no atom's species has a unit.

        Raises DataError for a species that was not among the neighbours.
        """
        import torch

        species = np.array([site.specie.symbol for site in structure])
        distances = []
        for start, features in _described(structure, self.neighbours):
            for symbol, unit in self.units.items():
                atoms = np.flatnonzero(species[start : start + len(features)] == symbol)
                if len(atoms):
                    known = torch.from_numpy(self.environments[symbol].astype(np.float64))
                    mine = torch.from_numpy(features[atoms])
                    exact = torch.cdist(mine, known, compute_mode="donot_use_mm_for_euclid_dist")  # SciPy loads slowly
                    nearest = exact.min(1).values.numpy() / unit
                    distances.append((float(nearest.max()), start + int(atoms[nearest.argmax()]), symbol))
        if not distances:
            return None
        distance, atom, symbol = max(distances)
        return Novelty(atom, symbol, distance)

    def save(self, run: Run) -> None:
        """Write ``environments.safetensors`` into the run."""
        import torch

        tensors = {symbol: torch.from_numpy(kept) for symbol, kept in self.environments.items()}
        facts = {"neighbours": json.dumps(self.neighbours), "units": json.dumps(self.units)}
        run.save_tensors(FILE, tensors, facts)

    @classmethod
    def load(cls, run: Run) -> TrainingSet | None:
        """What ``save`` wrote; None where it is absent. Raises RunError when it is damaged."""
        if not (run.path / FILE).exists():
            return None
        tensors, header = run.load_tensors(FILE)
        with run.reading(FILE):
            environments = {symbol: kept.numpy() for symbol, kept in tensors.items()}
            units = {symbol: positive(unit, symbol) for symbol, unit in numbers(header["units"]).items()}
            if units.keys() != environments.keys():
                raise ValueError("units and environments are of other species")
            return cls(tuple(numbers(header["neighbours"])), environments, units)


def describe_training_set(dataset: Dataset, train: Sequence[int], run: Run) -> None:
    """Write the description of the structures at ``train`` into ``run``; none of a dataset that is not in 3D."""
    if dataset.contents.dimension != 3 or (run.path / FILE).exists():
        return
    chosen = [train[i] for i in np.unique(np.linspace(0, len(train) - 1, min(len(train), STRUCTURES)).astype(int))]
    groups = dataset.groups
    TrainingSet.of(
        [dataset[i].structure for i in chosen], [groups[i] for i in chosen], dataset.contents.species
    ).save(run)  # fmt: skip


def describe(structure: Structure, neighbours: Sequence[str]) -> NDArray[np.float64]:
    """Features ``[atom, feature]`` of the surroundings of each atom, without a unit.

    For a neighbour at distance r in direction u, w_n(r) are Gaussians every WIDTH, and one constant, all times a
    cosine that falls to zero at CUTOFF. The moments M_nk = Σ w_n(r) u⊗…⊗u (k factors) over the neighbours of one
    species, and over all, turn with the structure; their norms do not, nor do they depend on the order of the atoms,
    and they are continuous, also where a neighbour enters. Raises DataError for a species not among ``neighbours``.
    """
    return np.concatenate([features for _, features in _described(structure, neighbours)])


def _described(structure: Structure, neighbours: Sequence[str]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """``describe`` of a few atoms at a time, so that memory holds their neighbours alone: the first, and features."""
    symbols = [site.specie.symbol for site in structure]
    unknown = [f"atom {i + 1} ({symbol})" for i, symbol in enumerate(symbols) if symbol not in neighbours]
    if unknown:
        raise DataError(f"{unknown[0]} is of a species that was not trained on; known: {', '.join(neighbours)}")
    kinds = np.array([list(neighbours).index(symbol) for symbol in symbols])
    for start in range(0, len(structure), ATOMS):
        atoms = range(start, min(start + ATOMS, len(structure)))
        yield start, _features(structure, kinds, len(neighbours), atoms)


def _features(structure: Structure, kinds: NDArray[np.int64], count: int, atoms: range) -> NDArray[np.float64]:
    """Of ``atoms``, of ``count`` species. kinds: the species of all atoms."""
    centre, other, r, towards = _neighbours(structure, atoms)
    kind = kinds[other]
    radial = np.exp(-((r[:, None] - np.arange(WIDTH, CUTOFF, WIDTH)) ** 2) / (2 * WIDTH**2))
    fall = 0.5 * (1 + np.cos(np.pi * np.minimum(r / CUTOFF, 1)))
    weights = np.column_stack([radial, np.ones_like(r)]) * fall[:, None]
    shape = (len(atoms), count, -1)
    place = centre * count + kind
    order = np.argsort(place, kind="stable")
    present, first = np.unique(place[order], return_index=True)
    features = []
    tensor = np.ones((len(r), 1))
    for rank in range(RANK + 1):
        if rank:
            tensor = (tensor[:, :, None] * towards[:, None, :]).reshape(len(r), 3**rank)
        for weight in weights.T:
            sums = np.zeros((len(atoms) * count, 3**rank))
            if len(present):  # an atom alone has no neighbours
                sums[present] = np.add.reduceat((weight[:, None] * tensor)[order], first)
            moments = sums.reshape(shape)
            features += [np.linalg.norm(moments, axis=2), np.linalg.norm(moments.sum(1, keepdims=True), axis=2)]
    return np.concatenate(features, axis=1)


Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]


def _neighbours(structure: Structure, atoms: range) -> Pairs:
    """Of each pair within CUTOFF, images included, whose centre is one of ``atoms``: the place of this among them, the
    neighbour, distance ``[pair]``, direction ``[pair, 3]``."""
    centre, other, image, distance = structure.get_neighbor_list(
        CUTOFF, [structure[i] for i in atoms], exclude_self=False
    )
    apart = distance > 1e-8  # the atom itself is not its neighbour; pymatgen knows it in the whole list alone
    centre, other, image = centre[apart], other[apart], image[apart]
    fractions = structure.frac_coords
    away = (fractions[other] + image - fractions[atoms.start + centre]) @ structure.lattice.matrix
    r = np.linalg.norm(away, axis=1)
    return centre, other, r, away / np.maximum(r, 1e-9)[:, None]


def _farthest_points(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Indices of ``count`` points, each the farthest from those before it (Gonzalez 1985); of all, if no more."""
    if len(points) <= count:
        return np.arange(len(points))
    chosen = np.zeros(count, dtype=np.int64)
    distance = np.full(len(points), np.inf)
    for number in range(1, count):
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[number - 1]], axis=1))
        chosen[number] = distance.argmax()
    return chosen
