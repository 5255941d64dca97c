"""Structures with a cell, from any file that edframe, pymatgen or ASE reads: one, or all frames of a trajectory.

| file                                     | read by                                                        |
|------------------------------------------|----------------------------------------------------------------|
| CHGCAR, cube, XSF, … as in ``edframe.io`` | edframe                                                        |
| POSCAR, CONTCAR, XDATCAR                 | edframe: species that the file does not name are not invented  |
| xyz, extended xyz                        | ASE, frame by frame; ``charge=`` counts                        |
| CIF                                      | pymatgen, all structures in it                                 |
| traj, and others                         | ASE, all frames; else pymatgen                                 |
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edframe.errors import DataError
from edframe.io import format_of, read
from edframe.io.boxes import boxed
from edframe.io.files import open_bytes, plain_name, unpacking_errors

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


@dataclass(frozen=True)
class Frames:
    """structures: at least one; their charges are set where the file gives them. notes: what was left out, in words."""

    structures: tuple[Structure, ...]
    notes: tuple[str, ...] = ()


def charge_of(structure: Structure) -> float:
    """The charge that was set for a structure, in e; 0 where none was. Oxidation states do not count."""
    return float(structure._charge or 0.0)  # the property sums oxidation states, and warns of every ion


def has_occupancies(path: Path) -> bool:
    """Whether a file of VASP has PAW occupancies, which a predicted density has not."""
    try:
        if format_of(path) != "chgcar":
            return False
    except DataError:
        return False
    with open_bytes(path) as file:
        return any(line.startswith(b"augmentation occupancies") for line in file)


def read_structures(path: Path, vacuum: float | None = None) -> Frames:
    """All structures in a file, in order.

    vacuum: Å around a molecule without a cell, see ``edframe.io.boxes``; None: a cell is required. Raises DataError for
    a file that cannot be read, and for a structure with partial occupancies, or without a cell where one is required.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    name = plain_name(path.name).lower()
    try:
        form = format_of(path)
    except DataError:
        form = ""
    try:
        with warnings.catch_warnings(action="ignore"):  # the error says it in one sentence
            if form == "xsf":
                frames = _from_xsf(path)
            elif "xdatcar" in name:
                frames = Frames(_from_xdatcar(path))
            elif form == "chgcar" or "poscar" in name or "contcar" in name:
                frames = _from_vasp(path)
            elif form:
                frames = _from_volume(path)
            elif name.endswith((".xyz", ".extxyz")):
                frames = _from_xyz(path, vacuum)
            elif name.endswith((".cif", ".mcif")):
                frames = Frames(_from_cif(path))
            else:
                frames = Frames(_from_others(path, vacuum))
    except DataError:
        raise
    except Exception as error:  # the readers raise whatever they met
        raise DataError(f"{path} is not a structure that can be read ({error}); give a POSCAR or CIF file") from error
    if not all(structure.is_ordered for structure in frames.structures):
        raise DataError(f"{path} has sites of partial occupancy: give one ordered configuration")
    return frames


def _from_volume(path: Path) -> Frames:
    volume = read(path, quantity="field")
    return Frames((volume.structure,), volume.notes)


def _from_vasp(path: Path) -> Frames:
    """The head alone, but for a CHG, which may have several steps."""
    from edframe.io.poscar import read_head
    from edframe.io.reading import Text

    if re.search(r"(^|[^a-z])chg([^a-z]|$)", path.name.lower()):
        return _from_volume(path)
    with Text(path) as text:
        return Frames((read_head(text)[1],))


