"""XSF files against ASE and pymatgen, and made-up text as Quantum ESPRESSO and others write it."""

from __future__ import annotations

import gzip

import ase.io.xsf
import numpy as np
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from pymatgen.io.xcrysden import XSF, XSFGrid

from edframe import io
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.units import BOHR
from edframe.io.volume import Volume

CELL = np.array([[4.0, 0.1, 0], [1.2, 5.0, 0], [-0.4, 0.3, 6.0]])
VALUES = np.arange(24.0).reshape(2, 3, 4) + 0.5
REPEATED = np.pad(VALUES, [(0, 1)] * 3, mode="wrap")


def rows(array):
    return "\n".join("  ".join(f"{x:.6f}" for x in row) for row in np.atleast_2d(array)) + "\n"


def grid_text(label="DATAGRID_3D_UNKNOWN", values=REPEATED, edges=CELL, origin=(0.0, 0.0, 0.0)):
    numbers = " ".join(f"{x:.6E}" for x in values.ravel(order="F"))
    shape = " ".join(map(str, values.shape))
    return f" {label}\n {shape}\n{rows(origin)}{rows(edges)}{numbers}\n END_DATAGRID_3D\n"


ATOMS = "PRIMCOORD\n 2 1\nLi 0.5 0.6 0.7\n 8 2.0 2.5 3.0 0.1 0.2 0.3\n"


def text_of(*grids, title="3D grid", start="CRYSTAL\n", atoms=ATOMS):
    grids = grids or (grid_text(),)
    block = f"BEGIN_BLOCK_DATAGRID_3D\n {title}\n{''.join(grids)}END_BLOCK_DATAGRID_3D\n"
    return f"# LiO, made up\n\n{start} PRIMVEC\n{rows(CELL)}{atoms}{block}"


