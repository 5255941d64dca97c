"""What edframe does without the packages of its extras: it runs, and what needs one says which extra has it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import edframe
from edframe import errors, jobs
from edframe.errors import MissingError
from edframe.grid import Grid

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
BLOCKED = ("dask", "distributed", "mlflow", "optuna", "pandas", "plotly", "pyarrow", "tensorboard", "uncertainties")

SOURCES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "edframe").rglob("*.py")}
TRACKERS = [ROOT / "edframe" / "tracking" / f"{name}.py" for name in ("mlflow", "tensorboard")]
"""These are imported on use themselves."""

WITHOUT = f"""
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys({BLOCKED!r}))
import edframe
trackers = ("edframe.tracking.mlflow", "edframe.tracking.tensorboard")
found = [module.name for module in pkgutil.walk_packages(edframe.__path__, "edframe.")]
for name in found:
    if name not in trackers and not name.endswith("__main__"):
        importlib.import_module(name)
assert len(found) > 150
"""


def test_an_extra_is_imported_at_the_head_of_no_module_but_the_trackers():
    head = re.compile(rf"^(?:import|from) (?:{'|'.join(BLOCKED)})\b", flags=re.MULTILINE)
    assert sorted(path for path, text in SOURCES.items() if head.search(text)) == TRACKERS


@pytest.mark.slow
def test_every_module_but_the_trackers_is_imported_without_the_extras():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_run_and_a_prediction_work_without_the_extras(environment, finished, tmp_path):
    block = f"import sys; sys.modules.update(dict.fromkeys({BLOCKED!r}))\nfrom edframe.cli import main\nmain()"
    tiny = ["--device", "cpu", "--featurizer", "sad", "--set", "data.grid=12", "--set", "data.samples=16"]
    tiny += ["--set", "splits.validation=2"]
    (tmp_path / "atoms.xyz").write_text("3\n\nLi 0 0 0\nO 1.6 0 0\nLi 3.2 0 0\n", encoding="ascii")
    for words in (
        ["run", *tiny, "--set", "training.steps=2", "--set", "model.widths=[4]", "--set", "model.blocks=[0]"],
        ["predict", str(finished), "atoms.xyz", "density.cube"],
        ["show", "density.cube"],
        ["runs"],
    ):
        command = [sys.executable, "-c", block, *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.glob("runs/*/report.html")] == ["report.html"]


@pytest.fixture
def absent(monkeypatch):
    """``absent(name)``: from now on a package is not installed."""
    return lambda name: monkeypatch.setitem(sys.modules, name, None)


def sentence(purpose, package, extra):
    return rf"^{purpose} needs {package}, which is not installed; install it by `pip install 'edframe\[{extra}\]'`$"


def test_tables_name_their_extra(absent, finished):
    absent("pandas")
    with pytest.raises(MissingError, match=sentence("a table of metrics", "pandas", "tables")):
        _ = edframe.Finished(finished).summary


def test_isosurfaces_name_their_extra(absent):
    from pymatgen.core.structure import Structure

    absent("plotly.graph_objects")
    grid = Grid.of(np.eye(3) * 4, 4)
    density = edframe.Density(Structure(grid.vectors, ["H"], [[0, 0, 0]]), grid, np.ones((1, 4, 4, 4)))
    with pytest.raises(MissingError, match=sentence("an isosurface", "plotly", "html")):
        density.isosurface()


def test_workers_name_their_extra_before_any_job(absent):
    absent("distributed")
    with pytest.raises(MissingError, match=sentence("work in several processes", "distributed", "dask")):
        next(jobs.run_jobs("math:sqrt", [1.0, 4.0], workers=2))


@pytest.mark.parametrize("package", ["pandas", "plotly", "uncertainties"])
def test_a_comparison_names_its_extra_before_any_training(absent, edframe, package, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    absent(package)
    result = edframe("compare", "--loss", "l1", "--loss", "l2")
    assert (result.code, list(tmp_path.iterdir())) == (2, [])
    assert result.err == (
        f"Error: a comparison needs {package}, which is not installed; install it by `pip install 'edframe[compare]'`\n"
    )


def test_a_package_that_is_broken_is_not_said_to_be_absent(tmp_path, monkeypatch):
    (tmp_path / "edframe_test_broken.py").write_text("from math import nothing", encoding="ascii")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingError, match=r"^a test needs edframe_test_broken, which cannot be imported \(cannot imp"):
        errors.imported("edframe_test_broken", "none", "a test")


def test_each_named_extra_brings_the_package():
    known = packages_distributions()
    asked = {pair for text in SOURCES.values() for pair in re.findall(r'\bimported\("([\w.]+)", "(\w+)"', text)}
    assert {("pandas", "tables"), ("distributed", "dask"), ("h5py", "formats"), ("optuna", "tune")} <= asked
    for module, extra in asked:
        brought = {canonicalize_name(Requirement(text).name) for text in EXTRAS[extra]}
        package = module.partition(".")[0]
        assert brought & {canonicalize_name(name) for name in known.get(package, [package])}, (module, extra)


def test_all_has_every_extra_but_tracking_and_one_code():
    (own,) = (Requirement(text) for text in EXTRAS["all"] if Requirement(text).name == "edframe")
    assert own.extras == set(EXTRAS) - {"all", "track", "gpaw"}
