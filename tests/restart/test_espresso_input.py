"""Inputs of pw.x: grids as pw.x 6.7 printed them, ASE's reader for what was changed, cells in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from ase.io.espresso import read_fortran_namelist

from edframe.errors import DataError
from edframe.restart.espresso_input import PwInput
from edframe.restart.namelists import changed, read
from edframe.restart.pseudopotential import Pseudopotential

GRIDS = [
    ("ibrav=1, celldm(1)=10.2", "", 12, (24, 24, 24)),
    ("ibrav=2, A=5.43", "", 12, (18, 18, 18)),
    ("ibrav=3, celldm(1)=8.1", "", 12, (15, 15, 15)),
    ("ibrav=4, celldm(1)=7.0, celldm(3)=1.63299", "", 12, (15, 15, 25)),
    ("ibrav=6, A=4.0, C=5.1", "", 20.3, (24, 24, 27)),
    ("ibrav=8, A=4.0, B=4.5, C=5.1", "", 20.3, (24, 25, 27)),
    ("ibrav=0", "CELL_PARAMETERS angstrom\n0.1 2.7 2.8\n2.6 0.2 2.75\n2.9 2.6 -0.1\n", 12, (18, 15, 18)),
    ("ibrav=0, celldm(1)=7.5", "CELL_PARAMETERS alat\n1 0 0\n0 1 0\n0 0 1.2\n", 12, (18, 18, 20)),
    ("ibrav=2, A=5.43, nr1=20", "", 12, (20, 18, 18)),
]
"""Cell, cutoff in Ry, and the FFT grid that pw.x 6.7 chose; the last is given in part."""


@pytest.mark.parametrize(("cell", "card", "cutoff", "shape"), GRIDS)
def test_the_grid_is_that_of_pw_x(pw, cell, card, cutoff, shape):
    assert PwInput.read(pw(cell, card, cutoff=cutoff)).shape == shape


def test_what_an_input_says(pw):
    given = PwInput.read(pw(more=", nspin=2, tot_charge=-1", points="automatic\n1 1 1 0 0 0"))
    assert (given.prefix, given.spins, given.gamma, given.charge, given.electrons) == ("x", 2, False, -1, 9)
    assert given.save == given.path.parent / "tmp" / "x.save"
    assert given.cutoff == 32  # Ry, four times that of the wave functions
    assert given.structure.lattice.volume == pytest.approx(5.43**3 / 4)  # fcc
    np.testing.assert_allclose(given.structure.frac_coords[1], [0.25, 0.27, 0.24], atol=1e-9)
    assert PwInput.read(pw()).gamma


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"cell": "ibrav=5, celldm(1)=7"}, "ibrav = 5 is not read here"),
        ({"cell": "ibrav=0"}, "no CELL_PARAMETERS"),
        ({"more": ", noncolin=.true."}, "noncollinear"),
    ],
)
def test_what_is_not_treated_is_named(pw, more, message):
    given = PwInput.read(pw(**more))
    with pytest.raises(DataError, match=message):
        _ = given.structure, given.spins


def test_what_is_no_input(tmp_path):
    (tmp_path / "scf.in").write_text("ATOMIC_POSITIONS\nH 0 0 0\n")
    with pytest.raises(DataError, match="no namelist &control"):
        PwInput.read(tmp_path / "scf.in")
    with pytest.raises(DataError, match="cannot be read"):
        PwInput.read(tmp_path / "other.in")


@pytest.mark.parametrize(
    "text",
    [
        "&electrons\n conv_thr=1e-8, startingpot = 'atomic' ! startingpot='none'\n/\nK_POINTS gamma\n",
        "&electrons\n/\nK_POINTS gamma\n",
        "&ELECTRONS conv_thr=1e-8 /\nK_POINTS gamma\n",
        "&control\n pseudo_dir='/a/b' ! /\n/\n &electrons ! first\n StartingPot=\"atomic\",\n/\nK_POINTS gamma\n",
    ],
)
def test_one_variable_is_changed_and_nothing_else(text):
    new = changed(text, {"electrons.startingpot": "'file'"})
    # ASE takes variables behind the name of the namelist for a part of it.
    before, after = (
        read_fortran_namelist(each.replace("&ELECTRONS ", "&ELECTRONS\n").splitlines(keepends=True))
        for each in (text, new)
    )
    variables = {key.lower(): value for key, value in after[0]["electrons"].items()}
    assert variables.pop("startingpot") == "file"
    kept = {key.lower(): value for key, value in before[0]["electrons"].items() if key.lower() != "startingpot"}
    assert variables == kept
    assert (after[0].get("control"), after[1]) == (before[0].get("control"), before[1])


def test_namelists_as_fortran_reads_them():
    """Pairs divided by blanks, commas and lines; quotes and comments that hold signs of the syntax."""
    text = "&a x='1/2 ! , y' z=1d-3 w(1)=.True. ! v=3\n u = 4, t=F/\n! a\nCARD\n &B\n s=\"it's\" /\n 1 2 3\n"
    assert read(text) == (
        {"a": {"x": "1/2 ! , y", "z": 1e-3, "w(1)": True, "u": 4, "t": False}, "b": {"s": "it's"}},
        ["CARD", "1 2 3"],
    )


def test_heads_of_both_versions(tmp_path):
    first = (
        "<PP_HEADER>\n 0 Version Number\n O Element\n NC  Norm\n F Nonlinear\n SLA  PW   PBE  PBE    PBE  Exchange\n"
    )
    (tmp_path / "1.UPF").write_text(f"{first}  6.0000000000   Z valence\n</PP_HEADER>\n")
    (tmp_path / "2.UPF").write_text('<PP_HEADER\npseudo_type="PAW"\nfunctional="PBESOL"\nz_valence="3.0E+000"\n/>')
    assert Pseudopotential.read(tmp_path / "1.UPF") == Pseudopotential("1.UPF", 6.0, "pbe", "NC")
    assert Pseudopotential.read(tmp_path / "2.UPF") == Pseudopotential("2.UPF", 3.0, "pbesol", "PAW")
    # the head as ABINIT's manual has it for pspcod 10, of C; pw.x goes by the name of the file
    (tmp_path / "C.gth").write_text("Goedecker, C\n 6 4 070301 zatom,zion,pspdat\n10 11 1 2 2001 0 pspcod,pspxc,…\n")
    assert Pseudopotential.read(tmp_path / "C.gth") == Pseudopotential("C.gth", 4.0, "pbe", "NC")
    (tmp_path / "3.UPF").write_text("no head")
    with pytest.raises(DataError, match="no pseudopotential in UPF"):
        Pseudopotential.read(tmp_path / "3.UPF")
