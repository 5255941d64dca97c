"""The reduced basis of a grid, against pymatgen's Niggli reduction and the places of the points."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from pymatgen.core.lattice import Lattice
from torch import Tensor, nn

from edframe.data.augmentation import move
from edframe.data.basis import any_basis, in_reduced_basis, reduced
from edframe.grid import Grid
from edframe.predict.symmetry import Symmetrised

TRICLINIC = np.array([[3.0, 0.1, 0.0], [0.7, 3.3, 0.0], [-0.4, 0.9, 2.8]])
HEXAGONAL = np.array([[3.0, 0.0, 0.0], [-1.5, 1.5 * 3**0.5, 0.0], [0.0, 0.0, 5.0]])
FCC = np.array([[0.0, 2.0, 2.0], [2.0, 0.0, 2.0], [2.0, 2.0, 0.0]])
SHEAR = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1]])
FAR = np.array([[1, 0, 0], [7, 1, 0], [-30, 1000003, 1]])


def unimodular(seed: int) -> np.ndarray:
    """A product of random shears."""
    rng, matrix = np.random.default_rng(seed), np.eye(3, dtype=int)
    for _ in range(6):
        k, l = rng.choice(3, 2, replace=False)  # noqa: E741
        matrix[k] += rng.integers(-2, 3) * matrix[l]
    return matrix


@pytest.mark.parametrize("cell", [TRICLINIC, HEXAGONAL, FCC], ids=["triclinic", "hexagonal", "fcc"])
@pytest.mark.parametrize("matrix", [SHEAR, FAR, *map(unimodular, range(12))])
def test_lengths_are_those_of_niggli(cell, matrix):
    basis = reduced(Grid.of(matrix @ cell, 8))
    lengths = np.sort(np.linalg.norm(basis.grid.vectors, axis=1))
    expected = np.sort(Lattice(cell).get_niggli_reduced_lattice(1e-5).abc)
    np.testing.assert_allclose(lengths, expected, rtol=3e-4)
    assert basis.obstacle == ""
    assert round(np.linalg.det(basis.matrix)) == 1


@pytest.mark.parametrize(
    "cell", [np.diag([5.0, 3.0, 4.0]), TRICLINIC, HEXAGONAL, FCC, np.diag([4.0, 4.0]), np.diag([4.0])], ids=str
)
def test_what_is_shortest_stays(cell):
    """In its order and direction, and hexagonal cells that a file rounds stay hexagonal."""
    rough = np.round(cell, 5)
    for given in (cell, rough, cell[::-1]):
        grid = Grid.of(given, 6)
        assert reduced(grid).same
        assert reduced(grid).grid == grid


@pytest.mark.parametrize(
    ("shape", "matrix", "periodic"),
    [
        ((4, 4, 4), SHEAR, True),
        ((6, 4, 3), SHEAR, True),
        ((4, 5, 2), SHEAR, True),
        ((5, 5, 5), unimodular(3), True),
        ((4, 6, 4), SHEAR, (True, False, True)),
    ],
)
def test_points_are_the_same_points(shape, matrix, periodic):
    """Each point of the new grid is where the point of the given grid lies that it takes its value from."""
    basis = reduced(Grid.of(matrix @ TRICLINIC, shape, periodic))
    assert not basis.same
    new, given = (g.coordinates().reshape(-1, 3) for g in (basis.grid, basis.given))
    away = (new - given[basis.index[0].numpy()]) @ np.linalg.inv(TRICLINIC)
    np.testing.assert_allclose(away, np.rint(away), atol=1e-9)
    assert sorted(basis.index[0].tolist()) == list(range(int(np.prod(shape))))


def test_an_open_axis_takes_no_part():
    grid = Grid.of(SHEAR @ TRICLINIC, 4, (True, True, False))
    assert reduced(grid).same
    assert reduced(grid).obstacle == ""


@pytest.mark.parametrize("shape", [(4, 4, 6), (4, 3, 5), (3, 5, 4)])
def test_a_grid_in_the_way_is_named(shape):
    """c + a is c again only where n_c divides n_a; with the grid that is advised, it is."""
    basis = reduced(Grid.of(SHEAR @ np.diag([3.0, 4.0, 5.0]), shape))
    assert basis.same
    advised = basis.obstacle.rpartition("a grid of ")[2].split()[0]
    assert "lattice vector c of 5.831 Å could be one of 5 Å" in basis.obstacle
    other = reduced(Grid.of(SHEAR @ np.diag([3.0, 4.0, 5.0]), [int(n) for n in advised.split("×")]))
    np.testing.assert_allclose(other.grid.vectors, np.diag([3.0, 4.0, 5.0]), atol=1e-12)


class Convolution(nn.Module):
    """Sees the next points along the axes."""

    def forward(self, channels: Tensor, baseline: Tensor | None, grid: Grid, electrons: Tensor) -> Tensor:
        field = channels[:, :1] + 0.5 * channels[:, :1].roll((1, 2), (2, 3)) * channels[:, 1:].roll(1, 4)
        field = field + (0 if baseline is None else baseline.roll((1, 2), (3, 4)))
        return field * (electrons / (field.sum((1, 2, 3, 4)) * grid.voxel_volume)).reshape(-1, 1, 1, 1, 1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("with_baseline", [True, False])
def test_a_crystal_in_another_basis_has_the_same_density(seed, with_baseline):
    """The third vector c + Σ m a instead of c. Values are put on their points by coordinates."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    matrix = np.eye(3, dtype=int)
    matrix[2, :2] = rng.integers(1, 4, 2)
    grid, other = Grid.of(TRICLINIC, 6), Grid.of(matrix @ TRICLINIC, 6)
    places = np.rint(other.coordinates() @ np.linalg.inv(TRICLINIC) * 6).astype(int) % 6
    source = tuple(torch.from_numpy(places[..., axis]) for axis in range(3))

    def relabelled(field):
        return field[(slice(None), slice(None), *source)]

    channels = torch.rand((2, 2, 6, 6, 6), generator=generator)
    baseline = torch.rand((2, 1, 6, 6, 6), generator=generator) if with_baseline else None
    electrons = torch.tensor([3.0, 5.0])
    expected = in_reduced_basis(Convolution(), channels, baseline, grid, electrons)
    assert torch.equal(expected, Convolution()(channels, baseline, grid, electrons))
    start = None if baseline is None else relabelled(baseline)
    found = in_reduced_basis(Convolution(), relabelled(channels), start, other, electrons)
    torch.testing.assert_close(found, relabelled(expected))
    as_it_is = Convolution()(relabelled(channels), start, other, electrons)
    assert (as_it_is - relabelled(expected)).std() > 0.01


