"""The featurizers on made-up densities that they can represent, and on others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from edframe_local import subgrid
from edframe_local.base import base_features
from edframe_local.basis import Basis
from edframe_local.drawing import draw, drawn_from
from edframe_local.electrons import with_electrons
from edframe_local.evaluation import Contracted
from edframe_local.linear import fit, tabulated
from edframe_local.local import LocalFeaturizer
from edframe_local.local_network import LocalNetworkFeaturizer
from edframe_local.neighbours import Images, surroundings
from edframe_local.plugin import LocalConfig, LocalNetworkConfig
from pymatgen.core import Lattice, Structure
from scipy.stats import special_ortho_group
from sklearn.linear_model import Ridge

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Contents
from edframe.metrics.standard import nmae
from edframe.sample import Sample
from edframe.testing import component, examples

SMALL = {
    "base": "sad",
    "cutoff": 3.0,
    "pairs": 8,
    "radial": 4,
    "angular": 2,
    "triples": 40,
    "products": 20,
    "points": 4000,
}
NETWORK = {**SMALL, "steps": 300, "width": 16, "inputs": 20, "table": 4000, "batch": 256, "rate": 0.02}
BASIS = Basis(species=2, dimension=3, cutoff=3.0, pairs=6, radial=3, angular=2, triples=30, products=15)
SPIN = Contents(("Li", "O"), max_atoms=3, spins=2)


def drawn(count=500):
    rng = np.random.default_rng(0)
    draws = []
    for sample in examples.labelled():
        base = np.abs(rng.normal(0.2, 0.1, (1, *sample.grid.shape)))
        draws.append(draw(sample, base, ("Li", "O"), BASIS.cutoff, count, seed=1))
    return draws


def test_coefficients_are_those_of_scikit_learn() -> None:
    draws = drawn()
    result = fit(BASIS, draws, "relative", 2, "cpu")
    functions = torch.cat([tabulated(BASIS, one, "cpu") for one in draws]).double().numpy()
    base, target, volume = (np.concatenate([getattr(one, n) for one in draws]) for n in ("base", "target", "volume"))
    weight = volume / (base[:, 0] + 1e-3)
    scale = 1 / np.sqrt((weight[:, None] * functions**2).sum(0))
    ridge = Ridge(alpha=result.numbers["regularisation"], fit_intercept=False, solver="cholesky")
    ridge.fit(functions * scale, target - base, sample_weight=weight)
    expected = functions @ (ridge.coef_.reshape(-1) * scale)
    np.testing.assert_allclose(functions @ result.coefficients.numpy()[:, 0], expected, atol=1e-6 * abs(expected).max())


def test_absolute_errors_become_smaller_by_reweighting() -> None:
    draws = drawn()
    errors = {}
    for weight in ("relative", "l1"):
        result = fit(BASIS, draws, weight, 2, "cpu")
        errors[weight] = result.numbers["∫|error|, e per training sample"]
        by_hand = [
            (np.abs((tabulated(BASIS, d, "cpu").double() @ result.coefficients).numpy() - d.target + d.base)
             * d.volume[:, None]).sum()
            for d in draws
        ]  # fmt: skip
        assert errors[weight] == pytest.approx(np.mean(by_hand), rel=1e-6)
    assert errors["l1"] < errors["relative"]


def test_volumes_of_drawn_points_add_up_to_the_cell_and_all_points_are_drawn_when_asked_for() -> None:
    sample = examples.labelled()[0]
    base = np.abs(np.random.default_rng(0).normal(0.2, 0.1, (1, *sample.grid.shape)))
    some = draw(sample, base, ("Li", "O"), 3.0, 600, seed=1)
    assert 450 < len(some.places) < 750
    assert some.volume.sum() == pytest.approx(sample.grid.volume, rel=0.15)
    every = draw(sample, base, ("Li", "O"), 3.0, 10**9, seed=1)
    np.testing.assert_allclose(every.target[:, 0] @ every.volume, sample.electrons, rtol=0.2)
    assert len(every.places) > 0.9 * (base > 0.3 * 0.95).sum()


def test_the_points_nearest_to_nuclei_are_drawn_twenty_times_as_often_as_others() -> None:
    sample = examples.labelled()[0]
    base, atoms, times = np.ones((1, *sample.grid.shape)), sample.structure.cart_coords, 300
    every = sample.grid.coordinates().reshape(-1, 3)
    nearest = every[np.linalg.norm(every - atoms[:, None], axis=-1).argmin(1)]
    near = 0
    for seed in range(times):
        places = draw(sample, base, ("Li", "O"), 3.0, 20, seed=seed).places
        near += int((np.linalg.norm(places[:, None] - nearest, axis=-1) < 1e-6).sum())
    each = 20 * 20 / (len(every) + 19 * len(atoms))
    assert 0.1 < each < 1
    expected = times * len(atoms) * each
    assert abs(near - expected) < 4 * np.sqrt(expected * (1 - each))


def test_contracted_coefficients_give_the_sum_over_the_basis() -> None:
    sample = examples.labelled()[0]
    coefficients = torch.randn(BASIS.size, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images = Images.of(sample.structure, sample.grid, ("Li", "O"), BASIS.cutoff)
    places = sample.grid.coordinates().reshape(-1, 3)[::7]
    contracted = Contracted.of(BASIS, coefficients)
    for around in surroundings(places, images, together=4, entries=500):
        real = torch.as_tensor(around.points.reshape(-1) >= 0)
        sums = contracted(*BASIS.sums(around))[real]
        _, functions = BASIS(around)
        parts = zip(functions.double().split(BASIS.sizes, 1), coefficients.split(BASIS.sizes), strict=True)
        expected = torch.stack([f @ c for f, c in parts], 1)
        torch.testing.assert_close(sums.double(), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("count", "side", "size", "groups"),
    [
        (1000, 2.5, 64, 16),  # a grid of 0.28 Å: all groups full but one
        (1000, 20.0, 1, 1000),  # atoms of a group of two would be listed in vain
        (1, 1.0, 8, 1),
    ],
)
def test_points_are_in_full_groups_of_neighbours(count: int, side: float, size: int, groups: int) -> None:
    n = round(count ** (1 / 3))
    points = np.stack(np.meshgrid(*[np.arange(n) * side / 9] * 3, indexing="ij"), -1).reshape(-1, 3)
    images = Images((np.zeros((1, 3)),), 60.0)
    (around, *rest) = surroundings(points, images, together=64 if size > 8 or n > 1 else 8, entries=10**9)
    assert not rest
    assert around.points.shape == (groups, size)
    assert sorted(around.points[around.points >= 0]) == list(range(count))
    extents = [np.ptp(points[group[group >= 0]], axis=0).max() for group in around.points]
    assert max(extents) < 1.5
    (vectors,) = around.vectors
    for group, row in zip(around.points, vectors[:, :, 0], strict=True):
        np.testing.assert_allclose(row[group >= 0], -points[group[group >= 0]], atol=1e-5)


@pytest.fixture(scope="module")
def fitted() -> dict[str, LocalFeaturizer]:
    by_name: dict[str, LocalFeaturizer] = {
        "local": LocalFeaturizer(LocalConfig(**SMALL), examples.CONTENTS),
        "local-network": LocalNetworkFeaturizer(LocalNetworkConfig(**NETWORK), examples.CONTENTS),
    }
    for featurizer in by_name.values():
        featurizer.fit(examples.labelled(8))
    return by_name


def error(featurizer, samples) -> float:
    errors = []
    for sample in samples:
        baseline = featurizer([sample.structure], sample.grid, "cpu").baseline
        density = with_electrons(baseline, torch.tensor([sample.electrons]), sample.grid.voxel_volume)
        errors.append(float(nmae(density, torch.from_numpy(sample.density)[None])))
    return float(np.mean(errors))


def test_others_of_the_same_kind_are_better_than_the_base_and_the_network_mends_the_linear_answer(fitted) -> None:
    others = examples.labelled(4, seed=5)
    base, local, network = (error(f, others) for f in (fitted["local"].base, *fitted.values()))
    assert local < 0.2 * base
    assert network < 0.9 * local


@pytest.mark.parametrize("name", ["local", "local-network"])
def test_density_does_not_change_when_everything_is_turned(fitted, name) -> None:
    sample = examples.labelled(1, seed=7)[0]
    turn = np.diag([1.0, -1.0, 1.0]) @ special_ortho_group.rvs(3, random_state=2)
    cell = sample.grid.vectors @ turn
    turned = Structure(Lattice(cell), sample.structure.species, sample.structure.frac_coords)
    still = fitted[name]([sample.structure], sample.grid, "cpu").baseline
    rotated = fitted[name]([turned], Grid.of(cell, sample.grid.shape), "cpu").baseline
    assert float((rotated - still).abs().max()) <= 1e-6 * float(still.max()) + 2e-6


@pytest.mark.parametrize("name", ["local", "local-network"])
def test_baseline_is_that_of_the_base_and_the_channels(fitted, name) -> None:
    featurizer, sample = fitted[name], examples.labelled(1, seed=7)[0]
    features = featurizer([sample.structure], sample.grid, "cpu")
    base = base_features(featurizer.base, [sample.structure], sample.grid, "cpu")
    count = base.channels.shape[1]
    torch.testing.assert_close(features.channels[:, :count], base.channels)
    total = (base.baseline + features.channels[:, count:].sum(1, keepdim=True)).clamp_min(0)
    torch.testing.assert_close(features.baseline, total)


def test_points_have_the_baseline_of_the_grid_without_one(fitted) -> None:
    """Each drawn point is one of the grid, and has its density and, to the spline's accuracy, its baseline."""
    featurizer, sample = fitted["local"], examples.labelled(1, seed=7)[0]
    some = drawn_from(featurizer.base, sample, ("Li", "O"), 3.0, 400, seed=3)
    whole = base_features(featurizer.base, [sample.structure], sample.grid, "cpu").baseline[0, 0].numpy()
    index = np.rint(some.places @ np.linalg.inv(sample.grid.voxel)).astype(int)
    np.testing.assert_array_equal(some.target[:, 0], sample.density[0][tuple(index.T)])
    np.testing.assert_allclose(some.base[:, 0], whole[tuple(index.T)], rtol=0, atol=1e-4 * whole.max())


