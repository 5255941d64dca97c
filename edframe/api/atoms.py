"""Atoms in the forms that people have them: pymatgen, ASE, or a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from edframe.errors import DataError
from edframe.io.boxes import boxed

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core.structure import Molecule, Structure

    AtomsLike: TypeAlias = Structure | Molecule | Atoms | str | Path


def structure_of(atoms: AtomsLike, vacuum: float) -> Structure:
    """A periodic structure; a molecule without a cell is put into a box, with ``vacuum`` Å on each side.

    Raises DataError for what is no structure, has no atoms, or is periodic along some axes only.
    """
    from ase import Atoms
    from pymatgen.core.structure import IMolecule, IStructure
    from pymatgen.io.ase import AseAtomsAdaptor

    if isinstance(atoms, str | Path):
        return _of_file(Path(atoms).expanduser(), vacuum)
    if isinstance(atoms, Atoms):
        ase: Any = atoms  # which has no types
        if not len(atoms):
            raise DataError("there are no atoms to predict a density of")
        if atoms.cell.rank == 0:
            return boxed(ase.get_chemical_symbols(), ase.positions, vacuum, float(sum(ase.get_initial_charges())))
        if atoms.cell.rank < 3:
            raise DataError(
                f"the cell of {atoms.symbols} has {atoms.cell.rank} vectors; give three, or none for a molecule"
            )
        structure: Structure = AseAtomsAdaptor.get_structure(atoms)
        return structure
    if isinstance(atoms, IMolecule):
        return boxed([site.specie.symbol for site in atoms], atoms.cart_coords, vacuum, atoms.charge)
    if isinstance(atoms, IStructure):
        return atoms
    raise DataError(
        f"{type(atoms).__name__} is not a structure; give a pymatgen Structure or Molecule, ase.Atoms or a path"
    )


def _of_file(path: Path, vacuum: float) -> Structure:
    from edframe.io.structures import read_structures

    frames = read_structures(path, vacuum).structures
    if len(frames) > 1:
        raise DataError(f"{path} has {len(frames)} frames; read them by ase.io.read(…, ':') and give them as a list")
    return frames[0]
