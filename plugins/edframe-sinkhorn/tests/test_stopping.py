"""When iterations stop, for each sample, and what is reported of it."""

import numpy as np
import pytest
import torch
from edframe_sinkhorn import backends, sinkhorn_divergence
from edframe_sinkhorn.loss import SinkhornLoss
from edframe_sinkhorn.plugin import SinkhornConfig
from edframe_sinkhorn.scalings import PATIENCE
from torch.overrides import TorchFunctionMode

from edframe.grid import Grid

BOX = Grid.of([6.0, 6.0, 6.0], 12)
OPTIONS = ({}, {"reach": 0.8, "mass": "unbalanced"}, {"debias": False})


@pytest.fixture
def pair(molecule):
    """Three predictions of different quality, and their references."""
    return (
        torch.cat([molecule(BOX, angle) for angle in (0.0, 0.5, 1.0)]),
        torch.cat([molecule(BOX, angle) for angle in (0.02, 0.5, 2.0)]),
    )


def test_a_smaller_tolerance_is_met_by_more_iterations(pair):
    results = [sinkhorn_divergence(*pair, BOX, tol=tol) for tol in (1e-2, 1e-4, 1e-8)]
    for result, tol in zip(results, (1e-2, 1e-4, 1e-8), strict=True):
        assert result.marginal_error.max() <= tol
    counts = [result.iterations[2].item() for result in results]
    assert counts[0] < counts[1] < counts[2]


def test_the_marginal_error_bounds_that_of_the_plan(cost, densities):
    # The potential of b is the answer to that of a: its marginal is exact, and what a lacks is less than was reported.
    grid = Grid.of([3.0, 3.0, 4.0], (5, 6, 7))
    a, b = densities(grid, zeros=True)
    result = sinkhorn_divergence(a, b, grid, 0.6, debias=False)
    f, g = result.potential.numpy().ravel(), result.reference_potential.numpy().ravel()
    first, second = (x.numpy().ravel() / x.sum().item() for x in (a, b))
    plan = first[:, None] * second * np.exp((f[:, None] + g - cost(grid)) / 0.6**2)
    np.testing.assert_allclose(plan.sum(0), second, rtol=1e-9, atol=1e-15)
    assert 0 < np.abs(plan.sum(1) - first).sum() <= result.marginal_error.item()


@pytest.mark.parametrize("floor", [0.0, 1e-8, 1e-6, 1e-4])
@pytest.mark.parametrize("limit", [30, 300, 5000])
def test_what_is_said_to_have_converged_has(dense, atoms, floor, limit):
    # Electrons change between two atoms 48 blurs apart, with next to nothing in between: no solver finds that easy.
    grid = Grid.of([12.8], 128, False)
    a, b = (atoms(grid, ([1.2], 0.2, 2 - x), ([9.2], 0.2, 2 + x), floor=floor) for x in (0.0, 0.2))
    result = sinkhorn_divergence(a, b, grid, max_iterations=limit)
    assert result.gradient.isfinite().all()
    exact = dense(a[0], b[0], grid, 0.1)
    if result.marginal_error.item() <= 1e-3:
        assert result.value.item() == pytest.approx(exact.value, rel=5e-3)
    else:
        assert limit < 5000


def test_a_batch_equals_its_samples_one_by_one(pair):
    together = sinkhorn_divergence(*pair, BOX)
    assert len(set(together.iterations.tolist())) > 1
    for i in range(3):
        alone = sinkhorn_divergence(*(x[i : i + 1] for x in pair), BOX)
        assert alone.iterations.item() == together.iterations[i]
        torch.testing.assert_close(alone.value[0], together.value[i], rtol=1e-8, atol=1e-12)
        scale = max(alone.potential.abs().max().item(), 1e-3)
        torch.testing.assert_close(alone.potential[0], together.potential[i], rtol=0, atol=1e-6 * scale)


