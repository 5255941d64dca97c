"""Densities that break transport solvers: zeros, far pairs, great and small masses, narrow kernels."""

import numpy as np
import pytest
import torch
from edframe_sinkhorn import sinkhorn_divergence
from edframe_sinkhorn.kernel import SeparableKernel, squared_distances
from hypothesis import given, settings
from hypothesis import strategies as st

from edframe.errors import ConfigError, DataError
from edframe.grid import Grid

BOX = Grid.of([6.0, 6.0, 6.0], 12)
TIGHT = {"tol": 1e-8, "max_iterations": 5000}


def blob(grid, centre, sigma, floor=0.0):
    away = grid.fractions() - np.array(centre)
    squared = (((away - np.rint(away)) @ grid.vectors) ** 2).sum(-1)
    density = np.exp(-squared / (2 * sigma**2))
    return torch.from_numpy(np.where(density > 1e-3, density, 0.0) + floor)[None]


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    axes=st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=3),
    zeros=st.booleans(),
)
def test_divergence_is_symmetric_nonnegative_and_moves_with_the_grid(seed, axes, zeros):
    rng = np.random.default_rng(seed)
    shape, periodic = zip(*axes, strict=True)
    grid = Grid.of(rng.uniform(0.5, 4.0, len(shape)), shape, periodic)
    a, b = (torch.from_numpy(rng.random((1, *shape))) for _ in range(2))
    if zeros:
        a, b = (x * torch.from_numpy(rng.random((1, *shape)) > 0.4) + (x == x.max()) for x in (a, b))
    there, back = sinkhorn_divergence(a, b, grid, **TIGHT), sinkhorn_divergence(b, a, grid, **TIGHT)
    scale = float(grid.spacing.max()) ** 2
    assert there.value.item() == pytest.approx(back.value.item(), rel=1e-5, abs=1e-9 * scale)
    if not any(periodic):  # on a circle of few blurs the kernel is not positive, see the README
        assert there.value.item() >= -1e-12 * scale
    moves = tuple(int(rng.integers(0, 6)) * wraps for wraps in periodic)
    dims = tuple(range(1, len(shape) + 1))
    moved = sinkhorn_divergence(a.roll(moves, dims), b.roll(moves, dims), grid, **TIGHT)
    assert moved.value.item() == pytest.approx(there.value.item(), rel=1e-5, abs=1e-9 * scale)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(8, 40), voxels=st.floats(0.5, 1.0))
def test_divergence_is_nonnegative_on_a_circle_of_eight_blurs_or_more(seed, n, voxels):
    rng = np.random.default_rng(seed)
    grid = Grid.of([0.3 * n], n)
    a, b = (torch.from_numpy(rng.random((1, n)) ** 3) for _ in range(2))
    near = sinkhorn_divergence(a, a * 0.99 + b * 0.01, grid, 0.3 * voxels, **TIGHT)
    assert near.value.item() >= -1e-12


@pytest.mark.parametrize("shape", [(12, 12, 12), (7, 10, 1), (9,)])
@pytest.mark.parametrize("floor", [0.0, 1e-8])
def test_a_density_equal_to_its_reference_has_zero_value_and_gradient(shape, floor):
    grid = Grid.of([0.5 * n for n in shape], shape)
    a = blob(grid, [0.4] * len(shape), 0.5, floor)
    result = sinkhorn_divergence(a, a, grid)
    assert abs(result.value.item()) < 1e-10
    assert result.potential.abs().max() < 1e-10


@pytest.mark.parametrize("factor", [1e-3, 1000.0])
def test_each_density_counts_relative_to_its_own_mass(molecule, factor):
    a, b = molecule(BOX), molecule(BOX, angle=0.3)
    plain = sinkhorn_divergence(a, b, BOX)
    scaled = sinkhorn_divergence(factor * a, b / factor, BOX)
    torch.testing.assert_close(scaled.value, plain.value, rtol=1e-6, atol=0)
    torch.testing.assert_close(factor * scaled.gradient, plain.gradient, rtol=1e-4, atol=1e-6)


def test_exact_zeros_equal_the_dense_solver(dense):
    grid = Grid.of([3.0, 3.0, 3.0], 6)
    a, b = blob(grid, [0.3, 0.4, 0.5], 0.4), blob(grid, [0.6, 0.5, 0.4], 0.3)
    assert (a == 0).any()
    exact = dense(a[0].numpy(), b[0].numpy(), grid, 0.5)
    ours = sinkhorn_divergence(a, b, grid, **TIGHT)
    assert ours.value.item() == pytest.approx(exact.value, rel=1e-6)
    assert np.ptp(ours.potential[0].numpy() - exact.potential) < 1e-4 * np.ptp(exact.potential)


