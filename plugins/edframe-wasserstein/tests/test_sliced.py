from functools import partial

import numpy as np
import ot
import pytest
import torch
from edframe_wasserstein import exact_transport, sliced_transport
from edframe_wasserstein.sliced import orthogonal_directions

from edframe.errors import DataError
from edframe.grid import Grid

SKEWED = [[8.0, 0.0, 0.0], [2.0, 7.0, 0.0], [-1.0, 1.5, 7.5]]


def random_pair(grid, batch=1, seed=0, empty=0.0):
    fields = torch.rand(2, batch, *grid.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return (fields - empty).clamp(min=0)


def value(a, b, grid, **options):
    return sliced_transport(a, b, grid, **options)[0]


def opened(grid):
    return Grid.of(grid.vectors, grid.shape, False)


@pytest.mark.parametrize("empty", [0.0, 0.6])
def test_it_is_pot_with_the_same_projections_times_half_the_dimension(grid, empty):
    grid = opened(grid)
    a, b = random_pair(grid, batch=2, empty=empty)
    x = grid.coordinates().reshape(-1, grid.dimension)
    projections = orthogonal_directions(7, grid.dimension).T
    expected = []
    for one, other in zip(a, b, strict=True):
        masses = [(m / m.sum()).numpy().ravel() for m in (one, other)]
        expected.append(ot.sliced_wasserstein_distance(x, x, *masses, projections=projections) ** 2)
    assert value(a, b, grid, directions=7).tolist() == pytest.approx([grid.dimension / 2 * e for e in expected])


def test_on_a_line_it_is_the_exact_transport():
    grid = Grid.of([5.0], 50, False)
    a, b = random_pair(grid, empty=0.3)
    x = grid.coordinates().ravel()
    masses = [(m / m.sum()).numpy().ravel() for m in (a, b)]
    assert value(a, b, grid).item() == pytest.approx(ot.emd2_1d(x, x, *masses) / 2, rel=1e-9)


def test_it_is_at_most_the_exact_transport(grid):
    grid = opened(grid)
    a, b = random_pair(grid, batch=4)
    assert (value(a, b, grid) <= exact_transport(a, b, grid)[0] + 1e-12).all()


@pytest.mark.parametrize("cell", [[8.0, 7.0, 7.5], SKEWED])
@pytest.mark.parametrize("shift", [(1, 0, 0), (2, -1, 1)])
@pytest.mark.parametrize("directions", [1, 30])
def test_a_rigid_shift_costs_half_its_square_also_across_the_boundary(bump, cell, shift, directions):
    grid = Grid.of(cell, (12, 9, 10))
    a = bump(grid, (0.2, 0.1, 0.3), 0.5).clamp(min=1e-3) - 1e-3
    expected = ((np.array(shift) @ grid.voxel) ** 2).sum() / 2
    shifted = a.roll(shift, (1, 2, 3))
    assert value(a, shifted, grid, directions=directions).item() == pytest.approx(expected, rel=1e-9)


def test_a_periodic_cell_with_a_compact_density_is_judged_as_an_open_one(bump):
    grid = Grid.of([8.0, 7.0, 7.5], (12, 9, 10), (True, False, True))
    a, b = bump(grid, (4.0, 3.0, 3.5), 0.6), bump(grid, (4.3, 3.4, 3.0), 0.7)
    periodic = value(a.roll((5, 6), (1, 3)), b.roll((5, 6), (1, 3)), grid).item()
    assert periodic == pytest.approx(value(a, b, opened(grid)).item(), rel=1e-4)


def test_a_density_that_fills_a_periodic_axis_is_refused_and_an_open_one_is_not():
    a, b = random_pair(Grid.of([3.0, 3.0], 6))
    with pytest.raises(DataError, match=r"axis 1 .* use 'sinkhorn' or 'wasserstein'"):
        value(a, b, Grid.of([3.0, 3.0], 6))
    assert value(a, b, Grid.of([3.0, 3.0], 6, False)) > 0


def test_the_electrons_near_the_cut_are_reported(bump):
    grid = Grid.of([10.0], 20)
    reference = bump(grid, (1.75,), 0.4)  # farthest from it: 6.75 Å, between points 13 and 14
    predicted = 0.85 * reference / reference.sum()
    predicted[0, 14] += 0.1
    predicted[0, 16] += 0.05
    assert sliced_transport(predicted, reference, grid)[1]["near_cut"].item() == pytest.approx(0.1)


@pytest.mark.parametrize("empty", [0.0, 0.6])
def test_the_gradients_agree_with_finite_differences(grid, empty):
    grid = opened(grid)
    # What is empty must be below zero, where differences to both sides agree.
    a, b = ((m - 0.01 * (m == 0)).requires_grad_() for m in random_pair(grid, batch=2, empty=empty))
    assert torch.autograd.gradcheck(lambda a, b: value(a, b, grid, directions=3), (a, b))


@pytest.mark.parametrize("which", [0, 1])
def test_the_gradient_where_there_is_nothing_is_the_slope_of_adding_something(which):
    grid = Grid.of([4.0, 4.0], (6, 6), False)
    pair = list(random_pair(grid, empty=0.5))
    pair[which][:, [0, 5]] = 0  # also at the very ends
    empty = (pair[which] == 0).nonzero()
    leaf = pair[which].clone().requires_grad_()
    start = value(*(leaf if i == which else m for i, m in enumerate(pair)), grid)
    (gradient,) = torch.autograd.grad(start.sum(), leaf)
    for index in map(tuple, empty.tolist()):
        more = pair[which].clone()
        more[index] += 1e-7
        slope = (value(*(more if i == which else m for i, m in enumerate(pair)), grid) - start).item() / 1e-7
        assert gradient[index].item() == pytest.approx(slope, rel=1e-4, abs=1e-5)


def test_the_gradient_reaches_through_the_cut(bump):
    grid = Grid.of([8.0, 7.0], (8, 7))
    a, b = bump(grid, (7.5, 6.8), 0.7) + 1e-3, bump(grid, (0.3, 0.1), 0.8) + 1e-3
    loss = partial(value, grid=grid, directions=4, max_near_cut=0.02)
    assert torch.autograd.gradcheck(loss, (a.requires_grad_(), b.requires_grad_()))


def test_equal_densities_have_neither_value_nor_gradient(grid):
    a = random_pair(grid, empty=0.2)[0]
    leaf = a.clone().requires_grad_()
    zero = value(leaf, a, opened(grid))
    assert zero.item() == 0
    assert (torch.autograd.grad(zero.sum(), leaf)[0] == 0).all()


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_directions_are_fixed_orthonormal_frames(dimension):
    directions = orthogonal_directions(7, dimension)
    assert len(directions) == {1: 1, 2: 8, 3: 9}[dimension]
    frames = directions.reshape(-1, dimension, dimension)
    np.testing.assert_allclose(
        frames @ frames.swapaxes(1, 2), np.eye(dimension)[None].repeat(len(frames), 0), atol=1e-12
    )
    np.testing.assert_array_equal(directions, orthogonal_directions(7, dimension))


@pytest.mark.parametrize(("part", "charged"), [(0.1, 1.32), (0.3, 1.07)])
def test_projections_almost_resolve_a_shift_by_part_of_a_voxel(bump, part, charged):
    # They fill a line more densely than voxels do; the exact transport charges 10 and 3.3 times too much.
    grid = Grid.of([4.0, 4.0, 4.0], 16, False)
    a, b = bump(grid, (2.0, 2.0, 2.0), 0.4), bump(grid, (2.0 + 0.25 * part, 2.0, 2.0), 0.4)
    assert value(a, b, grid).item() / (0.5 * (0.25 * part) ** 2) == pytest.approx(charged, rel=0.02)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: a * 0, "no positive value"),
        (lambda a: a * float("nan"), "not finite"),
        (lambda a: a[:, :-1], "has shape"),
        (lambda a: torch.cat([a, a]), "batches of one size"),
    ],
)
@pytest.mark.usefixtures("any_shape")
def test_a_density_that_cannot_be_used_is_refused(spoil, message):
    grid = Grid.of([3.0, 2.0], (4, 3), False)
    a = random_pair(grid)[0]
    with pytest.raises(DataError, match=message):
        sliced_transport(spoil(a), a, grid)
