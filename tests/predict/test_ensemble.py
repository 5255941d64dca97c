"""Ensembles: what members must share, and figures of made-up members whose errors have a known distribution."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from scipy.special import gamma
from scipy.stats import t as student

from edframe.data.splits import Split
from edframe.errors import RunError
from edframe.interfaces import Features, Featurizer
from edframe.predict.ensemble import Ensemble, calibrate, open_members, write
from edframe.runs.build import Parts
from edframe.runs.directory import Run
from edframe.runs.events import Evaluated

NOISE = 0.01


class Reference(Featurizer):
    """Shows the model the reference itself."""

    channels = ("nothing",)
    has_baseline = True

    def __init__(self, dataset):
        samples = map(dataset.__getitem__, range(len(dataset)))
        self.known = {tuple(sample.structure.frac_coords[0]): sample.density for sample in samples}

    def __call__(self, structures, grid, device):
        baseline = torch.from_numpy(np.stack([self.known[tuple(structure.frac_coords[0])] for structure in structures]))
        return Features(torch.zeros_like(baseline), baseline)


class Noisy(torch.nn.Module):
    """The reference with independent Gaussian errors of NOISE times the density: other errors for every seed."""

    def __init__(self, seed=0):
        super().__init__()
        self.register_buffer("seed", torch.tensor(seed))

    def forward(self, channels, baseline, grid, electrons):
        generator = torch.Generator().manual_seed(int(self.seed) + int(1e6 * baseline[0, 0, 0, 0, 0]))
        return baseline * (1 + NOISE * torch.randn(baseline.shape, generator=generator))


@pytest.fixture(scope="module")
def parts(small):
    dataset = small.dataset(12, shapes=((16, 16, 16),))
    split = Split(train=(0,), validation=(1, 2, 3, 4), test=(5, 6, 7, 8, 9, 10, 11))
    return Parts(dataset, Reference(dataset), Noisy(), None, {}, split)


@pytest.fixture
def member(parts, tmp_path):
    """Make a finished run of a made-up experiment."""

    def make(seed, *, weights=None, config="training:\n  steps: 5\n", status="finished", test=None, data="made up"):
        run = Run.create(tmp_path, "member", f"name: run-{seed}\nseed: {seed}\ndevice: cpu\n{config}")
        run.record(status=status, dataset={"fingerprint": data})
        run.log(*(Evaluated(parts.dataset.ids[i], {}) for i in test or parts.split.test))
        run.save_tensors("checkpoints/best.safetensors", Noisy(seed if weights is None else weights).state_dict(), {})
        return run

    return make


def paths(*runs):
    return [run.path for run in runs]


def test_members_of_known_noise_have_the_figures_of_students_distribution(parts, member):
    """The mean of n members errs by σ/√n, and their standard deviation is c₄σ in the mean: the factor is their ratio.

    Error over spread then has Student's distribution with n − 1 degrees of freedom.
    """
    n = 5
    told = []
    facts = calibrate([member(seed) for seed in range(n)], parts, "cpu", lambda *done: told.append(done))
    c4 = np.sqrt(2 / (n - 1)) * gamma(n / 2) / gamma((n - 1) / 2)
    assert facts["factor"] == pytest.approx(1 / np.sqrt(n) / c4, rel=0.03)
    test = facts["test"]
    for k in (1, 2, 3):
        assert test["coverage"][str(k)] == pytest.approx(1 - 2 * student.sf(k / c4, n - 1), abs=0.02)
    assert test["members_nmae"] == pytest.approx([100 * NOISE * np.sqrt(2 / np.pi)] * n, rel=0.05)
    assert test["nmae"] == pytest.approx(np.mean(test["members_nmae"]) / np.sqrt(n), rel=0.05)
    assert test["expected_nmae"] == pytest.approx(test["nmae"], rel=0.05)
    assert [sample["id"] for sample in facts["samples"]] == [f"atom-{i}" for i in range(5, 12)]
    assert facts["validation"]["samples"] == 4
    assert told == [(done, 11) for done in range(1, 12)]


def test_the_mean_is_no_worse_than_the_members(parts, member):
    """L1 is convex, so this holds for each sample, whatever the members predict."""
    test = calibrate([member(7), member(8, weights=9000)], parts, "cpu", lambda *done: None)["test"]
    assert test["nmae"] < np.mean(test["members_nmae"])


def test_members_that_predict_the_same_are_refused(parts, member):
    with pytest.raises(RunError, match="predict the same densities: its model does not depend on the seed"):
        calibrate([member(0, weights=3), member(1, weights=3)], parts, "cpu", lambda *done: None)


def test_data_that_changed_since_are_refused(parts, member):
    with pytest.raises(RunError, match="was made from other data or splits than there are now"):
        calibrate([member(0, data="x"), member(1, data="x")], parts, "cpu", lambda *done: None)
    with pytest.raises(RunError, match="was made from other data or splits than there are now"):
        calibrate([member(0, test=[1, 2]), member(1, test=[1, 2])], parts, "cpu", lambda *done: None)


def test_runs_that_differ_in_seed_name_and_device_alone_are_members(member):
    runs = [member(seed) for seed in (0, 1, 2)]
    assert open_members(paths(*runs)) == runs


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"seed": 0}, "have the same seed"),
        ({"seed": 1, "status": "interrupted"}, "is interrupted, not finished; continue it by"),
        ({"seed": 1, "config": "training:\n  steps: 6\n"}, r"training\.steps is 6 there, 5 here"),
        ({"seed": 1, "config": "training:\n  steps: 5\nloss: x\n"}, "loss is x there, None here"),
        ({"seed": 1, "data": "another"}, "were made from other data"),
        ({"seed": 1, "test": [1, 2]}, "have other test samples, so one was trained on what tests the other"),
    ],
)
def test_runs_that_are_no_ensemble_are_refused_in_one_sentence(other, sentence, member):
    with pytest.raises(RunError, match=sentence) as refused:
        open_members(paths(member(0), member(**other)))
    assert "\n" not in str(refused.value)


def test_one_run_is_no_ensemble(member):
    with pytest.raises(RunError, match="needs at least two runs"):
        open_members(paths(member(0)))


def test_a_folder_that_is_moved_with_its_members_still_opens(parts, member, tmp_path):
    runs = [member(0), member(1)]
    (tmp_path / "before").mkdir()
    for run in runs:
        run.path.rename(tmp_path / "before" / run.path.name)
    runs = [Run(tmp_path / "before" / run.path.name) for run in runs]
    facts = calibrate(runs, parts, "cpu", lambda *done: None)
    write(tmp_path / "before" / "deep" / "joined", runs, facts, 3)
    assert (tmp_path / "before" / "deep" / "joined" / "calibration.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "before").rename(tmp_path / "after")
    opened = Ensemble.open(tmp_path / "after" / "deep" / "joined")
    assert [run.provenance()["status"] for run in opened.members] == ["finished"] * 2
    assert opened.factor == facts["factor"]


DAMAGED = (
    {"members": []},
    {"members": 3, "factor": 1},
    {"members": [], "factor": 1},
    {"members": ["a"], "factor": math.nan},
    {"members": ["a"], "factor": -1},
)


@pytest.mark.parametrize("text", ["{", "[]", *map(json.dumps, DAMAGED)])
def test_a_damaged_file_is_refused(text, tmp_path):
    (tmp_path / "ensemble.json").write_text(text)
    with pytest.raises(RunError, match=r"ensemble\.json cannot be read"):
        Ensemble.open(tmp_path)
