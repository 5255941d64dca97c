"""``edframe run --loss mix``, on an experiment of a second."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from edframe.runs.directory import Run
from edframe.runs.events import Step, to_dict

TINY = {
    "data.grid": 12, "data.samples": 16, "featurizer.name": "sad", "splits.validation": 2, "model.widths": [4],
    "model.blocks": [0],
    "training.steps": 4, "training.checkpoint_every": 2,
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    def call(*arguments):
        pairs = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
        command = [sys.executable, "-m", "edframe", "run", "--device", "cpu", "--runs", str(tmp_path / "runs")]
        variables = {**os.environ, "EDFRAME_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
        done = subprocess.run([*command, *pairs, *arguments], capture_output=True, text=True, env=variables)
        return done, sorted(tmp_path.glob("runs/*"))

    return call


def test_run_logs_each_part_counts_what_did_not_converge_and_cites_the_parts(run):
    done, (path,) = run(
        "--loss", "mix", "--set", "loss.weights.sinkhorn={from: 0.0, to: 0.5, steps: 3}",
        "--set", "loss.options.sinkhorn.max_iterations=1", "--set", "loss.options.sinkhorn.tol=1e-9",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "Warning: sinkhorn: 4 of 4 solves in training did not converge" in done.stdout
    assert re.search(r"Warning: sinkhorn: (\d+) of \1 solves in evaluation did not converge", done.stdout)
    steps = [to_dict(event) for event in Run(path).events() if isinstance(event, Step)]
    weights = [0.0, 0.25, 0.5, 0.5]
    for weight, step in zip(weights, steps, strict=True):
        assert step["loss"] == pytest.approx(step["l1"] + weight * step["sinkhorn"], rel=1e-5)
        assert step["sinkhorn.marginal_error"] > 1e-9
    config = yaml.safe_load((path / "config.yaml").read_text())
    assert config["loss"]["options"]["sinkhorn"]["max_iterations"] == 1
    facts = Run(path).provenance()
    assert {"edframe-mix", "edframe-lp", "edframe-sinkhorn"} <= set(facts["versions"])
    assert any("Sinkhorn" in entry for entry in facts["references"])


def test_mistake_in_the_options_of_a_part_makes_nothing(run):
    done, made = run("--loss", "mix", "--set", "loss.options.sinkhorn.blurr=0.3")
    assert (done.returncode, made, done.stdout) == (2, [], "")
    assert done.stderr.startswith("Error: --set loss.options.sinkhorn.blurr=0.3: there is no option 'loss.options.sink")
    assert done.stderr.count("\n") == 1
