"""A component made of others is given them: built from validated options, in the order of their names."""

from __future__ import annotations

import sys
import types
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from pydantic import Field

from edframe.config.resolve import chosen, resolve
from edframe.contract.registry import Registry
from edframe.errors import ConfigError
from edframe.plugin import Component, ComponentConfig, OptionsOf, hookimpl


class Scale(ComponentConfig):
    factor: float = Field(1.0, gt=0)
    """What the contents are multiplied by."""


class Stack(ComponentConfig):
    names: tuple[str, ...] = ("scaled",)
    """Featurizers that are stacked."""
    options: Annotated[dict[str, dict[str, Any]], OptionsOf("featurizer", named_in="names")] = Field({})
    """Options of each."""


def scaled(config, contents):
    return config.factor * contents


def stacked(config, contents, parts):
    return {name: (part, contents) for name, part in parts.items()}


def asking(config, contents):
    """Written before parts were handed in."""
    return dict(config.options)


@pytest.fixture
def registry(monkeypatch):
    module = types.ModuleType("edframe_made_up")
    for factory in (scaled, stacked, asking):
        setattr(module, factory.__name__, factory)
    monkeypatch.setitem(sys.modules, "edframe_made_up", module)

    def record(name, config):
        return Component("featurizer", name, "made for a test", config, f"edframe_made_up:{name}", 1)

    records = [record("scaled", Scale), record("stacked", Stack), record("asking", Stack)]
    registry = Registry()
    registry.add(SimpleNamespace(edframe_featurizers=hookimpl(lambda: records)), "edframe-made-up", "1.0")
    return registry


def test_parts_are_built_with_their_options_and_what_their_kind_must_know(registry):
    choice = chosen(registry.get("featurizer", "stacked"), {"options": {"scaled": {"factor": 3}}}, registry)
    assert choice.make(registry, 5) == {"scaled": (15, 5)}


def test_parts_may_be_made_of_parts(registry):
    options = {"names": ["stacked", "scaled"], "options": {"stacked": {"options": {"scaled": {"factor": 2}}}}}
    choice = chosen(registry.get("featurizer", "stacked"), options, registry)
    assert choice.make(registry, 5) == {"stacked": ({"scaled": (10, 5)}, 5), "scaled": (5, 5)}


def test_a_factory_that_takes_no_parts_is_called_as_before(registry):
    choice = chosen(registry.get("featurizer", "asking"), {}, registry)
    assert choice.make(registry, 5) == {"scaled": {"factor": 1.0}}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"names": ["scalled"]}, "there is no featurizer 'scalled'; did you mean 'scaled'?"),
        ({"options": {"scaled": {"factor": 0}}}, "factor = 0: input should be greater than 0"),
        ({"options": {"asking": {}}}, "there is no 'asking' in options.names; "),
    ],
)
def test_a_mistake_in_a_part_is_one_sentence(registry, options, sentence):
    with pytest.raises(ConfigError) as caught:
        chosen(registry.get("featurizer", "stacked"), options, registry)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("the options: ")


def test_all_components_of_an_experiment_are_known_with_their_parts():
    registry = Registry.discover()
    experiment, _ = resolve(
        registry, choices={"loss": "mix", "data": "union", "featurizer": "sad"}, settings=["metrics=[l2]"]
    )
    assert [choice.name for choice in experiment.components()] == [
        "union", "li-o-li", "li2o-clusters", "sad", "unet", "mix", "l1", "sinkhorn", "l2",
    ]  # fmt: skip
