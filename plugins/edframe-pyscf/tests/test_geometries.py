"""Reading geometries: against ASE on a whole file, and every way in which a file can be wrong, by line."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from edframe_pyscf.geometries import read
from edframe_pyscf.levels import PBE_DZVP

from edframe.errors import DataError

WATER = "3\n\nO 0 0 0.12\nH 0 0.76 -0.47\nH 0 -0.76 -0.47\n"
HELIUM = "1\nhelium\nHe 1 2 3\n"


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "some.xyz"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_frames_are_what_ase_reads(tmp_path):
    rng = np.random.default_rng(0)
    frames = [Atoms("OHH", rng.normal(size=(3, 3)), info={"energy": -1.0, "name": "w"}) for _ in range(11)]
    frames[4].set_cell([5, 6, 7])
    path = tmp_path / "water.v2.extxyz"
    ase.io.write(path, frames, format="extxyz")
    molecules = read(path, None, PBE_DZVP)
    assert [m.id for m in molecules] == [f"water.v2-{i:02d}" for i in range(11)]
    assert [m.place for m in molecules] == [f"{path}:{1 + 5 * i}" for i in range(11)]
    for molecule, frame in zip(molecules, ase.io.read(path, ":"), strict=True):
        assert molecule.species == ("O", "H", "H")
        np.testing.assert_array_equal(molecule.positions, frame.positions)
    assert [m.cell is not None for m in molecules] == [i == 4 for i in range(11)]
    np.testing.assert_array_equal(molecules[4].cell, np.diag([5.0, 6, 7]))


def test_samples_are_spread_evenly_and_keep_their_numbers(file):
    path = file(HELIUM * 101)
    assert [m.id for m in read(path, 5, PBE_DZVP)] == ["some-000", "some-025", "some-050", "some-075", "some-100"]
    with pytest.raises(DataError, match="holds 101 geometries; ask for at most as many samples, not 102"):
        read(path, 102, PBE_DZVP)


def test_blank_lines_between_frames_hide_nothing(file):
    path = file(f"\n{HELIUM}\n\n{WATER}\n")
    assert [(m.species[0], m.place) for m in read(path, None, PBE_DZVP)] == [("He", f"{path}:2"), ("O", f"{path}:7")]


@pytest.mark.parametrize(
    ("comment", "charge"), [("charge=1", 1), ("total_charge=-1.0", -1), ("charge=1 multiplicity=1", 1)]
)
def test_charges_come_from_the_comment_line(file, comment, charge):
    (molecule,) = read(file(f"1\n{comment}\nLi 0 0 0\n"), None, PBE_DZVP)
    assert molecule.charge == charge


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "some.xyz holds no geometry"),
        (f"{HELIUM}Lattice=3\n", "some.xyz:4: 'Lattice=3' appears where a frame must begin"),
        (f"{HELIUM}0\n\n", "some.xyz:4: '0' appears where"),
        (f"{HELIUM}2\n\nH 0 0 0\n", "some.xyz:4: the file ends within this frame of 2 atoms"),
        (f"{HELIUM}1\n\nHe 0 zero 0\n", "some.xyz:4: this frame is not extended xyz"),
        (f"{HELIUM}1\n\nHe 0 0\n", "some.xyz:4: this frame is not extended xyz"),
        (f"{HELIUM}1\n\nQq 0 0 0\n", "some.xyz:4: this frame is not extended xyz"),
        (f"{HELIUM}2\n\nH 0 0 0\nH 0 nan 0\n", "some.xyz:7: the position of atom 2 is not finite"),
        (f"{HELIUM}2\n\nH 0 0 0\nBr 0 1.4 0\n", "some.xyz:7: the level pbe-dzvp has no basis"),
        ("3\n\nO 0 0 0\nH 0 0 0.9\nH 0 0 0.1\n", "some.xyz:5: atoms 1 and 3 are 0.10 Å apart"),
        ('2\nLattice="3 0 0 0 3 0 0 0 3"\nH 0 0 0\nH 0 0 2.8\n', "some.xyz:4: atoms 1 and 2 are 0.20 Å apart"),
        ("1\n\nH 0 0 0\n", "some.xyz:1: an odd number of electrons, 1, means an open shell"),
        ("1\ncharge=1\nHe 0 0 0\n", "an odd number of electrons, 1, means an open shell"),
        ("2\nmultiplicity=3\nO 0 0 0\nO 0 0 1.2\n", "multiplicity 3 means an open shell"),
        ("1\ncharge=half\nHe 0 0 0\n", "charge=half is not a whole number"),
        ("1\ncharge=0.5\nHe 0 0 0\n", "charge=0.5 is not a whole number"),
    ],
)
def test_what_cannot_be_labelled_is_named_with_its_line(file, text, said):
    with pytest.raises(DataError) as error:
        read(file(text), None, PBE_DZVP)
    assert said in str(error.value)


def test_a_file_that_is_not_there_is_an_error():
    with pytest.raises(DataError, match=r"absent\.xyz cannot be read \(No such file"):
        read(Path("absent.xyz"), None, PBE_DZVP)
