"""``edframe restart``: a trained model's density for pw.x, refused where it is of another level."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from safetensors import safe_open

from edframe import io
from edframe.grid import Grid
from edframe.io.espresso import Run, _ordered, _read_dat
from edframe.restart.espresso import Espresso
from edframe.restart.espresso_input import PwInput

INPUT = """&control
 prefix='x' pseudo_dir='.' /
&system
 ibrav=1, A=7.2, nat=3, ntyp=2, ecutwfc=6 /
&electrons
/
ATOMIC_SPECIES
O 16.0 O.UPF
Li 6.9 Li.UPF
ATOMIC_POSITIONS angstrom
O 3.6 3.6 3.6
Li 2.0 3.6 3.6
Li 5.2 3.6 3.6
K_POINTS gamma
"""
HEAD = '<PP_HEADER pseudo_type="NC" functional="{}" z_valence="{}"/>'


@pytest.fixture
def scf(tmp_path):
    """An input of pw.x for Li2O, with heads of pseudopotentials."""
    for symbol, valence in (("O", 6), ("Li", 3)):
        (tmp_path / f"{symbol}.UPF").write_text(HEAD.format("PBE", valence))
    path = tmp_path / "scf.in"
    path.write_text(INPUT)
    return path


def test_a_run_knows_its_level(finished):
    with safe_open(finished / "checkpoints" / "best.safetensors", framework="numpy") as file:
        level = json.loads(file.metadata()["level"])
    assert level == {"functional": "pbe", "pseudopotentials": {"*": "gth-pbe"}}


def test_another_level_is_refused_and_can_be_used_anyway(edframe, finished, scf, tmp_path):
    refused = edframe("restart", "qe", finished, scf, "--out", tmp_path / "out")
    assert refused.code == 2
    assert "the pseudopotential gth-pbe for Li, not Li.UPF" in refused.err
    assert "Traceback" not in refused.err
    assert not (tmp_path / "out").exists()
    result = edframe("restart", "qe", finished, scf, "--out", tmp_path / "out", "--anyway")
    assert result.code == 0, result.err
    with safe_open(finished / "checkpoints" / "best.safetensors", framework="numpy") as file:
        error = float(file.metadata()["coulomb"])
    assert f"the model's Coulomb error on its validation samples, {error:.1e} eV per electron" in result.out
    assert "used anyway" in result.err
    assert "belongs to the pseudopotential gth-pbe for Li, not Li.UPF" in result.err
    assert "12 electrons in Li2 O1 on 24×24×24 points" in result.out
    waves = _read_dat(tmp_path / "out" / "x.save" / "charge-density.dat")
    volume = 7.2**3 / io.espresso.BOHR**3
    assert waves.components[0][0] * volume == pytest.approx(12, rel=1e-6)  # the wave G = 0
    assert PwInput.read(tmp_path / "out" / "scf.restart.in").variables["electrons"]["startingpot"] == "file"


def test_the_density_of_a_file(edframe, scf, tmp_path):
    given = PwInput.read(scf)
    grid = Grid.of(given.structure.lattice.matrix, given.shape)
    values = 12 / grid.volume * (1 + 0.3 * np.cos(2 * np.pi * grid.fractions()[..., 0]))
    io.write(tmp_path / "density.cube", io.Volume(given.structure, grid, {"total": values}))
    result = edframe("restart", "qe", tmp_path / "density.cube", scf)
    assert result.code == 0, result.err
    assert "are not known, and not compared" in result.err
    waves = _read_dat(tmp_path / "x.save" / "charge-density.dat")
    np.testing.assert_array_equal(waves.miller, _ordered(Run(given.structure, given.shape, 24, True, 1)))
    again = edframe("restart", "qe", tmp_path / "density.cube", scf)
    assert again.code == 2
    assert "exists already" in again.err


def test_an_unknown_code(edframe, scf, tmp_path):
    result = edframe("restart", "vsap", tmp_path, scf)
    assert (result.code, "choices: qe" in result.err) == (2, True)


SILICON = """&control
 prefix='x', outdir='.', pseudo_dir='{folder}' /
&system
 ibrav=2, A=5.43, nat=2, ntyp=1, ecutwfc=10 /
