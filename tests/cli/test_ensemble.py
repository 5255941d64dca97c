"""``edframe ensemble``, and ``edframe predict`` with what it makes."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from pymatgen.core.structure import Structure
from safetensors.torch import load_file

from edframe import io
from edframe.io.spin import beside


@pytest.fixture(scope="module")
def runs(finished, edframe, tiny, tmp_path_factory):
    """Two tiny runs that differ in their seed."""
    folder = tmp_path_factory.mktemp("second")
    result = edframe(*tiny(folder, seed=1), report=False)
    assert result.code == 0, result.err
    return [finished, next(folder.iterdir())]


@pytest.fixture(scope="module")
def made(runs, edframe, tmp_path_factory):
    """The ensemble of the two, and what the command said."""
    out = tmp_path_factory.mktemp("ensemble") / "joined"
    result = edframe("ensemble", *runs, "--out", out, "--device", "cpu")
    assert (result.code, result.err) == (0, "")
    return out, result.out


@pytest.fixture
def poscar(tmp_path):
    structure = Structure(np.eye(3) * 7.2, ["Li", "O", "Li"], [[0.27, 0.5, 0.5], [0.5, 0.5, 0.5], [0.72, 0.5, 0.5]])
    structure.to(str(tmp_path / "POSCAR"), fmt="poscar")
    return tmp_path / "POSCAR"


def test_runs_of_two_seeds_have_the_same_test_samples(runs):
    tested = [
        [json.loads(line)["id"] for line in (run / "metrics.jsonl").read_text().splitlines() if '"sample"' in line]
        for run in runs
    ]
    assert tested[0] == tested[1]


def test_figures_are_those_of_the_runs(runs, made):
    out, said = made
    facts = json.loads((out / "ensemble.json").read_text())
    summaries = [json.loads((run / "metrics.jsonl").read_text().splitlines()[-1]) for run in runs]
    logged = [summary["metrics"]["nmae"]["mean"] for summary in summaries]
    assert facts["test"]["members_nmae"] == pytest.approx(logged, rel=1e-4)
    assert facts["test"]["nmae"] <= np.mean(logged)
    assert facts["validation"]["samples"] == 2
    assert said.rstrip().endswith(f"{out}: 2 members")
    assert re.search(rf"NMAE of the mean +{facts['test']['nmae']:.3g} %", said)


@pytest.mark.parametrize("name", ["density.cube", "CHGCAR", "density.xsf.gz"])
def test_prediction_is_the_mean_and_the_spread_of_the_members(name, runs, made, poscar, edframe, tmp_path):
    """The standard deviation of two values is their distance over √2."""
    members = []
    for number, run in enumerate(runs):
        file = tmp_path / f"{number}.vasp"  # the format of most digits: the members hardly differ
        assert edframe("predict", run, poscar, file, "--spacing", "0.45").code == 0
        members.append(io.read(file).fields["total"])
    result = edframe("predict", made[0], poscar, tmp_path / name, "--spacing", "0.45")
    assert (result.code, result.err) == (0, "")
    mean = io.read(tmp_path / name)
    np.testing.assert_allclose(mean.fields["total"], (members[0] + members[1]) / 2, rtol=1e-4, atol=1e-8)
    assert mean.fields["total"].sum() * mean.grid.voxel_volume == pytest.approx(12, rel=1e-5)
    spread = io.read(beside(tmp_path / name, "spread")).fields["total"]
    factor = json.loads((made[0] / "ensemble.json").read_text())["factor"]
    np.testing.assert_allclose(spread, factor * abs(members[0] - members[1]) / np.sqrt(2), rtol=1e-3, atol=1e-5)
    expected = 100 * np.sqrt(2 / np.pi) * spread.sum() * mean.grid.voxel_volume / 12
    told = re.fullmatch(r".*: spread of 2 members; expected NMAE ([\d.]+) %", result.out.splitlines()[1])
    assert float(told[1]) == pytest.approx(expected, rel=0.01)


def test_members_with_a_fitted_featurizer_each_have_their_own(edframe, tiny, poscar, tmp_path):
    """Trained on other samples, for ``training.size`` draws them by the seed, they were fitted to other samples too."""
    settings = {"featurizer__name": "atoms", "training__size": 3}
    for seed in (0, 1):
        assert edframe(*tiny(tmp_path / f"{seed}", seed=seed, **settings), report=False).code == 0
    runs = [next((tmp_path / f"{seed}").iterdir()) for seed in (0, 1)]
    states = [load_file(run / "checkpoints" / "featurizer.safetensors")["densities"] for run in runs]
    assert not states[0].equal(states[1])
    result = edframe("ensemble", *runs, "--out", tmp_path / "joined", "--device", "cpu")
    assert (result.code, result.err) == (0, "")
    logged = [json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["metrics"]["nmae"] for run in runs]
    facts = json.loads((tmp_path / "joined" / "ensemble.json").read_text())
    assert facts["test"]["members_nmae"] == pytest.approx([each["mean"] for each in logged], rel=1e-4)
    predicted = []
    for number, folder in enumerate((*runs, tmp_path / "joined")):
        file = tmp_path / f"{number}.vasp"
        assert edframe("predict", folder, poscar, file, "--spacing", "0.45").code == 0
        predicted.append(io.read(file).fields["total"])
    np.testing.assert_allclose(predicted[2], (predicted[0] + predicted[1]) / 2, rtol=1e-4, atol=1e-7)
    assert not np.allclose(predicted[0], predicted[1], rtol=1e-3)


def test_a_folder_that_is_there_is_not_replaced(runs, made, edframe):
    before = (made[0] / "ensemble.json").read_bytes()
    result = edframe("ensemble", *runs, "--out", made[0])
    assert result.code == 2
    assert result.err == f"Error: {made[0]} is there already; choose another folder by --out, or remove it\n"
    assert (made[0] / "ensemble.json").read_bytes() == before


def test_from_python_it_is_the_mean_and_the_spread_of_the_members_too(runs, made, poscar):
    import edframe as api

    a, b = (api.load(run)(poscar, grid=(12, 12, 12)).values for run in runs)
    predict = api.load(made[0])
    density = predict(poscar, grid=(12, 12, 12))
    factor = json.loads((made[0] / "ensemble.json").read_text())["factor"]
    np.testing.assert_allclose(density.values, (a + b) / 2, atol=1e-6)
    np.testing.assert_allclose(density.spread, factor * np.abs(a - b) / np.sqrt(2), atol=1e-5 * factor)
    assert density.expected_nmae > 0
    assert predict.spacing == api.load(runs[0]).spacing


def test_what_is_no_ensemble_leaves_no_folder(runs, edframe, tmp_path):
    result = edframe("ensemble", runs[0], runs[0], "--out", tmp_path / "out")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "have the same seed" in result.err
    assert not (tmp_path / "out").exists()
