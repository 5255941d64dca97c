"""Fragments between which hardly any electron goes: the offset of the potentials between them is solved for."""

import mpmath
import numpy as np
import pytest
import torch
from edframe_sinkhorn import sinkhorn_divergence
from edframe_sinkhorn.divergence import Start
from edframe_sinkhorn.islands import Islands, offsets
from edframe_sinkhorn.kernel import OutOfRange, SeparableKernel
from edframe_sinkhorn.solver import Masses, Transition

from edframe.grid import Grid

LINE = Grid.of([9.6], 16, periodic=False)
CUBE = Grid.of([9.0] * 3, 15, periodic=False)


def exact_potential(a, b, spacing, digits=50):
    """f of OT_ε(a, b) on an open line, ε the square of its spacing: Newton's method with 50 digits."""
    with mpmath.workdps(digits):
        a, b = (np.array([mpmath.mpf(x) for x in mass]) for mass in (a, b))
        a, b = a / a.sum(), b / b.sum()
        n = len(a)
        kernel = np.array([[mpmath.exp(-mpmath.mpf((i - j) ** 2) / 2) for j in range(n)] for i in range(n)])
        log_v = np.array([mpmath.mpf(0)] * n)
        exp, log = np.frompyfunc(mpmath.exp, 1, 1), np.frompyfunc(mpmath.log, 1, 1)
        for _ in range(100):
            plan = kernel * (b * exp(log_v))
            plan = plan * (a / plan.sum(1))[:, None]
            sums = plan.sum(0)
            matrix = np.diag([mpmath.mpf(1)] * n) - plan.T @ (plan / a[:, None]) / sums[:, None]
            residual = log(b / sums)
            matrix[-1], residual[-1] = b, 0  # the constant that potentials are defined up to
            step = np.array(mpmath.lu_solve(mpmath.matrix(matrix), mpmath.matrix(residual)))
            size = max(abs(x) for x in step)
            log_v = log_v + step * min(1, 20 / size)
            if size < mpmath.mpf(10) ** -15:
                return np.array(-log(kernel @ (b * exp(log_v))), dtype=float) * spacing**2
    raise ArithmeticError("the exact solver has not converged")


@pytest.mark.parametrize(("floor", "moved"), [(0.0, 0.0), (1e-8, 0.05)])
def test_the_gradient_between_fragments_is_that_of_fifty_digits(atoms, floor, moved):
    a = atoms(LINE, ([2.55], 0.5, 1 - moved), ([7.05], 0.5, 1 + moved), floor=floor)
    b = atoms(LINE, ([2.4], 0.5, 1), ([7.2], 0.45, 1), floor=floor)
    result = sinkhorn_divergence(a, b, LINE, tol=1e-4)
    assert result.marginal_error.item() <= 1e-4
    assert result.iterations.item() <= 20  # without transfer; 60 with, before offsets were solved for
    weight, h = (a[0] / a.sum()).numpy(), LINE.spacing[0]
    exact = exact_potential(a[0].tolist(), b[0].tolist(), h) - exact_potential(a[0].tolist(), a[0].tolist(), h)
    computed = result.potential[0].numpy()
    exact, computed = exact - exact @ weight, computed - computed @ weight
    assert np.abs(computed - exact) @ weight <= 1e-3 * (np.abs(exact) @ weight)  # 0.95 before


@pytest.fixture
def mirrored(atoms):
    """Two fragments that move towards each other, each the mirror image of the other."""

    def pair(apart):
        return atoms(CUBE, ([4.2, 4.2, 4.2 - apart], 0.6, 2), ([4.2, 4.2, 4.2 + apart], 0.6, 2))

    return pair(2.3), pair(2.4)


def between(potential, mass):
    """Mean potential on the upper half less that on the lower."""
    lower, upper = (slice(None, 7), slice(8, None))  # the mirror is the plane of points 7
    low, high = (((potential * mass)[..., half].sum() / mass[..., half].sum()).item() for half in (lower, upper))
    return high - low