@pytest.mark.parametrize("blur", [0.5, 0.15])
def test_a_far_pair_beyond_the_scaling_domain_equals_the_dense_solver(dense, blur):
    # At blur 0.15 Å the 3.5 Å between the two are 270 ε, and the corners of the box 1,600 ε.
    grid = Grid.of([8.0, 3.0], (16, 6), False)
    a, b = blob(grid, [0.3, 0.3], 0.4), blob(grid, [0.7, 0.5], 0.6)
    exact = dense(a[0].numpy(), b[0].numpy(), grid, blur)
    ours = sinkhorn_divergence(a, b, grid, blur, tol=1e-6, max_iterations=5000)
    assert ours.value.item() == pytest.approx(exact.value, rel=1e-3)
    assert ours.potential.isfinite().all()


def test_a_batch_equals_its_samples_one_by_one(molecule):
    a = torch.cat([molecule(BOX, angle) for angle in (0.0, 0.5, 1.0)])
    b = torch.cat([molecule(BOX, angle) for angle in (0.02, 0.5, 2.0)])
    together = sinkhorn_divergence(a, b, BOX)
    assert len(set(together.iterations.tolist())) > 1  # they stop one by one
    for i in range(3):
        alone = sinkhorn_divergence(a[i : i + 1], b[i : i + 1], BOX)
        assert alone.iterations.item() == together.iterations[i]
        torch.testing.assert_close(alone.value[0], together.value[i], rtol=1e-8, atol=1e-12)
        torch.testing.assert_close(alone.potential[0], together.potential[i], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_lower_precision_is_computed_in_float64(molecule, dtype):
    a, b = molecule(BOX), molecule(BOX, angle=0.3)
    exact, rounded = sinkhorn_divergence(a, b, BOX), sinkhorn_divergence(a.to(dtype), b.to(dtype), BOX)
    assert rounded.value.dtype == torch.float64
    torch.testing.assert_close(rounded.value, exact.value, rtol=5e-3, atol=0)


def test_what_has_not_converged_is_reported(molecule):
    a, b = molecule(BOX), molecule(BOX, angle=1.0)
    result = sinkhorn_divergence(a, b, BOX, tol=1e-8, max_iterations=3)
    assert result.iterations.item() == 3
    assert result.marginal_error.item() > 1e-8
    assert result.value.isfinite().all()


def test_values_below_zero_count_as_zero_and_have_no_gradient(molecule):
    a, b = molecule(BOX), molecule(BOX, angle=0.3)
    a[0, 0] = 0.0
    below = a.clone()
    below[0, 0] = -0.1
    zero, clamped = sinkhorn_divergence(a, b, BOX), sinkhorn_divergence(below, b, BOX)
    torch.testing.assert_close(clamped.value, zero.value, rtol=0, atol=0)
    assert (clamped.gradient[0, 0] == 0).all()
    assert (zero.gradient[0, 0] != 0).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: a * 0, "no positive value"),
        (lambda a: a * float("nan"), "not finite"),
        (lambda a: a / 0, "not finite"),
        (lambda a: a[:, :-1], "has shape"),
        (lambda a: a[0], "has shape"),
        (lambda a: torch.cat([a, a]), "batches of one size"),
    ],
)
def test_a_density_that_cannot_be_used_is_refused(molecule, spoil, message):
    a = molecule(BOX)
    with pytest.raises(DataError, match=message):
        sinkhorn_divergence(spoil(a), a, BOX)


@pytest.mark.parametrize("option", [{"blur": 0.0}, {"blur": -1.0}, {"tol": 0.0}, {"max_iterations": 0}])
def test_options_must_be_positive(molecule, option):
    a = molecule(BOX)
    with pytest.raises(ConfigError, match="must be positive, not"):
        sinkhorn_divergence(a, a, BOX, **option)


@pytest.mark.parametrize("epsilon", [1.0, 0.01, 1e-4])
def test_the_kernel_equals_the_sum_over_all_pairs_at_any_range(cost, epsilon):
    grid = Grid.of([3.0, 2.0, 4.0], (5, 3, 4), (True, False, True))
    rng = np.random.default_rng(0)
    log_density = torch.from_numpy(rng.uniform(-2000, 2000, (2, *grid.shape)))
    kernel = SeparableKernel([3.0, 2.0, 4.0], grid.shape, grid.periodic, epsilon, "cpu")
    pairs = torch.from_numpy(-cost(grid) / epsilon)
    expected = torch.logsumexp(log_density.reshape(2, 1, -1) + pairs, dim=-1).reshape(log_density.shape)
    torch.testing.assert_close(kernel.log_apply(log_density), expected, rtol=1e-12, atol=1e-10)


def test_distances_on_a_periodic_axis_are_to_the_nearest_image():
    assert squared_distances(4.0, 4, True)[0].tolist() == [0, 1, 4, 1]
    assert squared_distances(4.0, 4, False)[0].tolist() == [0, 1, 4, 9]
