"""The labels of Li et al. 2025: the archived densities, computed anew."""

import time
from pathlib import Path

import numpy as np
import pytest
from edframe_pyscf.molecules import label
from edframe_pyscf.plugin import QM9Config
from edframe_pyscf.qm9 import QM9
from pyscf.data.nist import BOHR

SHARED = Path(__file__).parents[4] / "shared" / "data"

CH4_IN_ITS_BOX = [
    [2.82612, 2.74302, 2.90925],
    [2.84097, 1.65118, 2.90323],
    [3.85055, 3.12096, 2.90153],
    [2.29800, 3.10474, 2.02461],
    [2.31501, 3.09514, 3.80765],
]
"""Å, as recorded with the archived density."""


@pytest.fixture
def jobs():
    """CH4 and NH3, the first two molecules of QM9."""
    if not SHARED.exists():
        pytest.skip(f"the archived densities are not there ({SHARED})")
    return QM9(QM9Config(file=str(SHARED / "geometries" / "qm9_100.xyz"))).jobs()[:2]


def test_methane_lies_in_its_box_as_recorded(jobs):
    np.testing.assert_allclose(jobs[0].inputs["positions"], CH4_IN_ITS_BOX, atol=1e-5)
    assert jobs[0].inputs["shape"] == jobs[0].inputs["mesh"] == [68, 66, 70]


def test_the_box_of_an_atom_alone(tmp_path):
    """4 Å need 25 points of π/10 bohr, 4.1561 Å."""
    (tmp_path / "he.xyz").write_text("1\n\nHe 7 7 7\n")
    (job,) = QM9(QM9Config(file=str(tmp_path / "he.xyz"))).jobs()
    assert job.inputs["shape"] == [50, 50, 50]
    np.testing.assert_allclose(job.inputs["sides"], 25 * np.pi / 10 * 0.52917721 - 1e-4, atol=1e-7)
    np.testing.assert_allclose(job.inputs["positions"], [np.array(job.inputs["sides"]) / 2])


def test_a_copy_of_the_file_has_the_same_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = ["he.xyz", str(tmp_path / "he.xyz"), "other/helium.xyz"]
    (tmp_path / "other").mkdir()
    for place in places:
        Path(place).write_text("1\n\nHe 7 7 7\n")
    assert len({QM9(QM9Config(file=place)).jobs()[0].key for place in places}) == 1


@pytest.mark.parametrize("number", [pytest.param(0, marks=pytest.mark.slow, id="CH4"), pytest.param(1, id="NH3")])
def test_an_archived_density_is_computed_anew(jobs, number):
    begun = time.perf_counter()
    sample = label(jobs[number])
    seconds = time.perf_counter() - begun
    archived = np.load(SHARED / "qm9_li2025" / f"rho_{number + 1:06d}.npz")["rho"].reshape(sample.grid.shape)
    density = sample.density[0] * BOHR**3
    nmae = 100 * np.abs(density - archived).sum(dtype=float) / archived.sum(dtype=float)
    print(f"{sample.structure.formula}: NMAE {nmae:.1e} %, {seconds:.1f} s")
    assert nmae < 0.001
