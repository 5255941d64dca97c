"""XSF files against ASE and pymatgen, and made-up text as Quantum ESPRESSO and others write it."""

from __future__ import annotations

import gzip
import itertools

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
    def read(text, name="made_up.xsf", unit=None):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return io.read(path, unit=unit)

    return read


@pytest.fixture
def volume():
    grid = Grid.of(CELL, (5, 6, 7))
    structure = Structure(Lattice(CELL), ["Li", "O", "Li"], [[0.1, 0.2, 0.3], [0.5, 0.5, 0.5], [1.1, -0.2, 0.7]])
    values = np.random.default_rng(1).random(grid.shape) ** 5
    return Volume(structure, grid, {"total": values}, comment="a title\nin two lines", origin=(0.5, -1.0, 2.0))


def test_a_general_grid(read_text):
    volume = read_text(text_of(), unit="e/Å³")
    np.testing.assert_allclose(volume.grid.vectors, CELL)
    np.testing.assert_allclose(volume.structure.cart_coords, [[0.5, 0.6, 0.7], [2.0, 2.5, 3.0]])
    assert volume.structure.atomic_numbers == (3, 8)
    assert (volume.quantity, list(volume.fields), volume.comment) == ("density", ["total"], "LiO, made up")
    np.testing.assert_allclose(volume.fields["total"], VALUES)


def test_the_origin_of_the_grid_is_that_of_the_positions(read_text):
    volume = read_text(text_of(grid_text(origin=(0.5, 0.0, -1.0))), unit="e/Å³")
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
        again = io.read(tmp_path / f"{name}.xsf", unit="e/Å³")
        np.testing.assert_allclose(again.fields["total"], volume.fields["total"], atol=digits)
        np.testing.assert_allclose(again.structure.cart_coords, volume.structure.cart_coords, atol=1e-10)


# Writers that have other rules than the format's. The density is of Si2, 8 e, with known values.

FCC = 2.7 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0.0]])
SILICON = "PRIMCOORD\n 2 1\n 14 0 0 0\n 14 1.35 1.35 1.35\n"


def density_of(cell, shape, electrons, centre=(0.0, 0.0, 0.0), width=0.4):
    """A Gaussian around one point of the cell and its neighbours, with so many electrons by the sum over the grid."""
    fractions = np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"), -1) - np.array(centre)
    values = sum(
        np.exp(-(((fractions + shift) @ cell) ** 2).sum(-1) / (2 * width**2))
        for shift in itertools.product((-1, 0, 1), repeat=3)
    )
    return values * electrons / (values.mean() * abs(np.linalg.det(cell)))


def silicon_text(values, edges, cell=FCC, start="CRYSTAL\n", atoms=SILICON, title="n", label="BEGIN_DATAGRID_3D_n"):
    block = f"BEGIN_BLOCK_DATAGRID_3D\n{title}\n{grid_text(label, values, edges)}END_BLOCK_DATAGRID_3D\n"
    return f"{start}PRIMVEC\n{rows(cell)}{atoms}{block}"


