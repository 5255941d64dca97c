"""VASP's HDF5 files, vaspwave.h5 and vaspout.h5, as calculations with ``LH5`` leave them.

``charge/charge`` ``[block, z, y, x]`` has the blocks of a CHGCAR, density times volume, ``structure/positions`` the
atoms; ``charge/aug_occupancies_s01`` ``[atom, value]`` has the occupancies and ``charge/aug_occupancies_ions_s01``
``[atom]`` how many each atom has. What is written has the atoms also where a vaspout.h5 has them, so that py4vasp reads
it alone. Sources: the readers of pymatgen (``Vaspwave``) and py4vasp.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io import fortran
from edframe.io.hdf5 import array, opened, replacing_hdf5
from edframe.io.paw import HEADER
from edframe.io.vasp import DENSITY
from edframe.io.volume import Volume

POSITIONS = ("structure/positions", "results/positions", "locpot/position")
"""Where the atoms may be."""

VERSION = (6, 5, 1)
"""Of VASP, whose layout is written."""


def read(path: Path) -> Volume:
    """The density in e/Å³, its atoms and occupancies. Atoms may be in a vaspout.h5 beside the file.

    Raises DataError where h5py is missing, for a file without a density or atoms, and for arrays that do not agree.
    """
    with opened(path) as file:
        if "charge/charge" not in file:
            raise DataError(
                f"{path} has no charge/charge; VASP writes the density to vaspwave.h5, with LH5 or LCHARGH5"
            )
        values = array(path, file, "charge/charge", 4)
        structure = _structure(path, file)
        if structure is None and (beside := path.with_name("vaspout.h5")).is_file() and beside != path:
            with opened(beside) as other:
                structure = _structure(beside, other)
        if structure is None:
            raise DataError(f"{path} has no atoms; put the vaspout.h5 of the calculation beside it")
        names = DENSITY.get(len(values))
        if names is None:
            raise DataError(f"{path}: charge/charge has {len(values)} blocks; VASP writes 1, 2 or 4")
        occupancies = {name: _occupancies(path, file, k) for k, name in enumerate(names, start=1)}
    grid = Grid.of(structure.lattice.matrix, values.shape[:0:-1])
    values /= grid.volume
    return Volume(
        structure,
        grid,
        {name: np.ascontiguousarray(block.T) for name, block in zip(names, values, strict=True)},
        comment=structure.formula,
        augmentation={name: text for name, text in occupancies.items() if text},
        unit="times volume",
    )


def write(path: Path, volume: Volume) -> None:
    """Write a vaspwave.h5 with the density, its atoms and occupancies.

    Raises DataError where h5py is missing, and for what a CHGCAR could not hold either.
    """
    structure, grid = volume.structure, volume.grid
    names = DENSITY.get(len(volume.fields), ())
    if volume.quantity != "density" or set(names) != set(volume.fields):
        raise DataError(f"{path}: {', '.join(volume.fields)} ({volume.quantity}) is not a density that VASP knows")
    if not structure.is_ordered:
        raise DataError(f"{path}: a site is shared by several species, which VASP's files cannot say; order them first")
    groups = [(symbol, len(list(sites))) for symbol, sites in itertools.groupby(s.specie.symbol for s in structure)]
    positions = {
        "system": np.bytes_(volume.comment[:40].encode()),
        "scale": 1.0,
        "lattice_vectors": structure.lattice.matrix,
        "ion_types": np.array([symbol for symbol, _ in groups], "S2"),
        "number_ion_types": np.array([count for _, count in groups], np.int32),
        "position_ions": structure.frac_coords,
        "direct_coordinates": np.int32(1),
    }
    steps = {"scale": 1.0, "lattice_vectors": [structure.lattice.matrix], "position_ions": [structure.frac_coords]}
    with replacing_hdf5(path) as file:
        _put(file, "version", dict(zip(("major", "minor", "patch"), map(np.int32, VERSION), strict=True)))
        for place in POSITIONS[:2]:
            _put(file, place, positions)
        _put(file, "intermediate/ion_dynamics", steps)
        file["charge/grid"] = np.array(grid.shape, np.int32)
        charge = file.create_dataset("charge/charge", (len(names), *reversed(grid.shape)), np.float64)
        for k, name in enumerate(names):
            charge[k] = volume.fields[name].T * grid.volume
            values = _parsed(volume.augmentation.get(name, ""))
            if values:
                counts = [len(row) for row in values]
                padded = np.zeros((len(values), max(counts)))
                for row, given in zip(padded, values, strict=True):
                    row[: len(given)] = given
                file[f"charge/aug_occupancies_s{k + 1:02d}"] = padded
                file[f"charge/aug_occupancies_ions_s{k + 1:02d}"] = np.array(counts, np.int32)


def _structure(path: Path, file: Mapping[str, Any]) -> Structure | None:
    place = next((place for place in POSITIONS if place in file), None)
    if place is None:
        return None
    try:
        entries = {key: np.array(value[()]) for key, value in file[place].items()}
        symbols = [re.match(r"[A-Za-z]*", word.decode()).group() for word in entries["ion_types"]]  # type: ignore[union-attr]
        species = [Element(s) for s, n in zip(symbols, entries["number_ion_types"], strict=True) for _ in range(int(n))]
        return Structure(
            Lattice(float(entries["scale"]) * entries["lattice_vectors"]),
            species,
            entries["position_ions"],
            coords_are_cartesian=bool(entries.get("direct_coordinates", np.array(1)) != 1),
        )
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f"{path}: the atoms in {place} cannot be read ({error})") from error


def _occupancies(path: Path, file: Mapping[str, Any], block: int) -> str:
    """Of one block, as the text of a CHGCAR; empty where there are none."""
    names = [f"charge/aug_occupancies{middle}_s{block:02d}" for middle in ("", "_ions")]
    if any(name not in file for name in names):
        return ""
    values, counts = array(path, file, names[0], 2), np.array(file[names[1]][()]).astype(int)
    if len(counts) != len(values) or counts.min(initial=0) < 0 or counts.max(initial=0) > values.shape[1]:
        raise DataError(f"{path}: {names[1]} does not agree with {names[0]}")
    text = []
    for atom, count in enumerate(counts, start=1):
        text.append(f"augmentation occupancies{atom:4d}{count:4d}\n")
        text.extend(line.decode() for line in fortran.lines(values[atom - 1, :count]))
    return "".join(text)


def _parsed(text: str) -> list[list[float]]:
    """The occupancies of each atom; what is imaginary and the moments are left out."""
    rows: list[list[float]] = []
    missing = 0
    for line in text.splitlines():
        if match := HEADER.fullmatch(line):
            missing = 0 if match[1] else int(match[3])
            rows += [] if match[1] else [[]]
        elif missing:
            words = line.split()[:missing]
            rows[-1] += map(float, words)
            missing -= len(words)
    return rows


def _put(file: Any, place: str, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        file[f"{place}/{key}"] = value
