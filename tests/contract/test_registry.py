"""Discovery of real distributions, built and installed beside this environment for the occasion (see conftest.py).

All of them, healthy and broken, are found by one fresh interpreter: what one does must not disturb another.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from edframe.contract import hookspecs
from edframe.contract.component import Component, ComponentConfig
from edframe.contract.hookspecs import hookimpl
from edframe.contract.registry import ALL_HOOKS, Registry, suggest
from edframe.errors import PluginError
from edframe.version import API_VERSION

BROKEN = {
    "unimportable": "it fails to import (ModuleNotFoundError: No module named 'a_package_that_is_absent')",
    "raising": "(ValueError: no licence)",
    "leaving": "it ends the program when it is imported (SystemExit: no licence)",
    "repeating": "it offers loss 'again' twice",
    "misspelt": "it has a hook 'edframe_loses' that edframe does not know; did you mean 'edframe_losses'?",
    "unmarked": "its function 'edframe_losses' is not marked: add @edframe.plugin.hookimpl above it",
    "hookless": "it implements no hook",
    "older": f"loss 'unseen' was written for API 0 and this edframe has API {API_VERSION}: upgrade the plugin",
    "newer": f"loss 'unseen' was written for API 99 and this edframe has API {API_VERSION}: upgrade edframe",
    "arguments": "a hook has the wrong arguments",
    "bare": "edframe_losses must return a list of Component records, not Component",
    "tuples": "edframe_losses returned a tuple where a Component record belongs",
    "misplaced": "edframe_models returned loss 'unseen'; it belongs to edframe_losses",
    "unconfigured": "its config class must be a subclass of edframe.plugin.ComponentConfig",
    "renaming": "must not have a field 'name', which chooses the component",
    "dotted": "loss 'l1.5': a name has the form of a key in config files, lower case letters and digits joined by",
    "shouting": "loss 'L1': a name has the form of a key in config files",
    "spaced": "loss 'l 1': a name has the form of a key in config files",
    "holding": "options of other components are held by one field, not by one, other",
    "pathless": "its factory must read 'module:Class', not 'somewhere.Loss'",
}

LOOK = """
import json
from edframe.errors import PluginError
from edframe.contract.registry import Registry

registry = Registry.discover()

def attempt(action):
    try:
        return action()
    except PluginError as error:
        return f"error: {error}"

chosen = ["healthy", "generous", "single", "twin", "unseen", "hollow", "lost"]
used = ["healthy", "hollow", "lost"]
print(json.dumps({
    "losses": registry.names("loss"),
    "models": registry.names("model"),
    "broken": {broken.distribution: broken.reason for broken in registry.broken},
    "found": {name: attempt(lambda: registry.get("loss", name).name) for name in chosen},
    "loaded": {name: attempt(lambda: registry.get("loss", name).load().__name__) for name in used},
}))
"""


def python(target, code):
    environment = {**os.environ, "PYTHONPATH": str(target)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="session")
def seen(target):
    """What a fresh interpreter finds, as plain data."""
    return json.loads(python(target, LOOK))


def test_every_healthy_plugin_is_found_beside_the_broken_ones(seen):
    assert {"healthy", "generous", "single"} <= set(seen["losses"])
    assert {"large", "unet"} <= set(seen["models"])


@pytest.mark.parametrize("name", ["healthy", "generous", "single"])
def test_healthy_component_can_be_chosen(seen, name):
    assert seen["found"][name] == name


@pytest.mark.parametrize("plugin", BROKEN)
def test_broken_plugin_is_recorded_with_its_reason(seen, plugin):
    assert BROKEN[plugin] in seen["broken"][f"edframe-test-{plugin}"]


def test_nothing_healthy_is_recorded_as_broken(seen):
    ours = {name for name in seen["broken"] if name.startswith("edframe-test-")}
    assert ours == {f"edframe-test-{name}" for name in BROKEN}


def test_component_of_a_broken_plugin_raises_when_chosen(seen):
    message = seen["found"]["unseen"]
    assert message.startswith("error: there is no loss 'unseen'")
    assert "edframe-test-unmarked: its function 'edframe_losses' is not marked" in message


def test_duplicate_names_both_distributions(seen):
    assert seen["found"]["twin"] == (
        "error: loss 'twin' is provided by both edframe-test-twin-a 1.2.3 and edframe-test-twin-b 1.2.3: "
        "uninstall one of them, or ask its authors to rename."
    )


@pytest.mark.parametrize(("name", "reason"), [("hollow", "has no attribute 'Absent'"), ("lost", "No module named")])
def test_factory_that_does_not_resolve_raises_only_when_loaded(seen, name, reason):
    assert seen["found"][name] == name
    assert seen["loaded"][name].startswith(f"error: loss '{name}': its factory '")
    assert reason in seen["loaded"][name]


def test_healthy_factory_loads(seen):
    assert seen["loaded"]["healthy"] == "Options"


RECORD = Component("loss", "l1", "a loss", ComponentConfig, "edframe.plugin:Component", 1)


def plugin(**hooks):
    return SimpleNamespace(**{name: hookimpl(specname=name)(hook) for name, hook in hooks.items()})


def test_refused_plugin_leaves_nothing_behind():
    registry = Registry()
    with pytest.raises(PluginError, match="API 99"):
        registry.add(plugin(edframe_losses=lambda: [RECORD, replace(RECORD, name="l2", api=99)]), "mixed", "1")
    assert registry.names("loss") == []


def test_find_tells_the_distribution(registry):
    provided = registry.find("loss", "l2")
    assert (provided.distribution, provided.version, provided.component.name) == ("made-up", "1.0", "l2")


def test_names_are_sorted_and_of_one_kind(registry):
    assert registry.names("loss") == ["l1", "l2", "sinkhorn"]


def test_name_of_another_kind_is_said_to_be_one(registry):
    with pytest.raises(PluginError, match=r"there is no loss 'krr'; .*\('krr' is a model\)"):
        registry.get("loss", "krr")


def test_hooks_are_those_of_the_specification():
    specified = {name for name, value in vars(hookspecs).items() if hasattr(value, "edframe_spec")}
    assert specified == set(ALL_HOOKS)


@pytest.mark.parametrize(
    ("name", "choices", "sentence"),
    [
        ("sinkhron", ["l1", "sinkhorn"], "; did you mean 'sinkhorn'? Choices: l1, sinkhorn"),
        ("zzz", ["l1", "sinkhorn"], "; choices: l1, sinkhorn"),
        ("l1", [], "; none is available"),
    ],
)
def test_suggestion(name, choices, sentence):
    assert suggest(name, choices) == sentence
