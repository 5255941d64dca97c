"""What holds for any densities, grids and options: symmetry, zero, rolls, units, rigid shifts, the gradient."""

import numpy as np
import pytest
import torch
from edframe_sinkhorn import sinkhorn_divergence
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edframe.grid import Grid

TIGHT = {"tol": 1e-8, "max_iterations": 5000}

OPTIONS = st.sampled_from(
    [{}, {"debias": False}, {"reach": 0.9}, {"reach": 0.9, "mass": "unbalanced"}, {"reach": 0.9, "scale": "total"}]
)


@st.composite
def problems(draw):
    """Two densities over four decades, half of them with zeros, on a grid with voxels of 0.3 to 0.6 Å."""
    axes = draw(st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=3))
    shape, periodic = zip(*axes, strict=True)
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    grid = Grid.of(rng.uniform(0.3, 0.6, len(shape)) * shape, shape, periodic)
    zeros = draw(st.booleans())
    pair = []
    for _ in range(2):
        density = rng.random(shape) ** 4 + 1e-4
        if zeros:
            density[(rng.random(shape) < 0.4) & (density < density.max())] = 0.0
        pair.append(torch.from_numpy(density)[None])
    return grid, *pair


@settings(max_examples=25, deadline=None)
@given(problems(), st.booleans())
def test_the_divergence_is_symmetric(problem, relaxed):
    grid, a, b = problem
    options = {"reach": 0.9} if relaxed else {}
    there, back = (
        sinkhorn_divergence(a, b, grid, **TIGHT, **options),
        sinkhorn_divergence(b, a, grid, **TIGHT, **options),
    )
    assert there.value.item() == pytest.approx(back.value.item(), rel=1e-7, abs=1e-13)
    for potential, mirrored in (
        (there.potential, back.reference_potential),
        (there.reference_potential, back.potential),
    ):
        error = (potential - mirrored).numpy()
        assert np.ptp(error) <= 1e-5 * max(np.ptp(potential.numpy()), 1e-6)


@settings(max_examples=25, deadline=None)
@given(problems(), OPTIONS, st.floats(0.5, 2.0))
def test_the_divergence_is_zero_at_equality_and_positive_beside(problem, options, voxels):
    grid, a, b = problem
    assume((a / a.sum() - b / b.sum()).abs().max() > 1e-3)
    assume(options.get("debias", True))
    # On a circle of few blurs the kernel is not positive definite, see the README.
    assume(all(n == 1 or not wraps or n >= 8 for n, wraps in zip(grid.shape, grid.periodic, strict=True)))
    blur = voxels * float(grid.spacing.max())
    assert abs(sinkhorn_divergence(a, a, grid, blur, **options).value.item()) < 1e-13
    assert sinkhorn_divergence(a, b, grid, blur, **TIGHT, **options).value.item() > 0


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(8, 40), voxels=st.floats(0.5, 1.0))
def test_the_divergence_is_nonnegative_on_a_circle_of_eight_blurs_or_more(seed, n, voxels):
    rng = np.random.default_rng(seed)
    grid = Grid.of([0.3 * n], n)
    a, b = (torch.from_numpy(rng.random((1, n)) ** 3) for _ in range(2))
    near = sinkhorn_divergence(a, a * 0.99 + b * 0.01, grid, 0.3 * voxels, tol=1e-6, max_iterations=1000)
    assert near.value.item() >= -1e-12


@settings(max_examples=25, deadline=None)
@given(problems(), OPTIONS, st.tuples(*[st.integers(-5, 5)] * 3))
def test_rolls_along_periodic_axes_and_mirrors_change_nothing(problem, options, moves):
    grid, a, b = problem
    shift = [move * wraps for move, wraps in zip(moves, grid.periodic, strict=False)]
    axes = list(range(1, grid.dimension + 1))
    there = sinkhorn_divergence(a, b, grid, **TIGHT, **options)
    moved = sinkhorn_divergence(*(x.roll(shift, axes).flip(axes) for x in (a, b)), grid, **TIGHT, **options)
    assert moved.value.item() == pytest.approx(there.value.item(), rel=1e-7, abs=1e-13)
    back = moved.gradient.flip(axes).roll([-s for s in shift], axes)
    torch.testing.assert_close(back, there.gradient, rtol=0, atol=1e-5 * max(there.gradient.abs().max().item(), 1e-9))


