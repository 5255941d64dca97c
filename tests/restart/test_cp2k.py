"""What CP2K starts from: its finest grid, its own cell and atoms, and one section changed."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest

from edframe import io
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.volume import Volume
from edframe.restart.cp2k import Cp2k

INPUT = """&GLOBAL
 PROJECT w
 RUN_TYPE ENERGY
&END
&FORCE_EVAL
 METHOD QS
 &DFT
  BASIS_SET_FILE_NAME GTH_BASIS_SETS
  POTENTIAL_FILE_NAME GTH_POTENTIALS
  {dft}
  &MGRID
   CUTOFF {cutoff} ! Ry
  &END MGRID
  &SCF
   MAX_SCF 1
   SCF_GUESS ATOMIC # as usual
  &END SCF
  &XC
   &XC_FUNCTIONAL PBE
   &END
  &END XC
  &PRINT
   &E_DENSITY_CUBE
    STRIDE 1 1 1
   &END
  &END
 &END DFT
 &SUBSYS
  &CELL
   ABC 5.0 5.7 4.3
   ALPHA_BETA_GAMMA 95 80 100
  &END CELL
  &COORD
   O 0.1 0.2 0.1
   H1 0.857 0.787 0.1
   H -0.657 0.787 0.1
  &END COORD
  &KIND H
   BASIS_SET SZV-GTH
   POTENTIAL GTH-PBE-q1
  &END
  &KIND H1
   ELEMENT H
   BASIS_SET SZV-GTH
   POTENTIAL GTH-PBE-q1
  &END
  &KIND O
   BASIS_SET SZV-GTH
   POTENTIAL GTH-PBE-q6
  &END
 &END SUBSYS
&END FORCE_EVAL
"""


@pytest.fixture
def inp(tmp_path):
    def write(cutoff=60, dft="", **replaced):
        path = tmp_path / "w.inp"
        text = INPUT.format(cutoff=cutoff, dft=dft)
        for old, new in replaced.items():
            text = text.replace(old, new)
        path.write_text(text)
        return path

    return write


def flat(needs):
    grid = Grid.of(needs.structure.lattice.matrix, needs.shape)
    values = 8 / grid.volume * (1 + 0.3 * np.sin(2 * np.pi * grid.fractions()[..., 1]))
    return Volume(needs.structure, grid, {"total": values})


def test_the_cube_and_the_input(inp):
    path = inp()
    needs = Cp2k().needs(path)
    assert (needs.electrons, needs.spins, needs.level.functional) == (8, 1, "pbe")
    assert needs.level.pseudopotentials == {"O": "gth-pbe", "H": "gth-pbe"}
    written = Cp2k().write(flat(needs), path, None, may_run=False, force=False)
    cube = io.read(written.files[0])
    np.testing.assert_allclose(cube.fields["total"], flat(needs).fields["total"], rtol=5e-10)
    before, after = path.read_text().splitlines(), written.input.read_text().splitlines()
    assert [line for line in after if line not in before] == [
        "      SCF_GUESS EXTERNAL_DENSITY", "      EXTERNAL_DENSITY_FILE_NAME w.density.cube"
    ]  # fmt: skip
    assert [line for line in before if line not in after] == ["   SCF_GUESS ATOMIC # as usual"]
    assert after[after.index("  &SCF") + 1].split() == ["SCF_GUESS", "EXTERNAL_DENSITY"]
    with pytest.raises(DataError, match="exists already"):
        Cp2k().write(flat(needs), path, None, may_run=False, force=False)


def test_a_charge_is_counted(inp):
    needs = Cp2k().needs(inp(dft="CHARGE -1"))
    assert (needs.electrons, needs.charge) == (9, -1)


def test_a_cell_by_its_vectors(inp):
    path = inp(**{"ABC 5.0 5.7 4.3\n   ALPHA_BETA_GAMMA 95 80 100": "A [bohr] 9 0 0\n B 0 5 0\n C 0 1 4"})
    np.testing.assert_allclose(
        Cp2k().needs(path).structure.lattice.matrix, [[9 * 0.529177210903, 0, 0], [0, 5, 0], [0, 1, 4]]
    )


@pytest.mark.parametrize(
    ("dft", "replaced", "reason"),
    [
        ("UKS", {}, "without spin"),
        ("MULTIPLICITY 3", {}, "without spin"),
        ("&QS\n METHOD GAPW\n&END QS", {}, "GPW alone"),
        ("", {"CUTOFF 60": "NGRIDS 4"}, "no CUTOFF"),
        ("@include x.inc", {}, "directives"),
        ("", {"&FORCE_EVAL\n": "&FORCE\n"}, "no input of CP2K"),
        ("", {"O 0.1 0.2 0.1": "O 0.1 0.2"}, "cannot be read"),
    ],
)
def test_what_cannot_be_started_is_said(inp, dft, replaced, reason):
    with pytest.raises(DataError, match=reason):
        Cp2k().needs(inp(dft=dft, **replaced))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("cp2k"), reason="cp2k is not installed")
@pytest.mark.parametrize("cutoff", [50, 100, 173])
def test_the_grid_is_that_of_cp2k(inp, cutoff):
    path = inp(cutoff)
    subprocess.run(["cp2k", "-i", path.name, "-o", "w.out"], cwd=path.parent, check=False, timeout=300)
    [cube] = path.parent.glob("*ELECTRON_DENSITY*.cube")
    theirs, needs = io.read(cube), Cp2k().needs(path)
    assert theirs.grid.shape == needs.shape
    np.testing.assert_allclose(theirs.structure.lattice.matrix, needs.structure.lattice.matrix, atol=1e-4)
    np.testing.assert_allclose(theirs.structure.cart_coords, needs.structure.cart_coords, atol=1e-4)
    ended = subprocess.run(["cp2k", "--version"], capture_output=True, text=True, check=True)
    assert re.search(r"CP2K version", ended.stdout)