SHAPE = (6, 7, 8)
DENSITY = density_of(FCC, SHAPE, 8)
WRAPPED = np.pad(DENSITY, [(0, 1)] * 3, mode="wrap")
SIZES = np.array(SHAPE)[:, None]
CUT3D = silicon_text(
    BOHR**3 * WRAPPED, FCC, start=" DIM-GROUP\n 3  1\n", atoms=SILICON + " ATOMS\n 14 0 0 0\n 14 1 1 1\n"
)
WRITERS = {
    "the rule, e/Å³": (silicon_text(WRAPPED, FCC), DENSITY),
    "the rule, e/bohr³": (silicon_text(BOHR**3 * WRAPPED, FCC), DENSITY),
    "ABINIT's cut3d": (
        CUT3D.replace("BEGIN_DATAGRID_3D_n", "DATAGRID_3D_DENSITY")
        .replace("BLOCK_DATAGRID_3D", "BLOCK_DATAGRID3D")
        .replace("END_DATAGRID_3D", "END_DATAGRID3D"),
        DENSITY,
    ),
    "no plane repeated, as sisl": (silicon_text(DENSITY, FCC), DENSITY),
    "no plane repeated, e/bohr³": (silicon_text(BOHR**3 * DENSITY, FCC), DENSITY),
    "edges of the points": (silicon_text(DENSITY, FCC * (SIZES - 1) / SIZES), DENSITY),
    "edges as ASE's": (silicon_text(DENSITY, FCC * (SIZES + 1) / SIZES, label="BEGIN_DATAGRID_3Dgrid#1"), DENSITY),
    "remarks between": (silicon_text(WRAPPED, FCC).replace("PRIMCOORD", "# atoms\n\nPRIMCOORD"), DENSITY),
    "one step of one": (silicon_text(WRAPPED, FCC, start="ANIMSTEPS 1\nCRYSTAL\n").replace("PRIMCOORD", "PRIMCOORD 1"),
                        DENSITY),
    "SIESTA's sections": (silicon_text(WRAPPED, FCC, atoms=f"RECIP-PRIMVEC\n{rows(FCC)}CONVVEC\n{rows(FCC)}{SILICON}"),
                          DENSITY),
    "forces and a ghost": (
        silicon_text(WRAPPED, FCC, atoms=SILICON.replace("2 1", "3 1").replace("14 0 0 0", "14 0 0 0 1 2 3\n X 1 1 1")),
        DENSITY,
    ),
    "a slab": (silicon_text(WRAPPED, FCC, start="SLAB\n"), DENSITY),
}  # fmt: skip


@pytest.mark.parametrize(("text", "density"), WRITERS.values(), ids=WRITERS)
def test_grids_as_their_writers_meant_them(read_text, text, density):
    volume = read_text(text)
    assert volume.quantity == "density"
    np.testing.assert_allclose(volume.fields["total"], density, rtol=1e-5)
    np.testing.assert_allclose(volume.grid.vectors, FCC, atol=1e-5)
    np.testing.assert_allclose(volume.structure.cart_coords, [[0, 0, 0], [1.35] * 3], atol=1e-6)
    assert volume.structure.formula == "Si2"


def test_what_was_decided_is_said(read_text):
    (note,) = read_text(silicon_text(BOHR**3 * WRAPPED, FCC)).notes
    assert "taken to be e/bohr³, which makes 8.0000 e (8.0000 e in e/bohr³ or 1.1855 e in e/Å³)" in note
    notes = read_text(silicon_text(DENSITY, FCC * (SIZES + 1) / SIZES)).notes
    assert "as ASE's are" in notes[0]


def test_a_grid_over_the_conventional_cell_has_its_atoms(read_text):
    cubic = 5.4 * np.eye(3)
    one = density_of(FCC, (8, 8, 8), 8)  # the primitive cell's own grid, from which the cubic one is taken
    fractions = np.stack(np.meshgrid(*(np.arange(8) / 8,) * 3, indexing="ij"), -1) @ cubic @ np.linalg.inv(FCC)
    at = np.rint(fractions * 8).astype(int) % 8
    values = one[at[..., 0], at[..., 1], at[..., 2]]
    values *= 32 / (values.mean() * 5.4**3)
    volume = read_text(silicon_text(np.pad(values, [(0, 1)] * 3, mode="wrap"), cubic))
    assert volume.structure.formula == "Si8"
    assert volume.fields["total"].sum() * volume.grid.voxel_volume == pytest.approx(32, rel=1e-4)
    distances = volume.structure.distance_matrix + 9 * np.eye(8)
    np.testing.assert_allclose(distances.min(axis=1), 1.35 * np.sqrt(3), rtol=1e-5)


BOX = np.diag([6.0, 7.0, 8.0])
WATER = "ATOMS\n 8 3.0 3.5 4.0\n 1 3.9 3.5 4.0\n 1 2.8 4.4 4.0\n"
BOXED = density_of(BOX, (12, 14, 16), 8, (0.5, 0.5, 0.5))


