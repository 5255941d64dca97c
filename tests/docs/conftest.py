"""The documentation as data, and what makes its commands tiny."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
from pathlib import Path

import pytest

from edframe.runs.directory import Run

ROOT = Path(__file__).parents[2]

DATA = ["--set", "data.grid=12", "--set", "data.samples=16"]
UNION = [
    f"--set=data.options.{key}"
    for key in ("li-o-li.grid=12", "li-o-li.samples=16", "li2o-clusters.samples=2", "li2o-clusters.voxel=0.225")
]
TRAINING = ["--set", "training.steps=4", "--set", "splits.validation=2"]
MODEL = ["--set", "model.widths=[4,8]", "--set", "model.blocks=[0,1]"]
"""Appended to the commands of the documentation: the experiment of a second."""

LOCAL = [
    f"--set=featurizer.{key}" for key in ("pairs=6", "radial=2", "angular=1", "triples=8", "products=4", "points=200")
]
"""Appended where the featurizer is that of the default run."""


def _takes_local(words):
    """Whether a run is made with the featurizer of the default run."""
    recipes = [word for word in words if word.endswith(".yaml")]
    text = "".join((ROOT / word).read_text(encoding="utf-8") for word in recipes if (ROOT / word).exists())
    return "--featurizer" not in words and "\nfeaturizer:" not in text


@pytest.fixture(scope="session")
def tiny_command():
    """A command of the documentation as arguments of ``edframe``, with what makes it tiny."""

    def arguments(line, run):
        words = [word.replace("runs/<run>", str(run)) for word in shlex.split(line, comments=True)[1:]]
        if words[0] == "run" and "--resume" not in words:
            data = UNION if "configs/clusters.yaml" in words else DATA
            data = [*data, *(LOCAL if _takes_local(words) else [])]
            return [*words, "--device", "cpu", *data, *TRAINING, *([] if "configs/krr.yaml" in words else MODEL)]
        if words[0] == "compare":  # in this process, once each
            words = words[: words.index("--workers")] if "--workers" in words else words
            return [*words, "--device", "cpu", *DATA, *TRAINING, *MODEL, "--seeds", "1"]
        if words[0] == "tune":
            return [*words, "--device", "cpu", *DATA, *TRAINING, *MODEL, "--trials", "2"]
        if words[:2] in (["data", "info"], ["data", "build"]):
            return [*words, *DATA]
        return words

    return arguments


@pytest.fixture
def workplace(finished, tmp_path, monkeypatch):
    """A working directory with the recipes, a POSCAR, and ``runs`` with one run that was interrupted. Returns that."""
    import torch
    from pymatgen.core.structure import Structure

    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    atoms = Structure(
        [[7.2, 0, 0], [0, 7.2, 0], [0, 0, 7.2]], ["Li", "O", "Li"], [[0.3, 0.5, 0.5], [0.5] * 3, [0.7] * 3]
    )
    atoms.to("POSCAR", fmt="poscar")
    run = Path("runs") / finished.name
    shutil.copytree(finished, run)
    Run(run).record(status="interrupted")
    return run


@pytest.fixture(scope="session")
def guide():
    """What docs/writing-a-plugin.md shows of files, by path."""
    text = (ROOT / "docs" / "writing-a-plugin.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\*\*`([^`\n]+)`\*\*\n\n```\w+\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE))


@pytest.fixture(scope="session")
def script():
    """``script(name)``: that of ``docs/results`` as a module. They import what they share from their own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "docs" / "results")
        yield importlib.import_module
