"""ABINIT starts from what is written here: against the energies of its own restart, and templates made by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from edframe import io
from edframe.data.level import Level
from edframe.errors import DataError
from edframe.io.units import HARTREE
from edframe.restart.abinit import Abinit, changed
from edframe.restart.process import run
from edframe.restart.start import Start, fitted

SHIPPED = Path("/usr/share/abinit/psp/Pseudodojo_nc_sr_04_pbe_standard_psp8")
installed = pytest.mark.skipif(
    not shutil.which("abinit") or not SHIPPED.is_dir(), reason="abinit(-data) is not installed"
)
INPUT = f"""# two atoms
acell 3*9.0 natom 2 ntypat 1 typat 1 1 znucl 1
xcart 4.5 4.5 3.8 4.5 4.5 5.2
ecut 6 kptopt 0 nkpt 1 nband 2 nstep 40 toldfe 1e-9 iomode 3
pp_dirpath "{SHIPPED}" pseudos "H.psp8" # nline 3
"""


def template(path, components=1):
    """What ABINIT writes, as far as it is read here: H2 on 8 × 8 × 8 points."""
    with h5py.File(path, "w") as file:
        file["density"] = np.full((components, 8, 8, 8, 1), 2 / 729)
        file["atom_species"], file["atomic_numbers"] = [1, 1], [1.0]
        file["primitive_vectors"] = 9.0 * np.eye(3)
        file["reduced_atom_positions"] = [[0.5, 0.5, 3.8 / 9], [0.5, 0.5, 5.2 / 9]]
        file["ixc"], file["nelect"], file["charge"], file["usepaw"] = 11, 2.0, 0.0, 0
        file["title"] = np.array([list("H     ONCVPSP-3.2.3.1 r_core")], "S1")
        file["md5_pseudos"] = np.array([list("0123456789abcdef")], "S1")


@pytest.fixture
def h2(tmp_path):
    (tmp_path / "h2.abi").write_text(INPUT)
    return tmp_path / "h2.abi"


def test_the_template_says_what_is_needed_and_gets_the_density(h2, tmp_path):
    template(tmp_path / "h2.template_DEN.nc")
    code = Abinit()
    needs = code.needs(h2, None, may_run=False)
    assert (needs.shape, needs.spins, needs.electrons, needs.charge) == ((8, 8, 8), 1, 2.0, 0.0)
    assert needs.level == Level("pbe", {"H": "ONCVPSP-3.2.3.1 01234567"})
    grid = io.read(tmp_path / "h2.template_DEN.nc").grid
    values = 2 / grid.volume * (1 + 0.5 * np.cos(2 * np.pi * grid.fractions()[..., 2]))
    density = io.Volume(needs.structure, grid, {"total": values})
    written = code.write(density, h2, None, may_run=False, force=False)
    with h5py.File(written.files[0]) as file:
        line = file["density"][0, :, 3, 5, 0]  # z is the slowest axis
    z = np.arange(8) / 8
    np.testing.assert_allclose(line, 2 / 729 * (1 + 0.5 * np.cos(2 * np.pi * z)), rtol=1e-9)
    text = written.input.read_text()
    assert text.endswith(f'getden_filepath "{written.files[0]}"\nnnsclo -1\n')
    with pytest.raises(DataError, match="exists already"):
        code.write(density, h2, None, may_run=False, force=False)


def test_without_a_template_it_is_said_how_to_make_one(h2, tmp_path):
    with pytest.raises(DataError, match="the same input writes without a step"):
        Abinit().needs(h2, tmp_path / "out", may_run=False)
    text = (tmp_path / "out" / "h2.template.abi").read_text()
    assert "nstep 0\n" in text
    assert "nstep 40" not in text


def test_several_datasets_are_refused(h2):
    h2.write_text("ndtset 2\n" + INPUT)
    with pytest.raises(DataError, match="several datasets"):
        Abinit().needs(h2, None, may_run=False)


def test_variables_are_replaced_and_comments_kept():
    text = 'nline 4 ecut 6 # nline 5\ngetden 1 getden_filepath "a b"\n'
    assert changed(text, {"nline": "10"}) == ' ecut 6 # nline 5\n getden_filepath "a b"\nnline 10\n'


def test_a_log_says_whether_the_density_was_read():
    """Lines of ABINIT 9.6."""
    read = " mkfilename: getden from: a_DEN.nc\n About to read data(r) from: a_DEN.nc\n"
    assert Abinit().check(read) is None
    assert "does not say" in Abinit().check("initro: for itypat=  1, take pseudo charge density from pp file")


@installed
@pytest.mark.slow
def test_abinit_starts_from_our_file_as_from_its_own(h2, tmp_path):
    run(["abinit", str(h2)], tmp_path, tmp_path / "h2.log")
    own = tmp_path / "h2o_DEN.nc"
    scratch = (tmp_path / "h2.abo").read_text().count(" ETOT ")
    code = Abinit()
    needs = code.needs(h2, tmp_path / "out", may_run=True)
    density, _ = fitted(Start(io.read(own), needs.level), needs, "own")
    written = code.write(density, h2, tmp_path / "out", may_run=True, force=False)
    ours = code.run(written)
    shutil.copy(own, written.files[0])
    theirs = code.run(written)
    assert ours.iterations == theirs.iterations < scratch / 2
    np.testing.assert_allclose(ours.energies, theirs.energies, atol=1e-7 * HARTREE)
