"""Resampling against brute-force sums, analytic waves, the definition of the discrete transform, and conservation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edframe.data.resampling import coarsen, fourier, refine
from edframe.errors import DataError
from edframe.grid import Grid

TRICLINIC = np.array([[4.0, 0, 0], [1.1, 5.0, 0], [0.7, -0.4, 6.0]])

shapes = st.tuples(*[st.integers(1, 5)] * 3)
factors = st.tuples(*[st.integers(1, 4)] * 3)


def field_on(grid, seed=0, batch=()):
    return np.random.default_rng(seed).random((*batch, *grid.shape)) ** 6


def integral(field, grid):
    return field.sum(axis=(-3, -2, -1)) * grid.voxel_volume


def window(f):
    """Offsets and weights of the voxels around a point: those nearest to it, by halves where two points are."""
    return {i: 1.0 if 2 * abs(i) < f else 0.5 for i in range(-(f // 2), f // 2 + 1)}


def brute_coarsen(field, factor):
    shape = [n // f for n, f in zip(field.shape, factor, strict=True)]
    coarse = np.zeros(shape)
    for point in np.ndindex(*shape):
        for offsets in itertools.product(*(window(f).items() for f in factor)):
            at = tuple((p * f + o) % n for p, f, (o, _), n in zip(point, factor, offsets, field.shape, strict=True))
            coarse[point] += field[at] * np.prod([w / f for (_, w), f in zip(offsets, factor, strict=True)])
    return coarse


def brute_fourier(field, shape):
    """By the definition, wave by wave, in the complex form; a wave of half of an even n is taken by halves at ±n/2."""
    for axis, m in enumerate(shape):
        n = field.shape[axis]
        turned = np.moveaxis(field, axis, -1)
        waves = {}
        for k in range(-(n // 2), n // 2 + 1):
            share = 0.5 if 2 * abs(k) == n else 1.0
            waves[k] = share * (turned * np.exp(-2j * np.pi * k * np.arange(n) / n)).mean(-1)
        total = 0
        for k, amplitude in waves.items():
            if 2 * abs(k) <= m:
                total = total + amplitude[..., None] * np.exp(2j * np.pi * k * np.arange(m) / m)
        assert np.abs(total.imag).max() < 1e-12
        field = np.moveaxis(total.real, -1, axis)
    return field


@settings(max_examples=30, deadline=None)
@given(shapes, factors, st.integers(0, 99))
def test_coarsening_is_the_weighted_sum_around_each_point(coarse, factor, seed):
    grid = Grid.of(TRICLINIC, tuple(n * f for n, f in zip(coarse, factor, strict=True)))
    field = field_on(grid, seed)
    result, result_grid = coarsen(field, grid, factor)
    assert result_grid == Grid.of(TRICLINIC, coarse)
    np.testing.assert_allclose(result, brute_coarsen(field, factor), rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(shapes, factors, st.integers(0, 99))
def test_coarsening_and_refinement_keep_integral_sign_and_constants_and_are_transposed(coarse, factor, seed):
    small = Grid.of(TRICLINIC, coarse)
    large = Grid.of(TRICLINIC, tuple(n * f for n, f in zip(coarse, factor, strict=True)))
    a, b = field_on(small, seed, (2,)), field_on(large, seed + 1, (2,))
    refined, refined_grid = refine(a, small, factor)
    coarsened, coarsened_grid = coarsen(b, large, factor)
    assert (refined_grid, coarsened_grid) == (large, small)
    np.testing.assert_allclose(integral(refined, large), integral(a, small), rtol=1e-12)
    np.testing.assert_allclose(integral(coarsened, small), integral(b, large), rtol=1e-12)
    assert refined.min() >= 0
    assert coarsened.min() >= 0
    np.testing.assert_allclose(refine(np.ones(coarse), small, factor)[0], 1.0, rtol=1e-12)
    np.testing.assert_allclose(integral(refined * b, large), integral(a * coarsened, small), rtol=1e-12)
    if all(f % 2 for f in factor):
        np.testing.assert_allclose(coarsen(refined, large, factor)[0], a, rtol=1e-12)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_nothing_moves(factor):
    # A field that is even about the origin stays so; a mean over blocks that begin at the points would shift it.
    grid = Grid.of(TRICLINIC, 12)
    mirrored = np.ix_(*[-np.arange(12)] * 3)
    field = field_on(grid)
    field = field + field[mirrored]
    for result, result_grid in (coarsen(field, grid, factor), refine(field, grid, factor)):
        inverse = np.ix_(*[-np.arange(n) for n in result_grid.shape])
        np.testing.assert_allclose(result, result[inverse], rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.integers(1, 7)] * 3), st.tuples(*[st.integers(1, 9)] * 3), st.integers(0, 99))
def test_fourier_is_the_trigonometric_sum_and_keeps_the_integral(shape, target, seed):
    grid = Grid.of(TRICLINIC, shape)
    field = field_on(grid, seed)
    result, result_grid = fourier(field, grid, target)
    assert result_grid == Grid.of(TRICLINIC, target)
    np.testing.assert_allclose(result, brute_fourier(field, target), atol=1e-12)
    np.testing.assert_allclose(integral(result, result_grid), integral(field, grid), rtol=1e-10)


@pytest.mark.parametrize("target", [(7, 7, 7), (16, 9, 12), (8, 11, 7)])
def test_waves_that_both_grids_resolve_stay_the_same_function(target):
    grid = Grid.of(TRICLINIC, (9, 8, 12))

    def waves(on):
        x = on.fractions()
        return 2.0 + np.cos(2 * np.pi * (x @ [1, 2, -3]) + 0.3) - 0.7 * np.sin(2 * np.pi * (x @ [-3, 1, 2]))

    result, result_grid = fourier(waves(grid), grid, target)
    np.testing.assert_allclose(result, waves(result_grid), atol=1e-12)


def test_waves_that_the_coarse_grid_cannot_carry_are_cut_and_not_folded_back():
    grid = Grid.of([5.0] * 3, 16)
    high = np.cos(2 * np.pi * 6 * grid.fractions()[..., 0])
    np.testing.assert_allclose(fourier(high, grid, 8)[0], 0.0, atol=1e-12)


def test_cutting_waves_makes_a_sharp_density_negative_and_block_means_do_not():
    grid = Grid.of([5.0] * 3, 24)
    peak = np.exp(-((grid.coordinates() - 2.4) ** 2).sum(-1) / (2 * 0.15**2))
    assert fourier(peak, grid, 8)[0].min() < -0.001
    assert coarsen(peak, grid, 3)[0].min() >= 0


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_other_dimensions_and_precisions(dimension):
    grid = Grid.of([3.0] * dimension, 12)
    field = np.ones((2, *grid.shape), np.float32)
    for result, result_grid in (coarsen(field, grid, 2), refine(field, grid, 2), fourier(field, grid, 7)):
        assert result.dtype == np.float32
        assert result.shape == (2, *result_grid.shape)
        np.testing.assert_allclose(result, 1.0, rtol=1e-6)


@pytest.mark.parametrize("function", [coarsen, refine, fourier])
def test_open_axes_and_other_shapes_are_refused(function):
    with pytest.raises(DataError, match="open axes"):
        function(np.ones((4, 4, 4)), Grid.of([1.0] * 3, 4, (True, True, False)), 2)
    with pytest.raises(DataError, match="not on a grid"):
        function(np.ones((4, 4, 5)), Grid.of([1.0] * 3, 4), 2)
    with pytest.raises(DataError):
        function(np.ones((4, 4, 4)), Grid.of([1.0] * 3, 4), (2, 2))
    with pytest.raises(DataError):
        function(np.ones((4, 4, 4)), Grid.of([1.0] * 3, 4), 0)
