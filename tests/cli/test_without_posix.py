"""Training, prediction and comparison where the modules ``fcntl`` and ``resource`` do not exist, as on Windows."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from edframe import io

WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ("fcntl", "resource"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
for name in ("fcntl", "resource"):
    sys.modules.pop(name, None)
"""
WITHOUT_PAGES = """
import edframe.comparison.report, edframe.runs.execute
edframe.comparison.report.write = lambda folder, *_, **__: folder / "compare.html"
edframe.runs.execute.write_report = lambda path: path
from edframe.cli import main
main()
"""
"""The pages have tests of their own and take most of the time."""


@pytest.fixture(scope="module")
def windows(environment):
    """Run Python code, or ``edframe`` with arguments, in a process without both modules."""

    def call(*arguments, code="from edframe.cli import main; main()"):
        command = [sys.executable, "-c", WITHOUT + code, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)

    return call


@pytest.fixture(scope="module")
def run(windows, tiny, tmp_path_factory):
    """The directory of a run made without both modules."""
    runs = tmp_path_factory.mktemp("runs")
    done = windows(*tiny(runs))
    assert (done.returncode, done.stderr) == (0, "")
    return next(runs.iterdir())


@pytest.mark.parametrize("name", ["fcntl", "resource"])
def test_the_module_is_absent_in_these_tests(windows, name):
    assert f"No module named '{name}'" in windows(code=f"import {name}").stderr


def test_training_has_the_same_numbers(run, finished):
    def samples(path):
        events = map(json.loads, (path / "metrics.jsonl").read_text().splitlines())
        return [event for event in events if event["event"] == "sample"]

    assert samples(run)
    assert samples(run) == samples(finished)


def test_prediction(windows, run, tmp_path):
    (tmp_path / "li2o.xyz").write_text(
        '3\nLattice="7.2 0 0 0 7.2 0 0 0 7.2"\nLi 1.9 3.6 3.6\nO 3.6 3.6 3.6\nLi 5.3 3.6 3.6\n'
    )
    done = windows("predict", run, tmp_path / "li2o.xyz", tmp_path / "density.cube", "--spacing", "0.45")
    assert done.returncode == 0, done.stderr
    volume = io.read(tmp_path / "density.cube")
    assert volume.fields["total"].sum() * volume.grid.voxel_volume == pytest.approx(12, rel=1e-5)


def test_comparison_with_its_locks(windows, tiny, tmp_path):
    words = tiny("unused")
    for flag in ("--runs", "--loss"):
        del words[words.index(flag) : words.index(flag) + 2]
    places = ("--out", tmp_path / "comparison", "--runs", tmp_path / "runs")
    asked = ("compare", *words[1:], "--loss", "l2", "--loss", "l1", "--seeds", "1", "--workers", "1", *places)
    done = windows(*asked, code=WITHOUT_PAGES)
    assert done.returncode == 0, done.stderr
    assert "l1, fold 0, seed 0: NMAE" in done.stdout
    assert len(list((tmp_path / "runs").glob("*/*/config.yaml"))) == 2