@pytest.fixture
def read_text(tmp_path):
    def read(text, name="made_up.xsf"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return io.read(path)

    return read


@pytest.fixture
def volume():
    grid = Grid.of(CELL, (5, 6, 7))
    structure = Structure(Lattice(CELL), ["Li", "O", "Li"], [[0.1, 0.2, 0.3], [0.5, 0.5, 0.5], [1.1, -0.2, 0.7]])
    values = np.random.default_rng(1).random(grid.shape) ** 5
    return Volume(structure, grid, {"total": values}, comment="a title\nin two lines", origin=(0.5, -1.0, 2.0))


def test_a_general_grid(read_text):
    volume = read_text(text_of())
    np.testing.assert_allclose(volume.grid.vectors, CELL)
    np.testing.assert_allclose(volume.structure.cart_coords, [[0.5, 0.6, 0.7], [2.0, 2.5, 3.0]])
    assert volume.structure.atomic_numbers == (3, 8)
    assert (volume.quantity, list(volume.fields), volume.comment) == ("density", ["total"], "LiO, made up")
    np.testing.assert_allclose(volume.fields["total"], VALUES)


def test_the_origin_of_the_grid_is_that_of_the_positions(read_text):
    volume = read_text(text_of(grid_text(origin=(0.5, 0.0, -1.0))))
    np.testing.assert_allclose(volume.origin, [0.5, 0.0, -1.0])
    np.testing.assert_allclose(volume.structure.cart_coords, [[0.0, 0.6, 1.7], [1.5, 2.5, 4.0]], atol=1e-12)


def test_quantum_espresso_writes_atomic_units(read_text):
    volume = read_text(text_of(title="3D_PWSCF"))
    np.testing.assert_allclose(volume.fields["total"] * BOHR**3, VALUES)


def test_several_grids_are_fields(read_text):
    two = (grid_text("BEGIN_DATAGRID_3D_up"), grid_text("BEGIN_DATAGRID_3D_down", 2 * REPEATED))
    volume = read_text(text_of(*two))
    assert (volume.quantity, list(volume.fields)) == ("field", ["up", "down"])
    np.testing.assert_allclose(volume.fields["down"], 2 * VALUES)
    assert list(read_text(text_of(grid_text(), grid_text())).fields) == ["field_1", "field_2"]
    second = text_of(*two).split("BEGIN_BLOCK")[1]
    assert list(read_text(text_of() + "BEGIN_BLOCK" + second).fields) == ["UNKNOWN", "up", "down"]


@pytest.mark.parametrize("quantity", ["density", "potential", "field"])
def test_names_quantity_origin_and_title_come_back(volume, tmp_path, quantity):
    total = volume.fields["total"]
    fields = {"total": total, "magnetisation": -0.3 * total}
    given = Volume(volume.structure, volume.grid, fields, quantity, volume.comment, volume.origin)
    io.write(tmp_path / "a.xsf.gz", given)
    again = io.read(tmp_path / "a.xsf.gz")
    assert (again.quantity, list(again.fields), again.comment) == (quantity, list(fields), volume.comment)
    np.testing.assert_allclose(again.origin, volume.origin)
    np.testing.assert_allclose(again.grid.vectors, CELL, atol=1e-12)
    np.testing.assert_allclose(again.structure.cart_coords, volume.structure.cart_coords, atol=1e-11)
    for name, values in fields.items():
        np.testing.assert_allclose(again.fields[name], values, rtol=1e-9)


def test_ase_and_pymatgen_read_what_is_written(volume, tmp_path):
    io.write(tmp_path / "a.xsf", volume)
    repeated = np.pad(volume.fields["total"], [(0, 1)] * 3, mode="wrap")
    with open(tmp_path / "a.xsf") as file:
        values, origin, edges, atoms = ase.io.xsf.read_xsf(file, read_data=True)
    np.testing.assert_allclose(values, repeated, rtol=1e-9)
    np.testing.assert_allclose(edges, CELL)
    np.testing.assert_allclose(atoms.positions - origin, volume.structure.cart_coords, atol=1e-11)
    theirs = XSF.from_file(tmp_path / "a.xsf")
    (grid,) = theirs.grids.values()
    np.testing.assert_allclose(grid.data[0], repeated, rtol=1e-9)
    np.testing.assert_allclose(theirs.structure.lattice.matrix, CELL)


def test_reads_what_ase_and_pymatgen_write(volume, tmp_path):
    repeated = np.pad(volume.fields["total"], [(0, 1)] * 3, mode="wrap")
    atoms = volume.structure.to_ase_atoms()
    ase.io.xsf.write_xsf(str(tmp_path / "ase.xsf"), [atoms], repeated, origin=np.zeros(3), span_vectors=CELL)
    grids = {"block": XSFGrid(repeated[None], CELL, np.zeros(3), labels=["grid/density"])}
    XSF(structure=volume.structure, kind="crystal", ndim=3, grids=grids).write_file(tmp_path / "pymatgen.xsf")
    for name, digits in (("ase", 1e-6), ("pymatgen", 1e-14)):
        again = io.read(tmp_path / f"{name}.xsf")
        np.testing.assert_allclose(again.fields["total"], volume.fields["total"], atol=digits)
        np.testing.assert_allclose(again.structure.cart_coords, volume.structure.cart_coords, atol=1e-10)


BROKEN = {
    "empty": ("", 1, "ends before CRYSTAL"),
    "molecule": (text_of(start="ATOMS\n"), 3, "ATOMS has no cell"),
    "slab": (text_of(start="SLAB\n"), 3, "SLAB has no cell"),
    "trajectory": (text_of(start="ANIMSTEPS 2\nCRYSTAL\n"), 3, "ANIMSTEPS"),
    "no grid": (text_of().split("BEGIN_BLOCK")[0], 11, "without a cell"),
    "no atoms": (text_of(atoms=""), 8, "BEGIN_BLOCK_DATAGRID_3D"),
    "bands": (text_of().replace("DATAGRID_3D", "BANDGRID_3D"), 12, "BEGIN_BLOCK_BANDGRID_3D"),
    "fewer atoms": (text_of().replace(" 2 1\n", " 1 1\n"), 11, "'8'"),
    "no element": (text_of().replace("\n 8 2.0", "\n 119 2.0"), 11, "119"),
    "cut in the values": (text_of().rsplit(" ", 9)[0] + "\n", 20, "after 52 of the 60"),
    "fewer values": (text_of(grid_text().replace("5.000000E-01 1.250000E+01 ", "", 1)), 21, "END_DATAGRID_3D"),
    "more values": (text_of(grid_text().replace("\n END", " 1.0\n END")), 20, "END_DATAGRID_3D should"),
    "stars": (text_of(grid_text().replace("1.250000E+01", "************", 1)), 20, r"\*\*\*"),
    "not a number": (text_of(grid_text().replace("1.250000E+01", "NaN", 1)), 20, "NaN"),
    "not repeated": (text_of(grid_text(values=VALUES)), 21, "last plane of axis 1"),
    "another cell": (text_of(grid_text(edges=CELL * [[2], [1], [1]])), 19, "not PRIMVEC"),
    "flat cell": (text_of().replace(rows(CELL), rows(CELL[[0, 0, 2]])), 7, "no volume"),
    "a billion points": (text_of(grid_text().replace(" 3 4 5", " 999999999 4 5")), 19, "room"),
    "another shape": (text_of(grid_text(), grid_text(values=REPEATED[:, :, [0, 1, 0]])), 29, "another shape"),
}


@pytest.mark.parametrize(("text", "line", "what"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_named_with_its_line(read_text, text, line, what):
    with pytest.raises(DataError, match=what) as error:
        read_text(text)
    assert f"made_up.xsf:{line}: " in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_gzip(read_text):
    with pytest.raises(DataError, match="cannot be read"):
        read_text(gzip.compress(text_of().encode())[:-20], "cut.xsf.gz")


def test_what_an_xsf_file_cannot_hold_is_refused(volume, tmp_path):
    bad = np.where(volume.fields["total"] > 0.5, np.nan, 0.0)
    with pytest.raises(DataError, match="cannot be written"):
        io.write(tmp_path / "bad.xsf", Volume(volume.structure, volume.grid, {"total": bad}))
    assert list(tmp_path.iterdir()) == []
