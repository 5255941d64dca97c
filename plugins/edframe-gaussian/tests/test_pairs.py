"""Pairs of points and atoms: against a sum over many images, and against pymatgen's neighbours."""

import itertools

import numpy as np
import pytest
from edframe_gaussian.pairs import pairs
from pymatgen.core import Lattice, Structure

from edframe.grid import Grid

CELLS = {
    "cubic": [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]],
    "triclinic": [[3.0, 0.4, -0.2], [1.9, 2.7, 0.3], [-1.2, 0.8, 3.4]],
    "plane": [[3.0, 0.4], [1.9, 2.7]],
}


@pytest.mark.parametrize("periodic", [True, False], ids=["periodic", "open"])
@pytest.mark.parametrize("cell", list(CELLS.values()), ids=list(CELLS))
def test_every_image_within_the_cutoff_is_a_pair(cell, periodic):
    """The number of pairs and the sum of a function of the distances, over images enumerated far beyond the cutoff."""
    grid = Grid.of(cell, 8, periodic)
    rng = np.random.default_rng(0)
    points, atoms = rng.random((30, grid.dimension)), rng.random((4, grid.dimension)) * (1.6 if periodic else 1) - 0.2
    reach = range(-9, 10) if periodic else (0,)
    steps = np.array(list(itertools.product(reach, repeat=grid.dimension)))
    away = (points[:, None, None] - atoms[None, :, None] - steps) @ grid.vectors
    expected = np.linalg.norm(away, axis=-1)
    near = expected < 4.5
    point, atom, distance = pairs(points, atoms, grid, 4.5)
    assert len(distance) == near.sum()
    sums = np.zeros((30, 4))
    np.add.at(sums, (point, atom), np.exp(-distance))
    np.testing.assert_allclose(sums, np.where(near, np.exp(-expected), 0).sum(-1), rtol=1e-9)


def test_one_open_axis_has_no_images():
    grid = Grid.of([3.0, 3.0, 3.0], 6, (True, True, False))
    point, _, distance = pairs(np.array([[0.1, 0.1, 0.95]]), np.array([[0.9, 0.1, 0.05]]), grid, 2.9)
    assert sorted(distance.round(6)) == pytest.approx([np.hypot(0.6, 2.7)])
    assert len(point) == 1


def test_distances_are_those_of_pymatgen():
    lattice = Lattice(CELLS["triclinic"])
    structure = Structure(lattice, ["H"] * 3, np.random.default_rng(1).random((3, 3)))
    centre, _, _, expected = structure.get_neighbor_list(4.0)
    fractions = structure.frac_coords
    point, _, distance = pairs(fractions, fractions, Grid.of(lattice.matrix, 8), 4.0)
    others = distance > 1e-6
    for index in range(3):
        np.testing.assert_allclose(
            np.sort(distance[others & (point == index)]), np.sort(expected[centre == index]), atol=1e-6
        )
