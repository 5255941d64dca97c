"""The training sets, losses and solves of ``convex.md``, one model in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from convex_model import BASIS, Affine, Array, Tables
from convex_modes import charged, transported
from convex_solver import Gradient, Pointwise, Solution, l1_gap, minimise, weighted_least_squares

from edframe.config.resolve import merge, validate
from edframe.contract.registry import Registry
from edframe.data.splits import split, subset
from edframe.grid import Grid
from edframe.interfaces import Dataset, Loss
from edframe.metrics.standard import standard

FOLDS = 4
RIDGE = 1e-3
"""Of |z|²/|z₁|², where each loss is 1 at z₁."""
BLURS = (0.15, 0.3, 0.6, 1.2)
TOL = 1e-5
"""Marginal error of the transports that are solved for; 1e-4 for the metric W₂."""
TRANSPORT = f"sinkhorn {BLURS[0]:g}"
"""The one that fronts lead to."""
SINGLE = ("l1", "l2", "coulomb", *(f"sinkhorn {blur:g}" for blur in BLURS))
MANY = ("l1", "l2", "coulomb", TRANSPORT, "sinkhorn 0.3")
"""Losses that are solved with 100 and all samples."""
THINNED = 2
"""Every second test sample is tested."""
WEIGHTS = (0.5, 0.1, 0.9, 0.3, 0.7)
TESTS = ("inner", "corners")


@dataclass(frozen=True)
class Solve:
    """size: training samples, 0: all. terms: (loss, share t); positive: whether the density is held above zero."""

    size: int
    fold: int
    terms: tuple[tuple[str, float], ...]
    positive: bool

    @property
    def name(self) -> str:
        """Of the objective, as tables have it."""
        mix = " + ".join(name if t == 1 else f"{t:g} {name}" for name, t in self.terms)
        transport = any(name.startswith("sinkhorn") for name, _ in self.terms)
        return f"{mix}, ρ ≥ 0" if self.positive and not transport else mix

    @property
    def key(self) -> str:
        """Of the row."""
        return f"{self.size or 'all'} {self.fold} {self.name}"


def single(size: int, fold: int, name: str) -> Solve:
    return Solve(size, fold, ((name, 1.0),), name.startswith("sinkhorn"))


def solves() -> Iterator[Solve]:
    """In the order of how much they are wanted."""
    fronts = {
        (size, fold): [
            Solve(size, fold, terms, positive=True)
            for first in ("l1", "l2")
            for terms in (((first, 1.0),), *(((first, round(1 - t, 2)), (TRANSPORT, t)) for t in WEIGHTS))
        ]
        for size in (10, 25)
        for fold in range(FOLDS)
    }
    for size, names in ((25, SINGLE), (100, MANY)):
        for fold in range(FOLDS):
            yield from (single(size, fold, name) for name in names)
    yield from fronts.pop((25, 0))
    for fold in range(FOLDS):
        yield from (single(0, fold, name) for name in MANY)
    for fold in range(FOLDS):
        yield from (single(10, fold, name) for name in SINGLE)
    for front in fronts.values():
        yield from front


def parts(dataset: Dataset, size: int, fold: int, seed: int = 0) -> tuple[list[int], list[int], list[int]]:
    """Training samples (0: all) as the seed draws them, others of their kind, and corners: no group of a corner is
    trained on. Of both tests every second sample."""
    corners = list(dataset.holdouts["corners"])
    groups = np.asarray(dataset.groups)
    inner = np.flatnonzero(~np.isin(groups, groups[corners]))
    every = split(groups[inner].tolist(), folds=FOLDS, fold=fold, validation=8, seed=0)
    drawn = subset(every, size or None, seed)
    return inner[list(drawn.train)].tolist(), inner[list(every.test)].tolist()[::THINNED], corners[::THINNED]


def measured(predicted: torch.Tensor, reference: torch.Tensor, positions: torch.Tensor, grid: Grid) -> dict[str, Array]:
    """The metrics of densities ``[n, 1, x, y]`` with atoms ``[n, atom, 2]`` in Å: the standard ones, and W₂ in Å in an
    open box."""
    values = {name: value.numpy() for name, value in standard(predicted, reference, grid, positions).items()}
    component = Registry.discover().get("loss", "sinkhorn")
    loss = component.build(component.config(blur=BLURS[0], tol=1e-4), {})
    box = Grid.of(grid.vectors, grid.shape, periodic=False)
    values["w2"] = np.sqrt(2 * loss(predicted, reference, box).clamp_min(0).numpy())
    return values


class Study:
    """Models of training sets, one at a time in memory, and their losses."""

    def __init__(self, dimension: int = 2, points: int = 48, tol: float = TOL) -> None:
        self.registry = Registry.discover()
        asked = ("data.name=li-o-li", f"data.dimension={dimension}", f"data.grid={points}")
        self.dataset: Dataset = validate(merge(settings=asked)[0], self.registry).data.make(self.registry)
        self.tables = Tables(self.dataset, replace(BASIS, dimension=dimension))
        self.tol = tol
        self.losses: dict[str, Loss] = {}
        self._now: tuple[int, int] | None = None

    def take(self, size: int, fold: int) -> None:
        """The model of this training set, where it is not the one in memory."""
        if self._now == (size, fold):
            return
        self._now = (size, fold)
        self.ids = parts(self.dataset, size, fold)
        self.use(*self.tables.models(*self.ids))
        self.tables.forget()

    def use(self, model: Affine, *tests: Affine) -> None:
        """The model on its training samples, and on tests."""
        self.model, self.tests = model, tests
        self.least_squares = weighted_least_squares(model)
        self.curvatures: dict[str, Array] = {}

    def loss(self, name: str) -> Loss:
        """The registered loss; ``sinkhorn 0.3`` has that blur."""
        if name not in self.losses:
            kind, *blur = name.split()
            component = self.registry.get("loss", kind)
            options = {"blur": float(blur[0]), "tol": self.tol} if blur else {}
            self.losses[name] = component.build(component.config(**options), {})
        return self.losses[name]

    def curvature(self, name: str) -> Array:
        """The Hessian of a loss at the reference, mean over training samples: exact for ``coulomb``. That of transport
        is taken at every second point of at most eight samples (in space four, of 4096 points), with a blur of at least
        half the distance of these points, because it only has to be near."""
        if name not in self.curvatures:
            model, grid = self.model, self.model.grid
            if name == "coulomb":
                pairs = list(zip(model.reference, model.columns, strict=True))
                parts = [columns.T @ charged(reference, columns, grid) for reference, columns in pairs]
            else:
                coarse = Grid.of(grid.vectors, tuple(n // 2 for n in grid.shape), periodic=False)
                count = min(16 // 2 ** (grid.dimension - 1), len(model.base))
                some = np.linspace(0, len(model.base) - 1, count).astype(int)
                blur = max(float(name.split()[1]), 0.5 * coarse.voxel_volume ** (1 / grid.dimension))
                every, parts = (slice(None, None, 2),) * grid.dimension, []
                for i in some:
                    columns = model.columns[i].reshape(*grid.shape, -1)[every].reshape(coarse.points, -1)
                    reference = model.reference[i].reshape(grid.shape)[every].ravel()
                    parts.append(columns.T @ transported(reference, columns, coarse, blur))
            self.curvatures[name] = np.mean(parts, 0)
            self.curvatures[name] += 1e-12 * np.trace(self.curvatures[name]) * np.eye(model.size)
        return self.curvatures[name]

    def term(self, name: str, smoothing: float | None = None) -> Gradient | Pointwise:
        """A loss of the training samples."""
        if name in ("l1", "l2"):
            return Pointwise(self.model, smoothing if name == "l1" else None)
        return Gradient(self.model, self.loss(name), self.curvature(name))

    def optimum(self, solve: Solve, **options: Any) -> tuple[dict[str, Any], Solution]:
        """A solve of the model in use, and a row of what it left. options: of ``minimise``."""
        nonnegative = self.model.predicted(self.least_squares).flatten(1).numpy()
        unit = {name: self.term(name, 1e-4)(nonnegative)[0] for name, _ in solve.terms}
        ridge = RIDGE / float(self.least_squares @ self.least_squares)
        terms = {name: (t, partial(self.term, name)) for name, t in solve.terms}
        if solve.name == "l1":
            options = {"enough": 1e-10}
        done = minimise(self.model, terms, unit, ridge=ridge, positive=solve.positive, **options)
        row: dict[str, Any] = {
            "key": solve.key, "size": solve.size, "fold": solve.fold, "objective": solve.name,
            "samples": len(self.model.base), "coefficients": self.model.size,
            "losses": {name: short(value) for name, value in done.losses.items()},
            "over_z1": {name: short(value / unit[name]) for name, value in done.losses.items()},
            "decrement": short(done.decrement), "gradient": short(done.gradient), "steps": done.steps,
            "evaluations": done.evaluations, "unconverged": int(done.unconverged), "seconds": short(done.seconds),
            "least": short(done.least),
        }  # fmt: skip
        if solve.name == "l1":
            row["gap"] = short(l1_gap(self.model, done.z, 1e-4, ridge * unit["l1"]))
        return row, done

    def solve(self, solve: Solve) -> tuple[dict[str, Any], dict[str, Array]]:
        """A row, and the metrics of each test sample."""
        self.take(solve.size, solve.fold)
        row, done = self.optimum(solve)
        if solve.size == 25 and solve.fold == 0 and len(solve.terms) == 1:
            row["path"] = self.path(done)
        each: dict[str, Array] = {"z": done.z}
        for test, model, ids in zip(TESTS, self.tests, self.ids[1:], strict=True):
            values, negative = self.metrics(model, done.z, ids)
            each |= {f"{test} {name}": value for name, value in values.items()}
            row[test] = {name: short(float(value.mean())) for name, value in values.items()}
            row[test]["negative"] = short(negative)
        return row, each

    def metrics(self, model: Affine, z: Array, ids: Sequence[int]) -> tuple[dict[str, Array], float]:
        """The metrics of test samples ``[n]``, W₂ in Å, and the electrons below zero before they are cut, in %."""
        predicted = model.predicted(z)
        reference = torch.from_numpy(model.reference).reshape(predicted.shape)
        samples = [self.tables.sample(index) for index in ids]
        atoms = torch.stack([torch.from_numpy(sample.positions) for sample in samples])
        values = measured(predicted, reference, atoms, samples[0].grid)
        below = np.minimum(model.density(z), 0).sum(1) * model.grid.voxel_volume
        return values, float(-100 * (below / model.electrons).mean())

    def path(self, done: Solution) -> list[list[float]]:
        """NMAE of the inner test samples after so many seconds."""
        model, points = self.tests[0], []
        for seconds, z in done.path[:: max(1, len(done.path) // 20)] + done.path[-1:]:
            predicted = model.predicted(z).flatten(1).numpy()
            nmae = 100 * (np.abs(predicted - model.reference).sum(1) / model.reference.sum(1)).mean()
            points.append([short(seconds), short(float(nmae))])
        return points


def short(value: float) -> float:
    return float(f"{value:.4g}")
