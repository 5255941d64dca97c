"""Structures of one or several frames, as ASE and pymatgen write them, with charges, and names that mean no element."""

from __future__ import annotations

import bz2
import sys

import ase.io
import numpy as np
import pytest
from ase import Atoms
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe import io
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.structures import charge_of, read_structures

FRAMES = [
    Atoms("OH2", [(x, 3, 3), (x + 0.96, 3, 3), (x - 0.24, 3.9, 3)], cell=[6, 7, 8], pbc=True) for x in (3, 3.5, 4)
]


def same(structures, frames):
    assert len(structures) == len(frames)
    for structure, atoms in zip(structures, frames, strict=True):
        np.testing.assert_allclose(structure.lattice.matrix, atoms.cell.array, atol=1e-6)
        apart = structure.frac_coords - atoms.get_scaled_positions(wrap=False)
        np.testing.assert_allclose(apart - np.rint(apart), 0, atol=1e-6)
        assert structure.atomic_numbers == tuple(atoms.numbers)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("frames.xyz", "extxyz"),
        ("frames.extxyz", "extxyz"),
        ("frames.traj", "traj"),
        ("frames.xsf", "xsf"),
        ("XDATCAR", "vasp-xdatcar"),
    ],
)
def test_all_frames_of_a_file_are_read(tmp_path, name, form):
    ase.io.write(tmp_path / name, FRAMES, format=form)
    same(read_structures(tmp_path / name).structures, FRAMES)


def test_an_xdatcar_of_a_changing_cell(tmp_path):
    frames = [atoms.copy() for atoms in FRAMES]
    for k, atoms in enumerate(frames):
        atoms.set_cell(atoms.cell * (1 + 0.1 * k), scale_atoms=True)
    text = ""
    for k, atoms in enumerate(frames):
        rows = [" ".join(f"{x:.8f}" for x in row) for row in (*atoms.cell, *atoms.get_scaled_positions(wrap=False))]
        text += "\n".join(
            ["water", "1.0", *rows[:3], "O H1.25", "1 2", f"Direct configuration= {k + 1}", *rows[3:], ""]
        )
    (tmp_path / "XDATCAR").write_text(text)
    same(read_structures(tmp_path / "XDATCAR").structures, frames)


HEAD = 'Lattice="6 0 0 0 6 0 0 0 6" Properties=species:S:1:pos:R:3'
ROWS = "O 3.0 3 3\nH 3.96 3 3\nH 2.76 3.9 3\n"


@pytest.mark.parametrize(
    ("comment", "charge"),
    [
        (HEAD, 0),
        (f"{HEAD} charge=-1", -1),
        (f"{HEAD} charge=1.0 energy=3", 1),
        (f'total_charge=2 {HEAD} pbc="T T T"', 2),
        (f"Charge=-2 {HEAD}", -2),
    ],
)
def test_the_charge_of_a_frame_counts(tmp_path, comment, charge):
    (tmp_path / "a.xyz").write_text(f"3\n{comment}\n{ROWS}")
    (structure,) = read_structures(tmp_path / "a.xyz").structures
    assert charge_of(structure) == charge


def test_each_frame_has_its_charge_and_blank_lines_end_nothing(tmp_path):
    text = "\n\n".join(f"3\n{HEAD} charge={q}\n{ROWS}" for q in (0, 1, -1)) + "\n\n"
    (tmp_path / "a.xyz.bz2").write_bytes(bz2.compress(text.encode()))
    assert [charge_of(one) for one in read_structures(tmp_path / "a.xyz.bz2").structures] == [0, 1, -1]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"3\n{HEAD} charge=many\n{ROWS}", r"a\.xyz:1: charge=many is not a number"),
        (f"3\n{HEAD}\n{ROWS}4\n{HEAD}\n{ROWS}", r"a\.xyz:6: the file has fewer rows than the 4 atoms"),
        (f"3\n{HEAD}\n{ROWS}water\n", r"a\.xyz:6: 'water' appears where a frame must begin"),
        (f"3\nno cell\n{ROWS}", r"a\.xyz:1: it has no cell: add Lattice="),
        (f"3\n{HEAD}\n{ROWS}3\n{HEAD}\n{ROWS.replace('O 3', 'Q 3')}", r"a\.xyz:6: this frame is not extended xyz"),
        (f"1\n{HEAD}\nX 0 0 0\n", r"a\.xyz:1: all atoms of this frame are ghosts"),
        ("", r"a\.xyz holds no structure"),
    ],
)
def test_what_is_wrong_in_an_xyz_file_is_said_with_its_line(tmp_path, text, sentence):
    (tmp_path / "a.xyz").write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_structures(tmp_path / "a.xyz")


