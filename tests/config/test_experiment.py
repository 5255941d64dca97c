"""From the sources to an Experiment: precedence, and the sentence of every error."""

from __future__ import annotations

import contextlib
import re
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field

from edframe.config.experiment import DEFAULTS, Training
from edframe.config.resolve import resolve
from edframe.config.schema import schema
from edframe.contract.registry import Broken
from edframe.errors import ConfigError
from edframe.plugin import Component, ComponentConfig, OptionsOf, hookimpl


@pytest.fixture
def write(tmp_path):
    def file(text):
        path = tmp_path / "experiment.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return file


@pytest.fixture
def fail(registry, write):
    """The message of the ConfigError for a file's text and the arguments of ``resolve``, its folder left out."""

    def message(text=None, **arguments):
        file = None if text is None else write(text)
        with pytest.raises(ConfigError) as caught:
            resolve(registry, file, **arguments)
        return str(caught.value).replace(f"{file.parent}/" if file else "", "")

    return message


def test_defaults_are_a_complete_experiment(registry):
    experiment, notes = resolve(registry)
    chosen = {block: getattr(experiment, block).name for block in DEFAULTS}
    assert chosen == {"data": "li-o-li", "featurizer": "sad", "model": "unet", "loss": "sinkhorn"}
    assert experiment.name == "li-o-li-unet-sinkhorn"
    assert notes == []


@pytest.mark.parametrize(
    ("text", "choices", "settings", "chosen"),
    [
        (None, {"data": "vasp"}, ["data.folder=x"], "atoms"),
        (None, {}, [], "sad"),
        ("data: {name: vasp, folder: x}", {"data": "li-o-li"}, [], "sad"),
        (None, {"data": "vasp", "featurizer": "sad"}, ["data.folder=x"], "sad"),
        (None, {"featurizer": "atoms"}, [], "atoms"),
        (None, {}, ["featurizer.name=atoms"], "atoms"),
        ("featurizer: {name: atoms}", {}, [], "atoms"),
    ],
)
def test_a_dataset_names_its_featurizer_and_the_user_has_the_last_word(
    registry, write, text, choices, settings, chosen
):
    experiment, _ = resolve(registry, write(text) if text else None, choices, settings)
    assert experiment.featurizer.name == chosen
    assert resolve(registry, write(experiment.to_yaml()))[0].dump() == experiment.dump()


@pytest.mark.parametrize(
    ("choices", "settings", "steps", "width"),
    [
        ({}, [], 200, 0.3),
        ({}, ["training.steps=7"], 7, 0.3),
        ({}, ["featurizer.width=0.5"], 200, 0.5),
        ({"featurizer": "wide"}, [], 1200, 0.1),
        ({}, ["featurizer.name=wide", "training.size=3"], 1200, 0.1),
    ],
)
def test_what_goes_with_the_featurizer_of_a_dataset_is_taken_with_it_where_it_is_not_given(
    registry, write, choices, settings, steps, width
):
    experiment, _ = resolve(registry, None, {"data": "suited", **choices}, settings)
    assert experiment.featurizer.name == "wide"
    assert (experiment.training.steps, experiment.featurizer.options.width) == (steps, width)
    assert resolve(registry, write(experiment.to_yaml()))[0].dump() == experiment.dump()


def test_training_that_is_no_mapping_is_named_where_a_dataset_gives_steps(registry, write):
    with pytest.raises(ConfigError, match=r":2: training"):
        resolve(registry, write("data: {name: suited}\ntraining: 5\n"))


@pytest.mark.parametrize(
    ("text", "flags", "settings", "steps"),
    [
        (None, {}, [], Training().steps),
        ("training: {steps: 1}", {}, [], 1),
        ("training: {steps: 1}", {"training.steps": 2}, [], 2),
        ("training: {steps: 1}", {"training.steps": 2}, ["training.steps=3"], 3),
        ("training: {steps: 1}", {}, ["training.steps=3", "training.steps=4"], 4),
    ],
    ids=["default", "file", "flag", "set", "last set"],
)
def test_precedence_of_values(registry, write, text, flags, settings, steps):
    experiment, _ = resolve(registry, write(text) if text else None, flags=flags, settings=settings)
    assert experiment.training.steps == steps


def test_option_in_a_file_keeps_the_other_defaults(registry, write):
    experiment, _ = resolve(registry, write("training: {steps: 1}\nloss: {blur: 0.2}\n"))
    assert experiment.training.batch_size == Training().batch_size
    assert (experiment.loss.name, experiment.loss.options.blur) == ("sinkhorn", 0.2)


