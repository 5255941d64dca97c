"""A Sample refuses what cannot be a labelled structure."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.sample import Sample

GRID = Grid.of([2.0, 2.0, 2.0], (4, 4, 4))
STRUCTURE = Structure(Lattice.cubic(2.0), ["He"], [[0, 0, 0]])


def sample(density, electrons=2.0, grid=GRID):
    return Sample("helium", STRUCTURE, grid, density.astype(np.float32), electrons)


def uniform(electrons, spins=1):
    return np.full((spins, 4, 4, 4), electrons / 8.0)


@pytest.mark.parametrize("spins", [1, 2])
def test_density_that_integrates_to_its_electrons(spins):
    density = uniform(2.0, spins)
    density[1:] = 0.1  # a magnetisation may integrate to anything
    assert sample(density).electrons == 2.0


def test_density_within_one_per_cent_of_its_electrons():
    assert sample(uniform(2.019)).id == "helium"


@pytest.mark.parametrize("total", [2.021, 1.979, 0.0])
def test_density_that_integrates_to_something_else(total):
    with pytest.raises(DataError, match=rf"helium: the density integrates to {total:.4f} e, not to 2 e"):
        sample(uniform(total))


@pytest.mark.parametrize("shape", [(4, 4, 4), (1, 4, 4), (1, 4, 4, 5)])
def test_density_of_another_shape(shape):
    with pytest.raises(DataError, match=r"helium: density of shape .* on a grid of shape \(4, 4, 4\)"):
        sample(np.full(shape, 0.25))


@pytest.mark.parametrize("spins", [0, 3])
def test_number_of_spin_channels(spins):
    with pytest.raises(DataError, match=f"helium: {spins} spin channels"):
        sample(uniform(2.0, spins))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("channel", [0, 1])
def test_density_that_is_not_finite(value, channel):
    density = uniform(2.0, 2)
    density[channel, 1, 2, 3] = value
    with pytest.raises(DataError, match="helium: the density has values that are not finite"):
        sample(density)


def test_line_and_plane():
    assert sample(np.full((1, 8), 0.5), 1.0, Grid.of([2.0], (8,))).grid.dimension == 1
    assert sample(np.full((1, 8, 4), 0.5), 2.0, Grid.of([2.0, 2.0], (8, 4))).grid.dimension == 2
