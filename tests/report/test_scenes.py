"""Fields and atoms of a scene against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from edframe.grid import Grid
from edframe.report.scenes import Box, around, bonds, images, looks, nearest, smooth

WATER = np.array([[0.0, 0.0, 0.0], [0.76, 0.59, 0.0], [-0.76, 0.59, 0.0]])


@pytest.mark.parametrize("cell", [np.diag([6.0, 7.0, 8.0]), [[6.0, 0, 0], [2.0, 6.0, 0], [1.0, -1.0, 7.0]]])
def test_a_gaussian_between_grid_points_is_that_gaussian_where_its_logarithm_is_taken(cell):
    """A logarithm of second degree, which cubic splines give back; linear interpolation is off by tenths here."""
    grid = Grid.of(cell, (24, 24, 24))
    centre = grid.vectors.sum(0) / 2
    away = grid.coordinates() - centre
    field = -(away**2).sum(-1) / (2 * 0.5**2)
    box = Box(np.array([-0.91, -0.83, -0.77]), np.array([0.13, 0.11, 0.17]), (12, 14, 9))
    found = smooth(field, box, grid, centre)
    np.testing.assert_allclose(found, -(box.points() ** 2).sum(-1) / (2 * 0.5**2), atol=1e-3)


def test_a_finer_step_is_taken_on_a_coarse_grid_and_the_cell_is_not_left():
    grid = Grid.of([7.2, 7.2, 7.2], (24, 24, 24))
    box = around(WATER, np.full(3, 3.6), grid, 10**6, 0.1)
    np.testing.assert_allclose(box.step, 0.1)
    assert (box.points() >= -3.6 - 1e-9).all()
    assert (box.points() <= 3.6).all()
    assert np.prod(around(WATER, np.full(3, 3.6), grid, 5000, 0.1).shape) <= 5000


def test_water_has_two_bonds_also_across_the_boundary():
    grid = Grid.of([7.0, 7.0, 7.0], (16, 16, 16))
    atoms, _ = nearest(WATER % 7.0, grid)
    _, radii = looks(["O", "H", "H"])
    assert bonds(atoms, radii) == [(0, 1), (0, 2)]


def test_images_are_those_in_the_box():
    """A simple cubic crystal of 3 Å in a box of ±3 Å has 27 atoms, the own one first."""
    grid = Grid.of([3.0, 3.0, 3.0], (8, 8, 8))
    box = Box(np.full(3, -3.0), np.full(3, 0.5), (13, 13, 13))
    places, whose = images(np.zeros((1, 3)), grid, box)
    assert (len(places), set(whose.tolist())) == (27, {0})
    assert not places[0].any()
    small, _ = images(np.zeros((1, 3)), grid, Box(np.full(3, -2.0), np.full(3, 0.5), (9, 9, 9)))
    assert len(small) == 1