@pytest.mark.parametrize("ghost", ["X", "Bq", "Gh", "Gh(O)", "X1"])
def test_ghosts_are_left_out_and_said_and_deuterium_is_hydrogen(tmp_path, ghost):
    rows = ROWS.replace("H 3.96", "D 3.96") + f"{ghost} 1 1 1\n"
    (tmp_path / "a.xyz").write_text(f"4\n{HEAD}\n{rows}")
    frames = read_structures(tmp_path / "a.xyz")
    assert frames.structures[0].formula == "H2 O1"
    assert frames.notes == ("ghost atoms, left out: 1",)


@pytest.mark.parametrize("comment", ["", "water, by hand"])
def test_a_plain_frame_is_what_ase_reads_and_takes_no_ase(tmp_path, comment, monkeypatch):
    from ase.io import read

    (tmp_path / "a.xyz").write_text(f"3\n{comment}\n{ROWS.replace('3.0', '3.0e0')}")
    atoms = read(tmp_path / "a.xyz", format="extxyz")
    monkeypatch.setitem(sys.modules, "ase.io", None)
    (structure,) = read_structures(tmp_path / "a.xyz", 4.0).structures
    assert [site.specie.symbol for site in structure] == atoms.get_chemical_symbols()
    np.testing.assert_allclose(structure.distance_matrix, atoms.get_all_distances(), atol=1e-12)
    assert charge_of(structure) == 0


POSCAR = "water\n1.0\n6 0 0\n0 6 0\n0 0 6\n{species}1 2\nDirect\n0.5 0.5 0.5\n0.66 0.5 0.5\n0.46 0.65 0.5\n"


@pytest.mark.parametrize("name", ["POSCAR", "CONTCAR", "water.vasp", "POSCAR.bz2", "my_poscar.txt"])
def test_species_of_a_poscar_are_read_and_never_invented(tmp_path, name):
    pack = bz2.compress if name.endswith("bz2") else bytes
    (tmp_path / name).write_bytes(pack(POSCAR.format(species="O_s H1.25/0123\n").encode()))
    assert read_structures(tmp_path / name).structures[0].formula == "H2 O1"
    (tmp_path / name).write_bytes(pack(POSCAR.format(species="").encode()))
    with pytest.raises(DataError, match="VASP 4 named no species here"):
        read_structures(tmp_path / name)


@pytest.mark.parametrize("name", ["CHGCAR.bz2", "a.CUBE", "a.cub.xz", "a.xsf.zst", "LOCPOT", "Li_CHGCAR.gz"])
def test_names_that_io_reads_are_structures_too(tmp_path, name):
    structure = Structure(Lattice.cubic(4), ["O"], [[0.25, 0.5, 0.5]])
    grid = Grid.of([4.0] * 3, 4)
    quantity = "potential" if name == "LOCPOT" else "density"
    # No density of an oxygen atom: its values do not matter here.
    io.write(tmp_path / name, io.Volume(structure, grid, {"total": np.ones(grid.shape)}, quantity))
    (read,) = read_structures(tmp_path / name).structures
    np.testing.assert_allclose(read.cart_coords, structure.cart_coords, atol=1e-5)
    assert read.species == structure.species


def test_a_cif_of_two_structures_and_one_of_partial_occupancy(tmp_path):
    one, two = Structure(Lattice.cubic(4), ["Na"], [[0, 0, 0]]), Structure(Lattice.cubic(5), ["K"], [[0, 0, 0]])
    text = [structure.to(fmt="cif") for structure in (one, two)]
    (tmp_path / "a.cif").write_text(text[0] + text[1].replace("data_K", "data_other"))
    assert [each.formula for each in read_structures(tmp_path / "a.cif").structures] == ["Na1", "K1"]
    mixed = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    (tmp_path / "b.cif").write_text(mixed.to(fmt="cif"))
    with pytest.raises(DataError, match="partial occupancy"):
        read_structures(tmp_path / "b.cif")