def test_magnetisation_is_learnt_by_the_same_expansion() -> None:
    samples = examples.labelled(8, spins=2)  # it is 0.3 of the density
    featurizer = LocalFeaturizer(LocalConfig(**SMALL), SPIN)
    featurizer.fit(samples)
    other = examples.labelled(1, spins=2, seed=5)[0]
    total, magnetisation = featurizer([other.structure], other.grid, "cpu").baseline[0]
    reference = torch.from_numpy(other.density)
    assert (magnetisation - reference[1]).abs().sum() < 0.1 * reference[1].sum()
    assert (total - reference[0]).abs().sum() < 0.15 * reference[0].sum()
    assert featurizer.channels[-2:] == ["more bodies", "more bodies of the magnetisation"]


@pytest.mark.parametrize("name", ["l2", "l1"])
def test_coefficients_go_on_by_the_gradient_of_a_loss(name) -> None:
    samples = examples.labelled(4)
    values = []
    for steps in (1, 60):
        config = LocalConfig(**{**SMALL, "weight": "relative"}, loss=(name,), loss_steps=steps)
        loss = component("loss", name).make()
        featurizer = LocalFeaturizer(config, examples.CONTENTS, {name: loss})
        featurizer.fit(samples)
        total = 0.0
        for s in samples:
            baseline = featurizer([s.structure], s.grid, "cpu").baseline
            density = with_electrons(baseline, torch.tensor([s.electrons]), s.grid.voxel_volume)
            total += float(loss(density, torch.from_numpy(s.density)[None], s.grid))
        values.append(total)
    assert values[1] < 0.97 * values[0]