def test_component_flag_overrides_the_file_and_a_setting_overrides_the_flag(registry, write):
    file = write("loss: {name: l1}\n")
    experiment, notes = resolve(registry, file, choices={"loss": "sinkhorn"}, settings=["loss.blur=0.7"])
    assert (experiment.loss.name, experiment.loss.options.blur) == ("sinkhorn", 0.7)
    assert notes == []


def test_component_flag_drops_the_block_and_says_so(registry, write):
    file = write("loss:\n  name: sinkhorn\n  blur: 0.2\n")
    experiment, notes = resolve(registry, file, choices={"loss": "l2"})
    assert experiment.loss.dump() == {"name": "l2"}
    assert notes == [f"--loss l2 replaces the whole loss block of {file}:1, with blur"]


def test_metrics_are_losses_with_their_defaults(registry):
    experiment, _ = resolve(registry, settings=["metrics=[l1, sinkhorn]"])
    assert [metric.name for metric in experiment.metrics] == ["l1", "sinkhorn"]
    assert experiment.metrics[1].options.blur == 0.4


def test_experiment_survives_its_own_yaml(registry, write):
    text = (
        "name: first\nmetrics: [l1, l2]\nseed: 7\ndevice: 2xcuda\nsplits: {folds: 5, fold: 4}\n"
        "model: {levels: {depth: 2}, widths: [8, 16, 24]}\nloss: {blur: 0.25}\ntraining: {learning_rate: 1e-3}\n"
    )
    experiment, _ = resolve(registry, write(text))
    again, _ = resolve(registry, write(experiment.to_yaml()))
    assert again == experiment
    assert again.training.learning_rate == 1e-3


def test_default_experiment_survives_its_own_yaml(registry, write):
    experiment, _ = resolve(registry)
    assert resolve(registry, write(experiment.to_yaml())) == (experiment, [])


def test_yaml_is_resolved_in_full(registry):
    dumped = yaml.safe_load(resolve(registry)[0].to_yaml())
    assert dumped["loss"] == {"name": "sinkhorn", "blur": 0.4, "scaling": 0.5, "coarsen": 1}
    assert dumped["splits"] == {"folds": 4, "fold": 0, "validation": 8, "test": None, "seed": 0}


def test_unknown_component_in_a_file(fail):
    assert fail("seed: 1\nloss:\n  name: sinkhron\n") == (
        "experiment.yaml:3: there is no loss 'sinkhron'; did you mean 'sinkhorn'? Choices: l1, l2, sinkhorn. "
        "`edframe plugins` lists all."
    )


@pytest.mark.parametrize(
    ("arguments", "source"),
    [({"choices": {"loss": "l3"}}, "--loss"), ({"settings": ["loss.name=l3"]}, "--set loss.name=l3")],
)
def test_unknown_component_on_the_command_line(fail, arguments, source):
    assert fail(**arguments).startswith(f"{source}: there is no loss 'l3'; did you mean 'l2'? Choices: l1, l2, sink")


def test_component_of_another_kind(fail):
    assert "('unet' is a model)" in fail("loss: {name: unet}\n")


def test_absent_component_with_a_broken_plugin_names_the_plugin(fail, registry):
    registry.broken.append(Broken("edframe-lp", "it fails to import (ImportError: no ot)"))
    message = fail("loss: {name: wasserstein}\n")
    assert "is broken (edframe-lp: it fails to import (ImportError: no ot))" in message


def test_unknown_metric(fail):
    message = fail("metrics: [l1, l3]\n")
    assert message.startswith("experiment.yaml:1: there is no loss 'l3'; did you mean")


def test_misspelt_option(fail):
    assert fail("loss:\n  blurr: 0.2\n") == (
        "experiment.yaml:2: there is no option 'loss.blurr'; did you mean 'blur'? Choices: blur, scaling, coarsen"
    )


def test_misspelt_option_of_an_inner_block(fail):
    assert fail(settings=["model.levels.dept=2"]) == (
        "--set model.levels.dept=2: there is no option 'model.levels.dept'; did you mean 'depth'? Choices: depth, width"
    )


def test_option_of_a_component_without_options(fail):
    assert fail(choices={"loss": "l2"}, settings=["loss.blur=1"]) == (
        "--set loss.blur=1: there is no option 'loss.blur'; none is available"
    )


