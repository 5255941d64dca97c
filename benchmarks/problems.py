"""Pairs of densities to transport: those that solvers are timed on, and the hard cases none may break on.

A pair is (a, b): a stands for a prediction, b for the reference. Positions and noise come from fixed seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from edframe.grid import Grid
from edframe.interfaces import Dataset

Array = NDArray[np.float64]

SIDE = 6.4
"""Side of the box in Å, whatever the grid: voxels of 0.4 (too coarse, for smoke runs), 0.2, 0.1 and 0.05 Å."""

VACUUM = 1e-8
"""Floor of a density, e/Å³."""

LI_O_LI_SIDE = 7.2
"""Side of the box of the dataset li-o-li, Å."""


@dataclass(frozen=True)
class Problem:
    """Two densities ``[n1, n2, n3]`` in e/Å³ on one grid."""

    name: str
    grid: Grid
    a: Array
    b: Array

    @cached_property
    def masses(self) -> tuple[Array, Array]:
        """Both as fractions of their electrons: what a solver without a normalisation of its own is given."""
        return self.a / self.a.sum(), self.b / self.b.sum()

    @property
    def voxel(self) -> float:
        """Largest spacing, Å."""
        return float(self.grid.spacing.max())


def box(n: int, periodic: bool = False) -> Grid:
    """A cube of n points per axis. Open by default: the peers know no other."""
    return Grid.of([SIDE] * 3, n, periodic=periodic)


def squared_distance(grid: Grid, position: Array) -> Array:
    """|x − R|² in Å² at every point, to the nearest image along periodic axes of an orthogonal cell."""
    apart = grid.coordinates() - position
    sides = np.diag(grid.vectors)
    return ((apart - sides * np.rint(apart / sides) * np.array(grid.periodic)) ** 2).sum(-1)


def atoms(grid: Grid, positions: Array, electrons: Sequence[float], core: float = 0.1, shell: float = 0.35) -> Array:
    """Atoms with cusps: a third of the electrons in exp(−r/``core``), the rest in exp(−r/``shell``) (Å); e/Å³.

    Each part is scaled to its electrons on the grid, however coarsely that sees the cusp.
    """
    density = np.zeros(grid.shape)
    for position, count in zip(positions, electrons, strict=True):
        distance = np.sqrt(squared_distance(grid, position))
        for part, decay in ((1 / 3, core), (2 / 3, shell)):
            shape = np.exp(-distance / decay)
            density += part * count * shape / (shape.sum() * grid.voxel_volume)
    return density


def gaussians(grid: Grid, positions: Array, widths: Sequence[float]) -> Array:
    """One electron in each Gaussian of standard deviation ``widths`` (Å); e/Å³."""
    density = np.zeros(grid.shape)
    for position, width in zip(positions, widths, strict=True):
        density += np.exp(-squared_distance(grid, position) / (2 * width**2)) / (2 * np.pi * width**2) ** 1.5
    return density


def with_noise(density: Array, fraction: float, seed: int) -> Array:
    """Every value times 1 + fraction · (a normal deviate), at least zero."""
    noise = np.random.default_rng(seed).standard_normal(density.shape)
    return density * np.maximum(1 + fraction * noise, 0)


def middle(grid: Grid) -> Array:
    """Centre of the cell, Å, half a voxel beside a point: nuclei are not on points by design."""
    return np.asarray(grid.vectors.sum(0) / 2 + 0.3 * np.diag(grid.voxel))


MOLECULE = np.array(
    [
        [0.00, 0.00, 0.00],
        [1.40, 0.10, -0.05],
        [-0.70, 1.20, 0.15],
        [-0.65, -1.15, 0.35],
        [1.85, -0.80, 0.60],
        [1.80, 1.00, 0.30],
        [-0.35, 0.25, 1.50],
        [0.50, -0.45, -1.60],
    ]
)
"""Positions of the eight atoms of ``mol`` from the middle, Å."""

CHARGES = (6, 8, 6, 7, 1, 1, 1, 1)
"""Their electrons."""


def mol(n: int, seed: int = 0, periodic: bool = False) -> Problem:
    """Eight atoms with cusps, vacuum 1e-8: atoms displaced by 0.05 Å (rms per axis) and 5% noise, against none."""
    grid = box(n, periodic)
    positions = middle(grid) + MOLECULE
    moved = positions + 0.05 * np.random.default_rng(seed).standard_normal(positions.shape)
    a = with_noise(atoms(grid, moved, CHARGES), 0.05, seed + 1) + VACUUM
    return Problem("mol", grid, a, atoms(grid, positions, CHARGES) + VACUUM)


def near(n: int, seed: int = 0) -> Problem:
    """Four smooth Gaussians, each moved by 0.1 Å; vacuum 1e-8."""
    grid, random = box(n), np.random.default_rng(seed)
    positions = middle(grid) + random.uniform(-2, 2, (4, 3))
    step = random.standard_normal((4, 3))
    step *= 0.1 / np.linalg.norm(step, axis=1, keepdims=True)
    widths = (0.35, 0.45, 0.55, 0.65)
    return Problem(
        "near", grid, gaussians(grid, positions + step, widths) + VACUUM, gaussians(grid, positions, widths) + VACUUM
    )


def far(n: int, periodic: bool = False) -> Problem:
    """Three atoms with cusps of which one is 3 Å from where it belongs; vacuum 1e-8."""
    grid = box(n, periodic)
    positions = middle(grid) + np.array([[0.0, 0.0, 0.0], [1.2, 0.2, -0.3], [-1.5, 0.4, 0.2]])
    moved = positions.copy()
    moved[2] += 3.0 * np.array([0.6, -0.48, 0.64])
    return Problem("far", grid, atoms(grid, moved, (8, 6, 2)) + VACUUM, atoms(grid, positions, (8, 6, 2)) + VACUUM)


@lru_cache
def _dataset(n: int) -> Dataset:
    from edframe_pyscf.li_o_li import LiOLi
    from edframe_pyscf.plugin import LiOLiConfig

    return LiOLi(LiOLiConfig(grid=n))


def _positive(density: NDArray[np.float32]) -> Array:
    return np.maximum(density[0].astype(np.float64), 0)


def li_o_li(n: int) -> Problem:
    """Two real densities: one Li–O–Li configuration against a neighbouring one (a bond of 1.62 against 1.74 Å)."""
    dataset = _dataset(n)
    row = dataset.ids.index("li-o-li-12-12")
    moved = dataset.ids.index("li-o-li-12-17")
    grid = Grid.of([LI_O_LI_SIDE] * 3, n, periodic=False)
    return Problem("li-o-li", grid, _positive(dataset[moved].density), _positive(dataset[row].density))


def sad(n: int) -> Problem:
    """A real density and a plausible prediction of it: the superposition of its free atoms."""
    from edframe_gaussian.plugin import SADConfig
    from edframe_gaussian.sad import SADFeaturizer

    dataset = _dataset(n)
    sample = dataset[dataset.ids.index("li-o-li-12-12")]
    features = SADFeaturizer(SADConfig(widths=()), dataset.contents)([sample.structure], sample.grid, "cpu")
    grid = Grid.of([LI_O_LI_SIDE] * 3, n, periodic=False)
    return Problem("sad", grid, _positive(features.baseline[0].numpy()), _positive(sample.density))


PROBLEMS: dict[str, Callable[[int], Problem]] = {
    "mol": mol,
    "near": near,
    "far": far,
    "li-o-li": li_o_li,
    "sad": sad,
}
"""By name; each is given the points per axis."""


def hard_cases(n: int, n_far: int) -> list[Problem]:
    """One problem per row of the table of hard cases, periodic as in training; n points per axis where it is free."""
    grid = box(n, periodic=True)
    h = float(grid.spacing[0])
    centre = middle(grid)
    on_point = np.rint(centre / h) * h
    pair = np.array([[-0.6, 0.0, 0.1], [0.7, 0.1, 0.0]])
    reference = atoms(grid, centre + pair, (8, 1)) + VACUUM
    moved = atoms(grid, centre + pair + [[0.1, 0, 0], [0, -0.1, 0.05]], (8, 1)) + VACUUM
    side = float(grid.vectors[0, 0])
    slab = Grid.of([side, side * 0.75, side * 0.5], (n, 5 * n // 8, n // 2 - 1), periodic=True)
    sheet = Grid.of([side, 0.3, side], (n, 1, n), periodic=True)

    def between(name: str, grid: Grid, first: Sequence[float], second: Sequence[float]) -> Problem:
        at = grid.vectors.sum(0) / 2
        return Problem(
            name,
            grid,
            atoms(grid, at + np.array([first]), (4,)) + VACUUM,
            atoms(grid, at + np.array([second]), (4,)) + VACUUM,
        )

    return [
        Problem(
            "cusps at nuclei, on points",
            grid,
            atoms(grid, on_point[None] + [h, 0, 0], (8,), core=0.03, shell=0.3) + VACUUM,
            atoms(grid, on_point[None], (8,), core=0.03, shell=0.3) + VACUUM,
        ),
        Problem("vacuum 1e-8", grid, moved, reference),
        Problem("exact zeros", grid, np.where(moved < 1e-3, 0, moved), np.where(reference < 1e-3, 0, reference)),
        between("near pair, 0.05 Å", grid, (0.05, 0, 0), (0, 0, 0)),
        Problem(f"far pair, 3 Å at {n_far}³", *_parts(far(n_far, periodic=True))),
        Problem(
            "one atom against two",
            grid,
            atoms(grid, centre[None], (8,)) + VACUUM,
            atoms(grid, centre + np.array([[-1.0, 0, 0], [1.0, 0, 0]]), (8, 8)) + VACUUM,
        ),
        between(f"non-cubic, {'×'.join(map(str, slab.shape))}", slab, (0.1, 0.05, 0), (0, 0, 0)),
        between(f"1-voxel axis, {'×'.join(map(str, sheet.shape))}", sheet, (0.1, 0, 0.05), (0, 0, 0)),
        Problem("unequal masses, 1 : 1.3", grid, moved, 1.3 * reference),
        Problem("noise of 50%", grid, with_noise(reference, 0.5, seed=3), reference),
        Problem("equal densities", grid, reference, reference.copy()),
        Problem("float16 inputs", grid, moved.astype(np.float16), reference.astype(np.float16)),
        Problem("mass of 1 electron", grid, *(_electrons(x, grid, 1) for x in (moved, reference))),
        Problem("mass of 1000 electrons", grid, *(_electrons(x, grid, 1000) for x in (moved, reference))),
    ]


def _parts(problem: Problem) -> tuple[Grid, Array, Array]:
    return problem.grid, problem.a, problem.b


def _electrons(density: Array, grid: Grid, count: float) -> Array:
    return density * (count / (density.sum() * grid.voxel_volume))
