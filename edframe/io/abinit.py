"""ABINIT's densities: ``…_DEN``, an unformatted Fortran file, and ``…_DEN.nc``, which is HDF5.

Values in e/bohr³: the total, and with two components the density of spin up behind it. Both files say how ABINIT was
run, so a density is written over the file of a run of the same atoms on the same grid; ``getden_filepath`` starts from
it (with ``nline 10``: without, ABINIT needs more iterations from its own density than from atoms).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure

from edframe.errors import DataError, imported
from edframe.grid import Grid
from edframe.io.hdf5 import array, opened
from edframe.io.records import numbers, read_records, require_same_atoms, write_records
from edframe.io.units import BOHR
from edframe.io.vasp import DENSITY
from edframe.io.volume import Volume

HEADER = 80
"""Version of the header that is read, of ABINIT 8 and later."""


@dataclass(frozen=True)
class Content:
    """Atoms, and values ``[component, x, y, z]`` in e/bohr³ as the file has them."""

    structure: Structure
    values: NDArray[np.float64]


def read(path: Path) -> Volume:
    """The density in e/Å³ with its atoms. Raises DataError for what is damaged, and for headers before ABINIT 8."""
    content = _read_netcdf(path) if path.suffix == ".nc" else _read_binary(path)[0]
    names = DENSITY.get(len(content.values))
    if names is None:
        raise DataError(f"{path} has {len(content.values)} components; a density has 1, 2 or 4")
    total, *others = content.values * BOHR**-3
    if len(others) == 1:
        others = [2 * others[0] - total]
    fields = {name: np.ascontiguousarray(values) for name, values in zip(names, [total, *others], strict=True)}
    grid = Grid.of(content.structure.lattice.matrix, total.shape)
    return Volume(content.structure, grid, fields, comment=f"{content.structure.formula}, ABINIT", unit="e/bohr³")


def write(path: Path, volume: Volume) -> None:
    """Put a density into the file of a run of the same atoms, which must be there.

    Raises DataError where it is not, and where grid, atoms or spin are not those of the run.
    """
    if not path.is_file():
        raise DataError(
            f"{path} is not there: a density goes into the file of a run of the same atoms (nstep 0 makes one)"
        )
    binary = path.suffix != ".nc"
    run, records = _read_binary(path) if binary else (_read_netcdf(path), [])
    if volume.quantity != "density" or tuple(volume.fields) not in DENSITY.values():
        raise DataError(
            f"{path}: {', '.join(volume.fields)} ({volume.quantity}) is not a density that ABINIT can start from"
        )
    require_same_atoms(path, run.structure, volume.structure)
    if run.values.shape[1:] != volume.grid.shape:
        raise DataError(
            f"{path}: the run has another grid; use it, by `--grid {' '.join(map(str, run.values.shape[1:]))}`"
        )
    values = _components(path, volume.fields, len(run.values)) * BOHR**3
    if not np.isfinite(values).all():
        raise DataError(f"{path} cannot be written: the density has values that are not finite")
    if binary:
        kept = records[: -len(values)]
        write_records(path, [*kept, *(block.astype("<f8").tobytes(order="F") for block in values)])
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        shutil.copyfile(path, temporary)
        with imported("h5py", "formats", f"{path}").File(temporary, "r+") as file:
            file["density"][...] = values.transpose(0, 3, 2, 1)[..., None]
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _components(path: Path, fields: Mapping[str, NDArray[np.float64]], count: int) -> NDArray[np.float64]:
    """The fields as the file has them, ``[component, x, y, z]``; a total alone has no moment."""
    total, *others = fields.values()
    if len(fields) not in (1, count):
        raise DataError(
            f"{path}: the run has {count} components, the density {len(fields)}; make the run with nspden first"
        )
    if count == 2:
        return np.stack([total, (total + others[0]) / 2 if others else total / 2])
    return np.stack([total, *others, *[np.zeros_like(total)] * (count - len(fields))])


def _structure(path: Path, cell: NDArray[np.float64], z: list[float], reduced: NDArray[np.float64]) -> Structure:
    if not all(number == int(number) and 1 <= number <= 118 for number in z):
        raise DataError(
            f"{path}: the nuclear charges {z} are not elements, as in a virtual crystal; order its atoms first"
        )
    Grid.of(cell, (1, 1, 1))
    return Structure(Lattice(cell * BOHR), [Element.from_Z(int(number)) for number in z], reduced)


def _read_netcdf(path: Path) -> Content:
    with opened(path) as file:
        values = array(path, file, "density", 5)
        if values.shape[-1] != 1:
            raise DataError(f"{path}: the density is complex, of a response calculation; only real ones are read")
        try:
            species = np.array(file["atom_species"][()], int)
            z = np.array(file["atomic_numbers"][()], float)[species - 1]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise DataError(f"{path}: the species of the atoms cannot be read ({error})") from error
        cell, reduced = array(path, file, "primitive_vectors", 2), array(path, file, "reduced_atom_positions", 2)
    if cell.shape != (3, 3) or reduced.shape != (len(species), 3):
        raise DataError(f"{path}: cell and atoms do not agree: it is damaged")
    return Content(_structure(path, cell, z.tolist(), reduced), values[..., 0].transpose(0, 3, 2, 1))


def _read_binary(path: Path) -> tuple[Content, list[bytes]]:
    """The content, and all records of the file. The layout of the header: ABINIT, src/56_io_mpi/m_hdr.F90."""
    records = read_records(path)
    if len(records) < 6 or len(records[0]) < 14:
        raise DataError(f"{path} is not a density of ABINIT")
    version, form = numbers(path, records[0], "<i4", 2, "the version", len(records[0]) - 8).tolist()
    if version != HEADER or not 50 <= form <= 59:
        raise DataError(
            f"{path} has a header of version {version} and content {form}; densities (52) of ABINIT 8 and later "
            f"({HEADER}) are read; iomode 3 writes …_DEN.nc, which is, too"
        )
    sizes = numbers(path, records[1], "<i4", 18, "the sizes").tolist()
    bands, atoms, shape, points, components = sizes[0], sizes[4], sizes[5:8], sizes[8], sizes[9]
    spins, symmetries, potentials, types = sizes[11:15]
    cell = numbers(path, records[1], "<f8", 9, "the cell", 72 + 7 * 8).reshape(3, 3)
    before = 2 * points + points * spins + potentials + symmetries + 9 * symmetries
    kinds = numbers(path, records[2], "<i4", atoms, "the kinds of the atoms", 4 * before)
    charges = numbers(
        path,
        records[2],
        "<f8",
        types,
        "the nuclear charges",
        4 * (before + atoms) + 8 * (3 * points + bands + 3 * symmetries),
    )
    if not len(kinds) or kinds.min() < 1 or kinds.max() > types or not 1 <= components <= 4 or min(shape) < 1:
        raise DataError(f"{path}: its header is damaged: no atoms, kinds or grid that agree")
    reduced = numbers(path, records[3], "<f8", 3 * atoms, "the positions", 8).reshape(-1, 3)
    count = shape[0] * shape[1] * shape[2]
    if len(records) < 4 + components or any(len(record) != 8 * count for record in records[-components:]):
        raise DataError(f"{path}: it does not end in {components} real densities on its grid: it is damaged or complex")
    values = [numbers(path, record, "<f8", count, "the density") for record in records[-components:]]
    structure = _structure(path, cell, [float(charges[int(kind) - 1]) for kind in kinds], reduced)
    return Content(structure, np.stack([each.reshape(shape, order="F") for each in values])), records
