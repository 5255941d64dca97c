"""GPAW's ``….gpw``, read by GPAW itself: its pseudo-density with the compensation charges, which holds the electrons.

It is smooth on GPAW's grid; near nuclei it is not the density of the valence electrons. GPAW starts from no file, so
that nothing is written; ``edframe.restart.gpaw`` sets its calculation.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe.errors import DataError, imported
from edframe.grid import Grid
from edframe.io.volume import Volume


def read(path: Path) -> Volume:
    """The pseudo-density in e/Å³, with its atoms. Raises DataError where GPAW is missing or cannot read it."""
    gpaw = imported("gpaw", "gpaw", f"{path}")
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    with warnings.catch_warnings(action="ignore"):
        try:
            calculator = gpaw.GPAW(str(path), txt=None)
            atoms = calculator.get_atoms() if hasattr(calculator, "get_atoms") else calculator.atoms
            spins = int(calculator.get_number_of_spins())
            values = [np.array(calculator.get_pseudo_density(spin), float) for spin in range(spins)]
            if spins == 1:
                values = [np.array(calculator.get_pseudo_density(), float)]
        except Exception as error:  # it raises whatever it met
            raise DataError(f"{path} cannot be read by GPAW ({error}): it is damaged, or has no density") from error
    if atoms.cell.rank < 3 or values[0].ndim != 3 or not all(np.isfinite(each).all() for each in values):
        raise DataError(f"{path}: a density on a grid in a cell with volume is needed, and there is none")
    structure = Structure(Lattice(atoms.cell.array), atoms.numbers, atoms.positions, coords_are_cartesian=True)
    up, *down = values
    fields = {"total": up + down[0], "magnetisation": up - down[0]} if down else {"total": up}
    grid = Grid.of(atoms.cell.array, up.shape)
    return Volume(structure, grid, fields, comment=f"{structure.formula}, GPAW, pseudo-density", unit="e/Å³")


def write(path: Path, volume: Volume) -> None:
    """Raises DataError: GPAW starts from no density in a file."""
    raise DataError(
        f"{path}: GPAW starts from no density in a file; write {volume.structure.formula} as a cube, from which "
        "`edframe restart gpaw` starts it"
    )