def test_what_has_not_converged_is_reported(pair):
    result = sinkhorn_divergence(*pair, BOX, tol=1e-8, max_iterations=3)
    assert result.iterations[[0, 2]].tolist() == [3, 3]
    assert (result.marginal_error[[0, 2]] > 1e-8).all()
    assert result.value.isfinite().all()
    assert result.gradient.isfinite().all()


@pytest.mark.parametrize("limit", [1, 2, 1000])
def test_diagnostics_say_which_samples_have_not_converged(pair, limit):
    predicted, reference = (x[:, None] for x in pair)
    loss = SinkhornLoss(SinkhornConfig(tol=1e-6, max_iterations=limit))
    value, diagnostics = loss.with_diagnostics(predicted, reference, BOX)
    assert {value.shape, *(extra.shape for extra in diagnostics.values())} == {(3,)}
    assert diagnostics["unconverged"].tolist() == (diagnostics["marginal_error"] > 1e-6).tolist()
    assert (diagnostics["unconverged"].sum() == 0) == (limit == 1000)
    assert diagnostics["iterations"].max() <= limit
    # Two applications for each iteration of the slowest sample, and some of the self transports.
    assert (diagnostics["applications"] > 2 * diagnostics["iterations"].max()).all()


def test_the_log_domain_is_reported(atoms):
    grid = Grid.of([12.8], 128, False)
    far = [atoms(grid, ([place], 0.2, 1))[None] for place in (1.0, 11.0)]
    for reference, expected in ((far[1], 1), (far[0], 0)):
        _, diagnostics = SinkhornLoss(SinkhornConfig()).with_diagnostics(far[0], reference, grid)
        assert diagnostics["logarithmic"].tolist() == [expected]


class Accelerator(TorchFunctionMode):
    """Tensors say that they are on an accelerator, and stay on the CPU."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func == torch.Tensor.device.__get__:
            return torch.device("cuda")
        args = [self.real(x) for x in args]
        return func(*args, **{name: self.real(x) for name, x in (kwargs or {}).items()})

    @staticmethod
    def real(argument):
        return torch.device("cpu") if isinstance(argument, torch.device) else argument


@pytest.fixture
def accelerator():
    with Accelerator():
        yield
    backends.kernel_on.cache_clear()  # of kernels that say they are elsewhere


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("start", [False, True])
def test_on_an_accelerator_the_test_is_rare_and_the_answer_the_same(pair, request, options, start):
    begin = sinkhorn_divergence(*(x.flip(0) for x in pair), BOX, **options).start if start else None
    often = sinkhorn_divergence(*pair, BOX, **options, start=begin)
    exact = sinkhorn_divergence(*pair, BOX, **options, tol=1e-10)
    request.getfixturevalue("accelerator")
    rarely = sinkhorn_divergence(*pair, BOX, **options, start=begin)
    for count, least in zip(rarely.iterations.tolist(), often.iterations.tolist(), strict=True):
        assert count == least == 1 or (count >= least and count % PATIENCE == 0)
    assert rarely.marginal_error.max() <= 1e-3
    torch.testing.assert_close(rarely.value, exact.value, rtol=1e-4, atol=1e-8)
    error = (rarely.gradient - exact.gradient) * pair[0]
    assert (error.flatten(1).abs().sum(1) <= 0.02 * (exact.gradient * pair[0]).flatten(1).abs().sum(1) + 1e-3).all()


def test_on_an_accelerator_the_log_domain_is_entered_too(dense, atoms, request):
    grid = Grid.of([12.8], 128, False)
    a, b = (atoms(grid, ([1.2], 0.2, 2 - x), ([9.2], 0.2, 2 + x), floor=1e-6) for x in (0.0, 0.2))
    exact = dense(a[0], b[0], grid, 0.1)
    request.getfixturevalue("accelerator")
    rarely = sinkhorn_divergence(a, b, grid, max_iterations=5000)
    assert rarely.domain == "log"
    assert rarely.value.item() == pytest.approx(exact.value, rel=5e-3)
