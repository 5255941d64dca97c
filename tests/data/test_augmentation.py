"""Moves of a grid, against distances found by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from edframe.data.augmentation import Motions, move
from edframe.grid import Grid

HEXAGONAL = [[3.0, 0.0, 0.0], [-1.5, 1.5 * 3**0.5, 0.0], [0.0, 0.0, 5.0]]
TRICLINIC = [[3.0, 0.0, 0.0], [0.7, 3.3, 0.0], [-0.4, 0.9, 2.8]]
GRIDS = {
    "cubic": Grid.of([4.0, 4.0, 4.0], 4),
    "orthorhombic": Grid.of([3.0, 4.0, 5.0], (3, 4, 5)),
    "tetragonal, coarse": Grid.of([4.0, 4.0, 3.0], (4, 4, 2)),
    "equal sides, unequal points": Grid.of([4.0, 4.0, 4.0], (4, 2, 4)),
    "hexagonal": Grid.of(HEXAGONAL, (4, 4, 3)),
    "triclinic": Grid.of(TRICLINIC, (3, 4, 3)),
    "slab": Grid.of([4.0, 4.0, 4.0], 4, (True, True, False)),
    "molecule": Grid.of([4.0, 4.0, 4.0], 4, False),
    "square": Grid.of([4.0, 4.0], 5),
    "chain": Grid.of([4.0], 7),
}


def drawn(grid, count=200, seed=0):
    return Motions(grid, "cpu").draw(count, torch.Generator().manual_seed(seed)).numpy()


def distances(grid):
    """Between all pairs of points, ``[point, point]``: the nearest image on periodic axes."""
    points = grid.coordinates().reshape(-1, grid.dimension)
    away = points[:, None] - points[None]
    reach = [(-2, -1, 0, 1, 2) if periodic else (0,) for periodic in grid.periodic]
    images = np.array(list(itertools.product(*reach))) @ grid.vectors
    return np.min([np.linalg.norm(away + image, axis=-1) for image in images], axis=0)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_every_move_is_a_bijection_that_keeps_distances(grid):
    between = distances(grid)
    for index in np.unique(drawn(grid), axis=0):
        assert sorted(index) == list(range(grid.points))
        np.testing.assert_allclose(between[np.ix_(index, index)], between, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "moves"),
    [
        ("cubic", 48 * 64),
        ("orthorhombic", 8 * 60),
        ("triclinic", 2 * 36),
        ("slab", 8 * 16),
        ("molecule", 1),
        ("chain", 14),
    ],
)
def test_all_moves_occur(name, moves):
    """Orders of the point groups (m-3m 48, mmm 8, -1 2, 4mm 8) times the translations."""
    assert len(np.unique(drawn(GRIDS[name], count=20 * moves), axis=0)) == moves


@pytest.mark.parametrize("name", ["slab", "molecule"])
def test_open_axes_stay_in_place(name):
    grid = GRIDS[name]
    for index in drawn(grid):
        places = np.stack(np.unravel_index(index, grid.shape))
        kept = np.stack(np.unravel_index(np.arange(grid.points), grid.shape))
        for axis, periodic in enumerate(grid.periodic):
            assert periodic or (places[axis] == kept[axis]).all()


@pytest.mark.parametrize("name", ["cubic", "orthorhombic", "hexagonal", "triclinic", "slab", "square"])
def test_moved_gaussians_are_gaussians_at_moved_atoms(small, name):
    """A move is affine: three neighbours of the origin tell where it takes an atom between the points."""
    grid = GRIDS[name]
    shape = np.array(grid.shape)
    atoms = np.random.default_rng(1).random((2, grid.dimension))
    fields = torch.from_numpy(np.stack([small.gaussian(grid, atom, 0.3) for atom in atoms]))
    indices = drawn(grid, count=8)
    moved = move(fields[None].expand(8, *fields.shape), torch.from_numpy(indices)).numpy()
    strides = np.ravel_multi_index(np.eye(grid.dimension, dtype=int), grid.shape)
    for index, (first, second) in zip(indices, moved, strict=True):
        origin = np.array(np.unravel_index(index[0], grid.shape))
        columns = np.stack(np.unravel_index(index[strides], grid.shape), axis=0) - origin[:, None]
        columns = (columns + shape[:, None] // 2) % shape[:, None] - shape[:, None] // 2
        for atom, field in zip(atoms, (first, second), strict=True):
            place = np.linalg.solve(columns, atom * shape - origin) / shape
            np.testing.assert_allclose(field, small.gaussian(grid, place, 0.3), atol=1e-10)


def test_channels_and_samples_move_by_their_own_index():
    fields = torch.arange(2 * 3 * 4).reshape(2, 3, 4)
    index = torch.tensor([[1, 2, 3, 0], [3, 2, 1, 0]])
    expected = torch.stack([fields[0].roll(-1, -1), fields[1].flip(-1)])
    assert torch.equal(move(fields, index), expected)


def test_same_generator_gives_the_same_moves():
    assert (drawn(GRIDS["cubic"], seed=4) == drawn(GRIDS["cubic"], seed=4)).all()
    assert (drawn(GRIDS["cubic"], seed=4) != drawn(GRIDS["cubic"], seed=5)).any()
