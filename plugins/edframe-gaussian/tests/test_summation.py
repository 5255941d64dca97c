"""Cores and tails against the sum as it is, and against Gaussians in closed form."""

import numpy as np
import pytest
import torch
from edframe_gaussian import separation, summation
from edframe_gaussian.gaussian import Gaussian
from edframe_gaussian.radial import add_superposition
from edframe_gaussian.summation import Summation
from edframe_gaussian.tables import RadialSpline, load_atomic_densities
from scipy.interpolate import BSpline, CubicSpline

from edframe.grid import Grid, Region

SKEWED = [[4.4, 0.3, -0.2], [0.8, 4.1, 0.4], [-0.5, 0.6, 4.7]]
CELLS = {
    "cube": ([4.2] * 3, (30, 30, 30), True),
    "triclinic": (SKEWED, (31, 29, 33), True),
    "left-handed": ([SKEWED[1], SKEWED[0], SKEWED[2]], (29, 31, 33), True),
    "slab": (SKEWED, (31, 29, 33), (True, True, False)),
    "wire": (SKEWED, (31, 29, 33), (False, True, False)),
    "open": ([4.2] * 3, (30, 30, 30), False),
}


@pytest.fixture(autouse=True)
def always(monkeypatch):
    """Separated also where that takes longer: these grids are small."""
    monkeypatch.setattr(summation, "FEW", 5_000)
    monkeypatch.setattr(summation, "POINT", 0.0)


@pytest.fixture(scope="module")
def oxygen():
    (table,) = load_atomic_densities(["O"])
    return RadialSpline(table.values, table.spacing)


def summed(function, fractions, grid, region=None, **options):
    slots = np.zeros(len(fractions), dtype=int)
    made = Summation(function, fractions, slots, grid, "cpu", **options)
    assert made.tails is not None
    out = torch.zeros(1, *(region or grid.region()).shape)
    made.add_to(out, region)
    return out[0].numpy()


def as_it_is(function, fractions, grid, **options):
    out = torch.zeros(1, *grid.shape)
    slots = np.zeros(len(fractions), dtype=int)
    add_superposition(out, function, function.cutoff, fractions, slots, grid, **options)
    return out[0].numpy()


@pytest.mark.parametrize("case", CELLS)
def test_cores_and_tails_are_the_sum(case, oxygen):
    grid = Grid.of(*CELLS[case])
    fractions = np.random.default_rng(1).uniform(0, 1, (4, 3))
    ours = summed(oxygen, fractions, grid, integral=6.0)
    expected = as_it_is(oxygen, fractions, grid, integral=6.0)
    assert np.abs(ours - expected).sum() < 1e-5 * expected.sum()
    assert ours.sum(dtype=float) == pytest.approx(expected.sum(dtype=float), rel=1e-6)
    assert ours.min() >= 0


@pytest.mark.parametrize("width", [0.4, 0.5, 0.8])
def test_a_gaussian_is_what_it_is_in_closed_form(width):
    grid = Grid.of([12.0] * 3, 60)
    ours = summed(Gaussian(width), np.array([[0.503, 0.497, 0.51]]), grid, weights=np.array([8.0]))
    away = grid.coordinates() - np.array([0.503, 0.497, 0.51]) * 12.0
    expected = 8.0 * np.exp(-0.5 * (away**2).sum(-1) / width**2)
    assert np.abs(ours - expected).sum() < 1e-5 * expected.sum()
    assert ours.sum(dtype=float) * grid.voxel_volume == pytest.approx(8 * (2 * np.pi * width**2) ** 1.5, rel=1e-6)


def test_beyond_the_reach_of_all_atoms_is_nothing(oxygen):
    grid = Grid.of([4.5, 4.5, 15.0], (30, 30, 100))
    ours = summed(oxygen, np.array([[0.5, 0.5, 0.1]]), grid)
    assert ours.any()
    assert not ours[:, :, 36:76].any()  # 3.9 Å from the nucleus on; the density ends at 3.04 Å


@pytest.mark.parametrize("case", ["triclinic", "slab"])
def test_a_part_of_the_grid_is_cut_out_of_the_whole(case, oxygen):
    grid = Grid.of(*CELLS[case])
    fractions = np.random.default_rng(2).uniform(0, 1, (4, 3))
    part = Region(tuple(-3 if p else 2 for p in grid.periodic), tuple(n - 7 for n in grid.shape))
    whole = summed(oxygen, fractions, grid)
    ours = summed(oxygen, fractions, grid, part)
    np.testing.assert_allclose(ours, whole[np.ix_(*part.indices(grid))], atol=1e-6 * whole.max())


def test_atoms_beyond_an_open_end_are_summed_as_they_are(oxygen):
    grid = Grid.of([6.0] * 3, 40, False)
    made = Summation(oxygen, np.array([[1.01, 0.5, 0.5]]), np.zeros(1, dtype=int), grid, "cpu")
    assert made.tails is None


def test_few_pairs_are_summed_as_they_are(oxygen, monkeypatch):
    monkeypatch.undo()
    made = Summation(oxygen, np.array([[0.5, 0.5, 0.5]]), np.zeros(1, dtype=int), Grid.of([6.0] * 3, 32), "cpu")
    assert made.tails is None


def test_a_dense_crystal_is_separated(monkeypatch):
    monkeypatch.undo()
    grid = Grid.of([19.0] * 3, 128)
    assert summation._chosen(Gaussian(0.5), np.random.default_rng(3).random((700, 3)), grid, 1) is not None


def test_a_tail_that_is_not_smooth_is_refused(oxygen):
    assert separation.separated(oxygen, 1.0, 0.5) is None


def test_splines_and_what_lies_between_radii_are_scipys():
    places = np.linspace(0, 9 * (1 - 1e-12), 300)
    knots = np.arange(-separation.DEGREE, 9.0 + separation.DEGREE + 1)
    known = BSpline.design_matrix(places, knots, separation.DEGREE).toarray()
    np.testing.assert_allclose(separation._splines(places, 9), known, atol=1e-11)
    radii = separation.STEP * np.arange(800)
    values = np.cos(3 * radii) * np.exp(-5 * radii)
    at = np.sqrt(np.linspace(0, radii[-1] ** 2, 5000))
    np.testing.assert_allclose(separation._between(values, at), CubicSpline(radii, values)(at), atol=3e-8)
