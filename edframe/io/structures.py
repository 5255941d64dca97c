"""Structures with a cell, from any file that pymatgen or ASE reads."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from edframe.errors import DataError
from edframe.io import read

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


def read_structure(path: Path) -> Structure:
    """The atoms and cell in a POSCAR, CIF, volumetric or extended xyz file.

    Raises DataError for a file that cannot be read, has several structures, partial occupancies, or no cell.
    """
    from pymatgen.core.structure import Structure

    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    suffix = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if suffix in {"cube", "cub", "xsf"}:
        return read(path).structure
    try:
        with warnings.catch_warnings(action="ignore"):  # the error says it in one sentence
            structure = _from_xyz(path) if suffix in {"xyz", "extxyz"} else Structure.from_file(path)
    except DataError:
        raise
    except Exception as error:  # the readers raise whatever they met
        raise DataError(f"{path} is not a structure that can be read ({error}); give a POSCAR or CIF file") from error
    if not structure.is_ordered:
        raise DataError(f"{path} has sites of partial occupancy: give one ordered configuration")
    return structure


def _from_xyz(path: Path) -> Structure:
    from ase import Atoms
    from ase.io import read as read_ase
    from pymatgen.core.structure import Structure

    atoms = read_ase(path, index=-1, format="extxyz")
    assert isinstance(atoms, Atoms)  # a list for a slice alone
    if atoms.cell.rank < 3:
        raise DataError(f'{path} has no cell: add Lattice="ax ay az bx by bz cx cy cz" (Å) to its second line')
    return Structure(atoms.cell.array, atoms.numbers, atoms.positions, coords_are_cartesian=True)
