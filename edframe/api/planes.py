"""A plane through atoms, in any direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.grid import Grid

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

MARGIN = 2.5
"""Å around the atoms."""


@dataclass(frozen=True)
class Plane:
    """centre ``[3]``, two orthonormal directions as rows ``[2, 3]``, and half of the side of a square, all in Å."""

    centre: NDArray[np.float64]
    directions: NDArray[np.float64]
    half: float

    def mesh(self, points: int) -> NDArray[np.float64]:
        """Points ``[n, n, 3]`` in Å; the first axis goes along the first direction."""
        steps = np.linspace(-self.half, self.half, points)
        first, second = self.directions
        return np.asarray(self.centre + steps[:, None, None] * first + steps[None, :, None] * second)


def plane_through(structure: Structure, grid: Grid, atoms: Sequence[int] | None = None) -> Plane:
    """The plane of three atoms, by number from 0, or the one in which all atoms spread most.

    Raises DataError for another number of atoms, an atom that is not there, or three on one line.
    """
    from edframe.metrics.standard import centre_of_atoms

    middle = centre_of_atoms(structure.cart_coords, grid)
    fractions = (structure.cart_coords - middle) @ np.linalg.inv(grid.vectors)
    places = (fractions - np.floor(fractions + 0.5)) @ grid.vectors
    half = float(np.abs(places).max()) + MARGIN
    if atoms is None:
        # The rows of the last factor are the directions of largest spread first; a box around one atom has any.
        directions = np.linalg.svd(np.vstack([places - places.mean(axis=0), np.zeros((3, 3))]))[2][:2]
        return Plane(middle + places.mean(axis=0), directions, half)
    if len(atoms) != 3 or not all(0 <= atom < len(structure) for atom in atoms):
        raise DataError(f"a plane needs three of the atoms 0 to {len(structure) - 1}, not {list(atoms)}")
    a, b, c = (places[atom] for atom in atoms)
    first = b - a
    second = (c - a) - first * float((c - a) @ first) / max(float(first @ first), 1e-12)
    if min(np.linalg.norm(first), np.linalg.norm(second)) < 1e-3:
        raise DataError(f"the atoms {list(atoms)} lie on one line, and no single plane contains them; choose others")
    return Plane(
        middle + (a + b + c) / 3, np.stack([first / np.linalg.norm(first), second / np.linalg.norm(second)]), half
    )
