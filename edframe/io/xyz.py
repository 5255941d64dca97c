"""Frames of xyz and extended xyz files, in any number and with blank lines between them, read by ASE.

ASE alone takes a blank line for the end of the file, and knows neither deuterium nor ghost atoms under their names. A
plain frame of a molecule, of elements and positions alone, is read here, because loading ASE takes a third of a second.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure

from edframe.errors import DataError
from edframe.io.boxes import boxed
from edframe.io.files import open_bytes, unpacking_errors
from edframe.io.heads import is_ghost

CHARGES = ("charge", "total_charge", "tot_charge", "net_charge")
"""Keys of a comment line that say the charge, in any case."""


def read_frames(path: Path, vacuum: float | None = None) -> tuple[list[Structure], int]:
    """The structures of all frames, with their charges, and how many ghost atoms were left out.

    vacuum: Å around a molecule without a cell, see ``edframe.io.boxes``; None: a cell is required. Raises DataError,
    with file and line, for a frame that is malformed or has no cell, no atoms or no number as charge.
    """
    structures, ghosts = [], 0
    for line, atoms, comment, rows in _frames(path):
        real = [row for row in rows if not is_ghost(row.split()[0])] if _species_first(comment) else rows
        ghosts += atoms - len(real)
        if not real:
            raise DataError(f"{path}:{line}: all atoms of this frame are ghosts, without nuclei; take it out")
        structures.append(_structure(path, line, comment, [_hydrogen(row) for row in real], vacuum))
    if not structures:
        raise DataError(f"{path} holds no structure; it must be an xyz or extended xyz file")
    return structures, ghosts


def charge_in(facts: Mapping[str, Any], place: str) -> float:
    """The charge in e that a frame's comment line or an ASE info gives; 0 where none does.

    Raises DataError where it is not a number.
    """
    said = {str(key).lower(): value for key, value in facts.items()}
    key = next((key for key in CHARGES if key in said), None)
    if key is None:
        return 0.0
    try:
        charge = float(said[key])
    except (TypeError, ValueError):
        charge = np.nan
    if not np.isfinite(charge):
        raise DataError(f"{place}: {key}={said[key]} is not a number; correct it")
    return charge


def _frames(path: Path) -> Iterator[tuple[int, int, str, list[str]]]:
    """Number of the first line, number of atoms, comment and rows of each frame."""
    try:
        with open_bytes(path) as file:
            lines = file.read().decode("utf-8", "replace").splitlines()
    except unpacking_errors() as error:
        raise DataError(f"{path} cannot be read to its end ({error}): it is damaged; copy it again") from error
    at = 0
    while at < len(lines):
        words = lines[at].split()
        if not words:
            at += 1
            continue
        if len(words) != 1 or not re.fullmatch(r"\d{1,9}", words[0]) or int(words[0]) < 1:
            raise DataError(
                f"{path}:{at + 1}: '{lines[at].strip()[:40]}' appears where a frame must begin, with its number of "
                "atoms"
            )
        atoms = int(words[0])
        rows = lines[at + 2 : at + 2 + atoms]
        if len(rows) < atoms or not all(row.split() for row in rows):
            raise DataError(
                f"{path}:{at + 1}: the file has fewer rows than the {atoms} atoms of this frame; complete it"
            )
        yield at + 1, atoms, lines[at + 1], rows
        at += 2 + atoms


def _species_first(comment: str) -> bool:
    """Whether the first word of a row is the species."""
    match = re.search(r"Properties\s*=\s*\"?(\w+)", comment)
    return match is None or match[1].lower() in ("species", "symbol", "element")


def _hydrogen(row: str) -> str:
    return re.sub(r"^(\s*)[DT](?=\s)", r"\1H", row)


def _plain(comment: str, rows: list[str]) -> tuple[list[str], NDArray[np.float64]] | None:
    """Symbols and positions ``[atom, 3]`` in Å, where a frame says nothing else; None where it may."""
    words = [row.split() for row in rows]
    if re.search("=|charge", comment, re.IGNORECASE) or any(len(row) != 4 for row in words):
        return None
    try:
        positions = np.array([[float(word) for word in row[1:]] for row in words])
    except ValueError:
        return None
    symbols = [row[0] for row in words]
    known = all(map(Element.is_valid_symbol, set(symbols)))
    return (symbols, positions) if known and np.isfinite(positions).all() else None


def _structure(path: Path, line: int, comment: str, rows: list[str], vacuum: float | None) -> Structure:
    if vacuum is not None and (plain := _plain(comment, rows)) is not None:
        return boxed(*plain, vacuum, 0.0)
    from ase.io import read

    text = "\n".join([str(len(rows)), comment, *rows]) + "\n"
    try:
        atoms: Any = read(io.StringIO(text), format="extxyz")
    except Exception as error:  # whatever ASE stumbles over
        raise DataError(
            f"{path}:{line}: this frame is not extended xyz ({type(error).__name__}: {error}); correct it"
        ) from error
    if len(atoms) != len(rows):
        raise DataError(
            f"{path}:{line}: ASE finds {len(atoms)} atoms in this frame of {len(rows)}; correct its comment"
        )
    if (atoms.numbers < 1).any() or not np.isfinite(atoms.positions).all():
        raise DataError(f"{path}:{line}: an atom of this frame has no element, or no finite position; correct it")
    charge = charge_in(atoms.info, f"{path}:{line}")
    if atoms.cell.rank == 0 and vacuum is not None:
        return boxed(atoms.get_chemical_symbols(), atoms.positions, vacuum, charge)
    if atoms.cell.rank < 3:
        raise DataError(
            f'{path}:{line}: it has no cell: add Lattice="ax ay az bx by bz cx cy cz" (Å) to the second line of each '
            "frame"
        )
    if not 1e-6 < abs(atoms.cell.volume) < 1e15 or not np.abs(atoms.positions).max() < 1e6:
        raise DataError(
            f"{path}:{line}: a cell of {atoms.cell.volume:.3g} Å³, or an atom far from it; correct this frame"
        )
    return Structure(
        Lattice(atoms.cell.array), atoms.numbers, atoms.positions, coords_are_cartesian=True, charge=charge or None
    )
