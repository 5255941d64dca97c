"""Small files made after public reports, each of which was once misread: what they hold, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from edframe import io
from edframe.errors import DataError
from edframe.io.electrons import check, number_of
from edframe.io.structures import charge_of, has_occupancies, read_structures

FAULTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "faults"

pytestmark = pytest.mark.skipif(not FAULTS.is_dir(), reason="the files are not there")

READ = {
    "b-xsf-in-bohr.xsf": ("Si2", 8),
    "c-xsf-dim-group.xsf": ("Si2", 8),
    "h-CHGCAR_spin": ("H2 O1", 8),
    "i-slab[110]/CHGCAR": ("H2 O1", 8),
    "j-incar-words/CHGCAR": ("H2 O1", 7),
    "l-packed/CHGCAR.bz2": ("H2 O1", 8),
    "l-packed/CHGCAR.xz": ("H2 O1", 8),
    "m-grid/CHGCAR": ("H2 O1", 8),
    "o-CHGCAR_fractional_hydrogen": ("H2 O1", 8),
    "q-ghost.cube": ("H2 O1", 8),
    "r-CHG": ("H2 O1", 8),
    "t-by-ase.xsf": ("Si2", 8),
    "v-PARCHG_stars": ("H2 O1", 8),
    "z-with-occupancies/CHGCAR": ("H2 O1", 8),
}
"""Formula and electrons."""

REFUSED = {
    "d-cube-in-angstrom-density.cube": r"53\.9867 e in H2 O1, which holds 8 to 10 e: its values are probably e/Å³",
    "n-spin-pair/SPIN1_CHG.cube": r"4\.8000 e in Si2, which holds 8 to 28 e: it may be one spin of two",
    "p-ELFCAR": r"not an electron density; the name of the file says ELFCAR",
    "s-region.cube": r"5\.5817 e in H2 O1, .* atoms 2 \(H\), 3 \(H\) lie outside of the box",
}
"""What the sentence says."""


@pytest.mark.parametrize("name", READ)
def test_what_holds_a_density_has_its_electrons(name):
    volume = io.read(FAULTS / name)
    check(volume, name)
    assert (volume.structure.formula, number_of(volume)) == (READ[name][0], pytest.approx(READ[name][1], abs=2e-3))


@pytest.mark.parametrize("name", REFUSED)
def test_what_holds_none_is_refused_with_its_number(name):
    with pytest.raises(DataError, match=REFUSED[name]):
        check(io.read(FAULTS / name), name)


def test_a_cube_in_another_unit_is_read_when_it_is_said():
    volume = io.read(FAULTS / "d-cube-in-angstrom-density.cube", unit="e/Å³")
    assert check(volume, "d") == ()
    assert number_of(volume) == pytest.approx(8, abs=1e-4)


def test_frames_charges_and_occupancies_of_structures_to_predict():
    assert len(read_structures(FAULTS / "f-two-frames.xyz").structures) == 2
    (charged,) = read_structures(FAULTS / "g-charged.xyz").structures
    assert charge_of(charged) == -1
    assert has_occupancies(FAULTS / "z-with-occupancies" / "CHGCAR")
    assert not has_occupancies(FAULTS / "m-grid" / "CHGCAR")
