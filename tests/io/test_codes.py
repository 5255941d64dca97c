"""Files of pw.x and ABINIT against the tools of these codes, and runs that start from what is written here.

Slow, and skipped where the codes are not installed (Debian's quantum-espresso, quantum-espresso-data, abinit and
abinit-data).
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edframe import io

pytestmark = pytest.mark.slow
ESPRESSO, ABINIT = Path("/usr/share/espresso/pseudo"), Path("/usr/share/abinit/psp")
CELL = "0.1 2.7 2.8\n2.6 0.2 2.75\n2.9 2.6 -0.1\n"

PW = """&control
 calculation='scf', prefix='x', outdir='.', pseudo_dir='{pseudo}' /
&system
 ibrav=0, nat=2, ntyp=1, ecutwfc=12, nspin=2, starting_magnetization(1)=0.5, occupations='smearing', degauss=0.02 /
&electrons
 conv_thr=1e-8, electron_maxstep={steps}, startingpot='{start}' /
ATOMIC_SPECIES
Si 28.085 Si.pz-vbc.UPF
ATOMIC_POSITIONS crystal
Si 0.01 0.02 0.03
Si 0.25 0.27 0.24
K_POINTS {points}
CELL_PARAMETERS angstrom
{cell}"""

SI = """acell 3*1.0 angstrom
rprim {cell} natom 2 ntypat 1 typat 1 1 znucl 14 xred 0.01 0.02 0.03 0.25 0.27 0.24
nsym 1 chksymtnons 0 ecut 8 nsppol 2 spinat 0 0 1 0 0 1 occopt 3 tsmear 0.01 kptopt 1 ngkpt 2 1 1 shiftk 0 0 0
nband 8 nstep {steps} toldfe 1e-7 nline 10 iomode {mode} prtden 1 {more}
pp_dirpath "{pseudo}/Pseudodojo_nc_sr_04_pbe_standard_psp8" pseudos "Si.psp8"
"""


def run(command, folder, text):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1"}
    ended = subprocess.run(
        command, cwd=folder, input=text, capture_output=True, text=True, env=environment, timeout=300
    )
    return ended.stdout


@pytest.mark.skipif(
    not shutil.which("pw.x") or not ESPRESSO.is_dir(), reason="quantum-espresso(-data) is not installed"
)
@pytest.mark.parametrize("points", ["gamma", "automatic\n2 1 1 0 0 0"], ids=["gamma", "k points"])
def test_quantum_espresso(tmp_path, points):
    def iterations(steps, start):
        out = run(["pw.x"], tmp_path, PW.format(pseudo=ESPRESSO, steps=steps, start=start, points=points, cell=CELL))
        return int((re.search(r"convergence has been achieved in\s+(\d+) iterations", out) or [0, "0"])[1])

    scratch = iterations(80, "atomic")
    assert scratch > 0
    path = tmp_path / "x.save" / "charge-density.dat"
    volume = io.read(path)
    # pp.x prints the density of the same run as a cube, on the same grid.
    text = "&inputpp\nprefix='x', outdir='.', plot_num={}\n/\n&plot\niflag=3, output_format=6, fileout='{}'\n/\n"
    for name, number in (("total", 0), ("magnetisation", 6)):
        run(["pp.x"], tmp_path, text.format(number, f"{name}.cube"))
        cube = io.read(tmp_path / f"{name}.cube")
        values = cube.fields["total"]
        np.testing.assert_allclose(volume.fields[name], values, rtol=6e-5, atol=1e-7)  # of five digits
        np.testing.assert_allclose(cube.grid.vectors, volume.grid.vectors, atol=1e-4)
    own = path.read_bytes()
    io.write(path, volume)
    np.testing.assert_allclose(io.read(path).fields["total"], volume.fields["total"], atol=1e-12)
    assert len(path.read_bytes()) == len(own)  # the same waves
    assert iterations(80, "file") <= 0.6 * scratch
    rough = {
        name: values * (1 + 0.3 * np.random.default_rng(0).random(values.shape))
        for name, values in volume.fields.items()
    }
    io.write(path, replace(volume, fields=rough))
    assert iterations(80, "file") > 0


@pytest.mark.skipif(not shutil.which("abinit") or not ABINIT.is_dir(), reason="abinit(-data) is not installed")
@pytest.mark.parametrize(("mode", "name"), [(0, "o_DEN"), (3, "o_DEN.nc")])
def test_abinit(tmp_path, mode, name):
    def iterations(more=""):
        text = SI.format(cell=CELL.replace("\n", " "), steps=40, mode=mode, more=more, pseudo=ABINIT)
        (tmp_path / "t.abi").write_text(text)
        (tmp_path / "t.abo").unlink(missing_ok=True)
        run(["abinit", "t.abi"], tmp_path, "")
        return len(re.findall(r"^ ETOT ", (tmp_path / "t.abo").read_text(), re.MULTILINE))

    scratch = iterations()
    path = tmp_path / f"t{name}"
    volume = io.read(path)
    integral = {key: values.sum() * volume.grid.voxel_volume for key, values in volume.fields.items()}
    moment = float(
        re.findall(r"Total magnetization \(exact up - dn\):\s+([-\d.]+)", (tmp_path / "t.abo").read_text())[-1]
    )
    assert integral == pytest.approx({"total": 8.0, "magnetisation": moment}, abs=1e-5)
    for key, choice in {"total": 0, "magnetisation": 3}.items() if mode == 0 else ():
        run(["cut3d"], tmp_path, f"{path.name}\n{choice}\n14\n{key}.cube\n0\n")
        cube = io.read(tmp_path / f"{key}.cube").fields["total"]
        np.testing.assert_allclose(cube, volume.fields[key], atol=4e-6)  # it prints six decimals
    written = tmp_path / f"start{name[1:]}"
    shutil.copy(path, written)
    io.write(written, volume)
    assert iterations(f'getden_filepath "{written.name}"') < scratch


@pytest.mark.skipif(not importlib.util.find_spec("gpaw"), reason="gpaw is not installed")
@pytest.mark.filterwarnings("ignore")
def test_gpaw(tmp_path):
    from ase.build import molecule
    from gpaw import GPAW, PW, Mixer

    for formula, electrons, moment in (("H2O", 8, 0), ("OH", 7, 1)):
        atoms = molecule(formula)
        atoms.set_cell([4.6, 4.8, 5.0])
        atoms.center()
        atoms.pbc = True
        atoms.calc = GPAW(
            mode=PW(200), txt=None, mixer=Mixer(0.1, 5), convergence={"density": 1e-2}, spinpol=moment > 0
        )
        atoms.get_potential_energy()
        atoms.calc.write(tmp_path / "run.gpw")
        volume = io.read(tmp_path / "run.gpw")
        integrals = [values.sum() * volume.grid.voxel_volume for values in volume.fields.values()]
        np.testing.assert_allclose(integrals, [electrons, moment][: 1 + (moment > 0)], atol=1e-3)
        np.testing.assert_allclose(volume.structure.cart_coords, atoms.positions, atol=1e-9)
        assert list(volume.structure.atomic_numbers) == atoms.numbers.tolist()
