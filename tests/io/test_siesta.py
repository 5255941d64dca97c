"""SIESTA's grids, read against files made by struct and netCDF4, and what is written against sisl's reader."""

from __future__ import annotations

import struct

import netCDF4
import numpy as np
import pytest
import sisl
from pymatgen.core.structure import Structure

from edframe import io
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.units import BOHR

pytestmark = pytest.mark.filterwarnings("ignore")
CELL = np.array([[5.0, 0.0, 0.0], [1.0, 4.5, 0.0], [0.0, -0.5, 6.0]])
SHAPE = (4, 5, 6)
STRUCTURE = Structure(CELL, ["O", "H", "H"], [[0.1, 0.2, 0.3], [0.6, 0.7, 0.8], [0.4, 0.9, 0.5]])
RNG = np.random.default_rng(5)
UP, DOWN = RNG.random(SHAPE), RNG.random(SHAPE)
"""e/Å³."""


def write_xv(path):
    rows = [*(f"{row(vector)} 0 0 0" for vector in CELL / BOHR), "3"]
    rows += [
        f"{1 + (z == 1)} {z} {row(at)} 0 0 0" for z, at in zip((8, 1, 1), STRUCTURE.cart_coords / BOHR, strict=True)
    ]
    path.write_text("\n".join(rows) + "\n")


def row(numbers):
    return " ".join(f"{number:.12f}" for number in numbers)


def write_rho(path, components):
    """SIESTA's unformatted form: cell, sizes, and one record of float32 for each line along x."""
    records = [(CELL / BOHR).tobytes(), struct.pack("<iiii", *SHAPE, len(components))]
    for values in components:
        lines = (values * BOHR**3).astype("<f4").transpose(2, 1, 0).reshape(-1, SHAPE[0])
        records += [line.tobytes() for line in lines]
    path.write_bytes(b"".join(struct.pack("<i", len(each)) + each + struct.pack("<i", len(each)) for each in records))


def write_netcdf(path, components):
    with netCDF4.Dataset(path, "w") as file:
        sizes = {"xyz": 3, "abc": 3, "spin": len(components), **dict(zip(("n1", "n2", "n3"), SHAPE, strict=True))}
        for name, size in sizes.items():
            file.createDimension(name, size)
        file.createVariable("cell", "f8", ("abc", "xyz"))[:] = CELL / BOHR
        file.createVariable("gridfunc", "f4", ("spin", "n3", "n2", "n1"))[:] = [
            values.T * BOHR**3 for values in components
        ]


WRITERS = {"water.RHO": write_rho, "Rho.grid.nc": write_netcdf}


@pytest.mark.parametrize("name", WRITERS)
def test_up_and_down_are_read_with_the_atoms_beside(tmp_path, name):
    WRITERS[name](tmp_path / name, [UP, DOWN])
    with pytest.raises(DataError, match=r"has no atoms, and there are 0 ….XV beside it"):
        io.read(tmp_path / name)
    write_xv(tmp_path / "water.XV")
    volume = io.read(tmp_path / name)
    np.testing.assert_allclose(volume.fields["total"], UP + DOWN, rtol=3e-7)
    np.testing.assert_allclose(volume.fields["magnetisation"], UP - DOWN, atol=3e-7)
    np.testing.assert_allclose(volume.grid.vectors, CELL, atol=1e-6)
    np.testing.assert_allclose(volume.structure.cart_coords, STRUCTURE.cart_coords, atol=1e-6)
    assert volume.structure.atomic_numbers == (8, 1, 1)


def test_the_first_spin_twice_is_refused_where_the_other_file_of_the_run_has_the_second(tmp_path):
    """As a SIESTA without MPI leaves both files."""
    write_xv(tmp_path / "water.XV")
    write_netcdf(tmp_path / "Rho.grid.nc", [UP, UP])
    (note,) = io.read(tmp_path / "Rho.grid.nc").notes
    assert "a SIESTA without MPI writes the first spin twice" in note
    write_rho(tmp_path / "water.RHO", [UP, DOWN])
    with pytest.raises(DataError, match=r"while water\.RHO beside it has others; give .*water\.RHO"):
        io.read(tmp_path / "Rho.grid.nc")
    assert io.read(tmp_path / "water.RHO").notes == ()


def test_equal_spins_that_the_other_file_has_too_need_no_word(tmp_path):
    write_xv(tmp_path / "water.XV")
    write_netcdf(tmp_path / "Rho.grid.nc", [UP, UP])
    write_rho(tmp_path / "water.RHO", [UP, UP])
    volume = io.read(tmp_path / "Rho.grid.nc")
    assert volume.notes == ()
    assert not volume.fields["magnetisation"].any()


@pytest.mark.parametrize("spin", [False, True])
@pytest.mark.parametrize("name", WRITERS)
def test_sisl_reads_what_is_written_and_it_comes_back(tmp_path, name, spin):
    fields = {"total": UP + DOWN, "magnetisation": UP - DOWN} if spin else {"total": UP}
    io.write(tmp_path / name, io.Volume(STRUCTURE, Grid.of(CELL, SHAPE), fields))
    for index, values in enumerate((UP, DOWN)[: 1 + spin]):
        grid = sisl.get_sile(tmp_path / name).read_grid(index)
        np.testing.assert_allclose(grid.grid, values, rtol=3e-7)
        np.testing.assert_allclose(grid.lattice.cell, CELL, atol=1e-6)
    volume = io.read(tmp_path / name)
    for key, values in fields.items():
        np.testing.assert_allclose(volume.fields[key], values, atol=3e-7)
    np.testing.assert_allclose(volume.structure.cart_coords, STRUCTURE.cart_coords, atol=1e-6)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_no_density_or_damaged_is_one_sentence(tmp_path):
    write_xv(tmp_path / "water.XV")
    for name in ("DeltaRho.grid.nc", "TotalPotential.grid.nc"):
        write_netcdf(tmp_path / name, [UP])
        with pytest.raises(DataError, match=r"is not a density of electrons: of SIESTA's grids"):
            io.read(tmp_path / name)
    path = tmp_path / "Rho.grid.nc"
    write_netcdf(path, [UP] * 4)
    with pytest.raises(DataError, match="4 components is noncollinear"):
        io.read(path)
    path.write_text("nothing")
    with pytest.raises(DataError, match="cannot be read by sisl"):
        io.read(path)
    with pytest.raises(DataError, match="there is no such file"):
        io.read(tmp_path / "x.RHO")
