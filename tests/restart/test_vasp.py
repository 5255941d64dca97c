"""What VASP starts from: occupancies as they stood, the grid in INCAR, and a file that pymatgen reads back."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from pymatgen.io.vasp.inputs import Incar
from pymatgen.io.vasp.outputs import Chgcar
from pymatgen.io.vasp.sets import MatPESStaticSet

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io import vasp
from edframe.io.volume import Volume
from edframe.restart.vasp import Vasp

ATOMS = Structure(Lattice.orthorhombic(3.0, 3.3, 4.1), ["Li", "Li", "O"], [[0, 0, 0], [0.5, 0.4, 0.5], [0.1, 0.6, 0.2]])
POTCAR = """  PAW_PBE Li_sv 10Sep2004
   TITEL  = PAW_PBE Li_sv 10Sep2004
   LEXCH  = PE
   POMASS =    7.010; ZVAL   =    3.000    mass and valenz
   ENMAX  =  499.034; ENMIN  =  374.276 eV
  PAW_PBE O 08Apr2002
   TITEL  = PAW_PBE O 08Apr2002
   LEXCH  = PE
   POMASS =   16.000; ZVAL   =    6.000    mass and valenz
   ENMAX  =  400.000; ENMIN  =  300.000 eV
"""
OCCUPANCIES = "".join(
    f"augmentation occupancies{ion:4d}{6:4d}\n  {ion}.1234567E+00  0.2000000E+00 -0.3000000E-01  0.4E-05  0.5E+00\n"
    "  0.6000000E+00\n"
    for ion in (1, 2, 3)
)


def density(shape, spins=1):
    grid = Grid.of(ATOMS.lattice.matrix, shape)
    values = 12 / grid.volume * (1 + 0.3 * np.sin(2 * np.pi * grid.fractions()[..., 2]))
    fields = {"total": values, "magnetisation": 0.1 * values}
    return Volume(ATOMS, grid, dict(list(fields.items())[:spins]))


@pytest.fixture
def folder(tmp_path):
    def make(incar="PREC = Accurate\nENCUT = 500\n", occupancies=OCCUPANCIES, shape=(10, 12, 14), spins=1):
        ATOMS.to(str(tmp_path / "POSCAR"), fmt="poscar")
        (tmp_path / "INCAR").write_text(incar)
        (tmp_path / "POTCAR").write_text(POTCAR)
        if shape:
            volume = density(shape, spins)
            augmentation = dict.fromkeys(volume.fields, occupancies)
            vasp.write(tmp_path / "CHGCAR", Volume(ATOMS, volume.grid, volume.fields, augmentation=augmentation))
        return tmp_path

    return make


def test_the_chgcar_has_the_density_the_grid_and_the_occupancies(folder):
    place = folder("ICHARG = 2 ; ISTART = 1\nENCUT = 500 # eV\n")
    needs = Vasp().needs(place)
    assert (needs.shape, needs.electrons, needs.charge, needs.spins) == ((10, 12, 14), 12, 0, 1)
    assert needs.level.functional == "pbe"
    assert needs.level.pseudopotentials == {"Li": "Li_sv", "O": "O"}
    written = Vasp().write(density((10, 12, 14)), place, place / "out", may_run=False, force=False)
    found = Chgcar.from_file(str(written.files[0]))
    np.testing.assert_allclose(
        found.data["total"] / ATOMS.lattice.volume, density((10, 12, 14)).fields["total"], rtol=1e-9
    )
    assert OCCUPANCIES in written.files[0].read_text()
    incar = Incar.from_file(written.input)
    assert {tag: incar[tag] for tag in ("ICHARG", "ISTART", "NGXF", "NGYF", "NGZF", "ENCUT")} == {
        "ICHARG": 1, "ISTART": 0, "NGXF": 10, "NGYF": 12, "NGZF": 14, "ENCUT": 500
    }  # fmt: skip
    assert (place / "out" / "POTCAR").is_file()
    with pytest.raises(DataError, match="exists already"):
        Vasp().write(density((10, 12, 14)), place, None, may_run=False, force=False)


@pytest.mark.parametrize("precision", ["Normal", "Accurate"])
@pytest.mark.parametrize("cutoff", [400, 520, 683])
def test_the_grid_is_the_default_one(folder, precision, cutoff):
    place = folder(f"PREC = {precision}\nENCUT = {cutoff}\n", shape=None)
    tags = {"PREC": precision, "ENCUT": cutoff}
    expected = MatPESStaticSet(ATOMS, user_incar_settings=tags).calculate_ng()[1]
    assert Vasp().needs(place).shape == tuple(expected)


def test_a_magnetisation_needs_occupancies_of_its_own(folder):
    place = folder("ISPIN = 2\n")
    written = Vasp().write(density((10, 12, 14), 2), place, place / "out", may_run=False, force=False)
    assert "diff" not in Chgcar.from_file(str(written.files[0])).data
    assert any("has no occupancies for it" in note for note in written.notes)
    place = folder("ISPIN = 2\n", spins=2)
    written = Vasp().write(density((10, 12, 14), 2), place, place / "two", may_run=False, force=False)
    assert vasp.read(written.files[0]).augmentation.keys() == {"total", "magnetisation"}


def test_what_is_missing_is_said(folder):
    with pytest.raises(DataError, match="no CHGCAR with PAW occupancies"):
        Vasp().write(density((10, 12, 14)), folder(shape=None), None, may_run=False, force=False)
    with pytest.raises(DataError, match="noncollinear"):
        Vasp().needs(folder("LSORBIT = .TRUE.\n"))
    (folder() / "CHGCAR").unlink()
    with pytest.raises(DataError, match="PREC = Low"):
        Vasp().needs(folder("PREC = Low\n", shape=None))
    place = folder()
    (place / "POTCAR").write_text(POTCAR.replace("ZVAL", "none", 1))
    with pytest.raises(DataError, match="not one TITEL"):
        Vasp().needs(place)
    with pytest.raises(DataError, match="no folder"):
        Vasp().needs(place / "INCAR")


@pytest.mark.parametrize(("line", "ignored"), [
    (" charge-density read from file: Li2 O1", False),
    (" WARNING: chargedensity file is incomplete", True),
    (" WARNING: dimensions on CHGCAR file are different", True),
])  # fmt: skip
def test_the_log_tells_whether_the_file_was_used(line, ignored):
    assert (Vasp().check(line) is not None) == ignored
