"""The iterations of the scalings themselves, against matrices of all pairs in numpy."""

import numpy as np
import pytest
import torch
from edframe_sinkhorn.kernel import SeparableKernel
from edframe_sinkhorn.masses import Masses
from edframe_sinkhorn.scalings import DOUBLE, SINGLE, Chebyshev, Problem, approach

from edframe.grid import Grid

GRID = Grid.of([2.4, 2.0, 1.6], (6, 5, 4), periodic=False)
EPSILON = 0.4**2


@pytest.fixture
def kernel():
    return SeparableKernel([2.4, 2.0, 1.6], GRID.shape, GRID.periodic, EPSILON, "cpu")


@pytest.fixture
def masses(densities):
    return [Masses.of(x / x.flatten(1).sum(1).reshape(-1, 1, 1, 1)) for x in densities(GRID, zeros=True)]


def dense(cost, fields, log_scaling, damping):
    """(K(m eˣ))^−λ at all points, by the matrix."""
    return (np.exp(-cost(GRID) / EPSILON) @ (fields * np.exp(log_scaling)).ravel()) ** -damping


@pytest.mark.parametrize("precision", [SINGLE, DOUBLE], ids=["single", "double"])
@pytest.mark.parametrize("damping", [1.0, 0.7])
def test_two_scalings_solve_both_equations(kernel, masses, cost, precision, damping):
    start = torch.zeros_like(masses[0].value)
    result = approach(Problem(kernel, tuple(masses), damping, 1e-5), start, 60, precision)
    a, b = (mass.value[0].numpy() for mass in masses)
    x = np.where(b > 0, result.log_scaling[0].numpy(), 0.0)
    u = dense(cost, b, x, damping).reshape(GRID.shape)
    v = dense(cost, a, np.log(u), damping).reshape(GRID.shape)
    lacking = (b * np.abs(np.exp(x) / v - 1)).sum()
    assert lacking <= 1.2e-5
    assert lacking == pytest.approx(result.marginal_errors[0], abs=2e-6)


@pytest.mark.parametrize("damping", [1.0, 0.7])
def test_one_scaling_solves_its_equation(kernel, masses, cost, damping):
    result = approach(Problem(kernel, (masses[0],), damping, 1e-5), None, 60, SINGLE)
    a = masses[0].value[0].numpy()
    x = np.where(a > 0, result.log_scaling[0].numpy(), 0.0)
    lacking = (a * np.abs(np.exp(x) / dense(cost, a, x, damping).reshape(GRID.shape) - 1)).sum()
    assert lacking <= 1.2e-5


def test_what_is_solved_stays_bit_for_bit(kernel, masses):
    solved = approach(Problem(kernel, (masses[0],), 1.0, 1e-7), None, 60, DOUBLE).log_scaling
    again = approach(Problem(kernel, (masses[0],), 1.0, 1e-4), solved, 60, SINGLE)
    assert torch.equal(again.log_scaling, solved)
    assert again.iterations == [1] == [again.applications]


def test_where_single_precision_lacks_the_range_double_has_it():
    line = SeparableKernel([6.4], [64], [False], 0.2**2, "cpu")
    place = (torch.arange(64, dtype=torch.float64) - 8) / 10
    near, far = (torch.exp(-((place - shift) ** 2) / 0.18)[None] + 1e-9 for shift in (0.0, 3.0))
    problem = Problem(line, tuple(Masses.of(x / x.sum()) for x in (near, far)), 1.0, 1e-4)
    start = torch.zeros_like(near)
    assert approach(problem, start, 60, SINGLE) is None
    assert approach(problem, start, 60, DOUBLE) is not None


@pytest.mark.parametrize("damping", [1.0, 0.5])
def test_chebyshev_leaves_of_each_error_what_the_theory_says(damping):
    # Saad 2003, section 12.3: at most 1/T_k(σ) after k steps, σ = middle/half width of the spectrum of 1 + λP.
    spectrum = torch.linspace(0, 1, 50, dtype=torch.float64)[None]
    error, steps = torch.ones_like(spectrum), Chebyshev(damping)
    for count in range(1, 8):
        error -= steps.step((1 + damping * spectrum) * error)
        bound = 1 / np.cosh(count * np.arccosh(2 / damping + 1))
        assert error.abs().max().item() == pytest.approx(bound, rel=1e-9)
