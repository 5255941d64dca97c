import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from edframe_sinkhorn import sinkhorn_divergence
from edframe_sinkhorn.loss import SinkhornLoss
from edframe_sinkhorn.plugin import SinkhornConfig
from pydantic import ValidationError

from edframe.grid import Grid

BOX = Grid.of([6.0, 6.0, 6.0], 12)


@pytest.mark.parametrize("grid", [Grid.of([2.0], 4), Grid.of([2.0, 1.5], (4, 3)), Grid.of([2.0, 1.5, 1.0], (4, 3, 2))])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": "total"},
        {"debias": False},
        {"reach": 0.7},
        {"reach": 0.7, "mass": "unbalanced"},
        {"reach": 0.7, "mass": "unbalanced", "scale": "total"},
        {"reach": 0.7, "mass": "unbalanced", "debias": False},
    ],
    ids=str,
)
def test_the_gradient_agrees_with_finite_differences_through_the_normalisation(grid, options):
    loss = SinkhornLoss(SinkhornConfig(tol=1e-12, max_iterations=5000, **options))
    torch.manual_seed(0)
    predicted, reference = (
        (7 * torch.rand(2, 1, *grid.shape, dtype=torch.float64) + 0.1).requires_grad_() for _ in range(2)
    )
    assert torch.autograd.gradcheck(lambda p, r: loss(p, r, grid), (predicted, reference), atol=1e-7, rtol=1e-4)


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


def test_diagnostics_report_the_marginal_error_and_the_iterations(molecule):
    predicted, reference = molecule(BOX)[None], molecule(BOX, angle=0.3)[None]
    value, diagnostics = SinkhornLoss(SinkhornConfig(tol=1e-3)).with_diagnostics(predicted, reference, BOX)
    assert {value.shape, *(found.shape for found in diagnostics.values())} == {(1,)}
    assert 0 < diagnostics["marginal_error"].item() <= 1e-3
    assert diagnostics["unconverged"].item() == 0
    assert diagnostics["applications"].item() > 2 * diagnostics["iterations"].item()


@pytest.mark.parametrize(
    "options",
    [{"blur": 0}, {"blur": -0.1}, {"blur": float("nan")}, {"tol": 0}, {"max_iterations": 0}, {"blurr": 1.0}],
)
def test_options_are_validated(options):
    with pytest.raises(ValidationError):
        SinkhornConfig(**options)


def test_importing_the_plugin_imports_no_torch():
    code = "import sys, edframe_sinkhorn, edframe_sinkhorn.plugin; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_example_in_the_readme_runs():
    (example,) = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), re.DOTALL)
    exec(example, {})
