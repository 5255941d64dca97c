import pytest
from edframe_vasp.electrons import files_beside, potentials, stated_electrons, stated_valence
from pymatgen.core.structure import Structure

from edframe.errors import DataError

CELL = [[7.2, 0, 0], [0, 7.2, 0], [0, 0, 7.2]]
LI_SV, LI, OXYGEN = ("PAW_PBE Li_sv 10Sep2004", 3.0), ("PAW_PBE Li 17Jan2003", 1.0), ("PAW_PBE O 08Apr2002", 6.0)


def atoms(*species):
    return Structure(CELL, species, [[i / 10, 0, 0] for i in range(len(species))])


def count(folder, structure):
    density = folder / "CHGCAR"
    return stated_electrons(density, files_beside(density), structure)


@pytest.mark.parametrize(
    ("species", "sets", "electrons"),
    [
        (("Li", "O", "Li"), (LI_SV, OXYGEN, LI_SV), 12),
        (("Li", "O", "Li"), (LI_SV, OXYGEN, LI), 10),  # two potentials for one element
        (("Li", "O", "Li"), (LI_SV, OXYGEN), 12),
        (("Li", "Li", "O"), (LI_SV, LI_SV, OXYGEN), 12),  # a POSCAR may list neighbours of one element as two
        (("H", "H", "O"), (("PAW_PBE H1.25 07Sep2000", 1.25), OXYGEN), 8.5),
        (("Fe",), (("US Fe", 8.0),), 8),
    ],
)
def test_electrons_of_a_potcar(tmp_path, potcar, species, sets, electrons):
    potcar(tmp_path, *sets)
    assert count(tmp_path, atoms(*species)) == (electrons, "POTCAR")


def test_the_electrons_of_each_element_are_those_of_its_one_potential(tmp_path, potcar):
    density = tmp_path / "CHGCAR"
    assert stated_valence(density, files_beside(density)) is None
    potcar(tmp_path, LI_SV, OXYGEN, LI_SV)
    assert stated_valence(density, files_beside(density)) == {"Li": 3, "O": 6}
    assert stated_valence(tmp_path / "other.vasp", files_beside(density)) is None  # perhaps of another calculation
    potcar(tmp_path, LI_SV, OXYGEN, LI)
    assert stated_valence(density, files_beside(density)) is None


@pytest.mark.parametrize("sets", [(OXYGEN,), (LI_SV, ("PAW_PBE F 08Apr2002", 7.0)), (LI_SV, LI, OXYGEN)])
def test_a_potcar_of_other_elements_or_unclear_counts_is_refused(tmp_path, potcar, sets):
    potcar(tmp_path, *sets)
    with pytest.raises(DataError, match=r"POTCAR: it has potentials for .*, and the density's atoms are Li2 O1"):
        count(tmp_path, atoms("Li", "Li", "O"))


def test_what_is_no_potcar_is_refused(tmp_path):
    (tmp_path / "POTCAR").write_text("TITEL = PAW_PBE Li 17Jan2003\n")
    with pytest.raises(DataError, match="POTCAR: it is not a POTCAR"):
        potentials(tmp_path / "POTCAR")


@pytest.mark.parametrize(
    ("incar", "electrons"),
    [
        ("SYSTEM = charged\nNELECT = 11.5\n", 11.5),
        ("  nelect=11 ! one less\n", 11),
        ("ENCUT = 500; NELECT = 13 # one more\n", 13),
        ("# NELECT = 11\nENCUT = 500 ; ISPIN = 2\n", None),
        ("SYSTEM = cation\nNELECT = 7   one electron taken out\n", 7),
        ("NELECT = 7, one taken out", 7),
        ("\tNelect\t=\t0.7E+01 !NELECT = 9", 7),
        ("NELECT=7.0d0# charged", 7),
        ("NELECT = \\\n  7\nISPIN = 2", 7),
        ("ENCUT = 500 \\ \n ; NELECT = 7", 7),
        ("NELECT = 7\nNELECT = 9\n", 7),
        ("NELECT = 7\r\nISPIN = 1\r\n", 7),
        ('WANNIER90_WIN = "\nNELECT = 5\n"\nNELECT = 7', 7),
        ("SYSTEM = a test of NELECT = 5\n", None),
        ("LNELECT = 5\n", None),
    ],
)
def test_nelect_of_an_incar(tmp_path, incar, electrons):
    (tmp_path / "INCAR").write_text(incar)
    assert count(tmp_path, atoms("Li")) == (None if electrons is None else (electrons, "INCAR"))


def test_nelect_that_is_no_number_is_refused(tmp_path):
    for value in ("many", "7electrons", "7.0.1", ""):
        (tmp_path / "INCAR").write_text(f"NELECT = {value}\n")
        with pytest.raises(DataError, match=rf"INCAR: NELECT = {value} is not a number"):
            count(tmp_path, atoms("Li"))


def test_an_incar_goes_before_a_potcar_and_that_before_an_outcar(tmp_path, potcar):
    (tmp_path / "OUTCAR").write_text(" NBANDS = 8\n   NELECT =      12.0000    total number of electrons\n")
    assert count(tmp_path, atoms("O")) == (12, "OUTCAR")
    potcar(tmp_path, OXYGEN)
    assert count(tmp_path, atoms("O")) == (6, "POTCAR")
    (tmp_path / "INCAR").write_text("NELECT = 7\n")
    assert count(tmp_path, atoms("O")) == (7, "INCAR")


def test_files_in_its_folder_do_not_belong_to_a_density_under_another_name(tmp_path, potcar):
    potcar(tmp_path, OXYGEN)
    other = tmp_path / "CHGCAR.O2"
    assert stated_electrons(other, files_beside(other), atoms("O")) is None
