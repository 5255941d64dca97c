"""Plugins that break a promise are named, with their distribution, at the first step of a run or before it."""

from __future__ import annotations

import sys
import types
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from edframe.config.resolve import resolve
from edframe.contract.registry import Registry
from edframe.errors import PluginError
from edframe.interfaces import Loss
from edframe.plugin import Component, ComponentConfig
from edframe.runs.build import build
from edframe.runs.directory import Run
from edframe.runs.execute import train_only


class Squared(Loss):
    unit = "(e/Å^d)²"

    def __init__(self, config):
        pass

    def __call__(self, predicted, reference, grid):
        return (predicted - reference).square().mean((1, 2, 3, 4))

    def with_diagnostics(self, predicted, reference, grid, visit=None):
        return self(predicted, reference, grid), {}  # written out, because in the tests that of Loss is checked itself


class Scalar(Squared):
    def __call__(self, predicted, reference, grid):
        return super().__call__(predicted, reference, grid).mean()


class Column(Squared):
    def __call__(self, predicted, reference, grid):
        return super().__call__(predicted, reference, grid)[:, None]


class PlainNumber(Squared):
    def with_diagnostics(self, predicted, reference, grid, visit=None):
        return 1.0, {}


class ValueAlone(Squared):
    def with_diagnostics(self, predicted, reference, grid, visit=None):
        return self(predicted, reference, grid)


class Renaming(Squared):
    """Its diagnostic would take the place of the loss in the log."""

    def with_diagnostics(self, predicted, reference, grid, visit=None):
        value = self(predicted, reference, grid)
        return value, {"loss": value}


class Unitless(Squared):
    unit = None


class OnlyScalarInEvaluation(Squared):
    """Right in the steps, wrong without a visit."""

    def __call__(self, predicted, reference, grid):
        return super().__call__(predicted, reference, grid).sum()

    def with_diagnostics(self, predicted, reference, grid, visit=None):
        return super().__call__(predicted, reference, grid), {}


@pytest.fixture
def carry_out(small, monkeypatch, tmp_path):
    """Train three steps of a composition of made-up components, in which keywords replace single ones."""

    def tiny(config, *, channels, spins, dimension):
        return small.model()

    right = {
        "dataset": lambda config: small.dataset(12),
        "featurizer": lambda config, contents: small.featurizer(),
        "model": tiny,
        "loss": Squared,
    }

    def call(run=True, name="stray", **wrong):
        module = types.ModuleType("edframe_wrong")
        monkeypatch.setitem(sys.modules, "edframe_wrong", module)
        records, names = {}, {"loss": name}
        for kind, factory in {**right, **wrong}.items():
            setattr(module, kind, factory)
            path = f"edframe_wrong:{kind}" if callable(factory) else factory
            records[kind] = Component(kind, names.get(kind, "stray"), "made for a test", ComponentConfig, path, 1)
        hooks = {f"edframe_{kind}{'es' if kind == 'loss' else 's'}": record for kind, record in records.items()}
        plugin = SimpleNamespace(**{name: marked(record) for name, record in hooks.items()})
        registry = Registry()
        registry.add(plugin, "edframe-wrong", "1.2.3")
        choices = {**dict.fromkeys(("data", "featurizer", "model"), "stray"), "loss": name}
        settings = ["training.steps=3", "training.batch_size=2", "splits.validation=2", "device=cpu"]
        experiment, _ = resolve(registry, choices=choices, settings=settings)
        return train_only(experiment, registry, tmp_path, lambda event: None) if run else build(
            experiment, registry, lambda done, total: None
        )  # fmt: skip

    return call


def marked(record):
    from edframe.plugin import hookimpl

    return hookimpl(lambda: [record])


def changing(small, change):
    """The factory of a model whose density is changed on its way out."""

    class Changed(small.model):
        def forward(self, channels, baseline, grid, electrons):
            return change(super().forward(channels, baseline, grid, electrons))

    return lambda config, *, channels, spins, dimension: Changed()


WRONG = {
    "a scalar loss": (
        {"loss": Scalar},
        r"returned a value of shape \[\] for a batch of 2: .* per sample, \[2\]",
    ),
    "a column": ({"loss": Column}, r"returned a value of shape \[2, 1\] for a batch of 2"),
    "a number that is no tensor": ({"loss": PlainNumber}, r"returned a value that is a float for a batch of 2"),
    "a value without diagnostics": ({"loss": ValueAlone}, r"its with_diagnostics must return a value and a"),
    "a diagnostic called loss": ({"loss": Renaming}, r"has a diagnostic 'loss', .* it must be renamed"),
    "a scalar in validation": (
        {"loss": OnlyScalarInEvaluation},
        r"returned a value of shape \[\] for a batch of 1",
    ),
}

