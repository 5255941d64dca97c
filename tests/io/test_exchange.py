"""What other programs read of what edframe writes: values, axes, atoms and electrons, by these programs.

The table of docs/your-data.md is that of CELLS, NO_READER and LIMITS; each of its cells is a test here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io.cube
import ase.io.xsf
import numpy as np
import pytest
import sisl
from ase.calculators.vasp import VaspChargeDensity
from pymatgen.core.structure import Structure
from pymatgen.io.common import VolumetricData
from pymatgen.io.vasp.outputs import Chgcar, Vaspwave

from edframe import io
from edframe.grid import Grid
from edframe.io.units import BOHR

ELECTRONS, MOMENT = 20.0, 2.0
SHAPE = (12, 10, 9)
CELLS = {"orthogonal": np.diag([5.0, 4.6, 5.5]), "triclinic": np.array([[5.0, 0, 0], [1.1, 4.6, 0], [-0.7, 0.5, 5.5]])}
ORIGINS = {"at the origin": (0.0, 0.0, 0.0), "shifted": (0.3, -0.2, 0.1)}
OCCUPANCIES = "".join(
    f"augmentation occupancies{k:4d}{4:4d}\n  0.1000000E+00{'  0.2000000E+00' * 3}\n" for k in (1, 2, 3, 4)
)


@dataclass
class Found:
    """What a program read: fields in e/Å³ by their names, cell and positions in Å; None: it reads none of it."""

    cell: Any
    positions: Any
    numbers: Any
    total: Any = None
    magnetisation: Any = None


def written(cell: str, origin: str, spin: bool, occupancies: bool = False) -> io.Volume:
    """A density of 20 electrons in H₂O₂ with a moment of 2, smooth and without any symmetry."""
    vectors = CELLS[cell]
    grid, rng = Grid.of(vectors, SHAPE), np.random.default_rng(1)
    waves = [
        rng.standard_normal() * np.cos(2 * np.pi * (grid.fractions() @ rng.integers(-2, 3, 3) + rng.random()))
        for _ in range(9)
    ]
    shape = np.exp(0.4 * np.sum(waves, axis=0))
    fields = {"total": shape * ELECTRONS / (shape.sum() * grid.voxel_volume)}
    if spin:
        other = np.exp(0.4 * np.sum(waves[::2], axis=0))
        fields["magnetisation"] = other * MOMENT / (other.sum() * grid.voxel_volume)
    structure = Structure(vectors, ["O", "O", "H", "H"], rng.random((4, 3)))
    behind = dict.fromkeys(fields, OCCUPANCIES) if occupancies else {}
    return io.Volume(structure, grid, fields, comment="made up", origin=ORIGINS[origin], augmentation=behind)


def structure_of(structure: Structure, **fields: Any) -> Found:
    return Found(structure.lattice.matrix, structure.cart_coords, structure.atomic_numbers, **fields)


def atoms_of(atoms: Any, **fields: Any) -> Found:
    return Found(atoms.cell.array, atoms.positions, atoms.numbers, **fields)


def geometry_of(geometry: Any, **fields: Any) -> Found:
    return Found(geometry.lattice.cell, geometry.xyz, geometry.atoms.Z, **fields)


def names(values: dict[str, Any]) -> dict[str, Any]:
    return {"magnetisation" if key in ("diff", "magnetization") else "total": field for key, field in values.items()}


# CHGCAR


def pymatgen_chgcar(path: Path) -> Found:
    chgcar = Chgcar.from_file(path)
    return structure_of(chgcar.structure, **names({k: v / chgcar.structure.volume for k, v in chgcar.data.items()}))


def ase_chgcar(path: Path) -> Found:
    chgcar = VaspChargeDensity(str(path))
    return atoms_of(chgcar.atoms[0], total=chgcar.chg[0], magnetisation=chgcar.chgdiff[0] if chgcar.chgdiff else None)


def sisl_chgcar(path: Path) -> Found:
    blocks = path.read_text().splitlines().count("   {}   {}   {}".format(*SHAPE))  # it never returns from one too many
    grids = [sisl.get_sile(path).read_grid(index) for index in range(blocks)]
    fields = dict(zip(("total", "magnetisation"), (grid.grid for grid in grids), strict=False))
    return geometry_of(grids[0].geometry, **fields)


def vasp_chgcar(path: Path) -> Found:
    """By VASP's rules: each READ takes whole lines, the headers of occupancies stand in columns."""
    lines = iter(path.read_text().splitlines())

    def listed(count: int) -> np.ndarray:
        words: list[str] = []
        while len(words) < count:
            words += next(lines).split()
        return np.array(words[:count], float)

    next(lines)
    cell = float(next(lines)) * np.array([listed(3) for _ in range(3)])
    symbols, counts = next(lines).split(), [int(word) for word in next(lines).split()]
    assert next(lines).startswith("Direct")
    fractions = np.array([listed(3) for _ in range(sum(counts))])
    assert not next(lines).strip()
    fields: dict[str, Any] = {}
    for name in ("total", "magnetisation"):
        shape = [int(word) for word in next(lines).split()]
        fields[name] = listed(int(np.prod(shape))).reshape(shape, order="F") / abs(np.linalg.det(cell))
        for atom, line in enumerate(lines, start=1):
            if not line.startswith("augmentation occupancies"):
                break
            assert int(line[24:28]) == atom
            listed(int(line[28:32]))
        else:
            break
        moments = line.split()  # ⌈n/5⌉ lines of moments, the first is taken already
        while len(moments) < sum(counts):
            moments += next(lines).split()
        assert len(moments) == sum(counts)
    numbers = Structure(
        cell, [s for s, n in zip(symbols, counts, strict=True) for _ in range(n)], fractions
    ).atomic_numbers
    return Found(cell, fractions @ cell, numbers, **fields)


