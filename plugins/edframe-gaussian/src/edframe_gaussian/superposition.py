"""The best superposition of spherical atoms for given densities: one radial function per species, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.sample import Sample
from edframe_gaussian.pairs import pairs

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CUTOFF = 5.0
"""Å, where an atom ends, with zero slope and curvature."""
INTERVALS = 24
"""Of the cubic spline; their ends lie at CUTOFF (k/24)^1.5, so that they are 0.04 Å wide at the nucleus."""
FLOOR = 1e-2
"""e/Å^d; squared errors count by 1/(ρ + FLOOR), so that tails count beside cores."""
POINTS = 6000
"""Of each sample: half spread evenly, half by the density."""
SAMPLES = 200
"""That are fitted to, drawn evenly: there are few coefficients. Beyond these, only what has a species that none had."""
JUDGED = 8
"""Of them, on which the error is measured."""
SMOOTH = 1e-10
"""Of the penalty on second differences, which determines the coefficients where no point lies."""

_KNOTS = np.concatenate([[0.0] * 3, CUTOFF * (np.arange(INTERVALS + 1) / INTERVALS) ** 1.5, [CUTOFF] * 3])


@dataclass(frozen=True)
class Fit:
    """coefficients ``[species, spline]``, none negative, of ``splines``. charges ``[species]``: integrals of the atoms,
    in e. error: NMAE of the superposition on the samples fitted to, in %, estimated from the points drawn."""

    coefficients: NDArray[np.float64]
    charges: NDArray[np.float64]
    error: float

    def profile(self, radii: NDArray[np.float64]) -> NDArray[np.float64]:
        """Densities ``[species, radius]`` in e/Å^d."""
        values: NDArray[np.float64] = (splines(radii) @ self.coefficients.T).T
        return values


def splines(radii: NDArray[np.float64]) -> csr_array:
    """Cubic B-splines ``[radius, spline]`` of the distance from the nucleus, nonnegative; beyond CUTOFF all are zero.

    The first two are taken as one, so that the slope at the nucleus is zero; the last three, which would be left at
    the cutoff with value, slope or curvature, are left out.
    """
    from scipy.interpolate import BSpline
    from scipy.sparse import csr_array

    inside = np.minimum(radii, CUTOFF)
    values = BSpline.design_matrix(inside, _KNOTS, 3)
    count = values.shape[1]
    merge = np.zeros((count, count - 4))
    merge[0, 0] = 1.0
    merge[np.arange(1, count - 3), np.arange(count - 4)] = 1.0
    return csr_array(values @ csr_array(merge))


def integrals(dimension: int) -> NDArray[np.float64]:
    """∫ of each spline over the space of d dimensions, ``[spline]`` in Å^d, exact."""
    nodes, weights = np.polynomial.legendre.leggauss(4)
    ends = np.unique(_KNOTS)
    half, middle = np.diff(ends) / 2, (ends[1:] + ends[:-1]) / 2
    radii = (middle[:, None] + half[:, None] * nodes).ravel()
    shell = {1: 2 * np.ones_like(radii), 2: 2 * np.pi * radii, 3: 4 * np.pi * radii**2}[dimension]
    return np.asarray(((half[:, None] * weights).ravel() * shell) @ splines(radii))


def fit_atoms(samples: Sequence[Sample], species: Sequence[str]) -> Fit:
    """The nonnegative coefficients c that minimise Σ (ρ − Σ c_sk Φ_sk)²/(ρ + FLOOR) over points of the samples.

    Φ_sk sums spline k over the atoms of species s and all their periodic images. The points are drawn, each counts by
    one over its chance of being drawn, and the normal equations are summed sample by sample. The atoms of all samples
    together hold all their electrons; how these are shared among the species is left to the fit, because ions are
    what a superposition of ions is made of. Raises DataError where a species is in no sample.
    """
    count = len(integrals(3))
    size = len(species) * count
    matrix, vector = np.zeros((size, size)), np.zeros(size)
    atoms, electrons = np.zeros(len(species)), 0.0
    kept: list[tuple[NDArray[np.float64], ...]] = []
    evenly = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), SAMPLES)).astype(int)).tolist()
    for number, place in enumerate([*evenly, *sorted(set(range(len(samples))) - set(evenly))]):
        if number >= len(evenly) and atoms.all():
            break
        sample = samples[place]
        rare = {symbol for symbol, n in zip(species, atoms, strict=True) if n == 0}
        if number >= len(evenly) and rare.isdisjoint(site.specie.symbol for site in sample.structure):
            continue
        design, density, chance, kinds = _drawn(sample, species, place)
        weighted = design * (sample.grid.voxel_volume / (chance * (density + FLOOR)))[:, None]
        matrix += design.T @ weighted
        vector += density @ weighted
        atoms += np.bincount(kinds, minlength=len(species))
        electrons += sample.electrons
        if len(kept) < JUDGED:
            kept.append((design, density, chance))
    missing = [symbol for symbol, number in zip(species, atoms, strict=True) if number == 0]
    if missing:
        raise DataError(
            f"no training sample has {', '.join(missing)}, so the featurizer 'atoms' cannot fit its atom; train on "
            "samples that have it, or use --featurizer gaussian"
        )
    dimension = samples[0].grid.dimension
    integral = integrals(dimension)
    bends = np.diff(np.eye(count), 2, axis=0)
    matrix += SMOOTH * np.trace(matrix) / size * np.kron(np.eye(len(species)), bends.T @ bends)
    row = np.kron(atoms, integral).astype(np.float64)
    solved = _solve(matrix, vector, row, electrons).reshape(len(species), count)
    errors = [(np.abs(d @ solved.ravel() - y) / p).sum() / (y / p).sum() for d, y, p in kept]
    return Fit(solved, solved @ integral, 100 * float(np.mean(errors)))


def _drawn(
    sample: Sample, species: Sequence[str], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Φ ``[point, species · spline]``, density and chance ``[point]`` of points of a sample; its atoms' species."""
    grid = sample.grid
    density = sample.density[0].astype(np.float64).ravel()
    chance = np.minimum(1.0, POINTS * (0.5 / density.size + 0.5 * density / density.sum()))
    chosen = np.flatnonzero(np.random.default_rng(seed).random(density.size) < chance)
    points = np.stack(np.unravel_index(chosen, grid.shape), axis=-1) / np.array(grid.shape)
    kinds = np.array([species.index(site.specie.symbol) for site in sample.structure])
    return (
        design_matrix(points, sample.structure.frac_coords, kinds, len(species), grid),
        density[chosen],
        chance[chosen],
        kinds,
    )


