"""Values and potentials of exact marginals, against independent solvers and closed forms."""

import geomloss
import numpy as np
import ot
import pytest
import torch
from edframe_sinkhorn import sinkhorn_divergence

from edframe.grid import Grid

TIGHT = {"tol": 1e-9, "max_iterations": 5000}

GRIDS = {
    "cubic": Grid.of([3.0, 3.0, 3.0], 6),
    "open": Grid.of([3.0, 3.0, 3.0], 6, False),
    "wire": Grid.of([2.5, 3.0, 4.0], (5, 6, 7), (True, False, False)),
    "one-voxel-axis": Grid.of([0.6, 4.0, 3.0], (1, 8, 5)),
    "line": Grid.of([9.0], 31),
    "open-line": Grid.of([9.0], 32, False),
    "plane": Grid.of([4.0, 6.0], (8, 13), (True, False)),
    "one-point": Grid.of([1.0], 1),
    "rotated-cell": Grid.of([[1.8, 2.4], [-3.2, 2.4]], (6, 8)),
}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("voxels", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("debias", [True, False], ids=["debiased", "entropic"])
def test_value_and_potentials_equal_the_dense_solver(dense, densities, name, voxels, debias):
    grid = GRIDS[name]
    blur = voxels * float(grid.spacing.max())
    a, b = densities(grid)
    exact = dense(a[0], b[0], grid, blur, debias=debias)
    ours = sinkhorn_divergence(a, b, grid, blur, debias=debias, **TIGHT)
    assert ours.value.item() == pytest.approx(exact.value, rel=1e-10, abs=1e-14)
    for potential, wanted in (
        (ours.potential, exact.potential),
        (ours.reference_potential, exact.reference_potential),
    ):
        error = potential[0].numpy() - wanted
        assert np.ptp(error) <= 1e-7 * max(np.ptp(wanted), 1e-7)  # potentials are defined up to a constant


def test_default_options_reach_a_tenth_of_a_percent(dense, densities):
    grid = GRIDS["cubic"]
    a, b = densities(grid)
    exact = dense(a[0], b[0], grid, 0.5)
    ours = sinkhorn_divergence(a, b, grid)
    assert ours.value.item() == pytest.approx(exact.value, rel=1e-3)
    error = ours.potential[0].numpy() - exact.potential
    assert np.ptp(error) <= 0.03 * np.ptp(exact.potential)
    assert ours.marginal_error.item() <= 1e-3


@pytest.mark.parametrize("shape", [(6, 6, 6), (20,), (9, 7)])
def test_open_value_and_gradient_equal_geomloss(densities, shape):
    grid = Grid.of([0.5 * n for n in shape], shape, False)
    a, b = densities(grid, seed=1)
    a, b = a / a.sum(), b / b.sum()
    points = torch.from_numpy(grid.coordinates().reshape(-1, grid.dimension))
    weights = a.reshape(-1).clone().requires_grad_()
    peer = geomloss.SamplesLoss("sinkhorn", p=2, blur=0.7, scaling=0.997, backend="tensorized", debias=True)
    value = peer(weights, points, b.reshape(-1), points)
    (gradient,) = torch.autograd.grad(value, weights)
    ours = sinkhorn_divergence(a, b, grid, 0.7, **TIGHT)
    assert ours.value.item() == pytest.approx(value.item(), rel=2e-3)  # geomloss' annealing leaves as much
    gradient = gradient - (gradient * weights.detach()).sum()
    torch.testing.assert_close(ours.gradient.reshape(-1), gradient, rtol=0, atol=0.03 * gradient.abs().max().item())


@pytest.mark.parametrize("debias", [True, False], ids=["debiased", "entropic"])
def test_periodic_value_equals_pot(cost, densities, debias):
    grid = GRIDS["plane"]
    a, b = (x[0].numpy().ravel() / x.sum().item() for x in densities(grid, seed=2))
    blur = 0.6
    matrix = cost(grid)

    def transport(p, q):
        plan = ot.sinkhorn(p, q, matrix, blur**2, method="sinkhorn_log", numItermax=20000, stopThr=1e-12)
        return (plan * matrix).sum() + blur**2 * (plan * np.log(plan / np.outer(p, q))).sum()

    expected = transport(a, b) - debias * (transport(a, a) + transport(b, b)) / 2
    a, b = (torch.from_numpy(x).reshape(1, *grid.shape) for x in (a, b))
    ours = sinkhorn_divergence(a, b, grid, blur, debias=debias, **TIGHT)
    assert ours.value.item() == pytest.approx(expected, rel=1e-8)


def test_two_gaussians_on_a_line_are_the_closed_form():
    # Janati et al. 2020: OT_ε of centred Gaussians with the KL-regularised plan; cost |x − y|²/2, ε = blur².
    grid = Grid.of([24.0], 480, False)
    x, blur, first, second = grid.coordinates()[:, 0] - 12, 0.4, 0.9, 1.4

    def transport(s, t):
        spread = np.sqrt(4 * s**2 * t**2 + blur**4)
        entropic = blur**2 * (1 - np.log(2 * blur**2) + np.log(spread + blur**2))
        return (s**2 + t**2 - spread + entropic) / 2

    expected = transport(first, second) - (transport(first, first) + transport(second, second)) / 2
    a, b = (torch.from_numpy(np.exp(-(x**2) / (2 * s**2)))[None] for s in (first, second))
    assert sinkhorn_divergence(a, b, grid, blur, **TIGHT).value.item() == pytest.approx(expected, rel=1e-6)
    entropic = sinkhorn_divergence(a, b, grid, blur, debias=False, **TIGHT).value.item()
    assert entropic == pytest.approx(transport(first, second), rel=1e-6)


def test_without_debiasing_a_density_is_not_at_distance_zero_from_itself(densities):
    grid = GRIDS["plane"]
    a, _ = densities(grid)
    assert sinkhorn_divergence(a, a, grid, debias=False).value.item() > 0.1 * grid.spacing.max() ** 2


def test_two_points_cost_half_their_distance_squared():
    grid = Grid.of([10.0], 20, False)
    ends = torch.eye(20, dtype=torch.float64)[[2, 9, 19]]
    ours = sinkhorn_divergence(ends, ends[[0, 0, 0]], grid, 0.05)  # 0.05 Å: the plan is e^−14,450 of the kernel's peak
    assert ours.value.tolist() == pytest.approx([0.0, 3.5**2 / 2, 8.5**2 / 2], rel=1e-12, abs=1e-12)


def test_the_total_is_that_of_all_electrons_of_the_reference(densities):
    grid = GRIDS["wire"]
    a, b = densities(grid)
    per_electron, total = (sinkhorn_divergence(a, b, grid, scale=scale) for scale in ("per_electron", "total"))
    electrons = b.sum() * grid.volume / grid.points
    torch.testing.assert_close(total.value, per_electron.value * electrons, rtol=1e-12, atol=0)
    torch.testing.assert_close(total.gradient, per_electron.gradient * electrons, rtol=1e-12, atol=1e-15)