# Cubes


def beside_cube(path: Path) -> Path:
    return path.with_name("density_spin.cube")


def two_cubes(path: Path, read: Callable[[Path], tuple[Found, Any]]) -> Found:
    atoms, atoms.total = read(path)
    if beside_cube(path).is_file():
        _, atoms.magnetisation = read(beside_cube(path))
    return atoms


def pymatgen_cube(path: Path) -> Found:
    def read(file: Path) -> tuple[Found, Any]:
        cube = VolumetricData.from_cube(file)
        return structure_of(cube.structure), cube.data["total"] / BOHR**3

    return two_cubes(path, read)


def ase_cube(path: Path) -> Found:
    def read(file: Path) -> tuple[Found, Any]:
        with file.open() as opened:
            cube = ase.io.cube.read_cube(opened)
        cube["atoms"].positions -= cube["origin"]
        return atoms_of(cube["atoms"]), cube["data"] / BOHR**3

    return two_cubes(path, read)


def pyscf_cube(path: Path) -> Found:
    from pyscf import gto
    from pyscf.tools.cubegen import Cube

    def read(file: Path) -> tuple[Found, Any]:
        cube = Cube(gto.M(atom="He"))
        values = cube.read(str(file))
        positions = (cube.mol.atom_coords() - cube.boxorig) * BOHR
        return Found(cube.box * BOHR, positions, cube.mol.atom_charges()), values / BOHR**3

    return two_cubes(path, read)


def sisl_cube(path: Path) -> Found:
    def read(file: Path) -> tuple[Found, Any]:
        grid = sisl.get_sile(file).read_grid()
        atoms = geometry_of(grid.geometry)
        atoms.positions = atoms.positions - grid.lattice.origin
        return atoms, grid.grid / BOHR**3

    return two_cubes(path, read)


# XSF


def ase_xsf(path: Path) -> Found:
    with path.open() as file:
        values, origin, edges, atoms = ase.io.xsf.read_xsf(file, read_data=True)
    atoms.positions -= origin
    np.testing.assert_allclose(edges, atoms.cell.array)
    return atoms_of(atoms, total=values[:-1, :-1, :-1])


def pymatgen_xsf(path: Path) -> Found:
    atoms = structure_of(Structure.from_str(path.read_text(), fmt="xsf"))
    atoms.positions = atoms.positions - shift(path)
    return atoms


def sisl_xsf(path: Path) -> Found:
    atoms = geometry_of(sisl.get_sile(path).read_geometry())
    atoms.positions = atoms.positions - shift(path)
    return atoms


def shift(path: Path) -> np.ndarray:
    """The origin of the grid, which a reader of atoms alone does not look at."""
    lines = path.read_text().splitlines()
    place = next(k for k, line in enumerate(lines) if line.strip().startswith("BEGIN_DATAGRID_3D"))
    return np.array(lines[place + 2].split(), float)


# vaspwave.h5


def pymatgen_h5(path: Path) -> Found:
    chgcar = Vaspwave(path).get_chgcar()
    data = {key: chgcar.data[key] / chgcar.structure.volume for key in ("total", "diff") if key in chgcar.data}
    return structure_of(chgcar.structure, **names(data))


def py4vasp_h5(path: Path) -> Found:
    from py4vasp import Calculation

    read = Calculation.from_file(path).density.to_dict()
    structure = Structure(
        read["structure"]["lattice_vectors"], read["structure"]["elements"], read["structure"]["positions"]
    )
    fields = {key: read[key] / structure.volume for key in ("charge", "magnetization") if key in read}
    return structure_of(structure, **names(fields))


READERS: dict[str, dict[str, Callable[[Path], Found]]] = {
    "CHGCAR": {"pymatgen": pymatgen_chgcar, "ASE": ase_chgcar, "sisl": sisl_chgcar, "VASP's rules": vasp_chgcar},
    "density.cube": {"pymatgen": pymatgen_cube, "ASE": ase_cube, "PySCF": pyscf_cube, "sisl": sisl_cube},
    "density.xsf": {"pymatgen": pymatgen_xsf, "ASE": ase_xsf, "sisl": sisl_xsf},
    "vaspwave.h5": {"pymatgen": pymatgen_h5, "py4vasp": py4vasp_h5},
}
ATOMS_ALONE = {("density.xsf", "pymatgen"), ("density.xsf", "sisl")}
"""Readers of the cell and the atoms, not of the values."""

