"""Values and gradients against independent solvers and closed forms."""

import geomloss
import numpy as np
import ot
import pytest
import torch
from edframe_sinkhorn import sinkhorn_divergence
from edframe_sinkhorn.plugin import SinkhornConfig

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


def random_pair(grid, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(torch.from_numpy(rng.random((1, *grid.shape)) ** 4 + 1e-6) for _ in range(2))


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("voxels", [1.0, 2.0])
def test_value_and_potentials_equal_the_dense_solver(dense, name, voxels):
    grid = GRIDS[name]
    if name == "rotated-cell":  # the oracle wants axes along x, y: the same lengths, so the same distances
        lengths = np.linalg.norm(grid.vectors, axis=1)
        reference = Grid.of(lengths, grid.shape)
    else:
        reference = grid
    blur = voxels * float(grid.spacing.max())
    a, b = random_pair(grid)
    exact = dense(a[0].numpy(), b[0].numpy(), reference, blur)
    ours = sinkhorn_divergence(a, b, grid, blur, **TIGHT)
    assert ours.value.item() == pytest.approx(exact.value, rel=1e-6, abs=1e-12)
    for potential, wanted in (
        (ours.potential, exact.potential),
        (ours.reference_potential, exact.reference_potential),
    ):
        error = potential[0].numpy() - wanted
        assert np.ptp(error) <= 1e-5 * max(np.ptp(wanted), 1e-9)  # potentials are defined up to a constant


def test_default_options_reach_a_percent(dense):
    grid = GRIDS["cubic"]
    a, b = random_pair(grid)
    exact = dense(a[0].numpy(), b[0].numpy(), grid, 0.5)
    ours = sinkhorn_divergence(a, b, grid)
    assert ours.value.item() == pytest.approx(exact.value, rel=1e-2)
    assert ours.marginal_error.item() <= SinkhornConfig().tol


@pytest.mark.parametrize("shape", [(6, 6, 6), (20,), (9, 7)])
def test_open_value_and_gradient_equal_geomloss(shape):
    grid = Grid.of([0.5 * n for n in shape], shape, False)
    a, b = random_pair(grid, seed=1)
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


def test_periodic_value_equals_pot(cost):
    grid = GRIDS["plane"]
    a, b = (x[0].numpy().ravel() / x.sum().item() for x in random_pair(grid, seed=2))
    blur = 0.6
    matrix = cost(grid)

    def transport(p, q):
        plan = ot.sinkhorn(p, q, matrix, blur**2, method="sinkhorn_log", numItermax=20000, stopThr=1e-12)
        return (plan * matrix).sum() + blur**2 * (plan * np.log(plan / np.outer(p, q))).sum()

    expected = transport(a, b) - (transport(a, a) + transport(b, b)) / 2
    ours = sinkhorn_divergence(*(torch.from_numpy(x).reshape(1, *grid.shape) for x in (a, b)), grid, blur, **TIGHT)
    assert ours.value.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shift", [(0.02, 0.0, 0.0), (0.1, -0.05, 0.08), (0.5, 0.0, 0.3), (0.9, -0.6, 0.4)])
def test_a_rigid_shift_costs_half_its_square(shift):
    grid = Grid.of([6.0] * 3, 24)
    away = grid.coordinates() - 2.5

    def cloud(offset):
        return torch.from_numpy(np.exp(-((away - offset) ** 2).sum(-1) / (2 * 0.5**2)))[None]

    expected = sum(x**2 for x in shift) / 2
    ours = sinkhorn_divergence(cloud(np.array(shift)), cloud(np.zeros(3)), grid, tol=1e-5)
    assert ours.value.item() == pytest.approx(expected, rel=5e-3)


def test_two_gaussians_on_a_line_are_the_closed_form():
    # Janati et al. 2020: OT_ε of centred Gaussians with the KL-regularised plan; cost |x − y|²/2, ε = blur².
    grid = Grid.of([24.0], 480, False)
    x, blur, first, second = grid.coordinates()[:, 0] - 12, 0.4, 0.9, 1.4

    def transport(s, t):
        spread = np.sqrt(4 * s**2 * t**2 + blur**4)
        entropic = blur**2 * (1 - np.log(2 * blur**2) + np.log(spread + blur**2))
        return (s**2 + t**2 - spread + entropic - blur**2) / 2

    expected = transport(first, second) - (transport(first, first) + transport(second, second)) / 2
    a, b = (torch.from_numpy(np.exp(-(x**2) / (2 * s**2)))[None] for s in (first, second))
    assert sinkhorn_divergence(a, b, grid, blur, **TIGHT).value.item() == pytest.approx(expected, rel=1e-6)


def test_a_density_across_the_boundary_is_as_near_as_one_inside(molecule):
    grid = Grid.of([6.0] * 3, 12)
    a, b = molecule(grid), molecule(grid, angle=0.2)
    inside = sinkhorn_divergence(a, b, grid, tol=1e-6)
    moved = sinkhorn_divergence(a.roll((6, 6, 6), (1, 2, 3)), b.roll((6, 6, 6), (1, 2, 3)), grid, tol=1e-6)
    torch.testing.assert_close(moved.value, inside.value, rtol=1e-5, atol=0)
