import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from edframe_wasserstein import exact_transport, sliced_transport
from edframe_wasserstein.loss import SlicedLoss, WassersteinLoss
from edframe_wasserstein.plugin import SlicedConfig, WassersteinConfig
from pydantic import ValidationError

from edframe.errors import DataError
from edframe.grid import Grid

BOX = Grid.of([3.0, 2.0, 2.5], (4, 3, 3), False)
LOSSES = [
    (WassersteinLoss(WassersteinConfig()), exact_transport, {"spacing", "points"}),
    (SlicedLoss(SlicedConfig()), sliced_transport, {"near_cut"}),
]
every_loss = pytest.mark.parametrize(("loss", "transport", "diagnostics"), LOSSES, ids=["wasserstein", "sliced"])


def densities(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.1


def with_magnetisation(up, down):
    return torch.stack([up + down, up - down], dim=1)


@every_loss
def test_the_total_density_is_transported(loss, transport, diagnostics):
    predicted, reference = densities(2, 2, 1, *BOX.shape)
    value, named = loss.with_diagnostics(predicted, reference, BOX)
    torch.testing.assert_close(value, transport(predicted[:, 0], reference[:, 0], BOX)[0])
    assert named.keys() == diagnostics
    assert all(numbers.shape == (2,) for numbers in named.values())


@every_loss
def test_spins_are_transported_apart_and_weighted_by_the_electrons_of_the_reference(loss, transport, diagnostics):
    up, down, up0, down0 = densities(4, 2, *BOX.shape)
    down0 = down0 / 3
    value = loss(with_magnetisation(up, down), with_magnetisation(up0, down0), BOX)
    share = up0.flatten(1).sum(1) / (up0 + down0).flatten(1).sum(1)
    expected = share * transport(up, up0, BOX)[0] + (1 - share) * transport(down, down0, BOX)[0]
    torch.testing.assert_close(value, expected)


@every_loss
def test_a_spin_channel_that_is_empty_in_the_reference_counts_zero(loss, transport, diagnostics):
    up, down, up0 = densities(3, 1, *BOX.shape)
    polarised = with_magnetisation(up0, 0 * up0)
    expected = transport(up, up0, BOX)[0]
    for other in (down, 0 * down):
        torch.testing.assert_close(loss(with_magnetisation(up, other), polarised, BOX), expected)
    with pytest.raises(DataError, match="no positive value"):
        loss(with_magnetisation(up, 0 * down), with_magnetisation(up0, up0), BOX)


@every_loss
def test_the_gradient_agrees_with_finite_differences_through_the_spin_channels(loss, transport, diagnostics):
    grid = Grid.of([2.0, 1.5], (3, 2), False)
    up, down, up0, down0 = densities(4, 2, *grid.shape)
    arguments = [with_magnetisation(*pair).requires_grad_() for pair in ((up, down), (up0, down0))]
    assert torch.autograd.gradcheck(lambda p, r: loss(p, r, grid), arguments)


@every_loss
def test_descending_the_gradient_lowers_the_loss(loss, transport, diagnostics):
    predicted, reference = densities(2, 1, 1, *BOX.shape)
    predicted.requires_grad_()
    value = loss(predicted, reference, BOX)
    (gradient,) = torch.autograd.grad(value.sum(), predicted)
    step = 1e-3 * value.item() / gradient.square().sum()
    assert loss(predicted - step * gradient, reference, BOX).item() == pytest.approx(0.999 * value.item(), rel=1e-4)


@every_loss
@pytest.mark.parametrize("shape", [(1, 1, 4, 3), (1, 1, 4, 3, 4)])
@pytest.mark.usefixtures("any_shape")
def test_another_grid_is_refused_with_the_shape_of_this_one(loss, transport, diagnostics, shape):
    with pytest.raises(DataError, match=r"a batch on this grid is \[b, 4, 3, 3\]"):
        loss(torch.ones(shape), torch.ones(1, 1, 4, 3, 3), BOX)


@every_loss
@pytest.mark.parametrize("spins", [1, 2])
@pytest.mark.parametrize("bad", [0.0, float("nan")])
def test_a_reference_without_electrons_is_refused(loss, transport, diagnostics, spins, bad):
    with pytest.raises(DataError, match="not finite, or no positive value"):
        loss(torch.ones(1, spins, *BOX.shape), torch.full((1, spins, *BOX.shape), bad), BOX)


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (WassersteinConfig, {"max_points": 0}),
        (WassersteinConfig, {"p": 1}),
        (SlicedConfig, {"directions": 0}),
        (SlicedConfig, {"max_near_cut": 1.5}),
    ],
)
def test_options_are_validated(config, options):
    with pytest.raises(ValidationError):
        config(**options)


def test_importing_the_plugin_imports_no_torch_numpy_or_pot():
    code = (
        "import sys; import edframe.plugin; before = set(sys.modules); import edframe_wasserstein.plugin; "
        "new = set(sys.modules) - before; assert not {'torch', 'numpy', 'ot'} & new, new; "
        "assert not {'torch', 'ot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_example_in_the_readme_runs():
    (example,) = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), re.DOTALL)
    exec(example, {})