def _from_xsf(path: Path) -> Frames:
    from pymatgen.core.structure import Structure

    from edframe.io.reading import Text
    from edframe.io.xsf_parts import parts

    with Text(path) as text:
        content = parts(text)
    if content.grids:
        return _from_volume(path)
    if not content.cells or content.periodic == 0:
        raise DataError(f"{path} has no cell: a density needs one; write it as CRYSTAL, with PRIMVEC")
    if len(content.cells) not in (1, len(content.steps)):
        raise DataError(
            f"{path} has {len(content.cells)} cells for {len(content.steps)} steps; each step needs one, or all"
        )
    cells = content.cells * len(content.steps) if len(content.cells) == 1 else content.cells
    notes = (f"ghost atoms, left out: {content.ghosts}",) if content.ghosts else ()
    return Frames(
        tuple(
            Structure(cell, species, positions, coords_are_cartesian=True)
            for cell, (species, positions) in zip(cells, content.steps, strict=True)
        ),
        notes,
    )


def _from_xdatcar(path: Path) -> tuple[Structure, ...]:
    """The configurations, with the cell before each, or before all."""
    from pymatgen.core.structure import Structure

    from edframe.io.heads import floats, next_words
    from edframe.io.poscar import read_head
    from edframe.io.reading import Text

    with Text(path) as text:
        frames = [read_head(text)[1]]
        while line := text.line():
            if not line.strip():
                continue
            if not line.lower().lstrip().startswith("direct"):
                text.back(line)
                frames.append(read_head(text)[1])
                continue
            last = frames[-1]
            rows = [next_words(text, f"atom {k + 1} of {len(last)}") for k in range(len(last))]
            if any(len(row) < 3 for row in rows):
                raise text.error(f"positions of {len(last)} atoms, three numbers each, should be here")
            places = [floats(text, row[:3], "a coordinate") for row in rows]
            frames.append(Structure(last.lattice, last.species, places))
    return tuple(frames)


def _from_xyz(path: Path, vacuum: float | None) -> Frames:
    from edframe.io.xyz import read_frames

    frames, ghosts = read_frames(path, vacuum)
    return Frames(tuple(frames), (f"ghost atoms, left out: {ghosts}",) if ghosts else ())


def _from_cif(path: Path) -> tuple[Structure, ...]:
    from pymatgen.core.structure import Structure
    from pymatgen.io.cif import CifParser

    try:
        with open_bytes(path) as file:
            text = file.read().decode("utf-8", "replace")
    except unpacking_errors() as error:
        raise DataError(f"{path} cannot be read to its end ({error}): it is damaged; copy it again") from error
    structures = CifParser.from_str(text).parse_structures(primitive=False, on_error="raise")
    if not structures:
        raise DataError(f"{path} holds no structure")
    return tuple(
        Structure(one.lattice, [site.specie.symbol for site in one], one.frac_coords) if one.is_ordered else one
        for one in structures
    )


def _from_others(path: Path, vacuum: float | None) -> tuple[Structure, ...]:
    """All frames by ASE, which knows most formats; what it does not know, one by pymatgen."""
    from ase.io import read as read_ase
    from ase.io.formats import UnknownFileTypeError
    from pymatgen.core.structure import Structure

    from edframe.io.xyz import charge_in

    if path.suffix.lower() not in {".json", ".yaml", ".yml", ".res", ".cssr"}:
        try:
            frames: Any = read_ase(path, index=":")
        except (UnknownFileTypeError, NotImplementedError):
            frames = []
        for atoms in frames:
            if atoms.cell.rank < 3 and (atoms.cell.rank > 0 or vacuum is None):
                raise DataError(f"{path} has no cell in all three directions, which a density needs; give it one")
            if (atoms.numbers < 1).any():
                raise DataError(f"{path} has an atom without an element; take it out, or correct it")
        if frames:
            return tuple(_of_ase(atoms, charge_in(atoms.info, str(path)), vacuum) for atoms in frames)
    return (Structure.from_file(path),)


def _of_ase(atoms: Any, charge: float, vacuum: float | None) -> Structure:
    from pymatgen.core.structure import Structure

    if atoms.cell.rank == 0 and vacuum is not None:
        return boxed(atoms.get_chemical_symbols(), atoms.positions, vacuum, charge)
    return Structure(atoms.cell.array, atoms.numbers, atoms.positions, coords_are_cartesian=True, charge=charge or None)
