"""The picture plane against geometry done by hand."""

import numpy as np
import pytest

from edframe.grid import Grid
from edframe.report.slices import corners, through_atoms

TRICLINIC = [[7.0, 0.0, 0.0], [2.5, 6.5, 0.0], [-1.5, 1.5, 7.5]]
CELLS = [np.diag([6.0, 7.0, 8.0]), TRICLINIC]
SHAPE = (18, 20, 24)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_plane_is_normal_to_the_axis_of_least_spread_and_passes_the_atoms(axis):
    grid = Grid.of([6.0, 7.0, 8.0], SHAPE)
    atoms = np.array([[1.0, 1.5, 1.0], [2.0, 2.6, 1.4], [3.1, 1.2, 2.9]])
    atoms[:, axis] = 2.0
    plane = through_atoms(atoms, grid)
    assert plane.normal == axis
    assert np.abs(plane.height).max() <= grid.spacing[axis] / 2 + 1e-9


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("where", [(0.5, 0.5, 0.5), (0.0, 0.98, 0.01), (0.9, 0.1, 0.5)])
def test_a_density_peaks_where_its_atom_is_drawn(cell, where):
    """The cut of a field of distances to an atom is smallest at the picture point nearest to that atom's mark."""
    grid = Grid.of(cell, SHAPE)
    atoms = np.array(where) @ grid.vectors + np.array([[0.0, 0.0, 0.0], [0.9, 0.7, 0.1], [-0.9, 0.6, 0.1]])
    plane = through_atoms(atoms, grid)
    for atom, mark in zip(atoms, plane.atoms, strict=True):
        images = np.array(list(np.ndindex(5, 5, 5))) - 2
        offsets = grid.coordinates()[..., None, :] - (atom + images @ grid.vectors)
        distance = np.linalg.norm(offsets, axis=-1).min(-1)
        cut = plane.cut(distance.astype(np.float32))
        in_picture = np.linalg.norm(plane.points - mark, axis=-1)
        assert cut.shape == in_picture.shape
        nearest = np.unravel_index(cut.argmin(), cut.shape)
        assert in_picture[nearest] == pytest.approx(in_picture.min(), abs=1e-6)
        # Pythagoras: in the plane, and off it.
        height = np.sqrt(max(cut.min() ** 2 - in_picture.min() ** 2, 0))
        assert height == pytest.approx(np.abs(plane.height[list(map(tuple, atoms)).index(tuple(atom))]), abs=2e-3)


@pytest.mark.parametrize("cell", CELLS)
def test_picture_keeps_lengths(cell):
    grid = Grid.of(cell, SHAPE)
    plane = through_atoms([[3.0, 3.0, 3.0], [3.9, 3.5, 3.0], [2.2, 3.5, 3.0]], grid)
    a, b = (axis for axis in range(3) if axis != plane.normal)
    assert np.linalg.norm(plane.points[1, 0] - plane.points[0, 0]) == pytest.approx(grid.spacing[a])
    assert np.linalg.norm(plane.points[0, 1] - plane.points[0, 0]) == pytest.approx(grid.spacing[b])
    # A diagonal of one voxel fixes the angle between the axes.
    expected = np.linalg.norm(grid.voxel[a] + grid.voxel[b])
    assert np.linalg.norm(plane.points[1, 1] - plane.points[0, 0]) == pytest.approx(expected)


def test_corners_surround_the_points():
    plane = through_atoms([[0.0, 0.0, 0.0], [1.0, 0.5, 0.0]], Grid.of(TRICLINIC, SHAPE))
    edges = corners(plane.points)
    middle = (edges[:-1, :-1] + edges[1:, :-1] + edges[:-1, 1:] + edges[1:, 1:]) / 4
    assert middle == pytest.approx(plane.points)


def test_open_axes_are_not_rolled():
    grid = Grid.of([6.0, 6.0, 6.0], 12, periodic=False)
    plane = through_atoms([[0.1, 3.0, 3.0], [1.0, 3.3, 3.0]], grid)
    assert plane.rolls == (0, 0, 0)


@pytest.mark.parametrize("dimension", [1, 2])
def test_fewer_dimensions_are_not_cut(dimension):
    grid = Grid.of([5.0, 6.0][:dimension], (10, 12)[:dimension])
    plane = through_atoms(np.ones((2, dimension)), grid)
    assert plane.normal is None
    assert plane.cut(np.zeros(grid.shape, np.float32)).shape == grid.shape
    assert plane.points.shape == (*grid.shape, dimension)
