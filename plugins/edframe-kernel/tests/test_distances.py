"""``mmd`` and ``energy`` against double sums by geomloss, and Gaussians in closed form."""

import itertools
import math

import numpy as np
import pytest
import torch
from edframe_kernel.distances import EnergyLoss, MMDLoss
from edframe_kernel.plugin import EnergyConfig, MMDConfig
from geomloss import SamplesLoss
from scipy.special import erf, i0e, i1e

from edframe.errors import DataError
from edframe.grid import Grid

CELL = np.array([[6.0, 0, 0], [1.8, 5.5, 0], [-1.2, 1.0, 6.5]])
SIGMA = 0.4
PLACES = np.array([[0.3, 0.2, -0.1], [-0.4, -0.1, 0.3], [0.25, 0.4, 0.1], [0.1, -0.3, -0.2]])


def gaussian(grid, place, sigma=SIGMA):
    """Of unit mass about the middle, with its periodic images."""
    d, total = grid.dimension, np.zeros(grid.shape)
    for image in itertools.product(*[range(-2, 3) if p else (0,) for p in grid.periodic]):
        r = grid.coordinates() - (grid.vectors.sum(0) / 2 + place[:d]) - np.array(image) @ grid.vectors
        total += np.exp(-(r**2).sum(-1) / (2 * sigma**2))
    return torch.tensor(total / (2 * math.pi * sigma**2) ** (d / 2))


def pair(grid):
    """A prediction of two Gaussians and a reference of two, 3 electrons each, and the charges of their difference."""
    fields = [gaussian(grid, place) for place in PLACES]
    charges = [1.0, 2.0, -1.5, -1.5]
    predicted = sum(q * f for q, f in zip(charges[:2], fields[:2], strict=True))
    reference = sum(-q * f for q, f in zip(charges[2:], fields[2:], strict=True))
    return predicted[None, None], reference[None, None], charges


def mean_distance(r: float, s: float, d: int) -> float:
    """Of two points whose difference is normal about r Å with deviation s along each axis."""
    x = r**2 / (2 * s**2)
    if d == 1:
        return s * math.sqrt(2 / math.pi) * math.exp(-x) + r * erf(r / (s * math.sqrt(2)))
    if d == 2:  # Rice: s√(π/2) L½(−x)
        return s * math.sqrt(math.pi / 2) * ((1 + x) * i0e(x / 2) + x * i1e(x / 2))
    return (
        s * math.sqrt(2 / math.pi) * math.exp(-x)
        + (r + s**2 / r if r else 0) * erf(r / (s * math.sqrt(2)))
        + (s * math.sqrt(2 / math.pi) if not r else 0)
    )


@pytest.mark.parametrize("d", [1, 2, 3])
def test_energy_of_gaussians_in_a_box_is_their_mean_distances(d):
    grid = Grid.of(CELL[:d, :d], (30, 27, 32)[:d], False)
    predicted, reference, q = pair(grid)
    expected = (
        -0.5
        / 3
        * sum(
            a * b * mean_distance(float(np.linalg.norm((x - y)[:d])), math.sqrt(2) * SIGMA, d)
            for (a, x), (b, y) in itertools.product(zip(q, PLACES, strict=True), repeat=2)
        )
    )
    assert EnergyLoss(EnergyConfig())(predicted, reference, grid).item() == pytest.approx(expected, rel=1e-6)


def test_energy_on_a_ring_is_the_sum_over_pairs_of_points():
    """Of neutral charges in one dimension the sum over images of −|x| is |x|(|x| − L)/L."""
    length, n = 5.0, 400
    grid = Grid.of([length], n)
    predicted, reference, _ = pair(grid)
    error = (predicted - reference).numpy().ravel() * grid.voxel_volume
    x = abs(np.subtract.outer(np.arange(n), np.arange(n))) * length / n
    expected = error @ (x * (x - length) / length) @ error / 2 / 3
    assert EnergyLoss(EnergyConfig())(predicted, reference, grid).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_mmd_in_a_box_is_the_double_sum_of_geomloss(d):
    grid = Grid.of(CELL[:d, :d], (9, 8, 7)[:d], False)
    predicted, reference = torch.rand(2, 1, 1, *grid.shape, dtype=torch.float64)
    value = MMDLoss(MMDConfig(blur=0.9))(predicted, reference, grid)
    points = torch.tensor(grid.coordinates()).reshape(-1, d)
    a, b = (density.flatten() * grid.voxel_volume for density in (predicted, reference))
    expected = SamplesLoss("gaussian", blur=0.9, backend="tensorized")(a, points, b, points) / b.sum()
    assert value.item() == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.parametrize("periodic", [True, (True, False, True), (False, True, False)])
def test_mmd_of_gaussians_in_closed_form(periodic):
    """Blurred by the kernel, two Gaussians overlap as one of the summed variance."""
    grid = Grid.of(CELL, (30, 27, 32), periodic)
    predicted, reference, q = pair(grid)
    blur = 0.7
    variance = blur**2 + 2 * SIGMA**2
    images = np.array(list(itertools.product(*[range(-3, 4) if p else (0,) for p in grid.periodic]))) @ grid.vectors
    expected = (
        0.5
        / 3
        * sum(
            a * b * (blur**2 / variance) ** 1.5 * np.exp(-((x - y + images) ** 2).sum(1) / (2 * variance)).sum()
            for (a, x), (b, y) in itertools.product(zip(q, PLACES, strict=True), repeat=2)
        )
    )
    assert MMDLoss(MMDConfig(blur=blur))(predicted, reference, grid).item() == pytest.approx(expected, rel=1e-6)


def test_energy_refuses_mixed_boundaries():
    grid = Grid.of([4.0, 4.0], 6, (True, False))
    with pytest.raises(DataError, match=r"periodic and open axes.*coulomb or mmd"):
        EnergyLoss(EnergyConfig())(torch.ones(1, 1, 6, 6), torch.ones(1, 1, 6, 6), grid)


def test_electrons_too_many_count_for_mmd_and_not_for_energy():
    grid = Grid.of([4.0, 4.0], 8, False)
    reference = torch.ones(1, 1, 8, 8)
    assert EnergyLoss(EnergyConfig())(1.1 * reference, reference, grid).item() == pytest.approx(0, abs=1e-6)
    assert MMDLoss(MMDConfig())(1.1 * reference, reference, grid).item() > 1e-4