def test_misspelt_fixed_option(fail):
    message = fail("training:\n  stepps: 5\n")
    assert message.startswith("experiment.yaml:2: there is no option 'training.stepps'; did you mean 'steps'?")


def test_misspelt_key(fail):
    message = fail("seed: 1\nfeaturiser: {name: sad}\n")
    assert message.startswith("experiment.yaml:2: there is no key 'featuriser'; did you mean 'featurizer'? Choices:")


def test_value_out_of_range_is_explained_with_its_unit(fail):
    assert fail("loss:\n  blur: -0.2\n") == (
        "experiment.yaml:2: loss.blur = -0.2: input should be greater than 0 "
        "(blur: Width of the blur in Å; default 0.4)"
    )


def test_value_of_the_wrong_type(fail):
    message = fail(settings=["training.steps=many"])
    assert message.startswith("--set training.steps=many: training.steps = 'many': input should be a valid integer")
    assert message.endswith(f"(steps: Optimiser steps; default {Training().steps})")


def test_wrong_element_of_a_list(fail):
    message = fail("model:\n  widths: [8, wide]\n")
    assert message.startswith("experiment.yaml:2: model.widths.1 = 'wide': input should be a valid integer")


def test_flag_is_named_as_its_source(fail):
    message = fail(flags={"training.steps": -3})
    assert message.startswith("--steps: training.steps = -3: input should be greater than or equal to 1")


@pytest.mark.parametrize(
    ("text", "arguments", "source"),
    [
        ("splits:\n  fold: 4\n", {}, "experiment.yaml:1"),
        (None, {"flags": {"splits.fold": 4}}, "--fold"),
        ("splits:\n  validation: 4\n", {"settings": ["splits.fold=4"]}, "--set splits.fold=4"),
    ],
)
def test_fold_that_does_not_exist(fail, text, arguments, source):
    expected = f"{source}: splits: fold must be below folds: with 4 folds they are 0 to 3"
    assert fail(text, **arguments).startswith(expected)


def test_options_of_a_component_that_do_not_go_together(fail):
    message = fail("loss:\n  blur: 0.02\n", settings=["loss.coarsen=4"])
    assert message == "--set loss.coarsen=4: loss: blur must be at least 0.01 Å times coarsen"


def test_name_without_a_block(fail):
    assert fail("seed: 1\nloss: l2\n") == "experiment.yaml:2: write `loss: {name: l2}` instead of `loss: l2`"


@pytest.mark.parametrize("block", ["loss: {name: }", "loss:"])
def test_block_without_a_name(fail, block):
    assert fail(f"{block}\n") == "experiment.yaml:1: 'loss' needs a name. Choices: l1, l2, sinkhorn"


def test_required_option_that_is_missing(fail):
    message = fail(choices={"data": "vasp"})
    assert message == "--data: data.folder: field required (folder: Where the files are)"


@pytest.mark.parametrize("device", ["gpu", "0xcuda", "cuda:0"])
def test_unknown_device(fail, device):
    assert fail(flags={"device": device}).startswith(f"--device: device: '{device}' is not a device; write auto,")


def test_name_that_is_no_file_name(fail):
    assert fail("name: a/b\n").startswith("experiment.yaml:1: name = 'a/b'")


