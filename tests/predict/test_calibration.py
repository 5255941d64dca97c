"""Calibration: errors drawn from known distributions have the figures that these distributions have."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from edframe.grid import Grid
from edframe.predict.calibration import BINS, Calibration, expected_nmae

SHAPE = (32, 32, 32)


def gaussian_errors(factor=1.0, understated=1.0, samples=3, seed=0):
    """Errors of voxels whose σ spans a decade; the spread that is told is σ / ``understated``."""
    random = np.random.default_rng(seed)
    calibration = Calibration(factor)
    for _ in range(samples):
        mean = 1 + random.random(SHAPE)
        sigma = 10 ** random.uniform(-3, -2, SHAPE)
        calibration.add(mean, sigma / understated, mean + sigma * random.standard_normal(SHAPE))
    return calibration


def test_true_spreads_need_no_factor_and_cover_like_a_gaussian():
    calibration = gaussian_errors()
    assert calibration.fitted_factor() == pytest.approx(1, abs=0.01)
    summary = calibration.summary()
    assert [summary["coverage"][k] for k in "123"] == pytest.approx([0.6827, 0.9545, 0.9973], abs=0.005)
    assert summary["ence"] < 0.02
    assert summary["expected_nmae"] == pytest.approx(summary["nmae"], rel=0.01)
    multiples = np.array(summary["reliability"]["multiple"])
    np.testing.assert_allclose(summary["reliability"]["fraction"], erf(multiples / np.sqrt(2)), atol=0.005)


def test_spreads_that_are_too_small_are_found_and_mended_by_the_factor():
    raw = gaussian_errors(understated=2)
    assert raw.fitted_factor() == pytest.approx(2, rel=0.01)
    assert raw.summary()["coverage"]["1"] == pytest.approx(erf(0.5 / np.sqrt(2)), abs=0.005)
    assert raw.summary()["ence"] == pytest.approx(1, abs=0.05)  # |σ/2 − σ| / (σ/2)
    mended = gaussian_errors(factor=2, understated=2, seed=1).summary()
    assert mended["ence"] < 0.02
    assert mended["ence_uncalibrated"] == pytest.approx(1, abs=0.05)
    assert mended["coverage"]["1"] == pytest.approx(0.6827, abs=0.005)


def test_bins_hold_equal_electrons_by_rising_spread():
    """σ is uniform in its logarithm, so the bins divide its decade into equal parts."""
    spread, error = gaussian_errors().bins()
    assert len(spread) == BINS
    ends = 10 ** np.linspace(-3, -2, BINS + 1)
    assert ((spread > ends[:-1] * 0.98) & (spread < ends[1:] * 1.02)).all()
    np.testing.assert_allclose(error, spread, rtol=0.05)


def test_vacuum_does_not_count():
    """As many empty voxels as others, with an error that their spread denies: no figure but the NMAE changes."""
    random = np.random.default_rng(2)
    mean = np.concatenate([1 + random.random(SHAPE), np.zeros(SHAPE)])
    sigma = np.concatenate([np.full(SHAPE, 0.01), np.full(SHAPE, 1e-9)])
    error = np.concatenate([0.01 * random.standard_normal(SHAPE), np.full(SHAPE, 1e-5)])
    calibration = Calibration()
    calibration.add(mean, sigma, mean + error)
    assert calibration.summary()["coverage"]["1"] == pytest.approx(0.6827, abs=0.01)
    assert calibration.summary()["ence"] < 0.02


def test_nmae_and_what_is_expected_of_it_by_hand():
    calibration = Calibration(3.0)
    reference = np.full((2, 2, 2), 0.5)
    mean = reference + np.array([0.1, -0.1]).reshape(2, 1, 1)
    calibration.add(mean, np.full((2, 2, 2), 0.04), reference)
    assert calibration.nmae == pytest.approx([20.0])
    assert calibration.expected_nmae == pytest.approx([100 * np.sqrt(2 / np.pi) * 3 * 0.04 / 0.5])
    assert calibration.fitted_factor() == pytest.approx(0.1 / (np.sqrt(2 / np.pi) * 0.04))
    grid = Grid.of([2.0, 3.0, 4.0], 2)
    assert expected_nmae(3.0 * 8 * 0.04, 0.5 * 24, grid) == pytest.approx(calibration.expected_nmae[0])


def test_samples_of_larger_error_are_ranked_higher():
    calibration = Calibration()
    for size in (0.1, 0.3, 0.2, 0.4):
        mean = np.ones((4, 4, 4))
        calibration.add(mean, np.full((4, 4, 4), 2 * size), mean + size)
    assert calibration.summary()["spearman"] == pytest.approx(1)


@pytest.mark.parametrize("sizes", [[0.1, 0.2], [0.1, 0.1, 0.1]], ids=["few", "equal"])
def test_no_rank_correlation_where_there_is_none(sizes):
    calibration = Calibration()
    for size in sizes:
        calibration.add(np.ones((4, 4, 4)), np.full((4, 4, 4), size), np.ones((4, 4, 4)) + size)
    assert calibration.summary()["spearman"] is None


def test_members_that_agree_have_no_factor():
    calibration = Calibration()
    calibration.add(np.ones((4, 4, 4)), np.zeros((4, 4, 4)), np.full((4, 4, 4), 1.1))
    assert calibration.fitted_factor() == np.inf
