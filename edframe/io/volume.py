"""What a volumetric file holds: atoms, a grid, and one or more fields on it, in edframe's units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.grid import Grid

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

Quantity = Literal["density", "potential", "field"]
"""What the fields are, and their unit: e/Å³, eV, or unchanged from the file."""


@dataclass(frozen=True)
class Volume:
    """Fields on the grid of one cell, with its atoms.

    structure: atoms relative to the first grid point. fields: name → ``[x, y, z]`` float64, in the order of the file; a
    density is ``total``, then ``magnetisation`` or ``magnetisation_x``, ``_y``, ``_z``. quantity: what they are.
    comment: the file's own title. origin: of the first grid point in the file's frame, Å. augmentation: text after the
    field of that name, as it is in a CHGCAR (PAW occupancies). unit: of the values in the file, see
    ``edframe.io.units``; None: unknown, or unchanged. valence: electrons of the neutral atoms, where the file's head
    has their charges. notes: sentences on what was decided or left out in reading. Raises DataError when a shape
    disagrees.
    """

    structure: Structure
    grid: Grid
    fields: Mapping[str, NDArray[np.float64]]
    quantity: Quantity = "density"
    comment: str = ""
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    augmentation: Mapping[str, str] = field(default_factory=dict)
    unit: str | None = None
    valence: float | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.fields:
            raise DataError("a volume needs at least one field")
        for name, values in self.fields.items():
            if values.shape != self.grid.shape:
                raise DataError(f"the field '{name}' has shape {values.shape} on a grid of shape {self.grid.shape}")
