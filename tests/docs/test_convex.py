"""The convex comparison: optima against other solvers, Hessians against differences of the loss."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.optimize import linprog

from edframe.config.resolve import merge, validate
from edframe.contract.registry import Registry
from edframe.grid import Grid
from edframe.metrics.coulomb import coulomb_energy

ROOT = Path(__file__).parents[2]
GRID = Grid.of([[2.4, 0.0], [0.0, 2.4]], (8, 8), periodic=False)
RIDGE = 1e-9


@pytest.fixture(scope="module")
def solver(script):
    return script("convex_solver")


@pytest.fixture(scope="module")
def model(script):
    """Three samples of 64 points, five coefficients; columns without electrons."""
    random = np.random.default_rng(0)
    points = GRID.coordinates().reshape(-1, 2)
    base = np.exp(-((points[None] - random.uniform(0.8, 1.6, (3, 1, 2))) ** 2).sum(-1) / 0.5) + 0.01
    columns = base[..., None] * random.normal(size=(3, 64, 5))
    columns -= base[..., None] * (columns.sum(1, keepdims=True) / base.sum(1)[:, None, None])
    reference = base * random.uniform(0.8, 1.2, base.shape)
    reference *= (base.sum(1) / reference.sum(1))[:, None]
    return script("convex_model").Affine(GRID, base, reference, columns)


def solved(solver, model, name, term, positive=False, **options):
    return solver.minimise(model, {name: (1.0, term)}, {name: 1.0}, ridge=RIDGE, positive=positive, **options)


def sinkhorn(blur=0.3, tol=1e-9):
    component = Registry.discover().get("loss", "sinkhorn")
    return component.build(component.config(blur=blur, tol=tol), {})


def weight(model):
    return model.grid.voxel_volume / model.electrons[:, None] / len(model.base)


def test_the_optimum_of_l2_is_that_of_least_squares(solver, model) -> None:
    done = solved(solver, model, "l2", lambda smoothing: solver.Pointwise(model, None))
    root = np.broadcast_to(np.sqrt(weight(model)), model.base.shape).reshape(-1)
    expected = np.linalg.lstsq(
        root[:, None] * model.columns.reshape(-1, 5), root * (model.reference - model.base).ravel(), rcond=None
    )[0]
    np.testing.assert_allclose(done.z, expected, rtol=1e-5)
    assert done.steps == 1


def test_the_optimum_of_l1_is_that_of_a_linear_program_and_within_its_gap(solver, model) -> None:
    done = solved(solver, model, "l1", lambda smoothing: solver.Pointwise(model, smoothing), enough=1e-14)
    w = np.broadcast_to(weight(model), model.base.shape).ravel()
    g, rest = model.columns.reshape(-1, 5), (model.reference - model.base).ravel()
    one = np.eye(len(w))
    best = linprog(
        np.r_[np.zeros(5), w], A_ub=np.block([[g, -one], [-g, -one]]), b_ub=np.r_[rest, -rest], bounds=(None, None)
    ).fun
    value = float(w @ np.abs(rest - g @ done.z))
    gap = solver.l1_gap(model, done.z, solver.SMOOTHINGS[-1], RIDGE)
    assert best <= value * (1 + 1e-9)
    assert value * (1 - gap) <= best * (1 + 1e-6)
    assert gap < 0.02


def test_the_slope_of_sinkhorn_at_its_optimum_is_small_by_differences_of_the_loss(solver, model) -> None:
    loss = sinkhorn(0.6, 1e-7)
    start = np.eye(5) * 1e-3
    done = solved(solver, model, "s", lambda smoothing: solver.Gradient(model, loss, start), True, enough=1e-10)

    def value(z):
        densities = (torch.from_numpy(d).reshape(3, 1, 8, 8) for d in (model.density(z), model.reference))
        return float(loss(*densities, GRID).mean())

    directions = np.eye(5) * 1e-3
    at_baseline, at_optimum = (
        np.array([value(z + d) - value(z - d) for d in directions]) / 2e-3 for z in (np.zeros(5), done.z)
    )
    barrier = solver.BARRIERS[-1] * np.abs(model.slope(1 / model.density(done.z)) / model.base.size)
    np.testing.assert_array_less(np.abs(at_optimum), barrier + 3e-3 * np.abs(at_baseline).max())
    assert done.least > 0


def test_what_is_held_above_zero_is_where_it_would_have_been_below(solver, model) -> None:
    steep = type(model)(GRID, model.base, model.base + model.columns @ np.full(5, 2.0), model.columns)
    assert steep.reference.min() < 0
    free, held = (
        solved(solver, steep, "l2", lambda smoothing: solver.Pointwise(steep, None), positive) for positive in (0, 1)
    )
    assert free.least < 0 < held.least
    assert free.losses["l2"] < held.losses["l2"]


def test_hessians_are_those_of_the_losses(script, model) -> None:
    """Oracle: second differences of the loss, which is a solve of its own."""
    modes = script("convex_modes")
    reference, field = model.reference[0], model.columns[0, :, :1]
    field = field - reference[:, None] * field.sum() / reference.sum()
    shaped = torch.from_numpy(reference).reshape(1, 1, 8, 8)
    for blur in (0.3, 0.6):
        expected = float(sinkhorn(blur)(shaped + 0.01 * torch.from_numpy(field).reshape(shaped.shape), shaped, GRID))
        expected += float(sinkhorn(blur)(shaped - 0.01 * torch.from_numpy(field).reshape(shaped.shape), shaped, GRID))
        quadratic = float((field * modes.transported(reference, field, GRID, blur)).sum())
        assert quadratic * 1e-4 == pytest.approx(expected, rel=2e-3)
    energy = float(coulomb_energy(torch.from_numpy(field.T).reshape(1, 8, 8), GRID)) / model.electrons[0]
    assert float((field * modes.charged(reference, field, GRID)).sum()) / 2 == pytest.approx(energy)


def test_transport_is_convex_between_nonnegative_densities_and_not_where_they_are_cut_at_zero() -> None:
    """Why the densities are held above zero. All of them hold the same electrons before they are cut."""
    loss = sinkhorn()
    reference = torch.full((1, 1, 8, 8), 1e-2, dtype=torch.float64)
    reference[..., 3, 3], reference[..., 4, 4] = 1.0, 0.1
    moved = torch.zeros_like(reference)
    moved[..., 0, 0], moved[..., 4, 4] = 1.0, -1.0

    def above_the_chord(low, high):
        ends, middle = (loss(reference + t * moved, reference, GRID).item() for t in (low, high)), (low + high) / 2
        return loss(reference + middle * moved, reference, GRID).item() - sum(ends) / 2

    assert above_the_chord(0.0, 0.1) < 0
    assert above_the_chord(0.5, 1.5) > 0


@pytest.fixture(scope="module")
def tables(script):
    registry = Registry.discover()
    settings = ["data.name=li-o-li", "data.dimension=2", "data.grid=12", "data.samples=16"]
    return script("convex_model").Tables(validate(merge(settings=settings)[0], registry).data.make(registry))


def test_columns_are_those_of_the_featurizer_local(script, tables) -> None:
    """Oracle: the featurizer, contracted with coefficients before any column is formed."""
    options = {"pairs": 24, "radial": 8, "angular": 6, "triples": 150, "products": 0}
    component = Registry.discover().get("featurizer", "local")
    featurizer = component.build(component.config(**options), {}, tables.dataset.contents)
    coefficients = torch.randn(198, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    featurizer.coefficients = coefficients
    sample = tables.sample(3)
    corrected = featurizer.corrected(sample.structure, sample.grid, torch.zeros(1, *sample.grid.shape))
    expected = corrected.sum(0).double().numpy().ravel()
    np.testing.assert_allclose(tables.table(3) @ coefficients[:, 0].numpy(), expected, atol=2e-5 * abs(expected).max())


def test_every_density_has_its_electrons_and_starts_above_zero(tables) -> None:
    for model in tables.models([1, 4, 9], [2, 7]):
        assert model.base.min() > 0
        z = np.random.default_rng(0).normal(size=model.size)
        np.testing.assert_allclose(model.density(z).sum(1) * model.grid.voxel_volume, model.electrons, rtol=1e-6)


def test_a_model_is_the_same_density_on_a_finer_grid(script, tables) -> None:
    """They differ by the sum over points that makes each column neutral, and by the electrons of a grid of 0.6 Å."""
    fine = script("convex_study").Study(2, 24).tables
    fit = tables.fit([1, 4, 9])
    coarse, finer = tables.on(fit, [2], np.float64), fine.on(fit, [fine.dataset.ids.index(tables.dataset.ids[2])])
    assert finer.columns.shape[1:] == (24**2, coarse.size)
    every = finer.columns[0].reshape(24, 24, -1)[::2, ::2].reshape(144, -1)
    largest = np.abs(coarse.columns[0]).max(0)
    assert np.median(np.abs(every - coarse.columns[0]).max(0) / largest) < 0.1


def test_the_tables_of_the_page_are_those_of_the_results(script) -> None:
    page, results = script("convex_page"), ROOT / "docs" / "results"
    rows = [json.loads(line) for line in (results / "convex.jsonl").read_text(encoding="utf-8").splitlines()]
    text = (results / "convex.md").read_text(encoding="utf-8")
    for test in page.TESTS:
        assert all(page.means(rows, size, test) in text for size in page.counts(rows))
        assert page.sizes(rows, "w2", test) in text
    assert page.residuals(rows) in text
    summary = json.loads((results / "convex.json").read_text(encoding="utf-8"))
    words = script("convex_text")
    assert words.known(rows, summary["effects"]) in text
    assert words.unsolved(rows, script("convex_study").solves()) in text
    assert page.named_costs(summary["blindness"]) in text
    assert page.cost_table(summary["cost"]) in text


def test_every_solve_has_its_own_key_and_a_row_is_one_of_them(script) -> None:
    study = script("convex_study")
    keys = [solve.key for solve in study.solves()]
    assert len(set(keys)) == len(keys)
    rows = (ROOT / "docs" / "results" / "convex.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["key"] for line in rows} <= set(keys)


def test_a_difference_of_energies_is_that_of_the_groups(script) -> None:
    """Oracle: SciPy's test of the means of groups; groups that all fall by one value have an interval of no width."""
    page = script("convex_energy_page")
    rows = [{"group": i // 2} for i in range(16)]
    theirs = np.arange(16.0)
    equal = page.against(rows, theirs - 1.0, theirs)
    assert (equal["difference"], equal["low"], equal["high"]) == pytest.approx((-1, -1, -1))
    less = np.random.default_rng(0).normal(-0.5, 1, 16)
    effect = page.against(rows, theirs + less, theirs)
    assert effect["p"] == pytest.approx(stats.wilcoxon(less.reshape(8, 2).mean(1)).pvalue)
    assert effect["low"] < effect["difference"] < effect["high"]


def test_the_page_has_the_energies_of_the_results(script) -> None:
    results = ROOT / "docs" / "results"
    rows = [json.loads(line) for line in (results / "convex-energy.jsonl").read_text(encoding="utf-8").splitlines()]
    text = (results / "convex.md").read_text(encoding="utf-8")
    for name, part in script("convex_energy_page").texts(rows).items():
        assert f"<!-- {name} -->\n{part}<!-- /{name} -->" in text
    assert len({row["key"] for row in rows}) == len(rows)
