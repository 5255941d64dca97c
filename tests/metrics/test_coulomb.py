"""The electrostatic energy against Gaussian charges in closed form: summed over images, by Ewald, by their waves."""

import itertools
import math

import numpy as np
import pytest
import torch
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Lattice, Structure
from scipy.special import erf, i0e

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.metrics import standard
from edframe.metrics.coulomb import COULOMB, coulomb_energy
from edframe.metrics.waves import nyquist

BOX, SKEWED = np.diag([6.0, 5.0, 7.0]), np.array([[6.0, 0, 0], [1.8, 5.5, 0], [-1.2, 1.0, 6.5]])
SHAPE = (30, 27, 32)
SIGMA = 0.38
AWAY = np.array([[0.35, 0.2, -0.25], [-0.35, -0.2, 0.25], [-0.2, 0.3, 0.15], [0.2, -0.3, -0.15]])
"""Å from the middle of the cell. With charges 1, 1, −1, −1 there is neither charge nor dipole."""

MIXED = [
    pytest.param(Grid.of(cell[:d, :d], SHAPE[:d], flags), id=f"{name}-{''.join('op'[flag] for flag in flags)}")
    for d in (2, 3)
    for name, cell in (("box", BOX), ("skewed", SKEWED))
    for flags in itertools.product((False, True), repeat=d)
    if not (d == 3 and all(flags))  # summed over images that depends on their order; see Ewald below
]


def charges(grid: Grid, q, sigma: float = SIGMA, away=AWAY) -> torch.Tensor:
    """Gaussian charges about the middle, with their periodic images, ``[1, …]`` in e/Å^d."""
    d = grid.dimension
    total = np.zeros(grid.shape)
    for image in itertools.product(*[range(-2, 3) if p else (0,) for p in grid.periodic]):
        for charge, place in zip(q, away[:, :d] + grid.vectors.sum(0) / 2, strict=True):
            r = grid.coordinates() - place - np.array(image) @ grid.vectors
            total += charge * np.exp(-(r**2).sum(-1) / (2 * sigma**2))
    return torch.tensor(total / (2 * math.pi * sigma**2) ** (d / 2))[None]


def interaction(r, d: int, sigma: float = SIGMA):
    """Of two unit Gaussians ``r`` Å apart, in 1/Å."""
    if d == 2:
        return np.sqrt(np.pi) / (2 * sigma) * i0e(r**2 / (8 * sigma**2))
    safe = np.maximum(r, 1e-9)
    return erf(safe / (2 * sigma)) / safe


def summed_over_images(grid: Grid, q, farthest: float = 200.0) -> float:
    """eV. What is farther than ``farthest`` Å are quadrupoles of quadrupoles."""
    d = grid.dimension
    reach = [int(farthest / length) if p else 0 for length, p in zip(np.linalg.norm(grid.vectors, axis=1),
                                                                     grid.periodic, strict=True)]  # fmt: skip
    images = np.array(list(itertools.product(*(range(-r, r + 1) for r in reach)))) @ grid.vectors
    pairs = itertools.product(zip(q, AWAY[:, :d], strict=True), repeat=2)
    energies = (a * b * interaction(np.linalg.norm(x - y + images, axis=1), d).sum() for (a, x), (b, y) in pairs)
    return COULOMB / 2 * sum(energies)


def by_waves(grid: Grid, q, below: float) -> float:
    """eV: ½ Σ over the waves G along periodic axes, ∫ over those across, of v(k) |Σ q exp(ik·r − k²σ²/2)|²."""
    d, along = grid.dimension, [a for a, p in enumerate(grid.periodic) if p]
    edges = grid.vectors[along]
    dual = 2 * np.pi * np.linalg.pinv(edges).T if along else np.zeros((1, d))
    counts = itertools.product(*[range(-8, 9)] * len(along)) if along else [(0,)]
    waves = np.array([np.array(n) @ dual for n in counts])
    across = np.linalg.svd(edges)[2][len(along) :] if along else np.eye(d)
    area = math.sqrt(np.linalg.det(edges @ edges.T)) if along else 1.0
    x, w = np.polynomial.legendre.leggauss(60)
    angles = 2 * np.pi * (np.arange(60) + 0.5) / 60
    total = 0.0
    for wave in waves[np.linalg.norm(waves, axis=1) < below]:
        end = math.sqrt(below**2 - wave @ wave)
        k, weights = end * (x + 1) / 2, end * w / 2
        if len(across) == 0:
            points, weights = np.zeros((1, d)), np.ones(1)
        elif len(across) == 1:
            points, weights = np.concatenate([k, -k])[:, None] * across, np.tile(weights, 2) / (2 * np.pi)
        elif len(across) == 2:
            circle = np.stack([np.cos(angles), np.sin(angles)], 1) @ across
            points = (k[:, None, None] * circle).reshape(-1, d)
            weights = np.repeat(weights * k / 60 / (2 * np.pi), 60)
        else:
            flat = np.sqrt(1 - x[:, None] ** 2)
            sphere = np.stack([flat * np.cos(angles), flat * np.sin(angles), np.broadcast_to(x[:, None], (60, 60))], -1)
            points = (k[:, None, None, None] * sphere).reshape(-1, 3)
            weights = (weights[:, None, None] * k[:, None, None] ** 2 * w[:, None] / 60 / (4 * np.pi**2)).repeat(60, 2)
        points = points + wave
        squared = (points**2).sum(1)
        weights, points, squared = weights.ravel()[squared > 0], points[squared > 0], squared[squared > 0]
        structure = np.exp(-squared * SIGMA**2) * abs(np.exp(1j * points @ AWAY[:, :d].T) @ q) ** 2
        total += weights @ ((4 * np.pi / squared if d == 3 else 2 * np.pi / np.sqrt(squared)) * structure)
    return COULOMB / 2 * total / area


