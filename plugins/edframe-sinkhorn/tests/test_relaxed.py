"""Marginals held by a penalty (``reach``), and masses that differ, against independent solvers and closed forms."""

import geomloss
import numpy as np
import ot
import pytest
import torch
from edframe_sinkhorn import sinkhorn_divergence

from edframe.errors import ConfigError
from edframe.grid import Grid

TIGHT = {"tol": 1e-9, "max_iterations": 5000}

GRIDS = {
    "cubic": Grid.of([3.0, 3.0, 3.0], 6),
    "wire": Grid.of([2.5, 3.0, 4.0], (5, 6, 7), (True, False, False)),
    "open-line": Grid.of([9.0], 32, False),
}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("reach", [0.1, 0.7, 5.0])
@pytest.mark.parametrize("mass", ["normalise", "unbalanced"])
@pytest.mark.parametrize("debias", [True, False], ids=["debiased", "entropic"])
def test_value_and_derivatives_equal_the_dense_solver(dense, densities, name, reach, mass, debias):
    grid = GRIDS[name]
    a, b = densities(grid, zeros=True)
    options = {"reach": reach, "mass": mass, "debias": debias}
    exact = dense(1.3 * a[0], b[0], grid, 0.5, **options)
    ours = sinkhorn_divergence(1.3 * a, b, grid, 0.5, **options, **TIGHT)
    assert ours.value.item() == pytest.approx(exact.value, rel=1e-10)
    for potential, wanted in (
        (ours.potential, exact.potential),
        (ours.reference_potential, exact.reference_potential),
    ):
        np.testing.assert_allclose(potential[0], wanted, rtol=0, atol=1e-7 * np.abs(wanted).max())


@pytest.mark.parametrize("shape", [(6, 6, 6), (20,), (9, 7)])
def test_open_value_equals_geomloss(densities, shape):
    # Its value only: the gradient of geomloss 0.3.1 with a reach is wrong.
    grid = Grid.of([0.5 * n for n in shape], shape, False)
    a, b = densities(grid, seed=1)
    points = torch.from_numpy(grid.coordinates().reshape(-1, grid.dimension))
    peer = geomloss.SamplesLoss("sinkhorn", blur=0.7, reach=0.9, scaling=0.999, backend="tensorized", debias=True)
    first, second = 1.3 * a.reshape(-1) / a.sum(), b.reshape(-1) / b.sum()
    expected = peer(first, points, second, points).item()
    ours = sinkhorn_divergence(1.3 * a / a.sum(), b / b.sum(), grid, 0.7, reach=0.9, mass="unbalanced", **TIGHT)
    assert ours.value.item() == pytest.approx(expected, rel=2e-4)  # what annealing leaves


def test_periodic_value_equals_the_cost_of_the_plan_of_pot(cost, densities):
    grid = GRIDS["wire"]
    a, b = densities(grid, seed=2)
    first, second = 1.3 * (a / a.sum()).numpy().ravel(), (b / b.sum()).numpy().ravel()
    matrix, blur, reach = cost(grid), 0.7, 0.9

    def divergence(p, q):
        return (p * np.log(p / q) - p + q).sum()

    plan = ot.unbalanced.sinkhorn_unbalanced(
        first, second, matrix, blur**2, reach**2, method="sinkhorn_stabilized", numItermax=5000, stopThr=1e-14
    )
    expected = (plan * matrix).sum() + blur**2 * divergence(plan, np.outer(first, second))
    expected += reach**2 * (divergence(plan.sum(1), first) + divergence(plan.sum(0), second))
    ours = sinkhorn_divergence(
        1.3 * a / a.sum(), b / b.sum(), grid, blur, reach=reach, mass="unbalanced", debias=False, **TIGHT
    )
    assert ours.value.item() == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("apart", [0, 1, 4, 19])
