"""The plugins of docs/writing-a-plugin.md: made by its commands, installed by pip, checked and used."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from edframe.config.resolve import resolve
from edframe.contract.registry import Registry
from edframe.errors import ConfigError, PluginError
from edframe.scaffold.make import make

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-plugin.md"
HUBER = "edframe-huber"
NEW = re.findall(r"edframe plugins new (\w+) ([a-z-]+)", PAGE.read_text(encoding="utf-8"))
RECORDS = f"{HUBER}/src/edframe_huber/plugin.py"


@pytest.fixture(scope="module")
def sources(guide, tmp_path_factory):
    """The folder with all distributions of the page; the fitted featurizer and its record are added to ``bumps``."""
    sources = tmp_path_factory.mktemp("guide")
    for kind, name in dict.fromkeys(NEW):
        make(kind, name, Registry(), sources)
    (fitted,) = (name for name in guide if name.endswith("fitted.py"))
    (sources / fitted).write_text(guide[fitted], encoding="utf-8")
    (record,) = re.findall(r"```python\n(Component\(.*?)\n```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    plugin = (sources / fitted).with_name("plugin.py")
    text = plugin.read_text(encoding="utf-8")
    assert text.endswith("        )\n    ]\n")
    plugin.write_text(
        text.removesuffix("\n    ]\n") + f",\n{textwrap.indent(record, 8 * ' ')},\n    ]\n", encoding="utf-8"
    )
    return sources


@pytest.fixture(scope="module")
def site(sources, tmp_path_factory):
    """Where all of them are installed."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-build-isolation", "--no-index", "--no-compile", "--target", str(target)]
    run(*command, *map(str, sources.iterdir()))
    return SimpleNamespace(sources=sources, path=str(target))


@pytest.fixture(scope="module")
def records(sources):
    """The text of the loss's plugin.py."""
    return (sources / RECORDS).read_text(encoding="utf-8")


def run(*command, **variables):
    """The output of a command that succeeds."""
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables}, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_page_names_one_of_each_kind():
    assert sorted(dict(NEW)) == ["dataset", "featurizer", "loss", "model"]


def test_what_the_page_shows_is_in_the_files(guide, sources):
    assert len(guide) == 3
    for name, content in guide.items():
        assert content in (sources / name).read_text(encoding="utf-8")


def test_conformance_and_tests_of_all_plugins_pass(site):
    options = ["-q", "-rs", "-p", "no:cacheprovider", "--import-mode=importlib", f"--rootdir={site.sources}"]
    out = run(sys.executable, "-m", "pytest", *options, str(site.sources), PYTHONPATH=site.path, OMP_NUM_THREADS="1")
    assert " passed" in out
    reasons = [line.rpartition(": ")[2] for line in out.splitlines() if line.startswith("SKIPPED")]
    assert reasons == ["it predicts whole grids"]  # the guide's model states no reach


def test_fitted_featurizer_passes_its_checks(site, environment):
    command = [sys.executable, "-m", "edframe", "plugins", "check", "fitted-bumps"]
    out = run(*command, **{**environment, "PYTHONPATH": site.path})
    assert "passed  fit_depends_on_the_samples" in out
    assert out.endswith(", 0 failed, 0 skipped\n")


def test_code_is_clean(sources):
    ruff = Path(sys.executable).with_name("ruff")
    for folder in sources.iterdir():
        for command in (("check",), ("format", "--check")):
            done = subprocess.run([ruff, *command, "--no-cache"], cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr


RUNS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("edframe run ")]
SMALL = {
    "huber": ["--set", "data.grid=12", "--set", "model.widths=[4,8]", "--set", "model.blocks=[0,1]"],
    "helium": ["--set", "data.grid=8"],
}


@pytest.mark.parametrize("line", [*RUNS, f"{RUNS[-1]} --featurizer fitted-bumps"])
def test_installed_plugins_run(site, environment, tmp_path, line):
    small = SMALL["helium" if "helium" in line else "huber"]
    tiny = ["--set", "data.samples=16", "--set", "training.steps=4", "--set", "splits.validation=2", "--device", "cpu"]
    command = [sys.executable, "-m", *shlex.split(line), *small, *tiny, "--runs", str(tmp_path)]
    run(*command, **{**environment, "PYTHONPATH": site.path})
    (made,) = tmp_path.iterdir()
    assert yaml.safe_load((made / "config.yaml").read_text())["loss"]["name"] == "huber"
    assert "huber1964" in (made / "references.bib").read_text()


def test_plugins_are_listed(site, environment):
    out = run(sys.executable, "-m", "edframe", "plugins", **{**environment, "PYTHONPATH": site.path})
    assert all(part in out for _, name in NEW for part in (f" {name} ", f"edframe-{name}"))


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
def test_page_shows_what_a_mistake_looks_like(records, right, wrong):
    assert right in records
    with pytest.raises(PluginError) as error:
        Registry().add(module(records.replace(right, wrong)), HUBER, "0.1.0")
    assert f"\nbroken: {HUBER}: {error.value}\n" in PAGE.read_text(encoding="utf-8")


def test_page_shows_what_duplicates_look_like(records):
    registry = Registry()
    for name in (HUBER, "edframe-other"):
        registry.add(module(records), name, "0.1.0")
    with pytest.raises(PluginError) as error:
        registry.find("loss", "huber")
    assert f"\n{error.value}\n" in PAGE.read_text(encoding="utf-8")


def test_page_shows_what_an_absent_factory_looks_like(records, site, monkeypatch):
    monkeypatch.syspath_prepend(site.path)
    registry = Registry()
    registry.add(module(records.replace("loss:HuberLoss", "loss:Hubber")), HUBER, "0.1.0")
    with pytest.raises(PluginError) as error:
        registry.get("loss", "huber").load()
    assert f"\n{error.value}\n" in PAGE.read_text(encoding="utf-8")


def test_page_shows_what_a_wrong_value_looks_like(site, monkeypatch):
    monkeypatch.syspath_prepend(site.path)
    registry = Registry.discover()
    with pytest.raises(ConfigError) as error:
        resolve(registry, choices={"loss": "huber"}, settings=["loss.delta=0"])
    assert f"\nError: {error.value}\n" in PAGE.read_text(encoding="utf-8")
