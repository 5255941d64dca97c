"""Runs from Python are those of the command line; densities at hand are trained on through a store."""

from __future__ import annotations

import numpy as np
import pytest

import edframe
from edframe.runs.directory import Run
from edframe.runs.events import Evaluated

TINY = {
    "data.grid": 12, "data.samples": 16, "featurizer.name": "sad", "splits.validation": 2, "model.widths": [4],
    "model.blocks": [0],
    "training.steps": 4, "training.evaluate_every": 2, "training.checkpoint_every": 2, "device": "cpu",
}  # fmt: skip


@pytest.fixture
def cached(environment, monkeypatch):
    monkeypatch.setenv("EDFRAME_CACHE", environment["EDFRAME_CACHE"])
    monkeypatch.setattr("edframe.runs.execute.write_report", lambda path: path)


def test_a_run_from_python_has_tables_and_a_model(cached, tmp_path):
    done = edframe.run(loss="l1", settings=TINY, folder=tmp_path)
    assert Run.open(done.path).provenance()["status"] == "finished"
    assert list(done.metrics.index) == [
        event.id for event in Run.open(done.path).events() if isinstance(event, Evaluated)
    ]
    assert done.summary.loc["nmae", "mean"] == pytest.approx(done.metrics["nmae"].mean(), rel=1e-12)
    assert done.load().contents.species == ("Li", "O")


def test_densities_at_hand_are_trained_on(cached, tmp_path):
    dataset = edframe.run(loss="l1", settings=TINY, folder=tmp_path / "first").load()
    from pymatgen.core.structure import Molecule

    rng = np.random.default_rng(0)
    made = [
        dataset(
            Molecule(["Li", "O", "Li"], [[-1.6, 0.1 * k, 0], [0, 0, 0], [1.6 + 0.02 * k, 0, rng.normal() / 10]]),
            grid=(12,) * 3,
        )
        for k in range(12)
    ]
    for density in made:
        assert density.electrons == pytest.approx(12, rel=1e-6)
    options = {key: value for key, value in TINY.items() if not key.startswith("data.")}
    done = edframe.fit(made, settings=options, loss="l1", folder=tmp_path / "runs")
    assert len(done.metrics) == 3
    assert Run.open(done.path).config()["data"]["name"] == "store"