DENSITIES = {
    "without spin channel": (lambda density: density[:, 0], r"of shape \[2, 6, 6, 6\] where .* \[2, 1, 6, 6, 6\]"),
    "a channel too many": (lambda density: torch.cat([density, density], 1), r"of shape \[2, 2, 6, 6, 6\] where"),
    "summed over the batch": (lambda density: density.sum(0, keepdim=True), r"of shape \[1, 1, 6, 6, 6\] where"),
    "in half precision": (lambda density: density.half(), r"of torch\.float16, too coarse"),
    "in whole numbers": (lambda density: density.long(), r"of torch\.int64, too coarse"),
    "no tensor": (lambda density: (density, None), "that is a tuple where"),
}


def assert_named_at_the_first_step(carry_out, tmp_path, kind, sentence, steps=0, **wrong):
    with pytest.raises(PluginError, match=sentence) as caught:
        carry_out(**wrong)
    assert f"{kind} 'stray' of edframe-wrong 1.2.3" in str(caught.value)
    assert "\n" not in str(caught.value)
    (path,) = tmp_path.iterdir()
    assert len(Run(path).events()) == steps
    assert Run(path).provenance()["status"] == "failed"


@pytest.mark.parametrize("case", WRONG)
def test_wrong_loss_is_named(carry_out, tmp_path, case):
    wrong, sentence = WRONG[case]
    steps = 3 if case == "a scalar in validation" else 0
    assert_named_at_the_first_step(carry_out, tmp_path, "loss", sentence, steps, **wrong)


@pytest.mark.parametrize("case", DENSITIES)
def test_wrong_density_is_named(carry_out, small, tmp_path, case):
    change, sentence = DENSITIES[case]
    sentence = f"returned a density {sentence}"
    assert_named_at_the_first_step(carry_out, tmp_path, "model", sentence, model=changing(small, change))


def featurizer(small, change=lambda features: features, names=("wide", "narrow")):
    class Changed(small.featurizer):
        channels = names

        def __call__(self, structures, grid, device):
            return change(super().__call__(structures, grid, device))

    return lambda config, contents: Changed()


FEATURES = {
    "a name lacks": ({"names": ("wide",)}, r"names 1 channels \(wide\) and .* \[1, 2, 6, 6, 6\] where .* \[1, 1,"),
    "flat": (
        {"change": lambda f: SimpleNamespace(channels=f.channels.flatten(2), baseline=None)},
        r"returned channels of shape \[1, 2, 216\]",
    ),
    "double": (
        {"change": lambda f: replace(f, channels=f.channels.double())},
        r"channels of torch\.float64: they must be",
    ),
    "baseline": (
        {"change": lambda f: SimpleNamespace(channels=f.channels, baseline=f.baseline[..., :3])},
        r"a baseline of shape \[1, 1, 6, 6, 3\] on a",
    ),
}


@pytest.mark.parametrize("case", FEATURES)
def test_wrong_features_are_named(carry_out, small, tmp_path, case):
    changes, sentence = FEATURES[case]
    assert_named_at_the_first_step(
        carry_out, tmp_path, "featurizer", sentence, featurizer=featurizer(small, **changes)
    )  # fmt: skip


def test_right_components_are_left_alone(carry_out):
    run = carry_out()
    assert run.provenance()["status"] == "trained"
    assert [name for name in run.load_tensors("checkpoints/best.safetensors")[0] if "label" in name] == []


def test_loss_without_a_unit_is_named_before_anything_is_written(carry_out, tmp_path):
    with pytest.raises(PluginError, match=r"loss 'stray' of edframe-wrong 1\.2\.3 has no unit: .* not None"):
        carry_out(loss=Unitless)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["nmae", "id", "diagnostics", "baseline_nmae"])
def test_loss_whose_values_would_replace_others_is_refused(carry_out, name):
    with pytest.raises(PluginError, match=rf"^loss '{name}' of edframe-wrong 1\.2\.3 has the name of something else"):
        carry_out(run=False, name=name)


@pytest.mark.parametrize("kind", ["featurizer", "model", "loss"])
def test_factory_that_cannot_be_imported_is_named_before_data_are_built(carry_out, small, kind):
    class Slow(small.dataset):
        ready = False

        def build(self, advance, **how):
            pytest.fail("data are built")

    wrong = {"dataset": lambda config: Slow(12), kind: "a_module_that_is_absent:Thing"}
    with pytest.raises(PluginError, match=f"{kind} 'stray': its factory 'a_module_that_is_absent:Thing' cannot be"):
        carry_out(run=False, **wrong)


def test_weights_have_the_names_that_the_model_gave_them_and_copies_are_checked_too(carry_out, small):
    import copy

    wrong = {"now": False}
    parts = carry_out(run=False, model=changing(small, lambda d: d[:, 0] if wrong["now"] else d))
    assert parts.model.state_dict().keys() == small.model().state_dict().keys()
    wrong["now"] = True
    sample, grid = small.dataset(12)[0], small.dataset(12).grids[0]
    features = small.featurizer()([sample.structure], grid, "cpu")
    with pytest.raises(PluginError, match="model 'stray'"):
        copy.deepcopy(parts.model)(features.channels, features.baseline, grid, torch.tensor([2.0]))
