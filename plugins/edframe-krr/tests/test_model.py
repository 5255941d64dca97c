"""The model against scikit-learn on the fields themselves, without Fourier coefficients, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from edframe_krr.model import KRR
from edframe_krr.plugin import KRRConfig
from pymatgen.core import Lattice, Structure
from sklearn.decomposition import PCA
from sklearn.kernel_ridge import KernelRidge

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Features
from edframe.sample import Sample

GRID = Grid.of([[4.0, 0.0, 0.0], [0.6, 4.4, 0.0], [0.0, 0.3, 5.0]], (8, 9, 10))
EVERYTHING = 100.0
"""A cutoff in 1/Å that every wave of GRID is within."""


def wave(grid: Grid, place: float) -> np.ndarray:
    """A smooth positive field with a broad maximum where ``place`` says; waves up to the second harmonic."""
    phase = 2 * np.pi * (grid.fractions() - place)
    return 3 + np.cos(phase).sum(-1) + 0.5 * np.cos(phase[..., 0] + phase[..., 1]) + 0.3 * np.sin(2 * phase[..., -1])


def made(places, grid=GRID, spins=1, baseline=None):
    """Training pairs: the density depends on the place of its maximum, the two channels too, both periodically."""
    for number, place in enumerate(places):
        total = wave(grid, place) + 0.4 * wave(grid, 2 * place)
        total *= 9 / (total.sum() * grid.voxel_volume)
        fields = [total, 0.5 * total * np.cos(2 * np.pi * (grid.fractions()[..., 0] - place))][:spins]
        density = np.stack(fields).astype(np.float32)
        sample = Sample(f"made-{number}", Structure(Lattice(np.eye(3)), ["Li"], [[0] * 3]), grid, density, 9.0)
        yield Features(channels([place], grid), baseline), sample


def channels(places, grid=GRID) -> torch.Tensor:
    fields = np.stack([[wave(grid, place), wave(grid, place + 0.2) ** 2] for place in places])
    return torch.from_numpy(fields).float()


def fitted(samples, spins=1, **options):
    config = KRRConfig(**{"potential_cutoff": EVERYTHING, "folds": 3, **options})
    model = KRR(config, 2, spins, 3)
    return model, model.fit(samples)


PLACES, NEW = np.linspace(0.0, 1.0, 15, endpoint=False), [0.111, 0.77]
NINE = torch.tensor([9.0, 9.0])


@pytest.mark.parametrize("components", [None, 4])
def test_predictions_are_those_of_scikit_learn_on_the_fields(components) -> None:
    model, numbers = fitted(made(PLACES), components=components, regularisations=[1e-4], widths=[0.7])
    inputs = [features.channels.double().numpy().ravel() for features, _ in made(PLACES)]
    targets = np.array([sample.density.ravel() for _, sample in made(PLACES)], dtype=float)
    reduction = PCA(components, svd_solver="full").fit(targets)
    gamma = 1 / (2 * numbers["kernel width"] ** 2) / GRID.points  # the mean over the cell, not the sum over its points
    ridge = KernelRidge(kernel="rbf", gamma=gamma, alpha=1e-4).fit(inputs, reduction.transform(targets))
    expected = reduction.inverse_transform(ridge.predict(channels(NEW).double().numpy().reshape(2, -1)))
    expected *= 9 / (expected.sum(1, keepdims=True) * GRID.voxel_volume)
    assert expected.min() > 0  # or the cut at zero would be part of the comparison
    density = model(channels(NEW), None, GRID, NINE)
    np.testing.assert_allclose(density.reshape(2, -1), expected, rtol=0, atol=2e-6 * expected.max())


def test_fit_tells_the_width_in_units_of_the_median_distance() -> None:
    _, numbers = fitted(made(PLACES), widths=[0.5, 3.0])
    inputs = np.array([features.channels.double().numpy().ravel() for features, _ in made(PLACES)])
    distances = np.sqrt(((inputs[:, None] - inputs) ** 2).sum(-1) / GRID.points)[np.triu_indices(15, 1)]
    median = np.sort(distances)[(len(distances) - 1) // 2]
    assert numbers["kernel width"] / numbers["kernel width over median distance"] == pytest.approx(median, rel=1e-5)
    assert numbers["kernel width over median distance"] in (pytest.approx(0.5), pytest.approx(3.0))


def test_a_density_between_the_training_samples_is_learnt() -> None:
    model, _ = fitted(made(PLACES))
    expected = torch.cat([torch.from_numpy(sample.density)[None] for _, sample in made(NEW)])
    error = (model(channels(NEW), None, GRID, NINE) - expected).abs().sum() / expected.sum()
    mean = torch.cat([torch.from_numpy(sample.density)[None] for _, sample in made(PLACES)]).mean(0)
    assert error < 0.01 * (mean - expected).abs().sum() / expected.sum()


@pytest.mark.parametrize("shape", [(16, 15, 12), (6, 7, 9)], ids=["finer", "coarser"])
def test_another_grid_of_the_cell_samples_the_same_density(shape) -> None:
    grid = Grid.of(GRID.cell, shape)
    model, _ = fitted(made(PLACES), regularisations=[1e-9], widths=[1.0], density_cutoff=5.0)
    density = model(channels(PLACES[4:6], grid), None, grid, NINE)
    expected = torch.cat([torch.from_numpy(sample.density)[None] for _, sample in made(PLACES[4:6], grid)])
    torch.testing.assert_close(density, expected, rtol=0, atol=1e-3 * float(expected.max()))


def test_with_a_baseline_the_difference_from_it_is_learnt() -> None:
    """A kernel that knows no new input predicts the mean of what it learnt: here of densities less their baselines."""
    baseline = torch.from_numpy(wave(GRID, 0.4)).float()[None, None]
    model, _ = fitted(made(PLACES, baseline=baseline), widths=[1e-3], regularisations=[1e-6])
    mean = torch.stack([torch.from_numpy(sample.density) for _, sample in made(PLACES)]).mean(0)
    another = torch.from_numpy(wave(GRID, 0.7)).float()[None, None]
    expected = mean - baseline + another
    expected = expected.clamp_min(0) * 9 / (expected.clamp_min(0).sum() * GRID.voxel_volume)
    torch.testing.assert_close(model(channels(NEW[:1]), another, GRID, NINE[:1]), expected, rtol=1e-4, atol=1e-4)


def test_magnetisation_is_learnt_and_bounded() -> None:
    model, _ = fitted(made(PLACES, spins=2), spins=2, regularisations=[1e-9], widths=[1.0])
    density = model(channels(PLACES[3:5]), None, GRID, NINE)
    expected = torch.cat([torch.from_numpy(sample.density)[None] for _, sample in made(PLACES[3:5], spins=2)])
    torch.testing.assert_close(density, expected, rtol=0, atol=1e-3 * float(expected.max()))
    few = model(channels(NEW), None, GRID, NINE / 1000)
    assert (few[:, 1].abs() <= few[:, 0]).all()
    assert (few[:, 1].abs() == few[:, 0]).any()  # without the bound, the magnetisation of all electrons


def test_more_components_than_the_samples_span_are_left_out() -> None:
    some, _ = fitted(made(PLACES), components=500, widths=[1.0], regularisations=[1e-6])
    every, _ = fitted(made(PLACES), widths=[1.0], regularisations=[1e-6])
    assert len(some.components) < len(PLACES)
    torch.testing.assert_close(
        some(channels(NEW), None, GRID, NINE), every(channels(NEW), None, GRID, NINE), rtol=0, atol=1e-5
    )


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match="fit it first"):
        KRR(KRRConfig(), 2, 1, 3)(channels(NEW), None, GRID, NINE)
    with pytest.raises(DataError, match="at least two training samples, not 1"):
        fitted(made(PLACES[:1]))
    longer = Grid.of(GRID.vectors * 1.01, GRID.shape)
    with pytest.raises(DataError, match=r"made-0 has another grid than the samples before it \(8 × 9 × 10 points in"):
        fitted([*made(PLACES), *made(NEW, longer)])
    model, _ = fitted(made(PLACES))
    with pytest.raises(DataError, match=r"fitted in the cell 4 0 0; 0\.6 4\.4 0; 0 0\.3 5 Å and cannot predict in 4"):
        model(channels(NEW, longer), None, longer, NINE)
