"""From a config to a run: what is built, what is recorded, what a failure leaves."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess

import pytest
import torch

from edframe.config.resolve import resolve
from edframe.contract.registry import Registry
from edframe.errors import ConfigError, DataError
from edframe.runs import execute as under_test
from edframe.runs.build import build, device_for, fabric_for
from edframe.runs.directory import Run
from edframe.runs.provenance import git_commit

SMALL = ["data.grid=12", "data.samples=16", "featurizer.name=sad", "splits.validation=2", "model.widths=[4]",
         "model.blocks=[0]"]  # fmt: skip


@pytest.fixture(scope="module")
def plugins():
    return Registry.discover()


@pytest.fixture
def parts(plugins, environment, monkeypatch):
    """Parts of a small experiment with more settings."""
    monkeypatch.setenv("EDFRAME_CACHE", environment["EDFRAME_CACHE"])
    return lambda *settings: build(resolve(plugins, settings=[*SMALL, *settings])[0], plugins, lambda done, total: None)


def weights(parts):
    return torch.cat([value.flatten() for value in parts.model.state_dict().values()])


def test_weights_come_from_the_seed_and_the_split_from_its_own(parts):
    one, same, other = parts(), parts(), parts("seed=1")
    assert torch.equal(weights(one), weights(same))
    assert not torch.equal(weights(one), weights(other))
    assert one.split == same.split == other.split
    resplit = parts("splits.seed=1")
    assert torch.equal(weights(one), weights(resplit))
    assert one.split != resplit.split


def test_weights_do_not_depend_on_what_was_drawn_before(parts):
    one = weights(parts())
    torch.rand(7)
    assert torch.equal(weights(parts("loss.name=l2")), one)


def test_trained_loss_comes_first_among_the_metrics(parts):
    built = parts("loss.name=l2", "metrics=[l1]")
    assert list(built.metrics) == ["l2", "l1"]
    assert built.metrics["l2"] is built.loss


def test_model_that_is_no_module_is_refused(parts, plugins, monkeypatch):
    component = plugins.get("model", "unet")
    monkeypatch.setattr(type(component), "load", lambda self: dict if self.kind == "model" else LOAD(self))
    with pytest.raises(ConfigError, match=r"model 'unet' is not an nn\.Module"):
        parts()


LOAD = type(Registry.discover().get("model", "unet")).load


@pytest.mark.parametrize(
    ("device", "sentence"),
    [("4096xcuda", "this machine has"), ("mps", "this machine has no MPS device; use --device cpu")],
)
def test_device_that_is_not_there_is_refused(plugins, monkeypatch, device, sentence):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    chosen, _ = resolve(plugins, flags={"device": device})
    for make in (fabric_for, device_for):
        with pytest.raises(ConfigError, match=f"device '{device}': {sentence}"):
            make(chosen)


@pytest.mark.parametrize("device", ["auto", "cpu", "2xcpu"])
def test_the_device_of_one_process_is_that_of_fabric(plugins, device):
    chosen, _ = resolve(plugins, flags={"device": device})
    assert device_for(chosen) == fabric_for(chosen).device


@pytest.mark.parametrize(("device", "count"), [("cpu", 1), ("2xcpu", 2)])
def test_device_becomes_processes(plugins, device, count):
    fabric = fabric_for(resolve(plugins, flags={"device": device})[0])
    assert fabric.device.type == "cpu"
    assert fabric.strategy.num_processes == count if count > 1 else fabric.world_size == 1


def test_failure_is_recorded_with_its_reason(edframe, tiny, tmp_path, monkeypatch):
    def fail(*_):
        raise DataError("the disk with the data went away")

    monkeypatch.setattr(under_test, "evaluate", fail)
    result = edframe(*tiny(tmp_path / "runs"))
    assert (result.code, result.err) == (2, "Error: the disk with the data went away\n")
    facts = Run(next((tmp_path / "runs").iterdir())).provenance()
    assert (facts["status"], facts["error"]) == ("failed", "the disk with the data went away")


def test_provenance_is_complete(finished):
    """Every field that a reader needs to repeat the run."""
    facts = Run(finished).provenance()
    assert shlex.split(facts["command"])[:2] == ["edframe", "run"]
    assert {"edframe", "edframe-unet", "edframe-lp", "edframe-pyscf", "torch", "python"} <= set(facts["versions"])
    assert facts["versions"]["torch"] == torch.__version__
    assert (facts["device"], facts["processes"], facts["threads"]) == ("cpu", 1, 1)
    assert len(set(facts["seeds"].values())) == len(facts["seeds"]) == 5
    assert re.fullmatch("[0-9a-f]{64}", facts["dataset"]["fingerprint"])
    assert facts["dataset"]["train"] + facts["dataset"]["validation"] + facts["dataset"]["test"] == 16
    assert facts["started"] <= facts["finished"]
    assert facts["seconds"] > 0
    assert facts["status"] == "finished"
    assert any("Ronneberger" in entry for entry in facts["references"])


def test_checkpoint_header_says_what_the_model_was_trained_on(finished):
    _, header = Run(finished).load_tensors("checkpoints/best.safetensors")
    assert json.loads(header["contents"]) == {"species": ["Li", "O"], "max_atoms": 3, "spins": 1, "dimension": 3}
    assert len(json.loads(header["channels"])) >= 2
    assert header["config"] == (finished / "config.yaml").read_text()


def test_provenance_of_a_resumed_run_keeps_the_first_command_and_adds_the_second(edframe, finished, tmp_path):
    path = tmp_path / "stopped"
    shutil.copytree(finished, path)
    Run(path).record(status="interrupted")
    before = Run(path).provenance()
    assert edframe("run", "--resume", path, report=False).code == 0
    after = Run(path).provenance()
    assert after["command"] == before["command"]
    assert after["started"] == before["started"]
    assert after["seconds"] > before["seconds"]
    (session,) = after["resumed"]
    assert session["command"] == f"edframe run --resume {path}"
    assert "seeds" not in session


def git(folder, *arguments):
    identity = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    return subprocess.run(
        ["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_commit_is_that_of_the_checkout_and_of_no_other_repository(tmp_path):
    file = tmp_path / "module.py"
    file.write_text("1\n")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    git(tmp_path, "tag", "v1")
    commit = git(tmp_path, "rev-parse", "HEAD").strip()
    assert git_commit(tmp_path) == commit
    file.write_text("2\n")
    assert git_commit(tmp_path) == f"{commit}-dirty"
    installed = tmp_path / ".venv" / "site-packages"
    installed.mkdir(parents=True)
    assert git_commit(installed) is None
