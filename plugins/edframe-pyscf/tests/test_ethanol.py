"""Frames of ethanol: one box for all, the centre of mass at its centre."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from edframe_pyscf.ethanol import Ethanol
from edframe_pyscf.plugin import EthanolConfig

from edframe.errors import DataError

SHARED = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture
def dataset(tmp_path):
    def make(frames, **options):
        path = tmp_path / "frames.xyz"
        ase.io.write(path, frames, format="extxyz")
        return Ethanol(EthanolConfig(file=str(path), **options))

    return make


def test_all_frames_share_a_grid_with_their_centre_of_mass_at_its_centre(dataset):
    frames = [molecule("CH3CH2OH") for _ in range(4)]
    for number, frame in enumerate(frames):
        frame.rotate(40 * number, "xyz")
        frame.translate([number, 0, -3])
    jobs = dataset(frames).jobs()
    for job, frame in zip(jobs, frames, strict=True):
        assert job.inputs["shape"] == [72, 72, 72]
        np.testing.assert_allclose(job.inputs["sides"], 10.8)
        placed = Atoms(job.inputs["species"], job.inputs["positions"])
        np.testing.assert_allclose(placed.get_center_of_mass(), 5.4, atol=1e-4)
        np.testing.assert_allclose(placed.get_all_distances(), frame.get_all_distances(), atol=1e-6)
        assert job.group is None


def test_another_voxel_keeps_the_box_at_least_as_large(dataset):
    (job,) = dataset([molecule("CH3CH2OH")], voxel=0.2).jobs()
    assert job.inputs["shape"] == [56, 56, 56]
    np.testing.assert_allclose(job.inputs["sides"], 11.2)


def test_other_molecules_and_torn_ones_are_refused_by_their_line(dataset):
    ethanol = molecule("CH3CH2OH")
    with pytest.raises(DataError, match=r"frames\.xyz:12: this frame is not C2H6O; the dataset `molecules`"):
        dataset([ethanol, molecule("CH4")]).jobs()
    ethanol.positions[2] += 3 * (ethanol.positions[2] - ethanol.positions[1])
    with pytest.raises(DataError, match=r"frames\.xyz:1: an atom is [345]\.\d\d Å from the centre of mass"):
        dataset([ethanol]).jobs()


def test_frames_of_molecular_dynamics_leave_three_angstrom_of_vacuum():
    file = SHARED / "geometries" / "ethanol_100.xyz"
    if not file.exists():
        pytest.skip(f"the geometries are not there ({SHARED})")
    jobs = Ethanol(EthanolConfig(file=str(file))).jobs()
    positions = np.array([job.inputs["positions"] for job in jobs])
    assert positions.shape == (100, 9, 3)
    assert positions.min() > 3
    assert positions.max() < 10.8 - 3
