"""One labelled structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.grid import Grid

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

__all__ = ["Sample"]


@dataclass(frozen=True)
class Sample:
    """A structure with its electron density.

    density: ``[s, x, y, z]`` in e/Å^d; s = 1 (total) or 2 (total and magnetisation); it integrates to ``electrons``;
    float32 in a dataset, float64 as read from a file. source: where it came from and how it was made, as plain data.
    Raises DataError when shapes disagree, when
    a value is not finite, or when the total does not integrate to ``electrons`` within 1%.
    """

    id: str
    structure: Structure
    grid: Grid
    density: NDArray[np.float32] | NDArray[np.float64]
    electrons: float
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.density.ndim != self.grid.dimension + 1 or self.density.shape[1:] != self.grid.shape:
            raise DataError(f"{self.id}: density of shape {self.density.shape} on a grid of shape {self.grid.shape}")
        if self.density.shape[0] not in (1, 2):
            raise DataError(f"{self.id}: {self.density.shape[0]} spin channels; 1 (total) or 2 (total, magnetisation)")
        total = float(self.density[0].sum(dtype=np.float64)) * self.grid.voxel_volume
        if not np.isfinite(total) or not np.isfinite(self.density).all():
            raise DataError(f"{self.id}: the density has values that are not finite")
        if abs(total - self.electrons) > 0.01 * self.electrons:
            raise DataError(
                f"{self.id}: the density integrates to {total:.4f} e, not to {self.electrons:g} e: "
                "it is all-electron on too coarse a grid, or not in e/Å³"
            )

    @property
    def positions(self) -> NDArray[np.float64]:
        """Of the atoms, ``[atom, d]`` in Å, in the axes of the grid."""
        return np.asarray(self.structure.frac_coords[:, : self.grid.dimension] @ self.grid.vectors)
