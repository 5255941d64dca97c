"""Models in closed form: what they are fitted to, what is kept and logged, and their way through the command line."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from edframe.data.loading import Loader
from edframe.data.splits import Split
from edframe.errors import ConfigError
from edframe.interfaces import Loss
from edframe.metrics.standard import nmae
from edframe.runs.directory import Run
from edframe.runs.events import Evaluated, Fit, Progress, Results, Timing, Validation
from edframe.train.checkpoint import BEST
from edframe.train.fit import fit

PARTS = Split(train=(4, 0, 2), validation=(1, 5), test=(3,))


class Mean(nn.Module):
    """Predicts the mean density of the training samples, whatever it is asked."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, 6, 6, 6))
        self.stop_after, self.seen = stop_after, []

    def fit(self, samples):
        for features, sample in samples:
            self.seen.append((sample.id, tuple(features.channels.shape)))
            self.mean += torch.from_numpy(sample.density) / len(PARTS.train)
            if len(self.seen) == self.stop_after:
                raise KeyboardInterrupt
        return {"largest value": float(self.mean.max())}

    def forward(self, channels, baseline, grid, electrons):
        return self.mean.expand(len(channels), -1, -1, -1, -1)


class Squared(Loss):
    """Mean squared error."""

    unit = "(e/Å³)²"

    def __call__(self, predicted, reference, grid):
        return (predicted - reference).square().mean((1, 2, 3, 4))


@pytest.fixture
def fitting(small, tmp_path):
    """Fits ``Mean`` in one run directory, again and again; ``shown`` collects what a person would see."""
    dataset, shown = small.dataset(6), []
    run = Run.create(tmp_path, "fitted", "name: fitted\n")

    def call(model):
        loader = Loader(dataset, small.featurizer(), "cpu")
        return fit(model, Squared(), loader, PARTS, run=run, header={"a": "b"}, show=shown.append)

    return SimpleNamespace(call=call, dataset=dataset, run=run, shown=shown)


def test_each_training_sample_is_given_once_and_no_other(fitting):
    model = fitting.call(Mean())
    assert model.seen == [(fitting.dataset.ids[i], (1, 2, 6, 6, 6)) for i in PARTS.train]
    progress = [event for event in fitting.shown if isinstance(event, Progress)]
    assert progress == [Progress("fitting", done, 3) for done in (1, 2, 3)]


def test_what_is_found_is_logged_with_the_error_on_the_validation_samples(fitting):
    fitting.call(Mean())
    densities = [torch.from_numpy(fitting.dataset[i].density)[None] for i in range(6)]
    mean = sum(densities[i] for i in PARTS.train) / 3
    expected = np.mean([float(nmae(mean, densities[i])) for i in PARTS.validation])
    fitted, validation, timing = fitting.run.events()
    assert (fitted.samples, fitted.found) == (3, {"largest value": pytest.approx(float(mean.max()))})
    assert (validation.step, validation.nmae) == (1, pytest.approx(expected))
    squares = [float((mean - densities[i]).square().mean()) for i in PARTS.validation]
    assert validation.loss == pytest.approx(np.mean(squares))
    assert set(timing.parts) == {"data", "fit", "validation"}
    assert sum(timing.parts.values()) == pytest.approx(validation.seconds)
    assert [event for event in fitting.shown if not isinstance(event, Progress)] == [fitted, validation, timing]
    tensors, header = fitting.run.load_tensors(BEST)
    torch.testing.assert_close(tensors["mean"], mean[0])
    assert (header["a"], header["nmae"]) == ("b", repr(validation.nmae))


def test_a_fit_that_is_stopped_leaves_nothing_and_is_repeated_whole(fitting):
    with pytest.raises(KeyboardInterrupt):
        fitting.call(Mean(stop_after=2))
    assert fitting.run.events() == []
    assert not (fitting.run.path / BEST).exists()
    for _ in range(2):  # the second time in place of the first
        fitting.call(Mean())
        assert [type(event) for event in fitting.run.events()] == [Fit, Validation, Timing]


def test_a_model_without_fit_is_refused(fitting, small):
    with pytest.raises(ConfigError, match="Tiny has no method `fit`"):
        fitting.call(small.model())


KRR = ["run", "--device", "cpu", "--model", "krr", "--featurizer", "gaussian", "--loss", "l2", "--set", "data.grid=16",
       "--set", "data.samples=16", "--set", "splits.validation=2"]  # fmt: skip


@pytest.fixture(scope="module")
def fitted(edframe, tmp_path_factory):
    """The directory of a finished run of krr, and what it printed. Not to be changed: copy it."""
    runs = tmp_path_factory.mktemp("fitted")
    result = edframe(*KRR, "--runs", runs, report=False)
    assert result.code == 0, result.err
    return SimpleNamespace(path=next(runs.iterdir()), out=result.out)


