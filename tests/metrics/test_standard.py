"""Metrics against closed forms, brute-force NumPy, and normal theory."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from edframe.grid import Grid
from edframe.metrics import standard
from edframe.metrics.summary import summarise

TRICLINIC = [[9.0, 0.0, 0.0], [2.5, 8.0, 0.0], [-1.5, 2.0, 8.5]]


def gaussian(grid: Grid, centre, electrons: float = 1.0, sigma: float = 0.6) -> torch.Tensor:
    """A normalised Gaussian with its periodic images, ``[1, 1, …]``."""
    d = grid.dimension
    total = np.zeros(grid.shape)
    images = [(-1, 0, 1) if p else (0,) for p in grid.periodic]
    for image in itertools.product(*images):
        r = grid.coordinates() - (np.asarray(centre) + np.array(image) @ grid.vectors)
        total += np.exp(-(r**2).sum(-1) / (2 * sigma**2))
    return torch.tensor(electrons * total / (2 * np.pi * sigma**2) ** (d / 2))[None, None]


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.3])
def test_nmae_of_a_scaled_density_is_the_scale(factor):
    reference = torch.rand(3, 2, 4, 5, 6, dtype=torch.float64)
    scaled = reference * factor
    assert standard.nmae(scaled, reference) == pytest.approx([100 * abs(factor - 1)] * 3)


def test_metrics_look_at_the_total_density_only():
    reference = torch.rand(1, 2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    predicted = reference.clone()
    predicted[:, 1] += 1
    grid = Grid.of([3, 3, 3], 4)
    values = standard.standard(predicted, reference, grid, torch.zeros(1, 2, 3))
    assert all(float(v) == pytest.approx(0, abs=1e-6) for v in values.values())


@pytest.mark.parametrize("shape", [(7,), (5, 4), (4, 5, 6)])
def test_against_brute_force(shape):
    rng = np.random.default_rng(1)
    d = len(shape)
    grid = Grid.of(np.array(TRICLINIC)[:d, :d], shape)
    predicted, reference = rng.random((2, 3, 1, *shape)) * 0.1
    positions = rng.random((3, 4, d)) @ grid.vectors
    centres = [standard.centre_of_atoms(atoms, grid) for atoms in positions]
    electrons = rng.random(3)
    errors = standard.standard(*(torch.tensor(a) for a in (predicted, reference)), grid, torch.tensor(positions),
                             torch.tensor(electrons))  # fmt: skip
    images = np.array(list(itertools.product((-1, 0, 1), repeat=d))) @ grid.vectors
    for b in range(3):
        moment, absolute, square, low, low_electrons, count, electrons_here = np.zeros(d), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        basins = np.zeros(4)
        for index in np.ndindex(*shape):
            p, r = predicted[(b, 0, *index)], reference[(b, 0, *index)]
            fraction = np.array(index) / shape - np.linalg.solve(grid.vectors.T, centres[b])
            apart = positions[b][:, None] + images - np.array(index) @ grid.voxel
            basins[np.linalg.norm(apart, axis=-1).min(axis=1).argmin()] += (p - r) * grid.voxel_volume
            moment += (p - r) * (((fraction + 0.5) % 1.0 - 0.5) @ grid.vectors) * grid.voxel_volume
            absolute += abs(p - r)
            square += (p - r) ** 2
            count += p * grid.voxel_volume
            electrons_here += r
            if r < 0.05:
                low, low_electrons = low + abs(p - r), low_electrons + r
        assert float(errors["nmae"][b]) == pytest.approx(100 * absolute / electrons_here)
        assert float(errors["rmse"][b]) == pytest.approx(math.sqrt(square / grid.points))
        assert float(errors["electron_count_error"][b]) == pytest.approx(abs(count - electrons[b]))
        assert float(errors["dipole_error"][b]) == pytest.approx(np.linalg.norm(moment))
        assert float(errors["basin_error"][b]) == pytest.approx(abs(basins).mean())
        assert float(errors["low_density_nmae"][b]) == pytest.approx(100 * low / low_electrons)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize(
    ("cell", "shape"), [([12.0], 48), ([[10, 0], [3, 9]], 40), (np.diag([10.0, 9, 11]), 36), (TRICLINIC, 36)]
)
def test_dipole_of_a_shifted_gaussian_is_electrons_times_shift(cell, shape, periodic):
    grid = Grid.of(np.atleast_2d(cell), shape, periodic)
    centre = grid.vectors.sum(0) / 2 + 0.13
    shift = np.array([0.21, -0.34, 0.11])[: grid.dimension]
    reference, predicted = gaussian(grid, centre, 5), gaussian(grid, centre + shift, 5)
    error = standard.dipole_error(predicted, reference, grid, torch.tensor(centre)[None])
    assert float(error[0]) == pytest.approx(5 * np.linalg.norm(shift), rel=1e-6)


@pytest.mark.parametrize("cell", [np.diag([10.0, 9, 11]), TRICLINIC])
@pytest.mark.parametrize("where", [(0.0, 0.0, 0.0), (0.99, 0.02, 0.5), (0.25, 0.98, 0.01)])
def test_dipole_is_right_for_a_molecule_across_the_boundary(cell, where):
    grid = Grid.of(cell, 36)
    atoms = np.array(where) @ grid.vectors + np.array([[0.5, 0, 0.3], [-0.6, 0.2, 0], [0, -0.4, -0.2]])
    shift = np.array([0.1, 0.2, -0.15])
    reference = sum(gaussian(grid, atom, 2) for atom in atoms)
    predicted = sum(gaussian(grid, atom + shift, 2) for atom in atoms)
    wrapped = (atoms @ np.linalg.inv(grid.vectors) % 1) @ grid.vectors
    centre = standard.centre_of_atoms(wrapped, grid)
    error = standard.dipole_error(predicted, reference, grid, torch.tensor(centre)[None])
    assert float(error[0]) == pytest.approx(6 * np.linalg.norm(shift), rel=1e-5)


@pytest.mark.parametrize("cell", [np.diag([10.0, 9, 11]), TRICLINIC])
def test_centre_follows_the_atoms_through_the_boundary(cell):
    grid = Grid.of(cell, 8)
    atoms = np.array([[0.4, 0.45, 0.5], [0.6, 0.5, 0.42], [0.5, 0.55, 0.46]])
    inside = standard.centre_of_atoms(atoms @ grid.vectors, grid)
    assert inside @ np.linalg.inv(grid.vectors) == pytest.approx([0.5, 0.5, 0.46])
    for move in ([0.5, 0.0, 0.3], [0.52, 0.51, 0.55], [7.9, -3.2, 0.2]):
        moved = standard.centre_of_atoms(((atoms + move)[::-1] % 1) @ grid.vectors, grid)
        fractions = (moved - inside) @ np.linalg.inv(grid.vectors) - move
        assert fractions - np.rint(fractions) == pytest.approx(0, abs=1e-9)


def test_centre_on_open_axes_does_not_wrap():
    grid = Grid.of([10.0, 10.0], 8, periodic=(False, True))
    assert standard.centre_of_atoms([[1.0, 1.0], [9.0, 9.0]], grid) == pytest.approx([5.0, 0.0])


def test_electrons_of_a_float32_density_are_summed_in_float64():
    grid = Grid.of([6.0, 6, 6], 128)
    density = torch.full((1, 1, *grid.shape), 12 / grid.volume, dtype=torch.float32)
    error = standard.electron_count_error(density, torch.tensor([12.0]), grid)
    assert error.dtype == torch.float64
    assert float(error[0]) < 1e-6


def test_low_density_ignores_what_happens_near_nuclei():
    reference = torch.tensor([[[5.0, 2.0, 0.04, 0.01]]])
    predicted = torch.tensor([[[9.0, 0.0, 0.03, 0.02]]])
    assert float(standard.low_density_nmae(predicted, reference)) == pytest.approx(100 * 0.02 / 0.05, rel=1e-5)
    assert math.isnan(standard.low_density_nmae(predicted, reference, threshold=0.0).item())


def test_charge_that_moves_from_atom_to_atom_counts_at_both_and_within_one_not_at_all():
    """0.6 e from the first of three atoms to the second is 0.4 e per atom; ionic Gaussians far apart."""
    grid = Grid.of([16.0, 7.0, 7.0], (48, 21, 21))
    atoms = np.array([[2.5, 3.5, 3.5], [8.0, 3.5, 3.5], [13.5, 3.5, 3.5]])
    density = {k: gaussian(grid, atom, 1.0, 0.5) for k, atom in enumerate(atoms)}
    reference = 3 * density[0] + 6 * density[1] + 3 * density[2]
    predicted = 2.4 * density[0] + 6.6 * density[1] + 3 * density[2]
    positions = torch.tensor(atoms)[None]
    assert float(standard.basin_error(predicted, reference, grid, positions)) == pytest.approx(0.4, abs=1e-4)
    inside = reference.roll(1, dims=3)
    assert float(standard.basin_error(inside, reference, grid, positions)) == pytest.approx(0, abs=1e-4)
    assert float(standard.nmae(inside, reference)) > 10


def test_every_metric_has_a_unit_and_a_description():
    density = torch.rand(2, 1, 4, 4)
    names = set(standard.standard(density, density, Grid.of([2.0, 2.0], 4), torch.zeros(2, 1, 2)))
    assert names == set(standard.UNITS) == set(standard.DESCRIPTIONS)
    assert standard.units(2)["rmse"] == "e/Å²"


def test_interval_agrees_with_normal_theory():
    x = np.random.default_rng(0).normal(3.0, 0.7, 400)
    summary = summarise(x)
    half = 1.96 * x.std(ddof=1) / math.sqrt(len(x))
    assert summary.mean == pytest.approx(x.mean())
    assert (summary.median, summary.max) == (pytest.approx(np.median(x)), pytest.approx(x.max()))
    assert (summary.low, summary.high) == (pytest.approx(x.mean() - half, abs=0.1 * half),
                                       pytest.approx(x.mean() + half, abs=0.1 * half))  # fmt: skip


def test_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(4)
    summaries = [summarise(rng.normal(1.0, 0.3, 40), resamples=999) for _ in range(200)]
    # 95% of 200 with a binomial standard deviation of 1.5%; a bootstrap of 40 is slightly narrow.
    assert 0.88 <= np.mean([s.low <= 1.0 <= s.high for s in summaries]) <= 0.99


def test_values_of_one_group_count_as_one_draw():
    """Each value twice, grouped, is the interval of the values; ungrouped it is narrower by √2."""
    x = np.random.default_rng(5).normal(2.0, 0.5, 200)
    once = summarise(x)
    twice = summarise(np.repeat(x, 2), groups=np.repeat(np.arange(200), 2).tolist())
    careless = summarise(np.repeat(x, 2))
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))
    assert (once.high - once.low) / (careless.high - careless.low) == pytest.approx(math.sqrt(2), rel=0.05)


def test_groups_of_unequal_size_keep_the_mean_over_samples():
    summary = summarise([1.0, 1.0, 1.0, 5.0, math.nan], groups=[7, 7, 7, 2, 3])
    assert summary.mean == pytest.approx(2.0)
    assert 1.0 <= summary.low <= 2.0 <= summary.high <= 5.0
    assert math.isnan(summarise([1.0, 2.0], groups=[4, 4]).low)
    with pytest.raises(ValueError, match="1 group labels for 2 values"):
        summarise([1.0, 2.0], groups=[1])


def test_summary_repeats():
    x = np.random.default_rng(2).random(20)
    assert summarise(x) == summarise(x)


@pytest.mark.parametrize(
    ("values", "interval"),
    [
        ([2.0], (math.nan, math.nan)),
        ([2.0, 2.0, 2.0], (2.0, 2.0)),
        ([0.0, 0.0], (0.0, 0.0)),
        ([], (math.nan, math.nan)),
        ([1.0, math.inf], (math.nan, math.nan)),
        ([1.0, math.nan, 1.0], (1.0, 1.0)),
    ],
)
def test_degenerate_values_do_not_fail(values, interval):
    summary = summarise(values)
    assert (summary.low, summary.high) == pytest.approx(interval, nan_ok=True)


@pytest.mark.parametrize("values", [[1.0, 2.0], [1.0, 1.0, 2.0]])
def test_interval_of_a_few_values_lies_within_them(values):
    summary = summarise(values)
    assert min(values) <= summary.low <= summary.mean <= summary.high <= max(values)


def test_importing_the_metrics_does_not_import_torch():
    code = "import sys, edframe.metrics.standard; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
