"""From folders of VASP to a trained model, by the command line."""

import contextlib
import json
import sys

import numpy as np
import pytest
import torch
from pymatgen.core.structure import Structure
from pymatgen.io.vasp.inputs import Poscar
from pymatgen.io.vasp.outputs import Chgcar

from edframe.cli import main
from edframe.grid import Grid

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
    monkeypatch.setattr("edframe.runs.execute.write_report", lambda path: path)  # the slowest part, and not ours
    with contextlib.suppress(SystemExit):
        main()
    (run,) = (tmp_path / "out").iterdir()
    provenance = json.loads((run / "provenance.json").read_text())
    assert (provenance["status"], provenance["dataset"]["samples"]) == ("finished", 12)


@pytest.fixture
def fluoride(tmp_path):
    """Twelve CHGCARs of LiF, with Gaussians of 1 electron on Li and 7 on F, and nothing beside that tells so."""
    grid = Grid.of([4.0, 4.0, 4.0], 16)
    for number in range(12):
        places = np.random.default_rng(number).uniform([[0.1] * 3, [0.5] * 3], [[0.3] * 3, [0.8] * 3])
        density = np.zeros(grid.shape)
        for place, electrons, width in zip(places, (1, 7), (0.6, 0.4), strict=True):
            away = grid.fractions() - place
            cloud = np.exp(-(((away - np.rint(away)) @ grid.vectors) ** 2).sum(-1) / (2 * width**2))
            density += electrons * cloud / (cloud.sum() * grid.voxel_volume)
        folder = tmp_path / "fluoride" / f"run-{number:02d}"
        folder.mkdir(parents=True)
        structure = Structure(grid.vectors, ["Li", "F"], places)
        Chgcar(Poscar(structure), {"total": density * structure.volume}).write_file(str(folder / "CHGCAR"))
    return tmp_path / "fluoride"


@pytest.fixture
def edframe(monkeypatch, capsys):
    """The command line in this process: exit status, and what it printed."""
    torch.set_num_threads(1)
    monkeypatch.setattr("edframe.runs.execute.write_report", lambda path: path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["edframe", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        printed = capsys.readouterr()
        return code, " ".join((printed.out + printed.err).split())

    return call


def test_lithium_with_one_electron_is_learnt_and_predicted_with_one(fluoride, edframe, tmp_path):
    """The atoms of ``sad`` have three: with them each prediction of Li2F2 had 20 electrons instead of 16."""
    settings = [f"--set={key}={value}" for key, value in {**TINY, "data.files": f"[{fluoride}/*]"}.items()]
    command = ["run", "--data", "vasp", "--loss", "l1", "--device", "cpu", "--runs", tmp_path / "out", *settings]
    code, printed = edframe(*command)
    assert code == 0, printed
    (run,) = (tmp_path / "out").iterdir()
    summary = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()][-1]
    assert summary["metrics"]["baseline_nmae"]["mean"] < 1  # in %: these densities are superpositions

    Structure(np.diag([8.0, 4.0, 4.0]), ["Li", "Li", "F", "F"], np.random.default_rng(0).random((4, 3))).to(
        str(tmp_path / "POSCAR"), fmt="poscar"
    )
    assert "16 electrons" in edframe("predict", run, tmp_path / "POSCAR", tmp_path / "CHGCAR")[1]
    again = edframe("predict", run, tmp_path / "POSCAR", tmp_path / "CHGCAR", "--charge", "1", "--force")
    assert "15 electrons" in again[1]
    total = Chgcar.from_file(tmp_path / "CHGCAR").data["total"]
    assert total.mean() == pytest.approx(15, rel=1e-5)
    code, printed = edframe("predict", run, tmp_path / "POSCAR", tmp_path / "CHGCAR", "--charge=1", "--electrons=3")
    assert (code, "give one of the two" in printed) == (2, True)

    code, printed = edframe(*command, "--featurizer", "sad")
    assert code == 2
    assert "superposes atoms with 3 valence electrons of Li, the data have 1; use --featurizer atoms" in printed