def neutral(grid: Grid):
    """Charges of the Gaussians: in an open box any."""
    return np.array([1.0, 1.0, -1.0, -1.0] if any(grid.periodic) else [1.0, 2.0, -1.0, -0.5])


@pytest.mark.parametrize("grid", MIXED)
def test_of_gaussians_is_the_sum_over_their_images(grid):
    q = neutral(grid)
    energy = coulomb_energy(charges(grid, q), grid)
    assert energy.item() == pytest.approx(summed_over_images(grid, q), rel=2e-7)


@pytest.mark.parametrize("grid", [*MIXED, Grid.of(BOX, SHAPE), Grid.of(SKEWED, SHAPE)])
def test_long_waves_of_gaussians_are_the_integral_over_them(grid):
    q = neutral(grid)
    energy = coulomb_energy(charges(grid, q), grid, 2.0)
    assert energy.item() == pytest.approx(by_waves(grid, q, 2.0), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("cell", [BOX, SKEWED])
def test_of_a_crystal_of_narrow_gaussians_is_that_of_points_by_ewald(cell):
    """Gaussians that do not overlap: the energy of point charges, and that of each Gaussian with itself."""
    grid, sigma = Grid.of(cell, 36), 0.35
    away = np.array([[0.0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0], [0.0, 0.0, 0.5]]) @ cell
    q = [1.0, 0.5, -2.0, 0.5]
    ions = Structure(Lattice(cell), ["H"] * 4, away, coords_are_cartesian=True)
    ions.add_oxidation_state_by_site(q)
    points = EwaldSummation(ions, eta=0.2, real_space_cut=25, recip_space_cut=12).total_energy
    own = COULOMB * sum(c**2 for c in q) / (2 * math.sqrt(math.pi) * sigma)
    assert coulomb_energy(charges(grid, q, sigma, away), grid).item() == pytest.approx(points + own, rel=1e-5)


@pytest.mark.parametrize("d", [2, 3])
def test_of_one_plane_wave(d):
    """½ v(k) |amplitude|²/2 per volume, and all of it above or below."""
    grid = Grid.of(SKEWED[:d, :d], SHAPE[:d])
    k = 2 * np.pi * float(np.linalg.norm(np.linalg.inv(grid.vectors)[:, 0]))
    field = torch.tensor(0.3 * np.cos(2 * np.pi * grid.fractions()[..., 0]))[None]
    kernel = 4 * math.pi / k**2 if d == 3 else 2 * math.pi / k
    expected = COULOMB / 2 * kernel * 0.3**2 / 2 * grid.volume
    assert coulomb_energy(field, grid).item() == pytest.approx(expected)
    assert coulomb_energy(field, grid, 1.01 * k).item() == pytest.approx(expected)
    assert coulomb_energy(field, grid, 0.99 * k).item() == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("grid", [param for param in MIXED if param.values[0].dimension == 2])
def test_waves_that_the_points_hold_are_all_there_is(grid):
    field = charges(grid, neutral(grid))
    most = coulomb_energy(field, grid, 0.8 * nyquist(grid)).item()
    assert most == pytest.approx(coulomb_energy(field, grid).item(), rel=1e-6)


@pytest.mark.parametrize("periodic", [(True, True, False), (False, True, False), (True, True, True)])
def test_a_cell_is_neutralised_and_its_energy_is_never_negative(periodic):
    grid = Grid.of([4.0, 3.0, 5.0], (6, 5, 8), periodic)
    field = torch.rand(3, *grid.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for below in (None, 2.0):
        energy = coulomb_energy(field, grid, below)
        assert (energy > 0).all()
        torch.testing.assert_close(coulomb_energy(field + 7.0, grid, below), energy)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_any_precision_in_a_batch(dtype):
    grid = Grid.of([4.0, 3.0, 5.0], (6, 5, 8), (True, False, False))
    field = torch.randn(3, *grid.shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    energies = coulomb_energy(field, grid)
    assert energies.dtype == torch.float32
    expected = [coulomb_energy(one[None].double(), grid).item() for one in field]
    assert energies.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("periodic", [True, False, (True, False)])
def test_the_gradient_agrees_with_finite_differences(periodic):
    grid = Grid.of([[4.0, 0], [0.7, 3.0]], (4, 5), periodic)
    field = torch.randn(2, *grid.shape, dtype=torch.float64, requires_grad=True)
    for below in (None, 2.5):
        assert torch.autograd.gradcheck(lambda f, b=below: coulomb_energy(f, grid, b), field)


def test_on_a_line_there_is_none():
    grid = Grid.of([5.0], 8)
    with pytest.raises(DataError, match="2 or 3 dimensions"):
        coulomb_energy(torch.ones(1, 8), grid)
    density = torch.rand(2, 1, 8)
    assert standard.coulomb_error(density, density.flip(-1), grid).isnan().all()


def test_the_metrics_are_energies_of_the_error_per_electron():
    """A tenth of the electrons of a molecule 0.4 Å off."""
    grid = Grid.of(np.diag([6.0, 6.0, 6.0]), 30, False)
    here, there = (charges(grid, [5.0, 5, 5, 5], 0.5, AWAY + shift) for shift in (0, np.array([0.4, 0, 0])))
    predicted, reference = 0.9 * here + 0.1 * there, here
    error = predicted - reference
    for below, metric in (
        (None, standard.coulomb_error(predicted[None], reference[None], grid)),
        (1.0, standard.low_g_error(predicted[None], reference[None], grid)),
    ):
        assert metric.dtype == torch.float64
        assert metric.item() == pytest.approx(coulomb_energy(error, grid, below).item() / 20, rel=1e-6)