TOTAL_ALONE = {("density.xsf", "ASE")}
"""Readers of the first field."""

DIGITS = {"CHGCAR": 1e-10, "density.cube": 1e-5, "density.xsf": 1e-9, "vaspwave.h5": 1e-12}
PLACES = {"CHGCAR": 5e-6, "density.cube": 2e-5, "density.xsf": 1e-9, "vaspwave.h5": 1e-9}

EACH = [(file, program) for file, readers in READERS.items() for program in readers]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("spin", [False, True], ids=["plain", "spin"])
@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("file", "program"), EACH)
def test_others_read_values_axes_atoms_and_electrons(tmp_path, file, program, cell, origin, spin):
    volume = written(cell, origin, spin, occupancies=file in ("CHGCAR", "vaspwave.h5"))
    io.write(tmp_path / file, volume)
    seen = READERS[file][program](tmp_path / file)
    np.testing.assert_allclose(seen.cell, volume.grid.vectors, atol=PLACES[file])
    np.testing.assert_allclose(seen.positions, volume.structure.cart_coords, atol=PLACES[file])
    assert list(seen.numbers) == [8, 8, 1, 1]
    if (file, program) in ATOMS_ALONE:
        assert seen.total is None
        return
    for name, values in volume.fields.items():
        if name == "magnetisation" and (file, program) in TOTAL_ALONE:
            assert seen.magnetisation is None
            continue
        read = getattr(seen, name)
        np.testing.assert_allclose(read, values, rtol=DIGITS[file], atol=DIGITS[file] * abs(values).max())
        integral = read.sum() * abs(np.linalg.det(seen.cell)) / read.size
        assert integral == pytest.approx({"total": ELECTRONS, "magnetisation": MOMENT}[name], rel=2e-5)
    if not spin:
        assert seen.magnetisation is None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("program", "both"), [("pymatgen", True), ("sisl", True), ("VASP's rules", True), ("ASE", False)]
)
def test_a_spin_chgcar_without_occupancies(tmp_path, program, both):
    """ASE looks for a second grid behind occupancies or at once, and moments stand there: it reads the total alone."""
    volume = written("triclinic", "at the origin", spin=True)
    io.write(tmp_path / "CHGCAR", volume)
    read = READERS["CHGCAR"][program](tmp_path / "CHGCAR")
    np.testing.assert_allclose(read.total, volume.fields["total"], rtol=1e-10)
    if both:
        np.testing.assert_allclose(read.magnetisation, volume.fields["magnetisation"], rtol=1e-10)
    else:
        assert read.magnetisation is None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("program", ["pymatgen", "ASE", "PySCF", "sisl"])
def test_up_and_down_as_cubes(tmp_path, program):
    volume = written("triclinic", "shifted", spin=True)
    paths = io.write(tmp_path / "density.cube", volume, spin="up-down")
    up, down = (READERS["density.cube"][program](path).total for path in paths)
    np.testing.assert_allclose(up + down, volume.fields["total"], rtol=2e-5)
    np.testing.assert_allclose(up - down, volume.fields["magnetisation"], rtol=1e-3)


def test_programs_without_a_reader_have_none(tmp_path):
    """Where the table says that there is none: a new release that has one fails here, and gets a cell."""
    from py4vasp import Calculation
    from py4vasp.exception import FileAccessError
    from pyscf import gto
    from pyscf.tools.chgcar import CHGCAR

    volume = written("triclinic", "at the origin", spin=False)
    for name in ("CHGCAR", "density.cube", "density.xsf"):
        io.write(tmp_path / name, volume)
        with pytest.raises(FileAccessError):
            Calculation.from_file(tmp_path / name).density.read()
    with pytest.raises(NotImplementedError):
        CHGCAR(gto.M(atom="He", verbose=0)).read(tmp_path / "CHGCAR")
    assert not hasattr(sisl.get_sile(tmp_path / "density.xsf"), "read_grid")


def test_the_table_of_the_documentation_is_this_one():
    page = (Path(__file__).parents[2] / "docs" / "your-data.md").read_text()
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in page.splitlines() if "|" in line]
    start = next(k for k, row in enumerate(rows) if row[:2] == ["written", "pymatgen"])
    programs = rows[start][1:]
    for row in rows[start + 2 : start + 2 + len(READERS)]:
        file = re.sub("[`]", "", row[0])
        assert file in READERS
        for program, cell in zip(programs, row[1:], strict=True):
            if program not in READERS[file]:
                assert cell == "no reader", (file, program)
            elif (file, program) in ATOMS_ALONE:
                assert cell == "cell, atoms", (file, program)
            elif (file, program) in TOTAL_ALONE:
                assert cell == "all, of the first field", (file, program)
            else:
                assert cell.startswith("all"), (file, program)
