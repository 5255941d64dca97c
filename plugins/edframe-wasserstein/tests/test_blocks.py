import numpy as np
import pytest
from edframe_wasserstein.blocks import NEGLIGIBLE, Blocks, finest_blocks, support

from edframe.grid import Grid

SHAPES = [((7, 5), (3, 2)), ((8, 4), (4, 2)), ((5, 1), (5, 1)), ((9, 6), (1, 4))]


@pytest.mark.parametrize(("fine", "coarse"), SHAPES)
def test_blocks_hold_the_mass_and_the_mean_position_of_their_points(fine, coarse):
    grid = Grid.of([[3.0, 0.0], [0.7, 2.0]], fine)
    blocks = Blocks(grid, coarse)
    labels = blocks.prolong(np.arange(np.prod(coarse), dtype=float).reshape(coarse)).astype(int)
    mass = np.random.default_rng(0).random(fine)
    assert np.bincount(labels.ravel(), mass.ravel()) == pytest.approx(blocks.sum(mass).ravel())
    for label, centre in enumerate(blocks.centres()):
        assert grid.coordinates()[labels == label].mean(0) == pytest.approx(centre)


@pytest.mark.parametrize(("fine", "coarse"), SHAPES)
def test_prolongation_is_the_transpose_of_the_sum(fine, coarse):
    blocks = Blocks(Grid.of([3.0, 2.0], fine), coarse)
    rng = np.random.default_rng(0)
    mass, values = rng.random(fine), rng.random(coarse)
    assert (blocks.prolong(values) * mass).sum() == pytest.approx((values * blocks.sum(mass)).sum())


def test_the_spacing_is_the_longest_edge_of_a_block():
    assert Blocks(Grid.of([7.0, 2.0], (7, 4)), (3, 2)).spacing == pytest.approx(3.0)


@pytest.mark.parametrize("shape", [(13, 9, 7), (16, 16, 16), (40, 3, 1)])
@pytest.mark.parametrize("max_points", [8, 50, 300, 10_000])
def test_blocks_are_as_fine_as_the_number_of_points_allows(shape, max_points):
    grid = Grid.of([0.5 * n for n in shape], shape)
    mass = np.full(shape, 1 / np.prod(shape))
    blocks = finest_blocks(mass, mass, grid, max_points)
    assert np.prod(blocks.shape) <= max_points
    if np.prod(shape) <= max_points:
        assert blocks.shape == shape
    else:
        finer = [min(n, max(1, round(n * (max(blocks.shape) + 1) / max(shape)))) for n in shape]
        assert np.prod(finer) > max_points


def test_what_is_left_out_is_the_emptiest_and_holds_a_negligible_mass():
    mass = np.random.default_rng(0).random((6, 6)) ** 30
    kept = support(mass, 20)
    dropped = np.delete(mass.ravel(), kept)
    assert len(dropped) > 0
    assert dropped.sum() <= NEGLIGIBLE * mass.sum() < dropped.sum() + mass.ravel()[kept].min()
    assert dropped.max() <= mass.ravel()[kept].min()


def test_nothing_is_left_out_where_all_points_fit():
    mass = np.random.default_rng(0).random((6, 6)) ** 30
    mass[2:4] = 0
    assert support(mass, 24).tolist() == np.flatnonzero(mass).tolist()
    assert len(support(mass, 23)) < 23
