"""Fitted atoms: what is a superposition of atoms is found again, whatever the cell; electrons, signs, spins."""

import itertools

import numpy as np
import pytest
import torch
from edframe_gaussian.fitted import AtomsFeaturizer
from edframe_gaussian.plugin import AtomsConfig
from edframe_gaussian.superposition import CUTOFF, fit_atoms, integrals, splines
from pymatgen.core import Lattice, Structure
from scipy.integrate import quad

from edframe.data.conversion import as_label
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Contents
from edframe.sample import Sample

WIDTHS, ELECTRONS = {"Li": 0.6, "O": 0.45}, {"Li": 1.0, "O": 6.0}
CELLS = {
    3: {
        "cubic": np.diag([5.4, 5.4, 5.4]),
        "triclinic": np.array([[5.0, 0.3, -0.4], [1.9, 4.7, 0.3], [-1.2, 0.8, 5.4]]),
    },
    2: {"square": np.diag([5.4, 5.4]), "oblique": np.array([[5.0, 0.3], [1.9, 4.7]])},
}


def gaussian(symbol, r, dimension):
    width = WIDTHS[symbol]
    return ELECTRONS[symbol] * np.exp(-(r**2) / (2 * width**2)) / (2 * np.pi * width**2) ** (dimension / 2)


def superposed(cell, species, seed, periodic=True, spins=1, unlike=0.0, points=24):
    """A sample of Gaussian atoms summed over images, each axis open or periodic; ``unlike``: e moved along a wave."""
    dimension = len(cell)
    grid = Grid.of(cell, points, periodic)
    rng = np.random.default_rng(seed)
    fractions = rng.uniform(0.3, 0.7, (len(species), 3))
    shifts = np.stack(np.meshgrid(*[range(-1, 2) if periodic else (0,)] * dimension, indexing="ij"), -1).reshape(
        -1, dimension
    )
    density = np.zeros(grid.shape)
    for symbol, place in zip(species, fractions[:, :dimension], strict=True):
        for shift in shifts:
            r = np.linalg.norm((grid.fractions() - place - shift) @ grid.vectors, axis=-1)
            density += gaussian(symbol, r, dimension)
    box = np.eye(3) * 9
    box[:dimension, :dimension] = cell
    structure = Structure(Lattice(box), species, fractions)
    electrons = sum(ELECTRONS[symbol] for symbol in species)
    if unlike:
        density *= 1 + unlike * np.cos(2 * np.pi * grid.fractions()[..., 0])
        density *= electrons / (density.sum() * grid.voxel_volume)
    fields = np.stack([density, 0.2 * density][:spins])
    return as_label(Sample(f"made-{seed}", structure, grid, fields, electrons))


def fitted(samples, spins=1, dimension=3, widths=()):
    featurizer = AtomsFeaturizer(AtomsConfig(widths=widths), Contents(("Li", "O"), 3, spins, dimension))
    numbers = featurizer.fit(samples)
    return featurizer, numbers


@pytest.mark.parametrize("dimension", [2, 3])
def test_integrals_are_those_of_quadrature(dimension):
    solid = {2: lambda r: 2 * np.pi * r, 3: lambda r: 4 * np.pi * r**2}[dimension]
    for index in (0, 1, 7, len(integrals(3)) - 1):
        ends = np.linspace(0, CUTOFF, 60)
        pieces = [
            quad(lambda r: solid(r) * splines(np.array([r])).toarray()[0, index], a, b)[0]  # noqa: B023
            for a, b in itertools.pairwise(ends)
        ]
        assert sum(pieces) == pytest.approx(integrals(dimension)[index], rel=1e-6)


def test_splines_are_flat_at_both_ends_and_never_negative():
    r = np.linspace(0, CUTOFF, 4001)
    values = splines(r).toarray()
    assert values.min() >= 0
    step = r[1]
    assert np.abs(values[1] - values[0]).max() < 10 * (step / 0.04) ** 2  # no slope: the change is of second order
    assert np.abs(values[-3:]).max() < 1e-6
    assert splines(np.array([CUTOFF + 1])).nnz == 0 or splines(np.array([CUTOFF + 1])).toarray().max() == 0


@pytest.mark.parametrize("periodic", [True, False], ids=["periodic", "open"])
@pytest.mark.parametrize(("dimension", "cell"), [(d, c) for d, cells in CELLS.items() for c in cells])
def test_a_superposition_of_atoms_is_found_again(dimension, cell, periodic):
    samples = [
        superposed(CELLS[dimension][cell], ("Li", "O", "Li")[: 2 + seed % 2], seed, periodic) for seed in range(6)
    ]
    fit = fit_atoms(samples, ("Li", "O"))
    r = np.linspace(0.1, 2.5, 30)
    for index, symbol in enumerate(("Li", "O")):
        expected = gaussian(symbol, r, dimension)
        np.testing.assert_allclose(fit.profile(r)[index], expected, atol=5e-3 * gaussian(symbol, 0, dimension))
    assert fit.charges == pytest.approx([1, 6], abs=0.03)
    assert fit.error < 0.5