&electrons
 conv_thr=1d-8 /
ATOMIC_SPECIES
Si 28.085 Si.pz-vbc.UPF
ATOMIC_POSITIONS crystal
Si 0 0 0
Si {x} 0.25 0.25
K_POINTS automatic
2 2 2 1 1 1
"""
SHIPPED = Path("/usr/share/espresso/pseudo")


@pytest.mark.skipif(not shutil.which("pw.x") or not SHIPPED.is_dir(), reason="quantum-espresso(-data) is not installed")
def test_from_calculations_to_a_restart(edframe, tmp_path):
    """Labels by pw.x, a model, and a restart of pw.x from its prediction, which takes fewer iterations to the energy
    that pw.x finds from atoms."""
    for number, x in enumerate((0.22, 0.24, 0.26, 0.28, 0.25)):
        path = tmp_path / ("new.in" if x == 0.25 else f"train-{number}.in")
        path.write_text(SILICON.format(folder=SHIPPED, x=x))
    data = f"data.inputs=[{tmp_path}/train-*.in]"
    result = edframe(
        *("run", "--data", "qe", "--set", data, "--featurizer", "atoms", "--model", "krr", "--loss", "l1"),
        *("--set", "splits.folds=4", "--set", "splits.validation=1", "--runs", tmp_path / "runs"),
    )
    assert result.code == 0, result.err
    (run,) = (tmp_path / "runs").glob("*-qe-*")
    result = edframe("restart", "qe", run, tmp_path / "new.in", "--out", tmp_path / "out", "--run")
    assert result.code == 0, result.err
    own = Espresso().converged(tmp_path / "new.in", tmp_path).outcome
    iterations, energy = re.search(r"converged in (\d+) iterations: (\S+) eV", result.out).groups()
    assert int(iterations) < own.iterations
    assert float(energy) == pytest.approx(own.energies[-1], abs=1e-5)


HYDROGEN = """from pyscf.pbc import dft, gto
cell = gto.M(atom="H 1.4 1.8 1.8; H 2.2 1.8 1.8", a="3.6 0 0; 0 3.6 0; 0 0 3.6", basis="gth-szv", pseudo="gth-pbe",
             mesh=[12] * 3, verbose=0)
mf = dft.RKS(cell)
mf.xc = "lda,vwn"
kpts_band = cell.make_kpts([2, 1, 1])
"""


def test_bands_and_states_of_a_script_of_pyscf(edframe, tmp_path):
    (tmp_path / "h2.py").write_text(HYDROGEN)
    structure = Structure(Lattice.cubic(3.6), ["H", "H"], [[1.4, 1.8, 1.8], [2.2, 1.8, 1.8]], coords_are_cartesian=True)
    grid = Grid.of(structure.lattice.matrix, (12, 12, 12))
    values = 2 / grid.volume * (1 - 0.5 * np.cos(2 * np.pi * grid.fractions()[..., 1]))
    io.write(tmp_path / "density.cube", io.Volume(structure, grid, {"total": values}))
    result = edframe("bands", tmp_path / "density.cube", tmp_path / "h2.py", "--out", tmp_path / "out", "--dos", "0.5")
    assert result.code == 0, result.err
    table = np.loadtxt(tmp_path / "out" / "bands.csv", delimiter=",", skiprows=1)
    assert table.shape == (2, 3 + 2)
    low, high = (float(value) for value in re.search(r"filled (\S+) eV, lowest empty (\S+) eV", result.out).groups())
    assert (low, high) == (pytest.approx(table[:, 3].max(), abs=1e-4), pytest.approx(table[:, 4].min(), abs=1e-4))
    energies, density, _ = np.loadtxt(tmp_path / "out" / "dos.csv", delimiter=",", skiprows=1).T
    assert np.trapezoid(density, energies) == pytest.approx(4, abs=1e-3)  # two bands of two electrons
    fermi = float(re.search(r"Fermi energy (\S+) eV", result.out)[1])
    assert low < fermi < high
    again = edframe("bands", tmp_path / "density.cube", tmp_path / "h2.py", "--out", tmp_path / "out", "--dos", "0.5")
    assert (again.code, "exists already" in again.err or "--force" in again.err) == (2, True)
