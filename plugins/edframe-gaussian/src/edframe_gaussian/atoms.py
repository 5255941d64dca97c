"""The atoms of a batch of structures as flat arrays, so that no later step loops over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.structure import Structure

from edframe.errors import DataError
from edframe.grid import Grid


@dataclass(frozen=True)
class Atoms:
    """All atoms of a batch, one structure after the other.

    fractions: ``[atom, d]`` of the grid's lattice vectors. On grids of d < 3 they are the first d fractional
    coordinates: atoms are projected along the remaining lattice vectors. sample: ``[atom]``, which structure.
    order: ``[atom]``, which place in it. species: ``[atom]``, index into the species asked for.
    """

    fractions: NDArray[np.float64]
    sample: NDArray[np.int64]
    order: NDArray[np.int64]
    species: NDArray[np.int64]

    @classmethod
    def of(cls, structures: Sequence[Structure], grid: Grid, species: Sequence[str]) -> Atoms:
        """Flatten ``structures``.

        Raises DataError for a species that is not among ``species``, for a partially occupied site, and, on
        three-dimensional grids, for a structure whose lattice is not the grid's (to 1e-3 of its lengths).
        """
        rank = {symbol: index for index, symbol in enumerate(species)}
        for structure in structures:
            _check(structure, grid, rank)
        counts = np.array([len(s) for s in structures], dtype=np.int64)
        nothing = np.zeros((0, 3))
        return cls(
            fractions=np.concatenate([nothing, *(s.frac_coords for s in structures)])[:, : grid.dimension],
            sample=np.repeat(np.arange(len(counts)), counts),
            order=np.concatenate([np.arange(0), *(np.arange(n) for n in counts)]),
            species=np.array([rank[e.symbol] for s in structures for e in s.species], dtype=np.int64),
        )


def _check(structure: Structure, grid: Grid, rank: dict[str, int]) -> None:
    formula = structure.composition.formula
    if not structure.is_ordered:
        raise DataError(f"{formula}: a site is partially occupied; a density belongs to whole atoms")
    strange = sorted({e.symbol for e in structure.species} - set(rank))
    if strange:
        raise DataError(
            f"{formula}: no channel for {', '.join(strange)}; the channels are for {', '.join(rank)}. "
            "Use a model trained on data that contains every species."
        )
    if grid.dimension == 3:
        lattice = structure.lattice.matrix
        difference = np.abs(lattice @ lattice.T - grid.vectors @ grid.vectors.T).max()  # blind to rotations
        if difference > 2e-3 * np.square(grid.vectors).sum(1).max():
            sides = " × ".join(f"{side:.3f}" for side in structure.lattice.abc)
            expected = " × ".join(f"{side:.3f}" for side in np.linalg.norm(grid.vectors, axis=1))
            raise DataError(
                f"{formula}: the lattice of the structure ({sides} Å) is not the cell of the grid ({expected} Å, "
                "or other angles); make the grid from the structure's lattice"
            )
