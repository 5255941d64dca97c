"""The featurizer on made-up densities: it learns, remembers, knows charges, and what it cannot do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from edframe_orbitals.featurizer import OrbitalsFeaturizer
from edframe_orbitals.plugin import OrbitalsConfig

from edframe.errors import DataError
from edframe.interfaces import Contents
from edframe.testing import examples

SMALL = {"orbital_steps": 12, "orbital_points": 150, "table": 1500, "steps": 60, "width": 16, "batch": 256}


@pytest.fixture(scope="module")
def samples():
    return examples.labelled(4)


@pytest.fixture(scope="module")
def fitted(samples) -> OrbitalsFeaturizer:
    featurizer = OrbitalsFeaturizer(OrbitalsConfig(**SMALL), examples.CONTENTS)
    numbers = featurizer.fit(samples)
    assert numbers["network 1: error over that of the orbitals, at training points"] < 1
    return featurizer


def nmae(density, sample) -> float:
    return float(np.abs(density - sample.density[0]).sum() / sample.density[0].sum())


def test_the_network_corrects_the_orbitals(fitted, samples) -> None:
    features = fitted([samples[0].structure], samples[0].grid, "cpu")
    orbitals, whole = features.channels[0, 0].numpy(), features.baseline[0, 0].numpy()
    assert nmae(whole, samples[0]) < nmae(orbitals, samples[0])


def test_a_state_is_restored_and_one_of_other_options_refused(fitted, samples) -> None:
    other = OrbitalsFeaturizer(OrbitalsConfig(**SMALL), examples.CONTENTS)
    with pytest.raises(DataError, match="no Hamiltonian yet"):
        other([samples[0].structure], samples[0].grid, "cpu")
    other.restore(fitted.state())
    ours, theirs = (one([samples[0].structure], samples[0].grid, "cpu").baseline for one in (fitted, other))
    assert torch.equal(ours, theirs)
    with pytest.raises(DataError, match="belongs to other options"):
        OrbitalsFeaturizer(OrbitalsConfig(**{**SMALL, "width": 8}), examples.CONTENTS).restore(fitted.state())


def test_an_ion_has_the_electrons_of_its_charge(fitted, samples) -> None:
    grid = examples.box((24, 24, 24), 0.3)
    atom = examples.molecules(grid)[0]
    ion = atom.copy()
    ion.set_charge(2)
    held = [float(fitted([one], grid, "cpu").channels[0, 0].sum()) * grid.voxel_volume for one in (atom, ion)]
    assert held[0] - held[1] == pytest.approx(2, abs=0.2)
    ion.set_charge(-30)
    with pytest.raises(DataError, match="its orbitals hold up to 24 electrons, not 42"):
        fitted([ion], grid, "cpu")


def test_an_error_is_expected(fitted, samples) -> None:
    value = fitted.expected_error(samples[0].structure, samples[0].grid)
    assert value == fitted.expected_error(samples[0].structure, samples[0].grid)
    assert value > 0


def test_magnetic_and_flat_densities_are_refused() -> None:
    for contents in (Contents(("Li", "O"), 3, spins=2), Contents(("Li", "O"), 3, dimension=2)):
        with pytest.raises(DataError, match="total densities in three dimensions"):
            OrbitalsFeaturizer(OrbitalsConfig(), contents)
