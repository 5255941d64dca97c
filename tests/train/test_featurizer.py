"""Fitted featurizers: what they are fitted to, where it is kept, and that it comes back."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from edframe.errors import DataError, RunError
from edframe.interfaces import Features, FittedFeaturizer
from edframe.runs.directory import Run
from edframe.runs.events import FeaturizerFit
from edframe.train.featurizer import FITTED, Samples, fit_featurizer, restore_featurizer

TRAIN = (4, 0, 2)


@pytest.fixture
def fitting(small, tmp_path):
    class Mean(FittedFeaturizer):
        """One channel, the mean density of the samples fitted to, and a record of which these were."""

        channels = ("mean",)

        def __init__(self):
            self.seen = []

        def fit(self, samples):
            for _ in range(2):
                self.seen.append([sample.id for sample in samples])
            self.mean = torch.from_numpy(np.mean([sample.density for sample in samples], axis=0))
            return {"largest": float(self.mean.max())}

        def state(self):
            return {"mean": self.mean}

        def restore(self, state):
            if state["mean"].shape != (1, 6, 6, 6):
                raise DataError("another grid")
            self.mean = state["mean"]

        def __call__(self, structures, grid, device):
            return Features(self.mean[None].expand(len(structures), -1, -1, -1, -1), None)

    dataset, shown = small.dataset(6), []
    run = Run.create(tmp_path, "fitted", "name: fitted\n")
    fabric = Fabric(accelerator="cpu", devices=1)

    def call(featurizer):
        dataset.read.clear()
        fit_featurizer(featurizer, dataset, TRAIN, fabric=fabric, run=run, show=shown.append)
        return featurizer

    return SimpleNamespace(call=call, dataset=dataset, run=run, shown=shown, featurizer=Mean)


def test_training_samples_and_no_others_are_read(fitting):
    featurizer = fitting.call(fitting.featurizer())
    assert featurizer.seen == [[fitting.dataset.ids[i] for i in TRAIN]] * 2
    assert set(fitting.dataset.read) == set(TRAIN)


def test_what_is_found_is_logged_at_step_0_and_kept(fitting):
    fitting.call(fitting.featurizer())
    mean = np.mean([fitting.dataset[i].density for i in TRAIN], axis=0)
    (event,) = fitting.run.events()
    assert (type(event), event.step, event.samples) == (FeaturizerFit, 0, 3)
    assert event.found == {"largest": pytest.approx(mean.max())}
    tensors, _ = fitting.run.load_tensors(FITTED)
    np.testing.assert_allclose(tensors["mean"], mean, rtol=1e-6)
    fitting.run.rewind(0)  # as training does at its start
    assert fitting.run.events() == [event]


def test_a_continued_run_restores_and_does_not_fit_again(fitting):
    first, second = fitting.call(fitting.featurizer()), fitting.call(fitting.featurizer())
    assert second.seen == []
    assert fitting.dataset.read == []
    assert torch.equal(first.mean, second.mean)
    assert len(fitting.run.events()) == 1


def test_a_state_of_another_featurizer_is_refused_by_name(fitting):
    fitting.run.save_tensors(FITTED, {"mean": torch.zeros(1, 2, 2, 2)}, {})
    with pytest.raises(RunError, match=r"featurizer.safetensors does not fit the featurizer \(another grid\)"):
        restore_featurizer(fitting.featurizer(), fitting.run)
    fitting.run.save_tensors(FITTED, {"other": torch.zeros(1)}, {})
    with pytest.raises(RunError, match="because its plugin has changed"):
        restore_featurizer(fitting.featurizer(), fitting.run)


def test_a_lost_state_is_an_error(fitting):
    with pytest.raises(RunError, match=r"featurizer\.safetensors is not there"):
        restore_featurizer(fitting.featurizer(), fitting.run)


def test_other_featurizers_are_left_alone(fitting, small):
    fitting.call(small.featurizer())
    assert not (fitting.run.path / FITTED).exists()
    assert fitting.dataset.read == []


def test_samples_are_a_sequence_read_on_demand(fitting):
    samples = Samples(fitting.dataset, TRAIN)
    assert (len(samples), samples[-1].id, [s.id for s in samples[1:]]) == (3, "atom-2", ["atom-0", "atom-2"])
    assert fitting.dataset.read == [2, 0, 2]
