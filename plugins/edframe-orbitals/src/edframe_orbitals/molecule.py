"""A molecule in a cell: its atoms in one piece, and the points near it and its periodic images."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from edframe_gaussian.atoms import Atoms
from numpy.typing import NDArray
from pymatgen.core.structure import Structure
from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid

if TYPE_CHECKING:
    from jaxtyping import Float, Int

REACH = 4.0
"""Å from an atom within which a molecule has a density."""
APART = 2.2
"""Å; a molecule as near as this to its image is a part of something larger."""


@dataclass(frozen=True)
class Molecule:
    """kinds ``[a]``, indices of species; positions ``[a, 3]`` in Å, in one piece; images: lattice vectors, ``[t, 3]``
    in Å, from the molecule to itself and its images."""

    kinds: NDArray[np.int64]
    positions: NDArray[np.float64]
    images: NDArray[np.float64]

    @classmethod
    def of(cls, structure: Structure, grid: Grid, species: Sequence[str]) -> Molecule:
        """Raises DataError as ``Atoms.of`` does, and for what is bonded to its own images, such as a crystal."""
        atoms = Atoms.of([structure], grid, species)
        periodic = np.array(grid.periodic)
        ranges = [range(-2, 3) if p else range(1) for p in periodic]
        steps = np.array(list(itertools.product(*ranges)), dtype=float)
        positions = _in_one_piece(np.where(periodic, atoms.fractions % 1.0, atoms.fractions), periodic, grid)
        images = steps @ grid.vectors
        nearest = _nearest(positions, images[np.abs(steps).sum(1) > 0])
        if nearest < APART:
            raise DataError(
                f"{structure.composition.formula}: an atom is {nearest:.2f} Å from a periodic image of an atom, so "
                "that this is a crystal, a chain or a molecule in too small a cell; the featurizer orbitals describes "
                "molecules alone, and local-network what is periodic"
            )
        return cls(atoms.species, positions, images)

    def near(self, points: Float[Tensor, "p 3"]) -> tuple[Int[Tensor, "n"], Float[Tensor, "n 3"]]:
        """Each of ``points`` (Å) as often as the molecule or an image of it is within ``REACH``: which, and where it
        is as seen from the molecule."""
        atoms = torch.as_tensor(self.positions, dtype=points.dtype, device=points.device)
        low, high = atoms.amin(0) - REACH, atoms.amax(0) + REACH
        which, seen = [], []
        for image in torch.as_tensor(self.images, dtype=points.dtype, device=points.device):
            moved = points - image
            inside = ((moved > low) & (moved < high)).all(1).nonzero()[:, 0]
            if len(inside):
                inside = inside[torch.cdist(moved[inside], atoms).amin(1) < REACH]
                which.append(inside)
                seen.append(moved[inside])
        if not which:
            return torch.zeros(0, dtype=torch.long, device=points.device), points[:0]
        return torch.cat(which), torch.cat(seen)


def _nearest(positions: NDArray[np.float64], images: NDArray[np.float64]) -> float:
    """The shortest distance between an atom and an image of one, Å."""
    if not len(images):
        return float("inf")
    apart = positions[:, None] - positions[None]
    return float(min(np.linalg.norm(apart + image, axis=-1).min() for image in images))


def _in_one_piece(fractions: NDArray[np.float64], periodic: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    """Positions in Å, each atom at the image that is nearest to those before it, the nearest atoms first."""
    apart = fractions[:, None] - fractions[None]
    apart = apart - np.where(periodic, np.rint(apart), 0)
    choices = np.array(list(itertools.product(*[(-1, 0, 1) if p else (0,) for p in periodic])), dtype=float)
    every = (apart[:, :, None] + choices) @ grid.vectors
    lengths = np.linalg.norm(every, axis=-1)
    way = np.take_along_axis(every, lengths.argmin(-1)[:, :, None, None], 2)[:, :, 0]  # from the second to the first
    length = lengths.min(-1)
    positions = fractions @ grid.vectors
    placed = np.zeros(len(fractions), dtype=bool)
    placed[:1] = True
    while not placed.all():
        between = np.where(placed[None] & ~placed[:, None], length, np.inf)
        new, old = np.unravel_index(between.argmin(), between.shape)
        positions[new] = positions[old] + way[new, old]
        placed[new] = True
    return positions