@settings(max_examples=25, deadline=None)
@given(problems(), OPTIONS, st.floats(0.01, 100), st.floats(1e-3, 1e3))
def test_lengths_scale_the_value_by_their_square_and_the_unit_of_density_does_not_count(problem, options, length, unit):
    grid, a, b = problem
    larger = Grid(tuple(tuple(length * x for x in row) for row in grid.cell), grid.shape, grid.periodic)
    scaled = {**options, "reach": length * options["reach"]} if "reach" in options else options
    first = sinkhorn_divergence(a, b, grid, 0.5, **TIGHT, **options)
    second = sinkhorn_divergence(unit * a, unit * b, larger, 0.5 * length, **TIGHT, **scaled)
    total = unit * length**grid.dimension if options.get("scale") == "total" else 1.0
    assert second.value.item() == pytest.approx(total * length**2 * first.value.item(), rel=1e-7, abs=1e-12 * length**2)
    factor = total * length**2 / unit
    scale = factor * max(first.gradient.abs().max().item(), 1e-6)
    torch.testing.assert_close(second.gradient, factor * first.gradient, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("length", [0.0625, 64.0])
@pytest.mark.parametrize("options", [{}, {"debias": False}], ids=str)
def test_another_unit_of_length_takes_the_same_steps(densities, length, options):
    # Powers of two do not round, so that every number is the same but for its unit, on the coarse grids as well.
    a, b = densities(Grid.of([20.0, 12.0], (40, 24)))
    first, second = (
        sinkhorn_divergence(a, b, Grid.of([20.0 * unit, 12.0 * unit], (40, 24)), **options) for unit in (1, length)
    )
    assert torch.equal(second.iterations, first.iterations)
    assert torch.equal(second.value, length**2 * first.value)
    assert torch.equal(second.potential, length**2 * first.potential)


@settings(max_examples=15, deadline=None)
@given(
    dimension=st.integers(1, 3),
    voxels=st.tuples(*[st.floats(-3, 3)] * 3),
    blur=st.floats(1.0, 1.5),
)
def test_a_rigid_shift_between_open_ends_costs_half_its_square(atoms, dimension, voxels, blur):
    # On a torus it costs less: a little of the tails goes the other way around.
    grid = Grid.of([6.0] * dimension, 16, False)
    shift = np.array(voxels[:dimension]) * grid.spacing
    middle = np.full(dimension, 3.0)
    a, b = (atoms(grid, (middle + place, 0.5, 1)) for place in (shift / 2, -shift / 2))
    ours = sinkhorn_divergence(a, b, grid, blur * grid.spacing.max(), tol=1e-5)
    assert ours.value.item() == pytest.approx((shift**2).sum() / 2, rel=2e-3, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(problems(), OPTIONS, st.integers(0, 10_000))
def test_the_gradient_agrees_with_finite_differences_along_any_direction(problem, options, seed):
    grid, a, b = problem
    rng = np.random.default_rng(seed)
    # Moves of both densities at once that leave zeros alone, small beside a difference of one percent in mass.
    along = [1e-4 * x * torch.from_numpy(rng.uniform(-1, 1, x.shape)) for x in (a, b)]
    tight = {"tol": 1e-11, "max_iterations": 5000, **options}
    result = sinkhorn_divergence(a, b, grid, **tight)
    after, before = (sinkhorn_divergence(a + s * along[0], b + s * along[1], grid, **tight).value for s in (1, -1))
    slope = (result.gradient * along[0]).sum() + (result.reference_gradient * along[1]).sum()
    # Of many terms that may cancel, each as exact as 1e-5.
    scale = (result.gradient * along[0]).abs().sum() + (result.reference_gradient * along[1]).abs().sum()
    assert slope.item() == pytest.approx((after - before).item() / 2, abs=1e-5 * scale.item() + 1e-13)