@pytest.mark.parametrize("options", [{}, {"reach": 2.0}])
def test_an_offset_that_a_start_brings_is_removed(mirrored, options):
    a, b = mirrored
    cold = sinkhorn_divergence(a, b, CUBE, **options)
    wrong = torch.where(torch.arange(15) > 7, 0.5, 0.0).expand_as(a).double()
    start = Start(cold.start.detail + wrong, cold.start.own, cold.start.reference)
    result = sinkhorn_divergence(a, b, CUBE, tol=1e-4, start=start, **options)
    assert result.marginal_error.item() <= 1e-4
    size = ((result.potential - result.potential.mean()).abs() * a).sum().item() / a.sum().item()
    assert abs(between(result.potential, a)) <= 1e-3 * size


def test_an_offset_that_is_left_is_reported(mirrored):
    a, b = mirrored
    cold = sinkhorn_divergence(a, b, CUBE)
    wrong = torch.where(torch.arange(15) > 7, 0.5, 0.0).expand_as(a).double()
    start = Start(cold.start.detail + wrong, cold.start.own, cold.start.reference)
    assert sinkhorn_divergence(a, b, CUBE, start=start, max_iterations=1).marginal_error.item() > 0.1


def test_a_batch_with_fragments_and_without_equals_its_samples(mirrored, atoms):
    a, b = mirrored
    one = [atoms(CUBE, ([4.2, 4.2, 4.2 + shift], 0.9, 4)) for shift in (0.0, 0.2)]
    both = sinkhorn_divergence(torch.cat([a, one[0]]), torch.cat([b, one[1]]), CUBE)
    for sample, pair in enumerate([(a, b), one]):
        alone = sinkhorn_divergence(*pair, CUBE)
        assert both.iterations[sample].item() == alone.iterations.item()
        torch.testing.assert_close(both.potential[sample], alone.potential[0], rtol=0, atol=1e-10)


def test_equal_fragments_are_at_no_distance(mirrored):
    a, _ = mirrored
    result = sinkhorn_divergence(a, a.clone(), CUBE)
    assert abs(result.value.item()) <= 1e-13
    assert result.potential.abs().max() <= 1e-13


def test_islands_are_counted_across_periodic_faces(atoms):
    torus, line = Grid.of([9.6], 32), Grid.of([9.6], 32, periodic=False)
    split = atoms(torus, ([9.5], 0.4, 1))
    assert Islands.of(split, 0.9 * split, torus.periodic) is None
    assert Islands.of(split, 0.9 * split, line.periodic).count == 2
    two = atoms(torus, ([9.5], 0.4, 1), ([4.7], 0.4, 1))
    islands = Islands.of(two, 0.9 * two, torus.periodic)
    assert islands.count == 2
    assert islands.labels[0, 0] == islands.labels[0, -1] != islands.labels[0, 16]
    bonded = atoms(torus, ([4.0], 0.5, 1), ([5.5], 0.5, 1))
    assert Islands.of(bonded, 0.9 * bonded, torus.periodic) is None


@pytest.mark.parametrize("weakest", [0.0, -30.0, -600.0])
def test_offsets_give_each_island_its_mass(weakest):
    random = np.random.default_rng(0)
    log_plan = weakest * random.random((4, 4)) - random.random((4, 4))
    np.fill_diagonal(log_plan, 0.0)
    rows, columns = random.dirichlet(np.ones(4)), random.dirichlet(np.ones(4))
    scaled = log_plan
    for _ in range(10):  # each call takes a limited number of sweeps
        scaled = scaled + offsets(scaled, rows, columns)
    plan = rows[:, None] * np.exp(scaled - np.logaddexp.reduce(scaled, axis=1)[:, None])
    np.testing.assert_allclose(plan.sum(0), columns, atol=1e-6)


def test_an_exchange_that_is_lost_is_not_taken_for_none():
    grid = Grid.of([60.0], 60, periodic=False)
    density = torch.zeros(1, 60, dtype=torch.float64)
    density[:, :5], density[:, -5:] = 0.1, 0.1
    kernel = SeparableKernel([60.0], (60,), (False,), 1.0, "cpu")
    islands = Islands.of(density, density.roll(1, 1), grid.periodic)
    mass = Masses.of(density)
    step, zero = Transition(kernel, 1.0, logarithmic=False), torch.zeros_like(density)
    with pytest.raises(OutOfRange):
        step.by_island(mass, mass, zero, islands, applied=True)
    _, shift = Transition(kernel, 1.0, logarithmic=True).by_island(mass, mass, zero, islands, applied=True)
    assert shift.abs().max() <= 1e-9  # by symmetry