def validation_error(path):
    (event,) = (event for event in Run(path).events() if isinstance(event, Validation))
    return event.nmae


def test_run_fits_and_evaluates(fitted):
    assert Run(fitted.path).provenance()["status"] == "finished"
    kinds = [type(event) for event in Run(fitted.path).events()]
    data = Run(fitted.path).provenance()["dataset"]
    assert kinds == [Fit, Validation, Timing] + [Evaluated] * data["test"] + [Results]
    for text in (f"fitted to {data['train']} samples: kernel width ", "\nvalidation NMAE ", "seconds: data "):
        assert text in fitted.out


def test_interrupted_run_is_fitted_again_to_the_same_result(edframe, fitted, tmp_path, monkeypatch):
    from edframe_krr.model import KRR as Model

    def stopped(self, samples):
        next(iter(samples))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Model, "fit", stopped)
        result = edframe(*KRR, "--runs", tmp_path)
    (path,) = tmp_path.iterdir()
    assert (result.code, Run(path).provenance()["status"]) == (130, "interrupted")
    assert f"Stopped. Continue with: edframe run --resume {path}" in result.out
    result = edframe("run", "--resume", path, report=False)
    assert (result.code, result.err) == (0, "")
    assert Run(path).provenance()["status"] == "finished"
    assert validation_error(path) == validation_error(fitted.path)
    assert len(Run(path).events()) == len(Run(fitted.path).events())
    before, after = load_file(fitted.path / BEST), load_file(path / BEST)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_finished_run_is_not_fitted_again(edframe, fitted):
    result = edframe("run", "--resume", fitted.path)
    assert (result.code, result.out) == (
        0, f"{fitted.path} is finished; `edframe report {fitted.path}` writes its report again\n")  # fmt: skip


def test_report_says_what_was_fitted_and_has_no_learning_curve(edframe, fitted, tmp_path):
    path = tmp_path / "again"
    shutil.copytree(fitted.path, path)
    assert edframe("report", path).code == 0
    page = (path / "report.html").read_text(encoding="utf-8")
    count = Run(path).provenance()["dataset"]["train"]
    assert f"Fitted in closed form to {count} structures in " in page
    assert "; regularisation " in page
    assert "No optimiser steps" not in page
    assert {file.stem for file in (path / "figures").iterdir()} == {
        "errors", "density-worst", "density-median", "density-best"}  # fmt: skip


def test_prediction_of_a_structure_is_that_of_the_evaluation(edframe, fitted, tmp_path):
    from pymatgen.core import Lattice, Structure
    from safetensors import safe_open

    from edframe import io

    with safe_open(fitted.path / "predictions" / "best.safetensors", framework="np") as file:
        about, evaluated = file.metadata(), file.get_tensor("predicted")
    lattice = Lattice(json.loads(about["grid"])["cell"])
    positions = json.loads(about["positions"])
    structure = Structure(lattice, json.loads(about["species"]), positions, coords_are_cartesian=True)
    structure.to(str(tmp_path / "POSCAR"), fmt="poscar")
    result = edframe("predict", fitted.path, tmp_path / "POSCAR", tmp_path / "one.cube", "--electrons", "12")
    assert result.code == 0, result.err
    predicted = io.read(tmp_path / "one.cube").fields["total"]
    np.testing.assert_allclose(predicted, evaluated[0], rtol=0, atol=1e-4 * evaluated.max())


def test_another_cell_is_refused_in_one_sentence(edframe, fitted, tmp_path):
    from pymatgen.core import Lattice, Structure

    Structure(Lattice.cubic(8.0), ["Li", "O"], [[0.5] * 3, [0.7] * 3]).to(str(tmp_path / "POSCAR"), fmt="poscar")
    result = edframe("predict", fitted.path, tmp_path / "POSCAR", tmp_path / "one.cube", "--electrons", "12")
    assert result.code == 2
    assert result.err.startswith(
        "Error: krr was fitted in the cell 7.2 0 0; 0 7.2 0; 0 0 7.2 Å and cannot predict in 8"
    )
    assert not (tmp_path / "one.cube").exists()


def test_several_processes_are_refused_before_anything_is_written(edframe, tmp_path):
    arguments = [part if part != "cpu" else "2xcpu" for part in KRR]
    result = edframe(*arguments, "--runs", tmp_path / "runs")
    expected = "Error: device '2xcpu': model 'krr' is fitted in one process; use --device cpu\n"
    assert (result.code, result.err) == (2, expected)
    assert not (tmp_path / "runs").exists()