@pytest.mark.parametrize("electrons", [1e-3, 1.0, 3.0])
@pytest.mark.parametrize("reach", [0.2, 1.0, 30.0])
def test_two_points_are_the_closed_form(apart, electrons, reach):
    # The plan of masses m, n at cost c is one number: (mn)^κ e^{−c/(ε+2ρ)}, κ = (ε+ρ)/(ε+2ρ). Far apart both are
    # removed and created, for a cost that does not depend on the distance.
    grid = Grid.of([10.0], 20, False)
    points = torch.eye(20, dtype=torch.float64)
    ours = sinkhorn_divergence(
        electrons * points[[0]], points[[apart]], grid, 0.3, reach=reach, mass="unbalanced", **TIGHT
    )
    c, epsilon, rho = (0.5 * apart) ** 2 / 2, 0.3**2, reach**2
    power, stiff = (epsilon + rho) / (epsilon + 2 * rho), epsilon + 2 * rho
    plans = electrons ** (2 * power) + 1 - 2 * electrons**power * np.exp(-c / stiff)
    assert ours.value.item() == pytest.approx(stiff / 2 * plans, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.1, 2.0])
def test_too_many_electrons_in_the_right_places_cost_as_in_closed_form(factor):
    # Of a uniform density on a torus the scalings are one number, so that with all K summing to κ and t the factor
    # S = (ε/2 + ρ) κ^{ε/(ε+2ρ)} (t^{(ε+ρ)/(ε+2ρ)} − 1)².
    grid = Grid.of([3.0, 4.0], (6, 10))
    blur, reach = 0.6, 0.8
    uniform = torch.ones(1, *grid.shape, dtype=torch.float64)
    ours = sinkhorn_divergence(factor * uniform, uniform, grid, blur, reach=reach, mass="unbalanced", **TIGHT)
    epsilon, rho = blur**2, reach**2
    kernel = 1.0
    for n, h in zip(grid.shape, grid.spacing, strict=True):
        steps = np.arange(n)
        kernel *= np.exp(-((h * np.minimum(steps, n - steps)) ** 2) / (2 * epsilon)).mean()
    excess = factor ** ((epsilon + rho) / (epsilon + 2 * rho)) - 1
    expected = (epsilon / 2 + rho) * kernel ** (epsilon / (epsilon + 2 * rho)) * excess**2
    assert ours.value.item() == pytest.approx(expected, rel=1e-9, abs=1e-13)


def test_normalised_masses_do_not_see_the_number_of_electrons(densities):
    grid = GRIDS["wire"]
    a, b = densities(grid)
    once, thrice = (sinkhorn_divergence(factor * a, b, grid, reach=0.7) for factor in (1, 3))
    torch.testing.assert_close(thrice.value, once.value, rtol=1e-10, atol=0)


@pytest.mark.parametrize("mass", ["normalise", "unbalanced"])
def test_a_long_reach_only_moves_electrons(densities, mass):
    grid = GRIDS["cubic"]
    a, b = densities(grid)
    a = a * (b.sum() / a.sum())  # equal masses, so that both have the same limit
    exact = sinkhorn_divergence(a, b, grid, **TIGHT)
    # The difference is of first order in 1/reach²: 2.5 Å² at most.
    held = sinkhorn_divergence(a, b, grid, reach=1e3, mass=mass, **TIGHT)
    assert held.value.item() == pytest.approx(exact.value.item(), rel=1e-5)
    error = held.potential - exact.potential
    assert np.ptp(error.numpy()) < 1e-4 * np.ptp(exact.potential.numpy())


def test_a_reach_caps_the_cost_of_far_pairs(atoms):
    # Each of the two loses and gains all its electrons: ρ(1 + 1) − ½(costs of neither); the rest is the blur's.
    grid = Grid.of([16.0], 64, False)
    near, far = (atoms(grid, ([place], 0.3, 1)) for place in (2.0, 14.0))
    exact = sinkhorn_divergence(near, far, grid)
    capped = sinkhorn_divergence(near, far, grid, reach=1.0)
    assert exact.value.item() == pytest.approx(72.0, rel=1e-6)
    assert 1.5 < capped.value.item() < 2 + 0.25**2


def test_a_wrong_number_of_electrons_counts_only_where_marginals_can_give(densities):
    grid = GRIDS["wire"]
    a, b = densities(grid)
    with pytest.raises(ConfigError, match="needs a reach"):
        sinkhorn_divergence(a, b, grid, mass="unbalanced")
