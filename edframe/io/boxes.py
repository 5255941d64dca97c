"""A box around a molecule that has no cell, and how much of a cell is empty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from edframe.errors import DataError

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

CROWDED = 1.5
"""Å. Less space than this between atoms and the next image is that of a crystal, not of a box."""
PAD = 4.0
"""Å of vacuum around a molecule without a cell, for a model that was trained on crystals."""


def vacuum_for(asked: float | None, trained: float | None) -> float:
    """Å around a molecule without a cell: as asked, else as in the training data, else PAD."""
    return next((vacuum for vacuum in (asked, trained) if vacuum is not None), PAD)


def boxed(symbols: Sequence[str], positions: ArrayLike, vacuum: float, charge: float | None = None) -> Structure:
    """A rectangular box with ``vacuum`` Å between the outermost atoms and each side.

    positions: ``[atom, 3]`` in Å. Raises DataError for an atom without a place, and for a vacuum that is too
    narrow for a molecule.
    """
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure

    if not CROWDED <= vacuum < np.inf:
        raise DataError(f"a vacuum of {vacuum:g} Å around a molecule is too narrow; give {CROWDED} or more, such as 4")
    places = np.asarray(positions, dtype=float).reshape(-1, 3)
    if (lost := np.flatnonzero(~np.isfinite(places).all(axis=1))).size:
        raise DataError(f"atom {lost[0] + 1} ({symbols[lost[0]]}) has no place: {places[lost[0]]}")
    low, high = places.min(axis=0), places.max(axis=0)
    lattice = Lattice(np.diag(high - low + 2 * vacuum))
    return Structure(lattice, list(symbols), places - low + vacuum, coords_are_cartesian=True, charge=charge or None)


def vacuum_around(structure: Structure) -> float | None:
    """Å of empty space around the atoms on each side, along the axis with the least; None in a crystal or a slab."""
    heights = 1 / np.linalg.norm(np.linalg.inv(structure.lattice.matrix), axis=0)  # between lattice planes, Å
    gaps = []
    for fractions, height in zip((structure.frac_coords % 1.0).T, heights, strict=True):
        x = np.sort(fractions)
        gaps.append(float(np.diff(x, append=x[0] + 1).max() * height) / 2)
    least = min(gaps)
    return least if least >= CROWDED else None
