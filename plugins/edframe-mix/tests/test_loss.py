import subprocess
import sys

import pytest
import torch
from edframe_mix.loss import MixLoss
from edframe_mix.plugin import MixConfig

from edframe.contract.registry import Registry
from edframe.grid import Grid
from edframe.interfaces import Loss
from edframe.testing import component

GRID = Grid.of([3.0, 3.5, 4.0], (6, 6, 5))
BLUR = {"sinkhorn": {"blur": 0.9}}
LINE = {"from": 0.2, "to": 1.0, "steps": 5}


def densities():
    generator = torch.Generator().manual_seed(0)
    fields = 0.1 + torch.rand(2, 2, 1, *GRID.shape, generator=generator, dtype=torch.float64)
    return fields[0].requires_grad_(), fields[1]


def alone(name, **options):
    return component("loss", name, options).make()


class Notebook:
    """A visit that remembers for good."""

    def __init__(self, step=1, pages=None):
        self.step = step
        self.pages = {} if pages is None else pages

    def recall(self, name):
        return self.pages.get(name)

    def keep(self, name, values):
        self.pages[name] = values


class Keeper(Loss):
    """Its value is how often it was called before with a visit; its only diagnostic says that it did not converge."""

    unit = "1"

    def __call__(self, predicted, reference, grid):
        return predicted.flatten(1).sum(1) * 0

    def with_diagnostics(self, predicted, reference, grid, visit=None):
        value = self(predicted, reference, grid)
        count = value if visit is None or visit.recall("count") is None else visit.recall("count")
        if visit is not None:
            visit.keep("count", count + 1)
        return value + count, {"unconverged": torch.ones(len(value))}


def mix_of(parts, **weights):
    """A mix of given losses under given names, which need not be installed."""
    return MixLoss(MixConfig(weights=weights), parts)


@pytest.mark.parametrize("weights", [{"l1": 1.0, "sinkhorn": 0.1}, {"l2": 0.3, "l1": 0, "sinkhorn": 2}, {"l1": 5}])
def test_value_and_gradient_are_the_weighted_sum_of_the_parts(weights):
    predicted, reference = densities()
    parts = {name: alone(name, **BLUR.get(name, {})) for name in weights}
    expected = sum(weight * parts[name](predicted, reference, GRID) for name, weight in weights.items())
    options = {name: BLUR[name] for name in weights if name in BLUR}
    value = alone("mix", weights=weights, options=options)(predicted, reference, GRID)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    upstream = torch.tensor([1.0, -2.0], dtype=torch.float64)
    gradients = [torch.autograd.grad((one * upstream).sum(), predicted)[0] for one in (value, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("step", "weight"), [(1, 0.2), (2, 0.4), (3, 0.6), (5, 1.0), (6, 1.0), (900, 1.0), (None, 1.0)]
)
def test_scheduled_weight_goes_along_a_line_and_stays(step, weight):
    predicted, reference = densities()
    mix = alone("mix", weights={"l2": LINE, "l1": 2.0})
    visit = None if step is None else Notebook(step)
    value, _ = mix.with_diagnostics(predicted, reference, GRID, visit)
    expected = weight * alone("l2")(predicted, reference, GRID) + 2 * alone("l1")(predicted, reference, GRID)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)


def test_call_equals_the_evaluation():
    predicted, reference = densities()
    mix = alone("mix", weights={"l2": LINE})
    assert torch.equal(mix(predicted, reference, GRID), alone("l2")(predicted, reference, GRID))


def test_parts_are_reported_without_their_weight_and_before_their_own_diagnostics():
    predicted, reference = densities()
    _, diagnostics = alone("mix", weights={"sinkhorn": 7.0, "l1": 3.0}).with_diagnostics(predicted, reference, GRID)
    sinkhorn, extras = alone("sinkhorn").with_diagnostics(predicted, reference, GRID)
    assert list(diagnostics) == ["sinkhorn", "l1", *(f"sinkhorn.{name}" for name in extras)]
    torch.testing.assert_close(diagnostics["sinkhorn"], sinkhorn.detach())
    torch.testing.assert_close(diagnostics["l1"], alone("l1")(predicted, reference, GRID).detach())
    torch.testing.assert_close(diagnostics["sinkhorn.marginal_error"], extras["marginal_error"])
    assert not any(value.requires_grad for value in diagnostics.values())


def test_what_parts_keep_lies_apart():
    predicted, reference = densities()
    pages = {}
    one, other = Keeper(), Keeper()
    for step, weights in enumerate(({"one": 1}, {"one": 1}, {"one": 1, "other": 100}), start=1):
        mix = mix_of({"one": one, "other": other} if "other" in weights else {"one": one}, **weights)
        value, diagnostics = mix.with_diagnostics(predicted, reference, GRID, Notebook(step, pages))
    assert value.tolist() == [2, 2]  # `one` was there twice before, `other` never
    assert set(pages) == {"one.count", "other.count"}
    assert set(diagnostics) == {"one", "other", "one.unconverged", "other.unconverged"}


def test_loss_of_weight_zero_is_left_out():
    assert list(alone("mix", weights={"l1": 1, "sinkhorn": 0}).parts) == ["l1"]


def test_no_registry_is_asked_for_once_the_parts_are_there(monkeypatch):
    monkeypatch.setattr(Registry, "discover", lambda: pytest.fail("asked for"))
    predicted, reference = densities()
    assert mix_of({"one": Keeper()}, one=1)(predicted, reference, GRID).tolist() == [0, 0]


def test_importing_the_plugin_imports_no_torch():
    code = "import sys, edframe_mix.plugin; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
