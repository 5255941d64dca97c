"""Bands at fixed density: those of pw.x after its own SCF, and files made by hand."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from edframe import io
from edframe.errors import DataError
from edframe.io.units import HARTREE
from edframe.restart.bands import bands, expected_error, one_point, read_bands
from edframe.restart.espresso import Espresso
from edframe.restart.espresso_input import PwInput
from edframe.restart.process import run

from .conftest import SHIPPED

PATH = "crystal\n2\n0 0 0 1\n0.5 0 0.5 1\n"
SCHEMA = """<?xml version="1.0"?><qes:espresso xmlns:qes="http://www.quantum-espresso.org/ns/qes/qes-1.0"><output>
<band_structure>
<ks_energies><k_point weight="1.5">0 0 0</k_point><eigenvalues size="2">-0.5 0.25</eigenvalues></ks_energies>
<ks_energies><k_point weight="0.5">0.5 0 0</k_point><eigenvalues size="2">-0.25 0.5</eigenvalues></ks_energies>
</band_structure></output></qes:espresso>"""


def test_energies_and_gap_of_a_file(tmp_path):
    (tmp_path / "x.xml").write_text(SCHEMA)
    found = read_bands(tmp_path / "x.xml", 2.0, 1, 0.0)
    np.testing.assert_allclose(found.energies, HARTREE * np.array([[-0.5, 0.25], [-0.25, 0.5]]))
    np.testing.assert_allclose(found.weights, [0.75, 0.25])
    assert found.gap == pytest.approx((-0.25 * HARTREE, 0.25 * HARTREE))
    assert read_bands(tmp_path / "x.xml", 4.0, 2, 0.0).gap is None
    assert read_bands(tmp_path / "x.xml", 2.0, None, 0.0).gap is None


def test_the_expected_error_grows_with_the_root_of_the_energy():
    """A density 0.5% off: 6.7e-5 eV per electron, for which Si8 had bands off by 5 meV in the mean."""
    assert "3 to 8 meV" in expected_error(6.7e-5, "covalent crystal")
    assert "29 to 75 meV" in expected_error(6.7e-3, "covalent crystal")
    assert "164 to 712 meV" in expected_error(6.7e-3, "ionic crystal")
    assert "not been measured for a metal" in expected_error(6.7e-3, "metal")
    assert "not known" in expected_error(None, "metal")


def test_one_k_point_takes_the_place_of_all():
    text = "&control\n/\nK_POINTS crystal\n2\n0 0 0 1\n.5 0 0 1\nATOMIC_POSITIONS crystal\nSi 0 0 0\n"
    found = one_point(text)
    assert found == "&control\n/\nATOMIC_POSITIONS crystal\nSi 0 0 0\nK_POINTS automatic\n1 1 1 0 0 0\n"


def test_an_scf_is_refused(pw, tmp_path):
    path = pw()
    with pytest.raises(DataError, match="is an input for 'scf'"):
        bands(None, path, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pw.x") or not SHIPPED.is_dir(), reason="quantum-espresso(-data) is not installed")
def test_bands_are_those_after_an_scf(pw, tmp_path):
    path = pw(real=True, points="automatic\n2 2 2 1 1 1", more=", nbnd=6")
    (tmp_path / "tmp").mkdir()
    volume = Espresso().converged(path, tmp_path / "tmp").density
    given = PwInput.read(pw(real=True, points=PATH, more=", nbnd=6"))
    path.write_text(given.changed({"control.calculation": "'bands'"}))
    run(["pw.x", "-in", path.name], tmp_path, tmp_path / "own.out")  # in tmp, where the SCF was
    expected = read_bands(tmp_path / "tmp" / "x.save" / "data-file-schema.xml", 8.0, 4, 0.0)
    found = bands(volume, path, tmp_path / "out")
    assert found.energies.shape == (2, 6)
    assert found.weights is None  # a path
    np.testing.assert_allclose(found.energies, expected.energies, atol=1e-5)
    (read,) = (tmp_path / "out" / "x.save").glob("charge-density.*")
    assert io.read(read).grid.shape == volume.grid.shape