@pytest.mark.parametrize(
    "text", ["seed: 1\n", "loss: {blur: -1}\n", "loss:\n\tblur: 1\n"], ids=["valid", "invalid", "malformed"]
)
def test_nothing_is_created_on_disk(registry, write, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    file = write(text)
    with contextlib.suppress(ConfigError):
        resolve(registry, file)
    assert list(tmp_path.iterdir()) == [file]


def test_schema_offers_every_component_with_its_options(registry):
    document = schema(registry)
    losses = {variant["title"]: variant for variant in document["properties"]["loss"]["oneOf"]}
    assert set(losses) == {"l1", "l2", "sinkhorn"}
    assert losses["sinkhorn"]["properties"]["blur"]["description"] == "Width of the blur in Å."
    assert losses["sinkhorn"]["properties"]["name"] == {"const": "sinkhorn"}
    assert losses["l2"]["additionalProperties"] is False


def test_schema_has_what_it_refers_to(registry):
    document = schema(registry)
    references = re.findall(r"'\$ref': '#/\$defs/(\w+)'", str(document))
    assert {"Levels", "Splits"} <= set(references) <= set(document["$defs"])


class Sum(ComponentConfig):
    shares: dict[str, float] = Field(default={"l1": 1.0, "sinkhorn": 0.5})
    """Share of each loss."""
    options: Annotated[dict[str, dict[str, Any]], OptionsOf("loss", named_in="shares")] = Field(default={})
    """Options of each loss."""


@pytest.fixture
def sums(registry, write):
    """Resolve a file, or ``--loss sum`` with settings, where ``sum`` holds the options of other losses."""
    record = Component("loss", "sum", "a sum", Sum, "made_up:Sum", 1)
    plugin = SimpleNamespace(edframe_losses=hookimpl(lambda: [record], specname="edframe_losses"))
    registry.add(plugin, "more-made-up", "1.0")

    def call(*settings, text=None):
        file = None if text is None else write(text)
        return resolve(registry, file, {} if file else {"loss": "sum"}, settings)[0]

    return call


def test_options_of_parts_are_validated_and_resolved_in_full(sums):
    loss = sums("loss.options.sinkhorn.blur=0.2").loss
    assert loss.dump()["options"] == {"l1": {}, "sinkhorn": {"blur": 0.2, "scaling": 0.5, "coarsen": 1}}
    assert [choice.name for choice in loss.components()] == ["sum", "l1", "sinkhorn"]


def test_parts_that_hold_parts_are_resolved_too(sums):
    loss = sums("loss.shares={sum: 1}", "loss.options.sum.options.sinkhorn.blur=0.2").loss
    assert loss.dump()["options"]["sum"]["options"]["sinkhorn"]["blur"] == 0.2
    assert [choice.name for choice in loss.components()] == ["sum", "sum", "l1", "sinkhorn"]


def test_experiment_with_parts_survives_its_own_yaml(sums):
    experiment = sums("loss.shares.l1=0.1", "loss.options.sinkhorn.blur=0.2")
    assert sums(text=experiment.to_yaml()) == experiment


@pytest.mark.parametrize(
    ("settings", "text", "shares"),
    [
        (["loss.shares.l1=3"], None, {"l1": 3, "sinkhorn": 0.5}),
        (["loss.shares.l2=3"], None, {"l1": 1, "sinkhorn": 0.5, "l2": 3}),
        (["loss.shares={l1: 3}"], None, {"l1": 3}),
        ([], "loss: {name: sum, shares: {l1: 3}}\n", {"l1": 3}),
        (["loss.shares.l2=2"], "loss: {name: sum, shares: {l1: 3}}\n", {"l1": 3, "l2": 2}),
    ],
)
def test_setting_within_a_mapping_keeps_the_rest_and_a_mapping_replaces_it(sums, settings, text, shares):
    assert sums(*settings, text=text).loss.options.shares == shares


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        (
            "loss.options.sinkhorn.blurr=1",
            "there is no option 'loss.options.sinkhorn.blurr'; did you mean 'blur'? Choi",
        ),
        ("loss.options.sinkhorn.blur=-1", "loss.options.sinkhorn.blur = -1: input should be greater than 0 (blur: "),
        ("loss.options.l2.blur=1", "there is no 'l2' in loss.shares; did you mean 'l1'? Choices: l1, sinkhorn"),
        ("loss.shares.sinkhron=1", "there is no loss 'sinkhron'; did you mean 'sinkhorn'? Choices: l1, l2, sinkhorn"),
    ],
)
def test_mistake_in_the_options_of_a_part(sums, setting, sentence):
    with pytest.raises(ConfigError, match=re.escape(f"--set {setting}: {sentence}")):
        sums(setting)


class Knot(ComponentConfig):
    place: float
    """Where."""
    height: float = 0.0
    """How much."""


class Knots(ComponentConfig):
    knots: dict[str, Knot] = Field(default={})
    """By name."""


def test_misspelt_key_in_a_mapping_of_blocks_is_told_before_what_it_leaves_out(registry):
    record = Component("loss", "spline", "a spline", Knots, "made_up:Spline", 1)
    plugin = SimpleNamespace(edframe_losses=hookimpl(lambda: [record], specname="edframe_losses"))
    registry.add(plugin, "more-made-up", "1.0")
    with pytest.raises(ConfigError, match=r"no option 'loss.knots.a.plaice'; did you mean 'place'\? Choices: place, h"):
        resolve(registry, choices={"loss": "spline"}, settings=["loss.knots.a.plaice=1"])
