"""Gradients through the loss, normalisation included: finite differences by every voxel of either density."""

import pytest
import torch
from edframe_sinkhorn import sinkhorn_divergence
from edframe_sinkhorn.loss import SinkhornLoss
from edframe_sinkhorn.plugin import SinkhornConfig

from edframe.grid import Grid

BOX = Grid.of([6.0, 6.0, 6.0], 12)
TIGHT = {"tol": 1e-12, "max_iterations": 5000}

GRIDS = {
    "line": Grid.of([4.5], 9),
    "open-plane": Grid.of([2.0, 2.5], (4, 5), False),
    "wire": Grid.of([2.0, 1.5, 1.0], (4, 3, 2), (True, False, False)),
    "sheet": Grid.of([2.5, 0.7, 2.0], (5, 1, 4)),
}


@pytest.mark.parametrize(("name", "spins"), [("line", 1), ("open-plane", 1), ("wire", 2), ("sheet", 1)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": "total"},
        {"debias": False},
        {"debias": False, "scale": "total"},
        {"reach": 0.7},
        {"reach": 0.7, "debias": False},
        {"reach": 0.7, "mass": "unbalanced"},
        {"reach": 0.7, "mass": "unbalanced", "scale": "total"},
        {"reach": 0.7, "mass": "unbalanced", "debias": False},
        {"reach": 3.0, "mass": "unbalanced", "debias": False, "scale": "total"},
    ],
    ids=str,
)
def test_gradients_by_both_densities_agree_with_finite_differences(differences, densities, name, options, spins):
    grid = GRIDS[name]
    loss = SinkhornLoss(SinkhornConfig(**TIGHT, **options))
    pair = []
    for seed in (0, 1):
        first, second = densities(grid, seed=seed)
        total = 0.3 + 7 * first
        pair.append(torch.stack((total, total * (second - 0.5)), dim=1)[:, :spins].requires_grad_())
    predicted, reference = pair
    gradients = torch.autograd.grad(loss(predicted, reference, grid).sum(), pair)

    def by_predicted(batch):
        return loss(batch, reference.detach().expand_as(batch), grid)

    def by_reference(batch):
        return loss(predicted.detach().expand_as(batch), batch, grid)

    for density, by, gradient in zip(pair, (by_predicted, by_reference), gradients, strict=True):
        expected = differences(by, density.detach())
        torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_the_gradient_does_not_change_the_number_of_electrons_to_first_order(molecule):
    predicted, reference = molecule(BOX)[None].requires_grad_(), molecule(BOX, angle=0.3)[None]
    (gradient,) = torch.autograd.grad(SinkhornLoss(SinkhornConfig())(predicted, reference, BOX).sum(), predicted)
    assert abs((gradient * predicted).sum()) < 1e-12


def test_each_sample_is_weighted_by_what_comes_from_above(molecule):
    predicted = torch.stack([molecule(BOX), molecule(BOX, 0.6)]).float().requires_grad_()
    reference = torch.stack([molecule(BOX, 0.3)] * 2).float()
    value = SinkhornLoss(SinkhornConfig())(predicted, reference, BOX)
    (gradient,) = torch.autograd.grad((value * torch.tensor([2.0, -3.0])).sum(), predicted)
    plain = sinkhorn_divergence(predicted[:, 0], reference[:, 0], BOX).gradient.float()
    assert gradient.dtype == torch.float32
    torch.testing.assert_close(gradient[:, 0], plain * torch.tensor([2.0, -3.0])[:, None, None, None])


def test_descending_the_gradient_lowers_the_loss(molecule):
    loss = SinkhornLoss(SinkhornConfig())
    predicted, reference = molecule(BOX)[None].requires_grad_(), molecule(BOX, angle=0.3)[None]
    value = loss(predicted, reference, BOX)
    (gradient,) = torch.autograd.grad(value.sum(), predicted)
    step = 0.01 * value.item() / (gradient**2 * predicted).sum()
    lower = (predicted * (1 - step * gradient)).detach()
    assert loss(lower, reference, BOX).item() == pytest.approx(0.99 * value.item(), rel=1e-3)


def test_it_is_differentiable_once(densities):
    grid = GRIDS["line"]
    predicted, reference = (x[None].requires_grad_() for x in densities(grid))
    value = SinkhornLoss(SinkhornConfig())(predicted, reference, grid)
    (gradient,) = torch.autograd.grad(value.sum(), predicted, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("options", [{}, {"reach": 0.7, "mass": "unbalanced"}], ids=str)
def test_values_below_zero_count_as_zero_and_have_no_gradient(densities, options):
    grid = GRIDS["wire"]
    a, b = densities(grid)
    a[0, 0] = 0.0
    below = a.clone()
    below[0, 0] = -0.1
    zero, clamped = (sinkhorn_divergence(x, b, grid, **options) for x in (a, below))
    torch.testing.assert_close(clamped.value, zero.value, rtol=0, atol=0)
    assert (clamped.gradient[0, 0] == 0).all()
    assert (zero.gradient[0, 0] != 0).all()
    torch.testing.assert_close(clamped.gradient[0, 1:], zero.gradient[0, 1:], rtol=0, atol=0)


def test_the_gradient_at_an_exact_zero_is_that_of_adding_electrons(densities):
    grid = GRIDS["wire"]
    a, b = densities(grid, zeros=True)
    empty = (a == 0).flatten().nonzero().flatten()
    step = 1e-6
    more = a.repeat(len(empty), 1, 1, 1)
    more.view(len(empty), -1)[torch.arange(len(empty)), empty] = step
    both = sinkhorn_divergence(torch.cat([a, more]), b.repeat(len(more) + 1, 1, 1, 1), grid, **TIGHT)
    expected = (both.value[1:] - both.value[0]) / step
    gradient = both.gradient[0].flatten()[empty]
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-4 * expected.abs().max().item())
