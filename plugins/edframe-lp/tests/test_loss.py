import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from edframe_lp.loss import L1Loss, L2Loss, SmoothL1Loss
from edframe_lp.plugin import LpConfig, SmoothL1Config
from hypothesis import given, settings
from hypothesis import strategies as st

from edframe.errors import DataError
from edframe.grid import Grid

SKEWED = [[3.0, 0.0, 0.0], [0.8, 2.5, 0.0], [-0.4, 0.3, 2.0]]


@pytest.fixture
def l1():
    return L1Loss(LpConfig())


@pytest.fixture
def l2():
    return L2Loss(LpConfig())


def densities(shape, seed=0, spins=1):
    rng = np.random.default_rng(seed)
    return rng.random((2, spins, *shape)), rng.random((2, spins, *shape))


def gaussian(grid, centre, sigma):
    """Of unit mass, on an open axis grid that holds all of it."""
    squared = ((grid.coordinates() - np.array(centre)) ** 2).sum(-1)
    return np.exp(-squared / (2 * sigma**2)) / (2 * np.pi * sigma**2) ** (grid.dimension / 2)


@pytest.mark.parametrize("spins", [1, 2])
@pytest.mark.parametrize("cell", [[2.0, 3.0, 4.0], SKEWED])
def test_both_losses_equal_numpy_sums_in_any_cell(l1, l2, cell, spins):
    grid = Grid.of(cell, (3, 4, 5))
    predicted, reference = densities(grid.shape, spins=spins)
    volume = abs(np.linalg.det(grid.vectors)) / 60
    electrons = reference[:, 0].sum(axis=(1, 2, 3)) * volume
    difference = predicted - reference
    arguments = torch.tensor(predicted), torch.tensor(reference), grid
    np.testing.assert_allclose(l1(*arguments), np.abs(difference).sum((1, 2, 3, 4)) * volume / electrons, rtol=1e-12)
    np.testing.assert_allclose(l2(*arguments), (difference**2).sum((1, 2, 3, 4)) * volume / electrons, rtol=1e-12)


def test_l2_of_two_gaussians_is_the_closed_form(l2):
    # ∫ (G1 − G2)² of unit Gaussians of width σ, a distance δ apart: 2 (4πσ²)^(-3/2) (1 − exp(−δ²/4σ²)).
    sigma, distance = 0.6, 0.7
    grid = Grid.of([8.0] * 3, 40)
    first, second = (torch.tensor(gaussian(grid, (4 + x, 4, 4), sigma))[None, None] for x in (0, distance))
    expected = 2 * (4 * math.pi * sigma**2) ** -1.5 * (1 - math.exp(-(distance**2) / (4 * sigma**2)))
    assert l2(3 * first, 3 * second, grid).item() == pytest.approx(3 * expected, rel=1e-6)


def test_l1_of_two_gaussians_is_the_closed_form(l1):
    # In one dimension ∫ |G1 − G2| = 2 erf(δ / (2√2 σ)).
    grid = Grid.of([20.0], 4000)
    first, second = (torch.tensor(gaussian(grid, (10 + x,), 0.6))[None, None] for x in (0, 0.7))
    expected = 2 * math.erf(0.7 / (2 * math.sqrt(2) * 0.6))
    assert l1(first, second, grid).item() == pytest.approx(expected, rel=1e-5)


def test_smooth_l1_equals_its_two_branches_summed_by_numpy():
    grid = Grid.of(SKEWED, (3, 4, 5))
    predicted, reference = densities(grid.shape)
    volume, error = grid.voxel_volume, np.abs(predicted - reference)
    assert 0.2 < (error < 0.3).mean() < 0.8  # both branches count
    pointwise = np.where(error < 0.3, error**2 / 0.6, error - 0.15)
    expected = pointwise.sum((1, 2, 3, 4)) * volume / (reference[:, 0].sum(axis=(1, 2, 3)) * volume)
    smooth = SmoothL1Loss(SmoothL1Config(beta=0.3))
    np.testing.assert_allclose(smooth(torch.tensor(predicted), torch.tensor(reference), grid), expected, rtol=1e-12)


def test_l1_of_densities_that_do_not_overlap_is_two(l1):
    grid = Grid.of([4.0], 4)
    predicted, reference = torch.tensor([[[1.0, 0.0, 0.0, 0.0]]]), torch.tensor([[[0.0, 0.0, 1.0, 0.0]]])
    assert l1(predicted, reference, grid).item() == 2


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 1000))
def test_counting_electrons_in_another_unit_scales_l2_and_keeps_l1(scale, seed):
    grid = Grid.of([2.0, 3.0], (3, 4))
    predicted, reference = map(torch.tensor, densities(grid.shape, seed))
    scaled = scale * predicted, scale * reference, grid
    torch.testing.assert_close(L1Loss(LpConfig())(*scaled), L1Loss(LpConfig())(predicted, reference, grid))
    torch.testing.assert_close(L2Loss(LpConfig())(*scaled), scale * L2Loss(LpConfig())(predicted, reference, grid))


@pytest.mark.parametrize("loss", [L1Loss, L2Loss])
def test_the_gradient_agrees_with_finite_differences(loss):
    grid = Grid.of([2.0, 3.0], (3, 2))
    predicted, reference = map(torch.tensor, densities(grid.shape))
    predicted.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: loss(LpConfig())(p, reference, grid), predicted)


def test_half_precision_does_not_overflow(l2):
    grid = Grid.of([1.0], 64)
    reference = torch.full((1, 1, 64), 100.0, dtype=torch.float16)
    assert l2(reference + 200, reference, grid).item() == pytest.approx(400, rel=1e-3)


@pytest.mark.parametrize("loss", [L1Loss, L2Loss])
@pytest.mark.parametrize("shape", [(2, 1, 3, 4), (2, 2, 3, 5), (2, 3, 5)])
@pytest.mark.usefixtures("any_shape")
def test_shapes_that_do_not_fit_are_refused_by_name(loss, shape):
    grid = Grid.of([2.0, 3.0], (3, 5))
    with pytest.raises(DataError, match=r"\[b, s, 3, 5\]"):
        loss(LpConfig())(torch.ones(shape), torch.ones(2, 1, 3, 5), grid)


def test_importing_the_plugin_imports_no_torch():
    code = "import sys, edframe_lp.plugin; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
