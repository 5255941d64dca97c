import numpy as np
import ot
import pytest
import torch
from edframe_wasserstein import exact_transport
from edframe_wasserstein.blocks import NEGLIGIBLE

from edframe.errors import DataError
from edframe.grid import Grid

SKEWED = [[6.0, 0.0, 0.0], [2.0, 5.0, 0.0], [-1.0, 1.5, 5.5]]


def random_pair(grid, batch=1, seed=0):
    return torch.rand(2, batch, *grid.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.05


def value(a, b, grid, **options):
    return exact_transport(a, b, grid, **options)[0]


def test_the_value_is_that_of_the_linear_program(grid, cost, program):
    a, b = random_pair(grid, batch=2)
    points = grid.coordinates().reshape(-1, grid.dimension)
    costs = cost(grid, points, points)
    expected = [program(x.numpy().ravel(), 3 * y.numpy().ravel(), costs) for x, y in zip(a, b, strict=True)]
    assert value(a, b, grid).tolist() == pytest.approx(expected, rel=1e-9)


def test_on_a_line_it_is_the_distance_of_the_quantiles():
    grid = Grid.of([5.0], 60, False)
    a, b = random_pair(grid)
    x = grid.coordinates().ravel()
    masses = [(m / m.sum()).numpy().ravel() for m in (a, b)]
    assert value(a, b, grid).item() == pytest.approx(ot.emd2_1d(x, x, *masses) / 2, rel=1e-9)


@pytest.mark.parametrize("cell", [[6.0, 5.0, 5.5], SKEWED])
@pytest.mark.parametrize("shift", [(1, 0, 0), (2, -1, 1)])
def test_a_rigid_shift_costs_half_its_square_also_across_the_boundary(bump, cell, shift):
    grid = Grid.of(cell, (6, 5, 6))
    a = bump(grid, (0.2, 0.1, 0.3), 0.3).clamp(min=1e-3) - 1e-3
    shifted = a.roll(shift, (1, 2, 3))
    expected = ((np.array(shift) @ grid.voxel) ** 2).sum() / 2
    assert value(a, shifted, grid).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("part", "excess"), [(0.1, 10.0), (0.3, 10 / 3)])
@pytest.mark.parametrize("shape", [(60,), (12, 1, 1), (11, 11, 1)])
def test_a_shift_by_part_of_a_voxel_is_charged_as_steps_of_whole_voxels(bump, part, excess, shape):
    # The fraction t of the electrons moves by h, which costs ½h²t and not ½h²t²: 1/t times too much.
    grid = Grid.of([0.25 * n for n in shape], shape, False)
    centre = 0.25 * (np.array(shape) - 1) / 2
    moved = centre + np.eye(len(shape))[0] * 0.25 * part
    a, b = (bump(grid, place, 0.3) for place in (centre, moved))
    assert value(a, b, grid).item() / (0.5 * (0.25 * part) ** 2) == pytest.approx(excess, rel=0.02)


def test_the_gradients_agree_with_finite_differences(grid):
    a, b = (m.requires_grad_() for m in random_pair(grid, batch=2))
    assert torch.autograd.gradcheck(lambda a, b: value(a, b, grid), (a, b))


def test_the_gradients_agree_with_finite_differences_on_coarse_blocks():
    grid = Grid.of(SKEWED, (5, 4, 3))
    a, b = (m.requires_grad_() for m in random_pair(grid))
    assert exact_transport(a, b, grid, max_points=20)[1]["points"].item() < 20
    assert torch.autograd.gradcheck(lambda a, b: value(a, b, grid, max_points=20), (a, b))


@pytest.mark.parametrize("which", [0, 1])
def test_the_gradient_where_there_is_nothing_is_the_slope_of_adding_something(bump, which, monkeypatch):
    monkeypatch.setattr("edframe_wasserstein.blocks.NEGLIGIBLE", 0.0)  # the small additions below must be seen
    grid = Grid.of([4.0, 4.0], (6, 6))
    pair = [bump(grid, (1.0, 1.2), 0.5), bump(grid, (1.9, 2.1), 0.6)]
    pair[which] = torch.where(pair[which] > 0.02, pair[which], 0.0)
    empty = (pair[which] == 0).nonzero()
    assert len(empty) > 5
    leaf = pair[which].clone().requires_grad_()
    both = [leaf if i == which else m for i, m in enumerate(pair)]
    start = value(*both, grid)
    (gradient,) = torch.autograd.grad(start.sum(), leaf)
    for index in map(tuple, empty.tolist()):
        more = pair[which].clone()
        more[index] += 1e-6
        slope = (value(*(more if i == which else m for i, m in enumerate(pair)), grid) - start).item() / 1e-6
        assert gradient[index].item() == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_equal_densities_have_neither_value_nor_gradient(grid):
    a = random_pair(grid)[0]
    leaf = a.clone().requires_grad_()
    zero = value(leaf, 2 * a, grid)
    assert zero.item() == 0
    assert (torch.autograd.grad(zero.sum(), leaf)[0] == 0).all()


