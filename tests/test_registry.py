"""Discovery of real distributions, built and installed beside this environment for the occasion.

All of them, healthy and broken, are found by one fresh interpreter: what one does must not disturb another.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from types import SimpleNamespace

import flit_core.buildapi
import pytest

from edframe import hookspecs
from edframe.component import Component, ComponentConfig
from edframe.errors import PluginError
from edframe.hookspecs import hookimpl
from edframe.registry import HOOKS, Registry, suggest
from edframe.version import API_VERSION

HEADER = """
'''A plugin made for a test.'''
from edframe.plugin import Component, ComponentConfig, hookimpl

class Options(ComponentConfig):
    pass

def loss(name, **fields):
    return Component(**{"kind": "loss", "name": name, "summary": "made for a test", "config": Options,
                        "factory": __name__ + ":Options", **fields})
"""

PLUGINS = {
    "healthy": "@hookimpl\ndef edframe_losses(): return [loss('healthy')]",
    "generous": "@hookimpl\ndef edframe_losses(): yield loss('generous')\n"
    "@hookimpl\ndef edframe_models(): return [loss('large', kind='model')]",
    "unimportable": "import a_package_that_is_absent",
    "raising": "@hookimpl\ndef edframe_losses(): raise ValueError('no licence')",
    "twin-a": "@hookimpl\ndef edframe_losses(): return [loss('twin'), loss('single')]",
    "twin-b": "@hookimpl\ndef edframe_losses(): return [loss('twin')]",
    "repeating": "@hookimpl\ndef edframe_losses(): return [loss('again'), loss('again')]",
    "misspelt": "@hookimpl\ndef edframe_loses(): return [loss('unseen')]",
    "unmarked": "def edframe_losses(): return [loss('unseen')]",
    "hookless": "losses = [loss('unseen')]",
    "older": "@hookimpl\ndef edframe_losses(): return [loss('unseen', api=0)]",
    "newer": "@hookimpl\ndef edframe_losses(): return [loss('unseen', api=99)]",
    "arguments": "@hookimpl\ndef edframe_losses(registry): return [loss('unseen')]",
    "bare": "@hookimpl\ndef edframe_losses(): return loss('unseen')",
    "tuples": "@hookimpl\ndef edframe_losses(): return [('loss', 'unseen')]",
    "misplaced": "@hookimpl\ndef edframe_models(): return [loss('unseen')]",
    "unconfigured": "@hookimpl\ndef edframe_losses(): return [loss('unseen', config=dict)]",
    "renaming": "class Named(ComponentConfig):\n    name: str = ''\n"
    "@hookimpl\ndef edframe_losses(): return [loss('unseen', config=Named)]",
    "pathless": "@hookimpl\ndef edframe_losses(): return [loss('unseen', factory='somewhere.Loss')]",
    "factoryless": "@hookimpl\ndef edframe_losses(): return [loss('hollow', factory=__name__ + ':Absent'), "
    "loss('lost', factory='a_module_that_is_absent:Loss')]",
}

BROKEN = {
    "unimportable": "it fails to import (ModuleNotFoundError: No module named 'a_package_that_is_absent')",
    "raising": "(ValueError: no licence)",
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
    "pathless": "its factory must read 'module:Class', not 'somewhere.Loss'",
}

LOOK = """
import json
from edframe.errors import PluginError
from edframe.registry import Registry

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


@pytest.fixture(scope="session")
def target(tmp_path_factory):
    """A folder with all PLUGINS installed by pip, each from its own wheel."""
    sources, wheels, target = (tmp_path_factory.mktemp(name) for name in ("sources", "wheels", "site"))
    for name, body in PLUGINS.items():
        module = f"edframe_test_{name}".replace("-", "_")
        folder = sources / name
        folder.mkdir()
        (folder / f"{module}.py").write_text(f"{HEADER}\n{body}\n", encoding="utf-8")
        (folder / "pyproject.toml").write_text(
            textwrap.dedent(f"""
                [build-system]
                requires = ["flit_core"]
                build-backend = "flit_core.buildapi"
                [project]
                name = "edframe-test-{name}"
                version = "1.2.3"
                description = "Made for a test."
                [project.entry-points.edframe]
                {name} = "{module}"
            """),
            encoding="utf-8",
        )
        with contextlib.chdir(folder):
            flit_core.buildapi.build_wheel(str(wheels))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    command += ["--disable-pip-version-check", "--target", str(target), *map(str, wheels.glob("*.whl"))]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return target


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


RECORD = Component("loss", "l1", "a loss", ComponentConfig, "edframe.plugin:Component")


def plugin(**hooks):
    return SimpleNamespace(**{name: hookimpl(specname=name)(hook) for name, hook in hooks.items()})


def test_refused_plugin_leaves_nothing_behind():
    registry = Registry()
    with pytest.raises(PluginError, match="API 99"):
        registry.add(plugin(edframe_losses=lambda: [RECORD, replace(RECORD, name="l2", api=99)]), "mixed", "1")
    assert registry.names("loss") == []


def test_find_tells_the_distribution(registry):
    found = registry.find("loss", "l2")
    assert (found.distribution, found.version, found.component.name) == ("made-up", "1.0", "l2")


def test_names_are_sorted_and_of_one_kind(registry):
    assert registry.names("loss") == ["l1", "l2", "sinkhorn"]


def test_name_of_another_kind_is_said_to_be_one(registry):
    with pytest.raises(PluginError, match=r"there is no loss 'krr'; .*\('krr' is a model\)"):
        registry.get("loss", "krr")


def test_hooks_are_those_of_the_specification():
    specified = {name for name, value in vars(hookspecs).items() if hasattr(value, "edframe_spec")}
    assert specified == set(HOOKS.values())


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