def design_matrix(
    points: NDArray[np.float64], fractions: NDArray[np.float64], kinds: NDArray[np.int64], species: int, grid: Grid
) -> NDArray[np.float64]:
    """Φ ``[point, species · spline]`` at ``points`` ``[p, d]``, as ``pairs`` takes them."""
    from scipy.sparse import csr_array

    point, atom, distance = pairs(points, fractions[:, : grid.dimension], grid, CUTOFF)
    values = splines(distance)
    blocks = []
    for kind in range(species):
        mine = np.flatnonzero(kinds[atom] == kind)
        gather = csr_array((np.ones(len(mine)), (point[mine], mine)), shape=(len(points), len(point)))
        blocks.append((gather @ values).toarray())
    return np.concatenate(blocks, axis=1)


def _solve(
    matrix: NDArray[np.float64], vector: NDArray[np.float64], electrons: NDArray[np.float64], total: float
) -> NDArray[np.float64]:
    """The nonnegative c that minimises cᵀAc − 2bᵀc with ``electrons`` · c = ``total`` exactly.

    Columns are scaled to unit diagonal. The one constraint is a row that outweighs all others; what it leaves open,
    1e-8 or so, is undone by a common factor.
    """
    from scipy.optimize import nnls

    size = len(vector)
    scale = 1 / np.sqrt(np.diag(matrix) + 1e-12 * np.diag(matrix).max())
    scaled = matrix * scale * scale[:, None] + 1e-10 * np.eye(size)
    root = np.linalg.cholesky(scaled).T
    row = electrons * scale
    row, wanted = 1e4 * row / np.linalg.norm(row), 1e4 * total / np.linalg.norm(row)
    stacked = np.vstack([root, row])
    solution, _ = nnls(stacked, np.append(np.linalg.solve(root.T, vector * scale), wanted), maxiter=100 * size)
    solved = scale * solution
    return np.asarray(solved * (total / (electrons @ solved)))