def test_values_below_zero_count_as_zero_and_have_no_gradient(grid):
    a, b = random_pair(grid)
    a.view(-1)[0] = 0
    below = a.clone()
    below.view(-1)[0] = -1
    below.requires_grad_()
    assert value(below, b, grid).item() == value(a, b, grid).item()
    assert torch.autograd.grad(value(below, b, grid).sum(), below)[0].view(-1)[0] == 0


@pytest.mark.parametrize("max_points", [40, 120, 300])
def test_coarsening_changes_the_root_of_the_value_by_at_most_its_bound(bump, max_points):
    grid = Grid.of([4.0, 3.5], (20, 17))
    a, b = bump(grid, (1.0, 1.5), 0.5), bump(grid, (1.7, 1.9), 0.6)
    fine, coarse = (exact_transport(a, b, grid, n) for n in (400, max_points))
    assert coarse[1]["points"].item() <= max_points
    spacing = coarse[1]["spacing"].item()
    assert spacing > fine[1]["spacing"].item() == pytest.approx(3.5 / 17)
    radius = np.hypot(*(spacing - grid.spacing)) / 2
    roots = [np.sqrt(2 * result[0].item()) for result in (fine, coarse)]
    assert abs(roots[0] - roots[1]) <= 2 * radius


def test_a_small_mass_far_away_counts_where_all_points_fit():
    """1e-5 of the mass, 3 Å away, costs ½ · 3² · 1e-5, as far as the rest stays: of two points there is one plan."""
    grid = Grid.of([4.0, 4.0], (8, 8), False)
    a, b = torch.zeros(2, 1, 8, 8)
    a[0, 1, 1], a[0, 1, 7], b[0, 1, 1] = 1 - 1e-5, 1e-5, 1
    assert value(a, b, grid).item() == pytest.approx(4.5e-5, rel=1e-6)


def test_what_is_left_out_changes_the_value_by_at_most_its_way(bump):
    grid = Grid.of([4.0, 4.0], (8, 8), False)
    a = torch.where(bump(grid, (2.0, 2.0), 0.6) > 0.1, bump(grid, (2.0, 2.0), 0.6), 0.0)
    far = a.clone()
    points = int((a > 0).sum())
    far[0, 0, 0] = 0.9 * NEGLIGIBLE * a.sum()
    assert value(far, a, grid, max_points=points).item() <= NEGLIGIBLE * (2 * 2.0**2) / 2
    far[0, 0, 0] = 10 * NEGLIGIBLE * a.sum()
    assert value(far, a, grid, max_points=points).item() > 0


def test_each_sample_is_solved_on_its_own_grid_and_weighted_by_what_comes_from_above(bump):
    grid = Grid.of([4.0, 4.0], (12, 12))
    a = torch.cat([bump(grid, (1.0, 1.2), 0.3), bump(grid, (1.0, 1.2), 1.5)]).float().requires_grad_()
    b = torch.cat([bump(grid, (1.5, 1.2), 0.3)] * 2).float()
    values, diagnostics = exact_transport(a, b, grid, max_points=60)
    assert diagnostics["spacing"][0] < diagnostics["spacing"][1]
    (gradient,) = torch.autograd.grad((values * torch.tensor([2.0, -3.0])).sum(), a)
    (plain,) = torch.autograd.grad(value(a, b, grid, max_points=60).sum(), a)
    assert gradient.dtype == torch.float32
    torch.testing.assert_close(gradient, plain * torch.tensor([2.0, -3.0])[:, None, None])


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
    grid = Grid.of([3.0, 2.0], (4, 3))
    a = random_pair(grid)[0]
    with pytest.raises(DataError, match=message):
        exact_transport(spoil(a), a, grid)


@pytest.mark.filterwarnings("ignore:numItermax")
def test_a_solution_that_did_not_finish_is_refused(monkeypatch):
    monkeypatch.setattr("edframe_wasserstein.exact.PIVOTS", 1)
    grid = Grid.of([3.0, 2.0], (4, 3))
    with pytest.raises(DataError, match="max_points"):
        exact_transport(*random_pair(grid), grid)
