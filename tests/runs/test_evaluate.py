"""A finished run's numbers, recomputed from the densities it kept."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors import safe_open

from edframe.grid import Grid
from edframe.runs.directory import Run
from edframe.runs.events import Evaluated, Progress, Results, Unconverged

ROLES = ("worst", "median", "best")


@pytest.fixture(scope="module")
def events(finished):
    return Run(finished).events()


@pytest.fixture(scope="module")
def samples(events):
    return {event.id: event.metrics for event in events if isinstance(event, Evaluated)}


@pytest.fixture(scope="module")
def summary(events):
    (event,) = [event for event in events if isinstance(event, Results)]
    return event


def prediction(finished, role):
    with safe_open(finished / "predictions" / f"{role}.safetensors", framework="numpy") as file:
        return {name: file.get_tensor(name).astype(float) for name in file.keys()}, file.metadata()  # noqa: SIM118


@pytest.mark.parametrize("role", ROLES)
def test_logged_metrics_are_those_of_the_kept_densities(finished, samples, role):
    """Formulas written out in NumPy, at double precision."""
    fields, about = prediction(finished, role)
    grid = Grid.of(**json.loads(about["grid"]))
    p, r, b = (fields[name][0] for name in ("predicted", "reference", "baseline"))
    metrics = samples[about["id"]]
    assert metrics["nmae"] == pytest.approx(100 * np.abs(p - r).sum() / r.sum(), rel=1e-5)
    assert metrics["baseline_nmae"] == pytest.approx(100 * np.abs(b - r).sum() / r.sum(), rel=1e-5)
    assert metrics["rmse"] == pytest.approx(np.sqrt(((p - r) ** 2).mean()), rel=1e-5)
    low = r < 0.05
    assert metrics["low_density_nmae"] == pytest.approx(100 * np.abs(p - r)[low].sum() / r[low].sum(), rel=1e-5)
    assert metrics["electron_count_error"] == pytest.approx(abs(p.sum() * grid.voxel_volume - 12), abs=1e-9)
    # The largest gap between the atoms, along each axis, is at the faces of the cell. Each point counts at its image
    # nearest to the middle of the atoms; the densities do not vanish at a face, so the cut matters.
    atoms = np.array(json.loads(about["positions"])) @ np.linalg.inv(grid.vectors)
    middle = (atoms.min(0) + atoms.max(0)) / 2
    fractions = (grid.fractions() - middle + 0.5).round(12) % 1 - 0.5
    dipole = np.einsum("xyz,xyzd->d", p - r, fractions @ grid.vectors) * grid.voxel_volume
    assert metrics["dipole_error"] == pytest.approx(np.linalg.norm(dipole), rel=1e-5)
    atoms = np.array(json.loads(about["positions"]))
    apart = np.abs(grid.fractions()[..., None, :] - atoms @ np.linalg.inv(grid.vectors)) % 1  # of a box, axis by axis
    distances = np.linalg.norm(np.minimum(apart, 1 - apart) @ grid.vectors, axis=-1)
    owned = distances < distances.min(-1, keepdims=True) + 1e-6
    moved = np.einsum("xyz,xyza->a", (p - r) / owned.sum(-1), owned) * grid.voxel_volume
    assert metrics["basin_error"] == pytest.approx(np.abs(moved).mean(), rel=1e-5)
    # A box of three equal sides, in waves of its own.
    counts = np.stack(np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in grid.shape), indexing="ij"))
    squared = (counts**2).sum(0) * (2 * np.pi / grid.vectors[0, 0]) ** 2
    power = abs(np.fft.fftn(p - r) * grid.voxel_volume) ** 2 * 4 * np.pi * 14.399645 / (2 * grid.volume * 12)
    for name, within in (("coulomb_error", squared > 0), ("low_g_error", (squared > 0) & (squared < 1))):
        assert metrics[name] == pytest.approx((power[within] / squared[within]).sum(), rel=1e-5)
    assert float(about["nmae"]) == metrics["nmae"]


@pytest.mark.parametrize("role", ROLES)
def test_trained_loss_is_a_metric_too(finished, samples, role):
    """l2 is ∫(ρ̂ − ρ)² over the electrons."""
    fields, about = prediction(finished, role)
    squared = ((fields["predicted"] - fields["reference"]) ** 2).sum()
    assert samples[about["id"]]["l2"] == pytest.approx(squared / fields["reference"].sum(), rel=1e-4)


def test_kept_predictions_are_the_worst_the_median_and_the_best(finished, samples):
    errors = sorted(sample["nmae"] for sample in samples.values())
    kept = [float(prediction(finished, role)[1]["nmae"]) for role in ROLES]
    assert kept == [errors[-1], errors[len(errors) // 2], errors[0]]


def test_predictions_hold_the_electrons_and_are_nonnegative(finished, samples):
    assert max(sample["electron_count_error"] for sample in samples.values()) <= 1e-6 * 12
    for role in ROLES:
        assert prediction(finished, role)[0]["predicted"].min() >= 0


def test_summary_is_over_the_test_part(samples, summary):
    assert summary.samples == len(samples) > 2
    for name, row in summary.metrics.items():
        values = np.array([sample[name] for sample in samples.values()])
        assert (row.mean, row.median, row.max) == pytest.approx((values.mean(), np.median(values), values.max()))
        assert row.low <= row.mean <= row.high


def test_every_metric_has_its_unit(summary):
    units = {name: row.unit for name, row in summary.metrics.items()}
    assert units.pop("l2")
    assert units == {
        "nmae": "%", "rmse": "e/Å³", "electron_count_error": "e", "dipole_error": "e·Å", "low_density_nmae": "%",
        "basin_error": "e", "coulomb_error": "eV/e", "low_g_error": "eV/e", "baseline_nmae": "%",
    }  # fmt: skip


def test_diagnostics_are_logged_with_each_sample_and_unconverged_solves_counted(small, tmp_path):
    import torch

    from edframe.data.loading import Loader
    from edframe.interfaces import Loss
    from edframe.runs.evaluate import evaluate

    class Solver(Loss):
        """Converges for every other sample that it is given."""

        unit = "Å²"
        count = 0

        def __call__(self, predicted, reference, grid):
            raise NotImplementedError

        def with_diagnostics(self, predicted, reference, grid, visit=None):
            assert visit is None
            self.count += 1
            return torch.tensor([1.0 * self.count]), {"unconverged": torch.tensor([self.count % 2])}

    class Baseline(torch.nn.Module):
        def forward(self, channels, baseline, grid, electrons):
            return baseline

    run, seen = Run.create(tmp_path, "name", ""), []
    losses = {"one": Solver(), "other": Solver()}
    evaluate(Baseline(), Loader(small.dataset(5), small.featurizer(), "cpu"), range(5), losses, run, seen.append)
    samples = [event for event in run.events() if isinstance(event, Evaluated)]
    assert [event.metrics["one"] for event in samples] == [1, 2, 3, 4, 5]
    assert samples[1].diagnostics == {"one.unconverged": 0, "other.unconverged": 0}
    warnings = [event for event in run.events() if isinstance(event, Unconverged)]
    assert warnings == [Unconverged("evaluation", f"{name}.unconverged", count=3, of=5) for name in losses]
    assert [event for event in seen if isinstance(event, Unconverged)] == warnings
    assert "one.unconverged" not in run.events()[-1].metrics


def test_unit_of_a_loss_follows_from_the_dimension_of_the_grid(tmp_path):
    import torch
    from pymatgen.core import Lattice, Structure

    from edframe.data.loading import Loader
    from edframe.interfaces import Contents, Dataset, Features, Featurizer, Loss
    from edframe.runs.evaluate import evaluate
    from edframe.sample import Sample

    grid = Grid.of([4.0, 4.0], (6, 6))

    class Planes(Dataset):
        ids = ("a", "b")
        contents = Contents(("He",), 1, dimension=2)

        def __getitem__(self, index):
            density = np.full((1, 6, 6), 2 / 16, dtype=np.float32)
            return Sample(self.ids[index], Structure(Lattice.cubic(4), ["He"], [[0.5, 0.5, 0.5]]), grid, density, 2.0)

        def fingerprint(self):
            return "made up"

    class Nothing(Featurizer):
        channels = ("nothing",)

        def __call__(self, structures, grid, device):
            return Features(torch.zeros(len(structures), 1, *grid.shape), None)

    class Uniform(torch.nn.Module):
        def forward(self, channels, baseline, grid, electrons):
            return torch.full_like(channels, 2 / 16)

    class Difference(Loss):
        def __init__(self, unit):
            self.unit = unit

        def __call__(self, predicted, reference, grid):
            return (predicted - reference).square().flatten(1).sum(1)

    run = Run.create(tmp_path, "planes", "")
    losses = {unit: Difference(unit) for unit in ("e/Å^d", "(e/Å^d)²", "Å²")}
    evaluate(Uniform(), Loader(Planes(), Nothing(), "cpu"), range(2), losses, run, lambda event: None)
    units = {name: metric.unit for name, metric in run.events()[-1].metrics.items()}
    assert (units["rmse"], units["e/Å^d"], units["(e/Å^d)²"], units["Å²"]) == ("e/Å²", "e/Å²", "(e/Å²)²", "Å²")


def test_interval_counts_a_group_as_one_draw(small, tmp_path):
    """Two groups of equal values: with every sample its own draw the interval is narrower than with two draws."""
    import torch

    from edframe.data.loading import Loader
    from edframe.runs.evaluate import evaluate

    class Grouped(small.dataset):
        labels = range(12)

        @property
        def groups(self):
            return self.labels

    class Baseline(torch.nn.Module):
        def forward(self, channels, baseline, grid, electrons):
            return baseline

    widths = []
    for labels in (range(12), [i % 3 for i in range(12)]):
        dataset = Grouped(12)
        dataset.labels = labels
        # Samples of one group are copies of each other, as mirror images are for an exact model.
        dataset.centres = np.stack([dataset.centres[i % 3] for i in range(12)])
        run = Run.create(tmp_path, "name", "")
        evaluate(Baseline(), Loader(dataset, small.featurizer(), "cpu"), range(12), {}, run, lambda event: None)
        row = run.events()[-1].metrics["nmae"]
        widths.append(row.high - row.low)
    assert 0 < widths[0] < 0.8 * widths[1]


class Baseline:
    """A model that takes the baseline as it is."""

    def __new__(cls):
        import torch

        class Module(torch.nn.Module):
            def forward(self, channels, baseline, grid, electrons):
                return baseline

        return Module()


@pytest.fixture
def evaluated(small, tmp_path):
    """Evaluate four samples in a run, which is named; the indices that were read, for the last and for each sample."""
    from edframe.data.loading import Loader
    from edframe.runs.evaluate import evaluate

    def call(run, show=lambda event: None):
        dataset = small.dataset(4)
        loader = Loader(dataset, small.featurizer(), "cpu", workers=0)
        try:
            evaluate(Baseline(), loader, [2, 0, 3, 1], {}, run, show)
        finally:
            call.read = list(dict.fromkeys(dataset.read))
        return run.events()

    return call


def test_evaluation_that_was_stopped_goes_on_where_it_was(evaluated, tmp_path, monkeypatch):
    monkeypatch.setattr("edframe.metrics.standard.VACUUM", 1.0)  # nan equals nothing

    def stop(event):
        if isinstance(event, Progress) and event.done == 2:
            raise KeyboardInterrupt

    whole = evaluated(Run.create(tmp_path, "whole", ""))
    run = Run.create(tmp_path, "name", "")
    with pytest.raises(KeyboardInterrupt):
        evaluated(run, stop)
    assert [event.id for event in run.events()] == ["atom-2", "atom-0"]
    assert evaluated(run) == whole
    assert evaluated.read[:2] == [3, 1]  # then those whose densities are kept


def test_dipole_of_a_crystal_is_not_a_number_and_that_of_a_molecule_is(evaluated, tmp_path, monkeypatch):
    """An atom 0.8 Å wide in a cube of 4 Å has no vacuum around it: in the mean over a plane 2 Å away there are
    2 · 2 · exp(−2²/(2 · 0.8²)) / (√(2π) · 0.8 · 4²) = 0.0055 e/Å³, of two electrons and two images."""
    crystal = evaluated(Run.create(tmp_path, "crystal", ""))
    assert np.isnan([event.metrics["dipole_error"] for event in crystal[:4]]).all()
    assert np.isnan(crystal[-1].metrics["dipole_error"].mean)
    monkeypatch.setattr("edframe.metrics.standard.VACUUM", 2 * 0.0055)  # planes are 0.67 Å apart
    molecule = evaluated(Run.create(tmp_path, "molecule", ""))
    assert np.isfinite([event.metrics["dipole_error"] for event in molecule[:4]]).all()