@pytest.mark.parametrize("periodic", [True, False], ids=["periodic", "open"])
@pytest.mark.parametrize(("dimension", "cell"), [(2, "oblique"), (3, "triclinic")])
def test_the_baseline_is_the_density_where_this_is_a_superposition(dimension, cell, periodic):
    samples = [superposed(CELLS[dimension][cell], ("Li", "O", "Li"), seed, periodic) for seed in range(5)]
    featurizer, _ = fitted(samples[:4], dimension=dimension)
    features = featurizer([samples[4].structure], samples[4].grid, "cpu")
    baseline, reference = features.baseline[0, 0].double().numpy(), samples[4].density[0]
    assert np.abs(baseline - reference).sum() / reference.sum() < 0.01
    assert baseline.min() >= 0
    assert baseline.sum() * samples[4].grid.voxel_volume == pytest.approx(8, rel=1e-6)


def test_atoms_share_the_electrons_as_the_density_has_them_and_hold_them_all():
    """Of one composition any share adds up; the nearest to the density is taken."""
    samples = [superposed(CELLS[3]["cubic"], ("Li", "O"), seed, unlike=0.3) for seed in range(5)]
    fit = fit_atoms(samples, ("Li", "O"))
    assert fit.charges.sum() == pytest.approx(7, rel=1e-9)
    assert fit.coefficients.min() >= 0
    assert fit.error > 3


def test_a_magnetisation_is_left_to_the_model():
    samples = [superposed(CELLS[3]["cubic"], ("Li", "O"), seed, spins=2) for seed in range(3)]
    featurizer, _ = fitted(samples, spins=2)
    baseline = featurizer([samples[0].structure], samples[0].grid, "cpu").baseline
    assert baseline.shape[1] == 2
    assert not baseline[:, 1].any()


def test_points_and_their_order_make_no_difference_beyond_noise():
    """Fitted to one half of the samples or the other, the atoms predict a third sample alike."""
    samples = [superposed(CELLS[3]["cubic"], ("Li", "O"), seed, unlike=0.2) for seed in range(9)]
    baselines = []
    for part in (samples[:4], samples[4:8]):
        featurizer, _ = fitted(part)
        baselines.append(featurizer([samples[8].structure], samples[8].grid, "cpu").baseline[0, 0])
    error = (baselines[0] - torch.from_numpy(samples[8].density[0])).abs().sum()
    assert (baselines[0] - baselines[1]).abs().sum() < 0.25 * error


def test_points_outside_of_any_grid_have_the_atoms_density():
    samples = [superposed(CELLS[3]["triclinic"], ("Li", "O"), seed) for seed in range(4)]
    featurizer, _ = fitted(samples, widths=(0.5,))
    structure, grid = samples[0].structure, samples[0].grid
    points = torch.rand(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    at_points = featurizer.at(structure, grid, points, "cpu")
    expected = np.zeros(50)
    for shift in np.stack(np.meshgrid(*[range(-2, 3)] * 3, indexing="ij"), -1).reshape(-1, 3):
        for site in structure:
            r = np.linalg.norm((points.numpy() - site.frac_coords - shift) @ grid.vectors, axis=-1)
            expected += gaussian(site.specie.symbol, r, 3)
    np.testing.assert_allclose(at_points.baseline[0, 0], expected, atol=0.01 * expected.max())


def test_a_species_that_few_samples_have_is_found(monkeypatch):
    samples = [superposed(CELLS[2]["square"], ("Li", "O" if seed == 3 else "Li"), seed) for seed in range(6)]
    monkeypatch.setattr("edframe_gaussian.superposition.SAMPLES", 2)  # the first and the last
    fit = fit_atoms(samples, ("Li", "O"))
    r = np.linspace(0.1, 2, 20)
    expected = gaussian("O", r, 2)
    np.testing.assert_allclose(fit.profile(r)[1], expected, atol=0.01 * gaussian("O", 0, 2))


def test_what_cannot_be_fitted_or_pictured_is_refused():
    samples = [superposed(CELLS[3]["cubic"], ("Li", "Li"), seed) for seed in range(2)]
    featurizer = AtomsFeaturizer(AtomsConfig(), Contents(("Li", "O"), 3))
    with pytest.raises(DataError, match="not fitted yet"):
        featurizer([samples[0].structure], samples[0].grid, "cpu")
    with pytest.raises(DataError, match="no training sample has O, so"):
        featurizer.fit(samples)
    featurizer.fit([superposed(CELLS[3]["cubic"], ("Li", "O"), seed) for seed in range(2)])
    with pytest.raises(DataError, match="fitted in 3 dimensions, the grid has 2"):
        featurizer([samples[0].structure], Grid.of([5.4, 5.4], 8), "cpu")
    other = AtomsFeaturizer(AtomsConfig(), Contents(("Li",), 3))
    with pytest.raises(DataError, match="holds 2 atoms, the data have 1 species"):
        other.restore(featurizer.state())