def test_network_goes_on_by_the_gradient_of_a_loss_on_whole_grids() -> None:
    config = LocalNetworkConfig(**{**NETWORK, "steps": 20}, loss=("l1",), loss_steps=24)
    parts = {"l1": component("loss", "l1").make()}
    numbers = LocalNetworkFeaturizer(config, examples.CONTENTS, parts).fit(examples.labelled(4))
    first, last = (value for name, value in numbers.items() if name.startswith("loss ("))
    assert last < first


def test_gradient_on_a_whole_grid_is_that_of_finite_differences() -> None:
    featurizer = LocalFeaturizer(LocalConfig(**SMALL), examples.CONTENTS)
    sample = examples.labelled(1)[0]
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(sample.grid.shape, generator=generator)
    base = featurizer.base([sample.structure], sample.grid, "cpu").baseline[0]

    def value(coefficients: torch.Tensor) -> torch.Tensor:
        featurizer.coefficients = coefficients
        return (featurizer.corrected(sample.structure, sample.grid, base).sum(0) * weights).double().sum()

    start = torch.randn(featurizer.basis.size, 1, dtype=torch.float64, generator=generator, requires_grad=True)
    value(start).backward()
    for place in (0, 20, 60):
        step = torch.zeros_like(start)
        step[place] = 1.0  # the density is linear in them, so any step will do
        with torch.no_grad():
            expected = value(start + step) - value(start)
        assert float(start.grad[place]) == pytest.approx(float(expected), rel=1e-3, abs=1e-3)


def test_network_starts_from_the_linear_answer() -> None:
    featurizer = LocalNetworkFeaturizer(LocalNetworkConfig(**NETWORK), examples.CONTENTS)
    assert not featurizer.network.last.weight.any()
    assert not featurizer.network.last.bias.any()


