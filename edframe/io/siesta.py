"""SIESTA's valence density, ``NAME.RHO`` and ``Rho.grid.nc``, through sisl. Values have 7 digits.

The files have a cell and a grid; the atoms are in ``NAME.XV`` beside them, or in the only ….XV there is. Two spins are
up and down. What is written is for tools that read these files: SIESTA itself starts from ``DeltaRho.IN.grid.nc``,
which is a difference from its own atoms.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe.errors import DataError, imported
from edframe.grid import Grid
from edframe.io.units import BOHR
from edframe.io.volume import Volume

NEAR = 1e-3
"""Å by which the cells of the grid and of the atoms may differ."""

ROUNDED = 1e-5
"""Of its largest value: by more than this a density that SIESTA wrote into two files does not differ."""

TWICE = "both spins are the same, bit for bit, and a SIESTA without MPI writes the first spin twice into Rho.grid.nc"


def read(path: Path) -> Volume:
    """The density in e/Å³, with the atoms of the file beside it.

    Raises DataError where sisl is missing, for a damaged file, one without atoms, a noncollinear density, and one that
    has the first spin twice, as the ….RHO beside it shows; without that, equal spins are a note.
    """
    if path.name.lower().endswith(".grid.nc") and path.name.lower() != "rho.grid.nc":
        raise DataError(
            f"{path} is not a density of electrons: of SIESTA's grids, Rho.grid.nc and ….RHO are; give one of these"
        )
    sisl = imported("sisl", "formats", f"{path}")
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    with warnings.catch_warnings(action="ignore"):
        try:
            grids = _grids(sisl, path)
        except Exception as error:  # sisl and the libraries below it raise whatever they met
            raise DataError(
                f"{path} cannot be read by sisl ({error}): it is damaged, or another kind of file"
            ) from error
        structure = _atoms(sisl, path)
    cell = np.asarray(grids[0].lattice.cell, float)
    if np.abs(cell - structure.lattice.matrix).max() > NEAR:
        raise DataError(f"{path}: the cell of the atoms beside it is another one; put the ….XV of the same run there")
    values = [np.ascontiguousarray(grid.grid, float) for grid in grids]
    if not all(np.isfinite(each).all() for each in values):
        raise DataError(f"{path} has values that are not finite: the calculation diverged, or it is damaged")
    if len(values) > 2:
        raise DataError(f"{path}: a density of {len(values)} components is noncollinear; use a collinear calculation")
    up, *down = values
    netcdf = path.name.lower().endswith(".nc")
    notes = _twice(sisl, path, up) if netcdf and down and np.array_equal(up, down[0]) else ()
    fields = {"total": up + down[0], "magnetisation": up - down[0]} if down else {"total": up}
    return Volume(
        structure, Grid.of(cell, up.shape), fields, comment=f"{structure.formula}, SIESTA", unit="e/bohr³", notes=notes
    )


def write(path: Path, volume: Volume) -> None:
    """Write the density, and the atoms into the ….XV of the same name beside it.

    Raises DataError where sisl is missing, and for what is no density with at most one magnetisation.
    """
    sisl = imported("sisl", "formats", f"{path}")
    if volume.quantity != "density" or tuple(volume.fields) not in (("total",), ("total", "magnetisation")):
        raise DataError(f"{path}: {', '.join(volume.fields)} ({volume.quantity}) is not a density that SIESTA writes")
    netcdf = path.name.lower().endswith(".nc")
    if netcdf and path.name.lower() != "rho.grid.nc":
        raise DataError(f"{path}: a density of electrons is Rho.grid.nc in SIESTA; name it so, or ….RHO")
    total, *spin = volume.fields.values()
    values = [(total + spin[0]) / 2, (total - spin[0]) / 2] if spin else [total]
    if not all(np.isfinite(each).all() for each in values):
        raise DataError(f"{path} cannot be written: the density has values that are not finite")
    geometry = sisl.Geometry(
        volume.structure.cart_coords,
        [sisl.Atom(z) for z in volume.structure.atomic_numbers],
        volume.structure.lattice.matrix,
    )
    # sisl recognises them by their endings.
    grid_file, atoms_file = (path.with_name(f".{os.getpid()}-{name}") for name in (path.name, "atoms.XV"))
    try:
        with warnings.catch_warnings(action="ignore"):
            if netcdf:
                with sisl.get_sile(grid_file, "w") as file:
                    for index, each in enumerate(values):
                        grid = _grid(sisl, volume.grid, each * BOHR**3, np.float64)  # sisl converts on reading alone
                        file.write_grid(grid, spin=index, nspin=len(values), unit="e/Bohr**3")
            else:
                sisl.get_sile(grid_file, "w").write_grid(
                    *(_grid(sisl, volume.grid, each, np.float32) for each in values)
                )
            sisl.get_sile(atoms_file, "w").write_geometry(geometry)
        os.replace(grid_file, path)
        os.replace(atoms_file, _named_after(path))
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror or error})") from error
    finally:
        for file in (grid_file, atoms_file):
            file.unlink(missing_ok=True)


def _twice(sisl: Any, path: Path, both: NDArray[np.float64]) -> tuple[str, ...]:
    """What is to be said of two equal spins in Rho.grid.nc: nothing where the ….RHO beside it has the same.

    Raises DataError where that has others.
    """
    choices = sorted(path.parent.glob("*.RHO"))
    if len(choices) != 1:
        return (f"{TWICE}: if this calculation has a moment, density and electrons are wrong; NAME.RHO is right",)
    with warnings.catch_warnings(action="ignore"):
        try:
            right = [np.asarray(grid.grid, float) for grid in _grids(sisl, choices[0])]
        except Exception as error:  # as above
            raise DataError(f"{path}: {TWICE}; {choices[0]} would show it, but cannot be read ({error})") from error
    same = len(right) == 2 and all(each.shape == both.shape for each in right)
    if not same or max(np.abs(each - both).max() for each in right) > ROUNDED * np.abs(both).max():
        raise DataError(f"{path}: {TWICE}, while {choices[0].name} beside it has others; give {choices[0]}")
    return ()


def _grids(sisl: Any, path: Path) -> list[Any]:
    file = sisl.get_sile(path)
    if not path.name.lower().endswith(".nc"):
        return [file.read_grid(index) for index in range(int(file.read_grid_size()[0]))]
    with file:
        variable = file._variable("gridfunc")
        count = variable.shape[0] if variable.ndim == 4 else 1
        return [file.read_grid(index) for index in range(count)]


def _grid(sisl: Any, grid: Grid, values: NDArray[np.float64], kind: type) -> Any:
    made = sisl.Grid(grid.shape, lattice=sisl.Lattice(grid.vectors), dtype=kind)
    made.grid[...] = values
    return made


def _named_after(path: Path) -> Path:
    return path.with_name(f"{path.name.rsplit('.grid', 1)[0].removesuffix('.RHO').removesuffix('.rho')}.XV")


def _atoms(sisl: Any, path: Path) -> Structure:
    choices = [place] if (place := _named_after(path)).is_file() else sorted(path.parent.glob("*.XV"))
    if len(choices) != 1:
        raise DataError(
            f"{path} has no atoms, and there are {len(choices)} ….XV beside it; put {place.name} of its run there"
        )
    try:
        geometry = sisl.get_sile(choices[0]).read_geometry()
        return Structure(
            Lattice(geometry.lattice.cell), geometry.atoms.Z.tolist(), geometry.xyz, coords_are_cartesian=True
        )
    except Exception as error:  # as above
        raise DataError(f"{choices[0]} cannot be read by sisl ({error})") from error
