"""Molecules from a file of geometries, xyz or extended xyz, each with the line where it begins."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from ase.io import read as read_frame
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe_pyscf.levels import Level

TOUCHING = 0.4
"""Å; atoms nearer than this are a mistake, or positions in another unit."""


@dataclass(frozen=True)
class Molecule:
    """One frame of a file.

    id: stem of the file's name and number of the frame, from 0. place: ``file:line`` of the frame's first line.
    positions ``[atom, xyz]`` in Å. cell: rows are lattice vectors in Å, where the frame has a Lattice. charge: in e.
    """

    id: str
    place: str
    species: tuple[str, ...]
    positions: NDArray[np.float64]
    cell: NDArray[np.float64] | None
    charge: int


def read(path: Path, samples: int | None, level: Level) -> list[Molecule]:
    """All frames of a file, or as many as ``samples``, spread evenly.

    A frame's comment line may give Lattice, charge and multiplicity (or spin, meaning the same); all else in it is
    ignored. Raises DataError, with file and line, for what is malformed, for atoms in one place, for elements that
    ``level`` lacks, and for open shells.
    """
    try:
        with path.open("rb") as file:
            frames = list(_frames(file, path))
            if not frames:
                raise DataError(f"{path} holds no geometry; it must be an xyz or extended xyz file")
            if samples is not None and samples > len(frames):
                raise DataError(
                    f"{path} holds {len(frames)} geometries; ask for at most as many samples, not {samples}"
                )
            chosen = range(len(frames)) if samples is None else _evenly(len(frames), samples)
            digits = len(str(len(frames) - 1))
            return [_molecule(file, *frames[i], path, f"{path.stem}-{i:0{digits}d}", level) for i in chosen]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); name one by --set data.file=…") from error


def _evenly(count: int, samples: int) -> list[int]:
    return [int(i) for i in np.linspace(0, count - 1, samples).round()]


def _frames(file: IO[bytes], path: Path) -> Iterator[tuple[int, int, int]]:
    """Offset in bytes, number of the first line from 1, and number of atoms of each frame.

    ASE's own reader takes a blank line for the end of the file, and gives no lines in its errors.
    """
    number = 0
    while True:
        offset = file.tell()
        line = file.readline()
        number += 1
        if not line:
            return
        if not line.strip():
            continue
        try:
            atoms = int(line)
        except ValueError:
            atoms = 0
        if atoms < 1:
            said = line.decode(errors="replace").strip()[:40]
            raise DataError(
                f"{path}:{number}: '{said}' appears where a frame must begin, with its number of atoms; write the file "
                "as xyz or extended xyz, without lines between the frames"
            )
        yield offset, number, atoms
        for _ in range(atoms + 1):
            if not file.readline():
                raise DataError(
                    f"{path}:{number}: the file ends within this frame of {atoms} atoms; complete or remove it"
                )
        number += atoms + 1


def _molecule(file: IO[bytes], offset: int, line: int, atoms: int, path: Path, name: str, level: Level) -> Molecule:
    place = f"{path}:{line}"
    file.seek(offset)
    try:
        text = b"".join(file.readline() for _ in range(atoms + 2)).decode()
        frame: Any = read_frame(io.StringIO(text), format="extxyz")
    except Exception as error:  # whatever ASE stumbles over
        raise DataError(
            f"{place}: this frame is not extended xyz ({type(error).__name__}: {error}); correct it"
        ) from error
    species = tuple(frame.get_chemical_symbols())
    positions = np.asarray(frame.positions, dtype=float)
    if not np.isfinite(positions).all():
        atom = int(np.flatnonzero(~np.isfinite(positions).all(axis=1))[0])
        raise DataError(f"{path}:{line + 2 + atom}: the position of atom {atom + 1} is not finite; correct it")
    _apart(frame, path, line)
    level.require(species, [f"{path}:{line + 2 + atom}" for atom in range(atoms)])
    charge = _closed_shell(frame.info, int(frame.numbers.sum()), place)
    cell = np.asarray(frame.cell.array, dtype=float) if frame.cell.rank == 3 else None
    return Molecule(name, place, species, positions, cell, charge)


def _apart(frame: Any, path: Path, line: int) -> None:
    distances = frame.get_all_distances(mic=frame.cell.rank == 3)
    np.fill_diagonal(distances, np.inf)
    first, second = sorted(int(i) for i in np.unravel_index(distances.argmin(), distances.shape))
    distance = distances[first, second]
    if distance < TOUCHING:
        raise DataError(
            f"{path}:{line + 2 + second}: atoms {first + 1} and {second + 1} are {distance:.2f} Å apart; correct the "
            "positions, in Å"
        )


def _closed_shell(info: dict[str, Any], protons: int, place: str) -> int:
    """The charge in a comment line. Raises DataError for a molecule with unpaired electrons."""
    charge = _whole(info, ("charge", "total_charge"), 0, place)
    multiplicity = _whole(info, ("multiplicity", "spin_multiplicity", "spin"), 1, place)
    if multiplicity > 1 or (protons - charge) % 2:
        what = (
            f"multiplicity {multiplicity}" if multiplicity > 1 else f"an odd number of electrons, {protons - charge},"
        )
        raise DataError(
            f"{place}: {what} means an open shell, and only closed shells can be labelled; leave the frame out, or "
            "give the charge of an ion in its comment line, as in charge=1"
        )
    return charge


def _whole(info: dict[str, Any], names: Sequence[str], default: int, place: str) -> int:
    for name in names:
        if name in info:
            try:
                if float(info[name]) == int(info[name]):
                    return int(info[name])
            except (TypeError, ValueError):
                pass
            raise DataError(f"{place}: {name}={info[name]} is not a whole number; correct the comment line")
    return default
