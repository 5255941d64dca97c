"""Two spin channels: the electrons of either spin are transported among themselves."""

import pytest
import torch
from edframe_sinkhorn import sinkhorn_divergence
from edframe_sinkhorn.loss import SinkhornLoss
from edframe_sinkhorn.plugin import SinkhornConfig

from edframe.errors import DataError
from edframe.grid import Grid

BOX = Grid.of([6.0, 6.0, 6.0], 12)
UNITS = ({}, {"reach": 0.8, "mass": "unbalanced"})


def from_spins(up, down):
    """Total and magnetisation ``[b, 2, …]`` from the density of each spin ``[b, …]``."""
    return torch.stack((up + down, up - down), dim=1)


@pytest.fixture
def spins(molecule):
    """Up and down of a prediction, and of a reference."""
    return molecule(BOX), 0.5 * molecule(BOX, 0.4), molecule(BOX, 0.1), 0.7 * molecule(BOX, 0.6)


@pytest.mark.parametrize("options", UNITS, ids=str)
def test_the_value_is_the_mean_over_electrons_of_either_spin(spins, options):
    up, down, up_reference, down_reference = spins
    loss = SinkhornLoss(SinkhornConfig(**options))
    value = loss(from_spins(up, down), from_spins(up_reference, down_reference), BOX)
    of_up = sinkhorn_divergence(up, up_reference, BOX, **options).value
    of_down = sinkhorn_divergence(down, down_reference, BOX, **options).value
    n_up, n_down = up_reference.sum(), down_reference.sum()
    torch.testing.assert_close(value, (n_up * of_up + n_down * of_down) / (n_up + n_down), rtol=1e-10, atol=0)


@pytest.mark.parametrize("options", UNITS, ids=str)
def test_the_total_is_the_sum_over_electrons_of_either_spin(spins, options):
    up, down, up_reference, down_reference = spins
    loss = SinkhornLoss(SinkhornConfig(scale="total", **options))
    value = loss(from_spins(up, down), from_spins(up_reference, down_reference), BOX)
    per_electron = SinkhornLoss(SinkhornConfig(**options))
    mean = per_electron(from_spins(up, down), from_spins(up_reference, down_reference), BOX)
    electrons = (up_reference + down_reference).sum() * BOX.voxel_volume
    torch.testing.assert_close(value, electrons * mean, rtol=1e-10, atol=0)


def test_without_magnetisation_it_is_the_value_of_the_total_density(molecule):
    a, b = molecule(BOX), molecule(BOX, angle=0.3)
    loss = SinkhornLoss(SinkhornConfig())
    one = loss(a[None], b[None], BOX)
    two = loss(from_spins(a / 2, a / 2), from_spins(b / 2, b / 2), BOX)
    torch.testing.assert_close(two, one, rtol=1e-10, atol=0)


@pytest.mark.parametrize("options", [{}, {"scale": "total"}], ids=str)
@pytest.mark.parametrize("empty", ["up", "down"])
def test_a_spin_without_electrons_costs_nothing(molecule, options, empty):
    a, b = molecule(BOX), molecule(BOX, angle=0.3)
    loss = SinkhornLoss(SinkhornConfig(**options))
    nothing = torch.zeros_like(a)
    order = (lambda x: (x, nothing)) if empty == "down" else (lambda x: (nothing, x))
    predicted = from_spins(*order(a)).requires_grad_()
    value, diagnostics = loss.with_diagnostics(predicted, from_spins(*order(b)), BOX)
    single = a[None].requires_grad_()
    expected = loss(single, b[None], BOX)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=0)
    (gradient,) = torch.autograd.grad(value.sum(), predicted)
    (wanted,) = torch.autograd.grad(expected.sum(), single)
    full, void = (0, 1) if empty == "down" else (1, 0)
    by_spin = torch.stack((gradient[:, 0] + gradient[:, 1], gradient[:, 0] - gradient[:, 1]), dim=1)
    torch.testing.assert_close(by_spin[:, full], wanted[:, 0], rtol=1e-9, atol=1e-15)
    assert (by_spin[:, void] == 0).all()
    assert diagnostics["unconverged"].item() == 0


def test_a_predicted_spin_density_below_zero_does_not_count(molecule):
    a, b = molecule(BOX), molecule(BOX, angle=0.3)
    over = from_spins(a, torch.zeros_like(a))
    over[0, 1, 0] *= 1.5  # more magnetisation than density: down is negative there
    up, reference = (over[:, 0] + over[:, 1]) / 2, from_spins(b, torch.zeros_like(b))
    value = SinkhornLoss(SinkhornConfig())(over, reference, BOX)
    torch.testing.assert_close(value, sinkhorn_divergence(up, b, BOX).value, rtol=1e-10, atol=0)


def test_samples_with_and_without_a_spin_do_not_disturb_each_other(spins):
    up, down, up_reference, down_reference = spins
    nothing = torch.zeros_like(up)
    loss = SinkhornLoss(SinkhornConfig())
    predicted = torch.cat([from_spins(up, down), from_spins(up, nothing)])
    reference = torch.cat([from_spins(up_reference, down_reference), from_spins(up_reference, nothing)])
    together = loss(predicted, reference, BOX)
    alone = torch.cat([loss(predicted[[i]], reference[[i]], BOX) for i in range(2)])
    torch.testing.assert_close(together, alone, rtol=1e-8, atol=0)


def test_diagnostics_are_those_of_the_worse_spin(spins):
    up, _, up_reference, down_reference = spins
    loss = SinkhornLoss(SinkhornConfig(max_iterations=1))
    equal = from_spins(up_reference, down_reference)
    worse = from_spins(up, down_reference)
    _, diagnostics = loss.with_diagnostics(torch.cat([equal, worse]), torch.cat([equal, equal]), BOX)
    alone = sinkhorn_divergence(up, up_reference, BOX, max_iterations=1)
    torch.testing.assert_close(diagnostics["marginal_error"][[1]], alone.marginal_error)


@pytest.mark.parametrize("shape", [(1, 12, 12, 12), (1, 3, 12, 12, 12)])
def test_other_channels_are_refused(shape):
    densities = torch.ones(shape)
    with pytest.raises(DataError, match=r"\[b, s, 12, 12, 12\], s = 1 or 2"):
        SinkhornLoss(SinkhornConfig())(densities, densities, BOX)
