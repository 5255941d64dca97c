"""The plugins of docs/writing-a-plugin.md, built from the code on that page, installed by pip, checked and used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from edframe.config.resolve import resolve
from edframe.contract.registry import Registry
from edframe.errors import ConfigError, PluginError

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-plugin.md"
HUBER, SKETCH = "edframe-huber", "edframe-sketch"
RECORDS = f"{HUBER}/src/edframe_huber/plugin.py"


@pytest.fixture(scope="module")
def site(guide, tmp_path_factory):
    """Where both plugins are installed, and the folder with their sources."""
    sources, target = tmp_path_factory.mktemp("guide"), tmp_path_factory.mktemp("site")
    files = dict(guide)
    for name in ("pyproject.toml", "src/edframe_huber/__init__.py"):  # as the page says
        files[f"{SKETCH}/{name.replace('huber', 'sketch')}"] = guide[f"{HUBER}/{name}"].replace("huber", "sketch")
    for name, content in files.items():
        path = sources / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-build-isolation", "--no-index", "--no-compile", "--target", str(target)]
    run(*command, str(sources / HUBER), str(sources / SKETCH))
    return SimpleNamespace(sources=sources, path=str(target))


def run(*command, **variables):
    """The output of a command that succeeds."""
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables}, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_conformance_and_tests_of_both_plugins_pass(site):
    folders = [str(site.sources / name) for name in (HUBER, SKETCH)]
    options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", f"--rootdir={site.sources}"]
    out = run(sys.executable, "-m", "pytest", *options, *folders, PYTHONPATH=site.path, OMP_NUM_THREADS="1")
    assert " passed" in out
    assert "skipped" not in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--loss", "huber", "--set", "loss.delta=0.02", "--set", "data.grid=12", "--set", "data.samples=16",
         "--set", "model.widths=[4,8]", "--set", "model.blocks=[0,1]"],
        ["--data", "helium", "--featurizer", "bumps", "--model", "local", "--loss", "huber",
         "--set", "data.grid=8", "--set", "data.samples=16"],
        ["--data", "helium", "--featurizer", "fitted-bumps", "--model", "local", "--loss", "huber",
         "--set", "data.grid=8", "--set", "data.samples=16"],
    ],
    ids=["loss", "all four", "fitted featurizer"],
)  # fmt: skip
def test_installed_plugins_run(site, environment, tmp_path, arguments):
    tiny = ["--set", "training.steps=4", "--set", "splits.validation=2", "--device", "cpu", "--runs", str(tmp_path)]
    command = [sys.executable, "-m", "edframe", "run", *arguments, *tiny]
    run(*command, **{**environment, "PYTHONPATH": site.path})
    (made,) = tmp_path.iterdir()
    assert yaml.safe_load((made / "config.yaml").read_text())["loss"]["name"] == "huber"
    assert "huber1964" in (made / "references.bib").read_text()


def test_plugins_are_listed(site, environment):
    out = run(sys.executable, "-m", "edframe", "plugins", **{**environment, "PYTHONPATH": site.path})
    assert all(name in out for name in ("huber", "bumps", "local", "helium", HUBER, SKETCH))


def module(source):
    """A module with this source, as the registry sees it."""
    names = {"__name__": "edframe_huber.plugin"}
    exec(compile(source, "plugin.py", "exec"), names)
    return SimpleNamespace(**{name: value for name, value in names.items() if not name.startswith("__")})


MISTAKES = {
    "misspelt": ("def edframe_losses", "def edframe_loses"),
    "unmarked": ("@hookimpl\n", ""),
    "newer": ("api=1,", "api=2,"),
    "misplaced": ("def edframe_losses", "def edframe_models"),
}


@pytest.mark.parametrize(("right", "wrong"), MISTAKES.values(), ids=MISTAKES)
def test_page_shows_what_a_mistake_looks_like(guide, right, wrong):
    assert right in guide[RECORDS]
    with pytest.raises(PluginError) as error:
        Registry().add(module(guide[RECORDS].replace(right, wrong)), HUBER, "0.1.0")
    assert f"\nbroken: {HUBER}: {error.value}\n" in PAGE.read_text(encoding="utf-8")


def test_page_shows_what_duplicates_look_like(guide):
    registry = Registry()
    for name in (HUBER, "edframe-other"):
        registry.add(module(guide[RECORDS]), name, "0.1.0")
    with pytest.raises(PluginError) as error:
        registry.find("loss", "huber")
    assert f"\n{error.value}\n" in PAGE.read_text(encoding="utf-8")


def test_page_shows_what_an_absent_factory_looks_like(guide, site, monkeypatch):
    monkeypatch.syspath_prepend(site.path)
    registry = Registry()
    registry.add(module(guide[RECORDS].replace("loss:HuberLoss", "loss:Hubber")), HUBER, "0.1.0")
    with pytest.raises(PluginError) as error:
        registry.get("loss", "huber").load()
    assert f"\n{error.value}\n" in PAGE.read_text(encoding="utf-8")


def test_page_shows_what_a_wrong_value_looks_like(site, monkeypatch):
    monkeypatch.syspath_prepend(site.path)
    registry = Registry.discover()
    with pytest.raises(ConfigError) as error:
        resolve(registry, choices={"loss": "huber"}, settings=["loss.delta=0"])
    assert f"\nError: {error.value}\n" in PAGE.read_text(encoding="utf-8")
