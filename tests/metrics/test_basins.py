"""Electrons by atom against brute force over images, SciPy's k-d tree, and cases done by hand."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from edframe.grid import Grid
from edframe.metrics.basins import basin_electrons

TRICLINIC = [[5.0, 0.0, 0.0], [2.2, 4.5, 0.0], [-1.5, 2.0, 4.8]]
LEANING = [[6.0, 0.0, 0.0], [0.9, 5.0, 0.0], [-0.7, 0.8, 5.5]]
SKEWED = [[4.0, 0.0, 0.0], [9.5, 4.0, 0.0], [-6.5, 7.0, 4.0]]
FCC = [[0.0, 2.7, 2.7], [2.7, 0.0, 2.7], [2.7, 2.7, 0.0]]


def electrons(density, grid, positions):
    return basin_electrons(torch.as_tensor(density), grid, torch.as_tensor(np.asarray(positions, dtype=float))).numpy()


def brute_force(density, grid, positions, images):
    """Point by point, every image of every atom within ``images`` cells; ties by halves, thirds, …"""
    sums = np.zeros(len(positions))
    moves = [range(-images, images + 1) if periodic else (0,) for periodic in grid.periodic]
    shifts = np.array(list(itertools.product(*moves))) @ grid.vectors
    for value, point in zip(density.ravel(), grid.coordinates().reshape(-1, grid.dimension), strict=True):
        nearest = np.linalg.norm(positions[:, None] + shifts - point, axis=-1).min(axis=1)
        owners = nearest < nearest.min() + 1e-7
        sums += value * owners / owners.sum()
    return sums * grid.voxel_volume


@pytest.mark.parametrize(
    ("cell", "shape", "images"),
    [
        ([7.0], 23, 1),
        ([[5.0, 0.0], [2.2, 4.5]], (9, 8), 1),
        (np.diag([5.0, 6.0, 4.0]), (8, 9, 7), 1),
        (TRICLINIC, (7, 6, 8), 1),
        (FCC, 7, 1),
        (SKEWED, (8, 7, 6), 4),
    ],
    ids=["line", "plane", "box", "triclinic", "fcc", "skewed"],
)
@pytest.mark.parametrize("periodic", [True, False])
def test_against_brute_force(cell, shape, images, periodic):
    grid = Grid.of(np.atleast_2d(cell), shape, periodic)
    rng = np.random.default_rng(2)
    density, positions = rng.random(grid.shape), rng.random((4, grid.dimension)) @ grid.vectors
    # An atom on a grid point, its neighbour two points on, an atom of another image: ties are there, and images.
    positions = np.vstack([positions, np.zeros(grid.dimension), 2 * grid.voxel[0]])
    expected = brute_force(density, grid, positions, images)
    assert electrons(density, grid, positions) == pytest.approx(expected, rel=1e-12)
    if periodic:
        moved = positions + rng.integers(-2, 3, positions.shape) @ grid.vectors
        assert electrons(density, grid, moved) == pytest.approx(expected, rel=1e-12)


def test_one_open_axis_has_no_images():
    grid = Grid.of(TRICLINIC, 6, (True, False, True))
    rng = np.random.default_rng(3)
    density, positions = rng.random(grid.shape), rng.random((3, 3)) @ grid.vectors
    assert electrons(density, grid, positions) == pytest.approx(brute_force(density, grid, positions, 2), rel=1e-12)


@pytest.mark.parametrize(
    "cell", [np.diag([7.2] * 3), LEANING, TRICLINIC, FCC], ids=["cube", "leaning", "triclinic", "fcc"]
)
def test_on_a_fine_grid_against_a_tree_of_all_images(cell):
    grid = Grid.of(cell, 24)
    rng = np.random.default_rng(4)
    density, positions = rng.random(grid.shape), rng.random((12, 3)) @ grid.vectors
    shifts = np.array(list(itertools.product((-1, 0, 1), repeat=3))) @ grid.vectors
    tree = cKDTree((positions[:, None] + shifts).reshape(-1, 3))
    owners = tree.query(grid.coordinates().reshape(-1, 3))[1] // len(shifts)
    expected = np.bincount(owners, density.ravel(), minlength=12) * grid.voxel_volume
    assert electrons(density, grid, positions) == pytest.approx(expected, rel=1e-9)


def test_two_atoms_share_a_uniform_density_by_halves():
    """Also the planes of points between them, which are as near to both."""
    grid = Grid.of([8.0, 4.0, 5.0], (16, 6, 6))
    positions = [[0.0, 1.0, 2.0], [4.0, 1.0, 2.0]]
    density = np.full(grid.shape, 10 / grid.volume)
    assert electrons(density, grid, positions) == pytest.approx([5, 5], abs=1e-12)


def test_what_moves_from_cell_to_cell_moves_between_their_atoms():
    grid = Grid.of([8.0, 4.0, 5.0], (16, 6, 6))
    density = np.zeros(grid.shape)
    density[1, 2, 3], density[9, 0, 0] = 3 / grid.voxel_volume, 2 / grid.voxel_volume
    positions = [[0.0, 1.0, 2.0], [4.0, 1.0, 2.0]]
    assert electrons(density, grid, positions) == pytest.approx([3, 2])
    assert electrons(np.roll(density, 8, axis=0), grid, positions) == pytest.approx([2, 3])


def test_an_atom_tied_with_its_own_image_counts_once():
    """The point halfway to the image of the first atom is as near to the second: by halves, not by thirds."""
    grid = Grid.of([8.0], 8)
    density = np.zeros(8)
    density[4] = 6.0
    assert electrons(density, grid, [[0.0], [8.0]]) == pytest.approx([3, 3])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shift=st.tuples(*[st.integers(-9, 9)] * 3),
    cell=st.sampled_from([TRICLINIC, SKEWED, FCC]),
)
def test_sum_order_and_origin(seed, shift, cell):
    """All electrons are given away; another order of atoms, or another origin, gives the same to each."""
    grid = Grid.of(cell, (6, 5, 7))
    rng = np.random.default_rng(seed)
    # Atoms on grid points: as many ties as can be.
    density, at = rng.random(grid.shape), rng.integers(0, 5, (4, 3))
    positions = at @ grid.voxel
    counts = electrons(density, grid, positions)
    assert counts.sum() == pytest.approx(density.sum() * grid.voxel_volume, rel=1e-12)
    order = rng.permutation(4)
    assert electrons(density, grid, positions[order]) == pytest.approx(counts[order], rel=1e-12, abs=1e-12)
    moved = electrons(np.roll(density, shift, (0, 1, 2)), grid, positions + np.array(shift) @ grid.voxel)
    assert moved == pytest.approx(counts, rel=1e-12, abs=1e-12)


def test_a_float32_density_is_summed_in_float64():
    grid = Grid.of([6.0] * 3, 64)
    density = torch.full(grid.shape, 12 / grid.volume, dtype=torch.float32)
    counts = basin_electrons(density, grid, torch.tensor([[1.0, 2.0, 3.0], [4.0, 4.5, 1.2]]))
    assert counts.dtype == torch.float64
    assert float(counts.sum()) == pytest.approx(12, abs=1e-6)
