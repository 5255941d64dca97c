"""The grid of a prediction: as asked, or as fine as the training data, over atoms that have places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edframe.errors import DataError
from edframe.grid import Grid

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

MULTIPLE = 8
"""Points per axis are a multiple of this where no grid is given: a U-Net halves it fastest."""
NEAREST = 0.2
"""Å; two atoms that are nearer are one that was written twice."""


def grid_of(structure: Structure, shape: Sequence[int] | None, spacing: float | None, trained: float) -> Grid:
    """shape: numbers of points; None: by ``spacing``, the largest voxel edge in Å; None: ``trained``, of the training
    data. Raises DataError for what is no grid, and for atoms without a place or two in one."""
    if spacing is not None and not spacing > 0:
        raise DataError(f"a spacing of {spacing:g} Å makes no grid; give a positive one, such as {trained:g}")
    _require_places(structure)
    chosen = shape or [_points(length, spacing or trained) for length in structure.lattice.abc]
    return Grid.of(structure.lattice.matrix, chosen)


def _require_places(structure: Structure) -> None:
    """Raises DataError for atoms without a place, and for two in one."""
    if not np.isfinite(structure.cart_coords).all():
        atom = int(np.flatnonzero(~np.isfinite(structure.cart_coords).all(1))[0])
        raise DataError(f"atom {atom + 1} ({structure[atom].species_string}) of {structure.formula} has no place")
    first, second, _, apart = structure.get_neighbor_list(NEAREST)
    if len(apart):
        a, b = int(first[0]), int(second[0])
        raise DataError(
            f"atoms {a + 1} ({structure[a].species_string}) and {b + 1} ({structure[b].species_string}) of "
            f"{structure.formula} are {apart[0]:.2g} Å apart, which no two atoms are; leave one of them out"
        )


def _points(length: float, spacing: float) -> int:
    return MULTIPLE * max(1, int(np.ceil(length / (spacing * MULTIPLE) - 1e-6)))
