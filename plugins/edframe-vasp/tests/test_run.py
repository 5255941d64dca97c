"""From folders of VASP to a trained model, by the command line."""

import contextlib
import json
import sys

import pytest
import torch

from edframe.cli import main

TINY = {
    "model.widths": [4, 8],
    "model.blocks": [0, 1],
    "splits.validation": 2,
    "training.steps": 2,
    "training.batch_size": 2,
    "training.evaluate_every": 2,
}


@pytest.mark.parametrize("featurizer", ["sad", "vasp-field"])
def test_a_run_on_folders_of_vasp(calculation, tmp_path, monkeypatch, featurizer):
    for number in range(12):
        name = f"runs/run-{number:02d}"
        calculation(name, species=("O", "H"), electrons=7, seed=number)
        calculation(name, species=("O", "H"), electrons=7, seed=number, file="PARCHG")
    settings = {**TINY, "data.files": [f"{tmp_path}/runs/*"]}
    if featurizer == "vasp-field":
        settings |= {"featurizer.files": f"{tmp_path}/runs/*", "featurizer.file": "PARCHG"}
    command = ["edframe", "run", "--data", "vasp", "--featurizer", featurizer, "--loss", "l1", "--device", "cpu"]
    command += ["--runs", str(tmp_path / "out"), *(f"--set={key}={value}" for key, value in settings.items())]
    torch.set_num_threads(1)
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr("edframe.run.execute.write_report", lambda path: path)  # the slowest part, and not ours
    with contextlib.suppress(SystemExit):
        main()
    (run,) = (tmp_path / "out").iterdir()
    provenance = json.loads((run / "provenance.json").read_text())
    assert (provenance["status"], provenance["dataset"]["samples"]) == ("finished", 12)
