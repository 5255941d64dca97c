"""Against double sums, edframe's own transport, and closed forms; and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from edframe_geomloss.loss import GeomlossLoss
from edframe_geomloss.plugin import GeomlossConfig
from edframe_sinkhorn import sinkhorn_divergence

from edframe.errors import DataError
from edframe.grid import Grid

CELL = [[5.0, 0, 0], [0.6, 4.8, 0], [0.2, -0.3, 4.6]]


def loss(**options):
    return GeomlossLoss(GeomlossConfig(**options))


def blob(grid, centre, sigma=0.5):
    """A Gaussian of two electrons, to its nearest image along periodic axes."""
    u = grid.fractions() - np.linalg.solve(grid.vectors.T, centre)
    u -= np.rint(u) * np.array(grid.periodic)
    density = np.exp(-((u @ grid.vectors) ** 2).sum(-1) / (2 * sigma**2))
    return torch.tensor(2 * density / density.sum() / grid.voxel_volume)[None, None]


@pytest.mark.parametrize(
    ("distance", "kernel"),
    [
        ("energy", lambda r: -r),
        ("gaussian", lambda r: np.exp(-(r**2) / 0.98)),
        ("laplacian", lambda r: np.exp(-r / 0.7)),
    ],
)
def test_kernel_distances_are_their_double_sums(distance, kernel):
    grid = Grid.of(CELL, (5, 6, 4), False)
    a, b = torch.rand(2, 2, 1, *grid.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = loss(distance=distance, blur=0.7, left_out=0.0)(a, b, grid)
    points = grid.coordinates().reshape(-1, 3)
    matrix = kernel(np.linalg.norm(points[:, None] - points, axis=-1))
    for value, p, r in zip(found, a.flatten(1).numpy(), b.flatten(1).numpy(), strict=True):
        error = p / p.sum() - r / r.sum()
        # geomloss takes no distance to be below 1e-4.
        assert value.item() == pytest.approx(error @ matrix @ error / 2, rel=1e-3)


def test_sinkhorn_is_that_of_edframe():
    grid = Grid.of([4.8, 4.8, 4.8], 7, False)
    a, b = blob(grid, [2.2, 2.3, 2.5]), blob(grid, [2.7, 2.4, 2.4], 0.6)
    found = loss(scaling=0.9, left_out=0.0)(a, b, grid).item()
    own = sinkhorn_divergence(a[:, 0], b[:, 0], grid).value.item()
    assert found == pytest.approx(own, rel=0.02)


def test_a_shift_through_a_periodic_boundary_costs_what_one_inside_does():
    grid = Grid.of(CELL, 10)
    for centre in ([2.6, 2.3, 2.2], [0.1, 0.0, 4.5]):
        a, b = (blob(grid, np.array(centre) + shift, 0.4) for shift in ([0.3, 0, 0], [0, 0, 0]))
        value, diagnostics = loss(left_out=1e-2, max_near_cut=0.03).with_diagnostics(a, b, grid)
        assert value.item() == pytest.approx(0.3**2 / 2, rel=0.05)
        assert diagnostics["near_cut"] < 0.03
        assert diagnostics["points"] < 500


def test_points_leave_out_no_more_electrons_than_allowed():
    grid = Grid.of([8.0], 200, False)
    a, b = blob(grid, [4.0], 0.5), blob(grid, [4.0], 0.3)
    _, diagnostics = loss(distance="energy", left_out=0.0455).with_diagnostics(a, b, grid)
    # 4.55% of a normal distribution are beyond two deviations.
    assert diagnostics["points"].item() == pytest.approx(4 * 0.5 / 0.04, abs=2)


def test_a_crystal_is_refused():
    grid = Grid.of(CELL, 6)
    with pytest.raises(DataError, match=r"cut open, but 33% .*loss sinkhorn, mmd or energy"):
        loss()(torch.ones(1, 1, 6, 6, 6), torch.ones(1, 1, 6, 6, 6), grid)


def test_too_many_points_for_a_processor_are_refused():
    grid = Grid.of([9.0] * 3, 20, False)
    with pytest.raises(DataError, match=r"79\d\d points .*5000 .*loss\.left_out"):
        loss()(torch.ones(1, 1, 20, 20, 20), torch.ones(1, 1, 20, 20, 20), grid)


def test_two_spins_and_empty_densities_are_refused():
    grid = Grid.of([4.0], 8, False)
    with pytest.raises(DataError, match="two spin channels"):
        loss()(torch.ones(1, 2, 8), torch.ones(1, 2, 8), grid)
    with pytest.raises(DataError, match="no positive value"):
        loss()(torch.zeros(1, 1, 8), torch.ones(1, 1, 8), grid)


def test_importing_the_plugin_imports_no_torch():
    code = "import sys, edframe_geomloss.plugin; assert 'torch' not in sys.modules and 'geomloss' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
