"""Densities of states: closed forms of few levels, and dos.x of Quantum ESPRESSO on the same folder."""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from edframe.errors import DataError
from edframe.restart.bands import Bands, bands
from edframe.restart.dos import states
from edframe.restart.espresso import RYDBERG, Espresso
from edframe.restart.espresso_input import PwInput
from edframe.restart.process import run

from .conftest import SHIPPED

LEVELS = Bands(np.zeros((2, 3)), np.array([[-3.0, 2.0], [-1.0, 4.0]]), 2.0, 1, 0.0, weights=np.array([0.25, 0.75]))
WIDTH = 0.3


def test_a_level_is_a_gaussian_and_holds_two_electrons():
    found = states(LEVELS, WIDTH, np.array([-3.0, -2.0, -1.0, 0.5, 10.0]))
    peak = 2 / (math.sqrt(math.pi) * WIDTH)
    np.testing.assert_allclose(
        found.density, [0.25 * peak, 1.0 * peak * math.exp(-1 / WIDTH**2), 0.75 * peak, 0, 0], atol=1e-9
    )
    np.testing.assert_allclose(found.count, [0.25, 0.5, 0.5 + 0.75, 2, 4], atol=5e-6)


def test_the_integral_is_the_count_and_the_fermi_energy_is_where_it_is_the_electrons():
    found = states(replace(LEVELS, electrons=1.0), WIDTH)
    assert np.trapezoid(found.density, found.energies) == pytest.approx(4, rel=1e-9)
    # half an electron at −3 eV, and the level at −1 eV, which holds 1.5, a third full: erf(x) = −1/3
    assert math.erf((found.fermi + 1) / WIDTH) == pytest.approx(-1 / 3, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "width", "reason"),
    [
        ({"weights": None}, 0.1, "these are a path"),
        ({}, 0.0, "give a positive one"),
        ({"electrons": 4.0}, 0.1, "ask for more bands"),
    ],
)
def test_what_has_no_density_of_states_is_said(change, width, reason):
    with pytest.raises(DataError, match=reason):
        states(replace(LEVELS, **change), width)


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("pw.x") or not shutil.which("dos.x") or not SHIPPED.is_dir(),
    reason="quantum-espresso(-data) is not installed",
)
def test_the_density_of_states_is_that_of_dos_x_after_an_scf(pw, tmp_path):
    """From the density of an SCF: energies as pw.x has them after it, then dos.x in both folders."""
    smeared = ", nbnd=8, occupations='smearing', smearing='gaussian', degauss=0.02"
    path = pw(real=True, points="automatic\n2 2 2 1 1 1", more=smeared)
    (tmp_path / "tmp").mkdir()
    density = Espresso().converged(path, tmp_path / "tmp").density
    path.write_text(PwInput.read(path).changed({"control.calculation": "'nscf'"}).replace("2 2 2", "3 3 3"))
    run(["pw.x", "-in", path.name], tmp_path, tmp_path / "nscf.log")
    made = bands(density, path, tmp_path / "out")
    for folder in ("tmp", "out"):
        (tmp_path / f"{folder}.in").write_text(
            f"&dos prefix='x', outdir='{folder}', fildos='{folder}.dos', ngauss=0, degauss=0.02, DeltaE=0.05 /\n"
        )
        run(["dos.x", "-in", f"{folder}.in"], tmp_path, tmp_path / f"{folder}.log")
    expected, again = (np.loadtxt(tmp_path / f"{folder}.dos") for folder in ("tmp", "out"))
    ours = states(made, 0.02 * RYDBERG, expected[:, 0])
    np.testing.assert_allclose(again, expected, atol=2e-3)
    np.testing.assert_allclose(ours.density, expected[:, 1], atol=2e-3 * expected[:, 1].max())
    assert ours.fermi == pytest.approx(
        float(re.search(r"the Fermi energy is\s+(\S+)", (tmp_path / "nscf.log").read_text())[1]), abs=2e-4
    )
