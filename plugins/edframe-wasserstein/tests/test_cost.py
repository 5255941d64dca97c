import numpy as np
import pytest
from edframe_wasserstein.cost import Cost, near_images, reduced
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edframe.grid import Grid


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), d=st.integers(1, 3))
def test_distances_are_to_the_nearest_of_all_images_in_any_cell(cost, seed, d):
    rng = np.random.default_rng(seed)
    vectors = np.diag(rng.uniform(1, 3, d)) + np.tril(rng.uniform(-2, 2, (d, d)), -1)
    grid = Grid.of(vectors, (2,) * d, [bool(p) for p in rng.integers(0, 2, d)])
    x, y = rng.uniform(0, 1, (2, 6, d)) @ vectors
    np.testing.assert_allclose(Cost(grid)(x, y), cost(grid, x, y, reach=7), atol=1e-12)


def test_the_transform_is_the_least_cost_less_the_potential(cost):
    grid = Grid.of([2.0, 3.0], (20, 25))
    x = grid.coordinates().reshape(-1, 2)
    potential = np.random.default_rng(0).random(len(x))
    expected = (cost(grid, x, x, 1) - potential).min(1)
    np.testing.assert_allclose(Cost(grid).transform(x, x, potential), expected, atol=1e-12)


def test_reduction_keeps_the_lattice_and_shortens_its_basis():
    basis = np.array([[2.0, 0.0, 0.0], [9.1, 2.0, 0.0], [-5.3, 7.2, 2.0]])
    short = reduced(basis)
    turn = np.linalg.solve(basis.T, short.T)
    np.testing.assert_allclose(turn, np.rint(turn), atol=1e-9)
    assert abs(np.linalg.det(turn)) == pytest.approx(1)
    assert np.linalg.norm(short, axis=1).max() < 3


@pytest.mark.parametrize("lengths", [[2.0], [2.0, 2.0], [1.0, 2.0, 50.0]])
def test_an_orthogonal_cell_needs_no_images(lengths):
    assert len(near_images(np.diag(lengths))) == 0