@pytest.mark.parametrize("start", ["", "MOLECULE\n", "DIM_GROUP\n0 1\n"])
@pytest.mark.parametrize(
    ("values", "edges"),
    [
        (np.pad(BOXED, [(0, 1)] * 3, mode="wrap"), BOX),
        (BOXED, BOX * (1 - 1 / np.array([[12], [14], [16]]))),
        (BOXED, BOX),
        (BOXED, BOX * (1 + 1 / np.array([[12], [14], [16]]))),
    ],
    ids=["the rule", "edges of the points", "no plane repeated", "as ASE's"],
)
def test_the_electrons_decide_how_a_grid_lies_in_a_box(read_text, start, values, edges):
    block = f"BEGIN_BLOCK_DATAGRID_3D\nn\n{grid_text(values=values, edges=edges)}END_BLOCK_DATAGRID_3D\n"
    volume = read_text(start + WATER + block)
    assert volume.structure.formula == "H2 O1"
    assert volume.fields["total"].sum() * volume.grid.voxel_volume == pytest.approx(8, rel=1e-4)
    np.testing.assert_allclose(volume.grid.voxel, BOX / np.array([[12], [14], [16]]), rtol=1e-5)
    np.testing.assert_allclose(volume.structure[0].coords, [3, 3.5, 4])


@pytest.mark.parametrize(
    ("title", "label", "what"),
    [
        ("ELF", "BEGIN_DATAGRID_3D_n", "title of the grids says 'ELF'"),
        ("n", "DATAGRID_3D_POTENTIAL", "label of the grid says 'POTENTIAL'"),
        ("n", "DATAGRID_3D_spin_density", "says 'spin density'"),
    ],
)
def test_a_title_of_another_quantity_makes_no_density(read_text, title, label, what):
    volume = read_text(silicon_text(WRAPPED, FCC, title=title, label=label))
    assert volume.quantity == "field"
    assert what in volume.notes[0]
    np.testing.assert_allclose(volume.fields["total"], DENSITY, rtol=1e-5)


def test_what_no_unit_makes_a_density_is_refused_and_can_be_said(read_text, tmp_path):
    elf = DENSITY / DENSITY.max()
    text = silicon_text(np.pad(elf, [(0, 1)] * 3, mode="wrap"), FCC)
    with pytest.raises(DataError, match=r"does not give the unit, .* there would be .*--unit .*--quantity"):
        read_text(text)
    field = io.read(tmp_path / "made_up.xsf", quantity="field")
    np.testing.assert_allclose(field.fields["total"], elf, rtol=1e-5)
    assert (field.quantity, field.unit) == ("field", None)
    given = io.read(tmp_path / "made_up.xsf", unit="e per voxel")
    np.testing.assert_allclose(given.fields["total"].sum() * given.grid.voxel_volume, elf.sum(), rtol=1e-5)
    given = io.read(tmp_path / "made_up.xsf", unit="times volume")
    np.testing.assert_allclose(given.fields["total"], elf / given.grid.volume, rtol=1e-5)


BROKEN = {
    "empty": ("", 1, "ends before CRYSTAL"),
    "no cell": (text_of().replace(f" PRIMVEC\n{rows(CELL)}", ""), 18, "without PRIMVEC"),
    "two steps": (text_of(atoms=ATOMS.replace("PRIMCOORD", "PRIMCOORD 1") + ATOMS), 26, "it has 2 steps"),
    "another word": (text_of(start="CRISTAL\n"), 3, "'CRISTAL' appears where CRYSTAL"),
    "no grid": (text_of().split("BEGIN_BLOCK")[0], 11, "without atoms and a 3D grid"),
    "only ghosts": (text_of(atoms="PRIMCOORD\n1 1\nX 0 0 0\n"), 21, "all atoms are ghosts"),
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
    "another cell": (text_of(grid_text(edges=CELL * [[1.3], [1], [1]])), 21, "neither PRIMVEC nor whole numbers"),
    "flat cell": (text_of().replace(rows(CELL), rows(CELL[[0, 0, 2]])), 22, "no volume"),
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
