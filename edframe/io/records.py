"""Unformatted Fortran files, as records of bytes, and checks of a file that is written over one of the same atoms."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.structure import Structure

from edframe.errors import DataError
from edframe.io.files import open_bytes, replacing

NEAR = 0.02
"""Å within which an atom, or the end of a lattice vector, is the same."""

MOST = 1 << 31
"""Bytes of a record; gfortran divides longer ones."""


def read_records(path: Path) -> list[bytes]:
    """The records of a little-endian file. Raises DataError where their lengths, before and behind, do not agree."""
    with open_bytes(path) as file:
        content = file.read()
    records: list[bytes] = []
    at = 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "little")
        end = at + 4 + length
        if length >= MOST or content[end : end + 4] != content[at : at + 4] or len(content) < end + 4:
            raise DataError(
                f"{path} is not an unformatted Fortran file, or was cut off: record {len(records) + 1} is not whole"
            )
        records.append(content[at + 4 : end])
        at = end + 4
    return records


def write_records(path: Path, records: Iterable[bytes]) -> None:
    """Write records, whole or not at all. Raises DataError for one of 2 GiB or more."""
    with replacing(path) as file:
        for record in records:
            if len(record) >= MOST:
                raise DataError(
                    f"{path}: a record of {len(record)} bytes is too long for the format; use a smaller grid"
                )
            marker = struct.pack("<i", len(record))
            file.write(marker)
            file.write(record)
            file.write(marker)


def numbers(path: Path, record: bytes, kind: str, count: int, what: str, start: int = 0) -> NDArray[Any]:
    """``count`` numbers of a record from byte ``start``, of NumPy's type ``kind``.
    Raises DataError for a record that is too short, and for values that are not finite.
    """
    size = np.dtype(kind).itemsize * count
    if count < 0 or start < 0 or len(record) < start + size:
        raise DataError(f"{path}: the record with {what} is too short: it is damaged, or of another version")
    values = np.frombuffer(record, kind, count, start)
    if not np.isfinite(values).all():
        raise DataError(f"{path}: {what} has values that are not finite: the calculation diverged, or it is damaged")
    return values


def require_same_atoms(
    path: Path,
    run: Structure,
    given: Structure,
    fix: str = "make a run with the atoms and the cell of the density first",
) -> None:
    """Raise DataError unless the run that a file belongs to has the given atoms and cell. fix: what to do then."""
    if np.abs(run.lattice.matrix - given.lattice.matrix).max() > NEAR:
        raise DataError(f"{path} is of another cell; {fix}")
    if sorted(run.atomic_numbers) != sorted(given.atomic_numbers):
        raise DataError(f"{path} is of {run.formula}, and the density is of {given.formula}")
    distances = run.lattice.get_all_distances(given.frac_coords, run.frac_coords)
    distances[np.not_equal.outer(given.atomic_numbers, run.atomic_numbers)] = np.inf
    if distances.min(axis=1).max() > NEAR:
        atom = int(distances.min(axis=1).argmax())
        raise DataError(
            f"{path} is of other positions: atom {atom + 1} ({given[atom].specie.symbol}) has none "
            f"within {NEAR} Å; {fix}"
        )
