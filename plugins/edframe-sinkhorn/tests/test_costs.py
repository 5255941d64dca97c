"""The distance itself as the cost (p = 1), and cells of any angles, with relaxed marginals and through the loss."""

import geomloss
import numpy as np
import pytest
import torch
from edframe_sinkhorn import sinkhorn_divergence
from edframe_sinkhorn.loss import SinkhornLoss
from edframe_sinkhorn.plugin import SinkhornConfig

from edframe.grid import Grid

TIGHT = {"tol": 1e-9, "max_iterations": 5000}
TRICLINIC = [[3.0, 0.0, 0.0], [-1.0, 2.8, 0.0], [0.6, -0.7, 2.7]]
GRIDS = {
    "triclinic": Grid.of(TRICLINIC, 6),
    "slab": Grid.of(TRICLINIC, (5, 6, 4), (True, True, False)),
    "orthogonal": Grid.of([3.0, 2.5, 4.0], (5, 6, 7), (True, False, True)),
}


@pytest.mark.parametrize(("name", "p"), [("triclinic", 2), ("triclinic", 1), ("slab", 2), ("orthogonal", 1)])
@pytest.mark.parametrize("options", [{"reach": 0.8}, {"reach": 0.8, "mass": "unbalanced"}, {"debias": False}], ids=str)
def test_value_and_derivatives_equal_the_dense_solver(dense, densities, name, p, options):
    grid = GRIDS[name]
    a, b = densities(grid, zeros=True)
    exact = dense(1.2 * a[0], b[0], grid, 0.6, p=p, **options)
    ours = sinkhorn_divergence(1.2 * a, b, grid, 0.6, p=p, **options, **TIGHT)
    assert ours.value.item() == pytest.approx(exact.value, rel=1e-9)
    for potential, wanted in (
        (ours.potential[0].numpy(), exact.potential),
        (ours.reference_potential[0].numpy(), exact.reference_potential),
    ):
        assert np.ptp(potential - wanted) <= 1e-6 * np.ptp(wanted)


@pytest.mark.parametrize("reach", [None, 0.9])
def test_the_distance_itself_equals_geomloss(densities, reach):
    grid = Grid.of([3.0, 2.0, 2.5], (6, 4, 5), False)
    a, b = (x / x.sum() for x in densities(grid, seed=1))
    points = torch.from_numpy(grid.coordinates().reshape(-1, 3))
    peer = geomloss.SamplesLoss("sinkhorn", p=1, blur=0.6, reach=reach, scaling=0.999, backend="tensorized")
    expected = peer(a.reshape(-1), points, b.reshape(-1), points).item()
    ours = sinkhorn_divergence(a, b, grid, 0.6, p=1, reach=reach, **TIGHT)
    assert ours.value.item() == pytest.approx(expected, rel=1e-3)  # what annealing leaves


def test_two_points_cost_their_distance():
    grid = Grid.of([10.0], 20, False)
    ends = torch.eye(20, dtype=torch.float64)[[2, 9, 19]]
    ours = sinkhorn_divergence(ends, ends[[0, 0, 0]], grid, 0.05, p=1)
    assert ours.value.tolist() == pytest.approx([0.0, 3.5, 8.5], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("options", [{}, {"reach": 0.7, "mass": "unbalanced", "scale": "total"}], ids=str)
@pytest.mark.parametrize("p", [1, 2])
def test_the_gradient_agrees_with_finite_differences(differences, densities, p, options):
    grid = Grid.of([[2.0, 0.0], [0.7, 1.8]], (4, 5), (True, False))
    predicted, reference = (0.3 + 7 * x[None] for x in densities(grid))
    loss = SinkhornLoss(SinkhornConfig(p=p, tol=1e-12, max_iterations=5000, **options))
    predicted.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(predicted, reference, grid).sum(), predicted)
    expected = differences(lambda batch: loss(batch, reference.expand_as(batch), grid), predicted.detach())
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