def test_interpolation_of_a_smooth_field_and_points_near_atoms() -> None:
    grid = Grid.of([[4.0, 0.1, 0.0], [0.0, 4.2, 0.3], [0.2, 0.0, 3.9]], (32, 30, 28))
    assert subgrid.halved(grid)
    assert not subgrid.halved(Grid.of(grid.vectors, (32, 31, 28)))
    assert not subgrid.halved(Grid.of(grid.vectors, grid.shape, periodic=[True, True, False]))
    assert not subgrid.halved(Grid.of(4 * grid.vectors, grid.shape))
    phase = 2 * np.pi * grid.fractions()
    field = torch.from_numpy(np.cos(phase[..., 0] + phase[..., 1]) + np.sin(2 * phase[..., 2]))
    fine = subgrid.interpolated(field[::2, ::2, ::2], 3)
    torch.testing.assert_close(fine, field, rtol=0, atol=3e-3)
    atoms = np.array([[0.02, 0.98, 0.5], [0.4, 0.3, -0.6]])
    which = subgrid.chosen(atoms, grid)
    assert len(which.second) + len(which.near) + which.rest == grid.points
    steps = np.stack(np.meshgrid(*[[-2, -1, 0, 1, 2]] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    away = grid.fractions().reshape(-1, 1, 1, 3) - atoms[:, None] - steps.reshape(1, 1, -1, 3)
    distances = np.linalg.norm(away @ grid.vectors, axis=-1).min((1, 2))
    within = np.flatnonzero(distances <= subgrid.NEAR * grid.spacing.max())
    assert set(within) == (set(within) & set(which.second)) | set(which.near)
    assert not set(which.probes) & (set(within) | set(which.second))


def test_points_are_left_out_only_where_the_correction_is_smooth(monkeypatch) -> None:
    grid = examples.box((40, 40, 40), spacing=0.15)
    structure = examples.molecules(grid)[0]
    for pairs, smooth in ((3, True), (60, False)):
        config = LocalConfig(base="sad", cutoff=5.5, pairs=pairs, radial=1, angular=0, triples=1, products=0)
        featurizer = LocalFeaturizer(config, examples.CONTENTS)
        featurizer.coefficients = torch.zeros(featurizer.basis.size, 1, dtype=torch.float64)
        featurizer.coefficients[pairs - 1] = featurizer.coefficients[2 * pairs - 1] = 0.02
        base = featurizer.base([structure], grid, "cpu").baseline[0]
        with torch.no_grad():
            short = featurizer.corrected(structure, grid, base)
            with monkeypatch.context() as patch:
                patch.setattr(subgrid, "halved", lambda grid: False)
                whole = featurizer.corrected(structure, grid, base)
        error = float((short - whole).abs().sum()) / float(base.sum())
        assert 0 < error < 1.5 * LocalConfig().interpolation if smooth else error == 0


def test_electrons_are_right_and_cores_are_spared() -> None:
    density = torch.full((2, 2, 4, 4, 4), 0.05)
    density[:, 0, 0, 0, 0] = 100.0
    density[:, 0, 1, 1, 1] = -0.3
    density[:, 1] = -0.2
    wanted = density[:, 0].clamp_min(0).flatten(1).sum(1).double() * 0.1 * torch.tensor([1.02, 0.98])
    scaled = with_electrons(density, wanted, 0.1)
    torch.testing.assert_close(scaled[:, 0].double().flatten(1).sum(1) * 0.1, wanted, rtol=1e-6, atol=0)
    assert scaled[:, 0].min() >= 0
    assert (scaled[:, 0, 0, 0, 0] - 100).abs().max() < 1  # of the 2 e missing at most 3 times what a bond takes
    assert (scaled[:, 1].abs() <= scaled[:, 0]).all()
    assert (scaled[:, 0, 1, 1, 1] == 0).all()


def test_what_cannot_be_fitted_or_restored_is_refused() -> None:
    featurizer = LocalFeaturizer(LocalConfig(**SMALL), examples.CONTENTS)
    sample = examples.labelled(1)[0]
    with pytest.raises(DataError, match="no coefficients yet"):
        featurizer([sample.structure], sample.grid, "cpu")
    with pytest.raises(DataError, match="there are none"):
        featurizer.fit([])
    with pytest.raises(DataError, match="other options or data"):
        featurizer.restore({"coefficients": torch.zeros(3, 1)})
    with pytest.raises(DataError, match="gaussian gives none"):
        LocalFeaturizer(LocalConfig(base="gaussian"), examples.CONTENTS)


def test_density_in_a_plane_is_learnt_too() -> None:
    contents = Contents(("Li", "O"), max_atoms=3, dimension=2)
    samples = []
    for whole in examples.labelled(8):
        grid = Grid.of(whole.grid.vectors[:2, :2], whole.grid.shape[:2])
        density = whole.density.sum(-1) * whole.grid.voxel[2, 2]
        samples.append(Sample(whole.id, whole.structure, grid, density, whole.electrons))
    featurizer = LocalFeaturizer(LocalConfig(**SMALL), contents)
    featurizer.fit(samples[:6])
    assert error(featurizer, samples[6:]) < 0.3 * error(featurizer.base, samples[6:])