def test_a_cube_that_is_given_skewed_has_all_its_symmetries():
    """The mean over the 48 operations of the lattice is found in every basis."""
    grid, generator = Grid.of([3.0] * 3, 4), torch.Generator().manual_seed(0)
    channels, electrons = torch.rand((1, 2, 4, 4, 4), generator=generator), torch.ones(1)
    expected = Symmetrised(Convolution())(channels, None, grid, electrons)
    for seed in range(3):
        other = Grid.of(unimodular(seed) @ grid.vectors, 4)
        places = np.rint(other.coordinates() / 3.0 * 4).astype(int) % 4
        index = torch.from_numpy(np.ravel_multi_index(np.moveaxis(places, -1, 0), grid.shape).reshape(1, -1))
        found = in_reduced_basis(Symmetrised(Convolution()), move(channels, index), None, other, electrons)
        torch.testing.assert_close(found, move(expected, index))


def test_a_model_of_any_basis_is_called_on_the_grid_as_it_is():
    seen = []

    class Any(nn.Module):
        any_basis = True

        def forward(self, channels, baseline, grid, electrons):
            seen.append(grid)
            return channels

    class Fitted(Any):
        any_basis = False

        def fit(self, samples):
            return {}

    grid = Grid.of(SHEAR @ TRICLINIC, 4)
    for model in (Any(), Fitted(), Symmetrised(Any()), Symmetrised(Fitted())):
        in_reduced_basis(model, torch.rand(1, 1, 4, 4, 4), None, grid, torch.ones(1))
        assert any_basis(model)
    assert set(seen) == {grid}


def test_planes_are_reduced_too():
    grid = Grid.of([[3.0, 0.0], [6.2, 3.1]], 5)
    np.testing.assert_allclose(reduced(grid).grid.vectors, [[3.0, 0.0], [0.2, 3.1]], atol=1e-12)
    assert all(reduced(Grid.of([2.0], n)).same for n in itertools.chain(range(1, 4)))
