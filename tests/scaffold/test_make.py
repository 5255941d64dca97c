"""``edframe plugins new``: what it makes is whole and clean; what it refuses leaves nothing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from edframe.contract.component import KINDS
from edframe.contract.registry import Registry
from edframe.errors import PluginError
from edframe.scaffold.make import LONGEST, NEEDS, make

ROOT = Path(__file__).parents[2]
RUFF = Path(sys.executable).with_name("ruff")
LONG = "a" * (LONGEST - 4) + "-b-c"


@pytest.fixture(scope="module")
def installed():
    return Registry.discover()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A distribution of each kind for a short, a usual and the longest name: its folder by kind and name."""
    names = [(kind, name) for kind in KINDS for name in ("x", f"my-{kind}", LONG)]
    return {(kind, name): make(kind, name, Registry(), tmp_path_factory.mktemp(kind)) for kind, name in names}


def test_every_file_is_there(made):
    for (kind, name), folder in made.items():
        package = f"src/edframe_{name.replace('-', '_')}"
        assert {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()} == {
            "pyproject.toml", "README.md", "LICENSE", ".github/workflows/test.yml", "tests/test_conformance.py",
            f"tests/test_{kind}.py", f"{package}/__init__.py", f"{package}/py.typed", f"{package}/plugin.py",
            f"{package}/{kind}.py",
        }  # fmt: skip


@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=" ".join)
def test_code_is_clean_by_its_own_settings(made, command):
    for folder in made.values():
        done = subprocess.run([RUFF, *command, "--no-cache"], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_dependencies_have_the_bounds_of_edframe(made):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for (kind, _), folder in made.items():
        needs = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
        assert needs[0] == "edframe>=0.1,<0.2"
        assert len(needs) == 1 + len(NEEDS[kind])
        assert set(needs[1:]) <= set(project["dependencies"])


def test_workflow_runs_the_tests_on_each_python(made):
    for folder in made.values():
        job = yaml.safe_load((folder / ".github/workflows/test.yml").read_text(encoding="utf-8"))["jobs"]["test"]
        assert job["steps"][1]["with"]["python-version"] == "${{ matrix.python }}"
        assert job["steps"][-1] == {"run": "pytest"}


BAD = {
    "no such kind": (("los", "mine"), "there is no kind of component 'los'; did you mean 'loss'?"),
    "metric": (("metric", "mine"), "a metric is a loss that is evaluated and not trained on"),
    "capital": (("loss", "Mine"), "'Mine' cannot be a name: it takes lower case letters"),
    "underscore": (("loss", "my_loss"), "'my_loss' cannot be a name"),
    "path": (("loss", "../mine"), "'../mine' cannot be a name"),
    "empty": (("loss", ""), "'' cannot be a name"),
    "too long": (("loss", "a" * (LONGEST + 1)), f"{LONGEST} characters at most"),
    "taken": (("loss", "l1"), "loss 'l1' of edframe-lp 0.1.0 has that name"),
    "distribution of that name": (("model", "sinkhorn"), "there is a distribution edframe-sinkhorn already"),
    "metric of a run": (("loss", "nmae"), "'nmae' is the name of something else among the metrics"),
    "folder exists": (("loss", "there"), "edframe-there exists already"),
}


@pytest.mark.parametrize(("arguments", "sentence"), BAD.values(), ids=BAD)
def test_what_cannot_be_made_is_one_sentence_and_leaves_nothing(installed, tmp_path, arguments, sentence):
    (tmp_path / "edframe-there").mkdir()
    with pytest.raises(PluginError) as error:
        make(*arguments, installed, tmp_path)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.rglob("*")] == ["edframe-there"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(PluginError, match=r"absent/edframe-mine cannot be made \(No such file or directory\)"):
        make("loss", "mine", Registry(), tmp_path / "absent")


def test_what_fails_half_way_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "rename", lambda self, target: (_ for _ in ()).throw(OSError(28, "the disk is full")))
    with pytest.raises(PluginError, match="the disk is full"):
        make("loss", "mine", Registry(), tmp_path)
    assert list(tmp_path.iterdir()) == []
