"""A picture plane through a density: which grid plane, where its points are, and where the atoms lie in it.

NumPy only. Coordinates are relative to the middle of the atoms; periodic axes are rolled so that it is centred.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edframe.grid import Grid
from edframe.metrics.standard import centre_of_atoms

AXES = "xyz"
LATTICE = "abc"


@dataclass(frozen=True)
class Plane:
    """A lattice plane of a grid, or all of a grid with one or two axes.

    normal: lattice axis that is cut (None below three dimensions). index: of the grid plane along it.
    points: ``[n, m, 2]`` in Å (``[n, 1]`` in one dimension), relative to the middle of the atoms.
    atoms: ``[atom, 2]`` in Å, nearest images. height: distance of each atom from the plane, ``[atom]`` in Å.
    labels: of the two picture axes.
    """

    normal: int | None
    index: int
    points: NDArray[np.float64]
    atoms: NDArray[np.float64]
    height: NDArray[np.float64]
    labels: tuple[str, ...]
    title: str
    rolls: tuple[int, ...]

    def cut(self, field: NDArray[np.float32]) -> NDArray[np.float64]:
        """The values of ``field`` ``[x, y, z]`` at ``points``, ``[n, m]``."""
        rolled = np.roll(field.astype(np.float64), self.rolls, axis=tuple(range(field.ndim)))
        return rolled if self.normal is None else np.asarray(rolled.take(self.index, axis=self.normal))


def through_atoms(positions: ArrayLike, grid: Grid) -> Plane:
    """The grid plane nearest to the atoms, normal to the lattice axis along which they spread least.

    positions: ``[atom, d]`` in Å, any image. Atoms on a line lie in several such planes: the last axis is cut.
    """
    atoms = np.asarray(positions, dtype=float).reshape(-1, grid.dimension)
    centre = centre_of_atoms(atoms, grid) if len(atoms) else grid.vectors.sum(axis=0) / 2
    inverse = np.linalg.inv(grid.vectors)
    middle = centre @ inverse
    relative = (atoms - centre) @ inverse
    relative -= np.where(grid.periodic, np.floor(relative + 0.5), 0.0)
    rolls, fractions = [], []
    for n, origin, periodic in zip(grid.shape, middle, grid.periodic, strict=True):
        nearest = int(np.rint(origin * n))
        roll = n // 2 - nearest if periodic else 0
        rolls.append(roll)
        fractions.append((np.arange(n) - roll) / n - origin)
    shown, normal, index = list(range(grid.dimension)), None, 0
    heights = np.zeros(len(atoms))
    title = ""
    if grid.dimension == 3:
        separation = 1 / np.linalg.norm(inverse, axis=0)  # distance between lattice planes of each axis, Å
        spread = np.ptp(relative, axis=0) * separation if len(atoms) else np.zeros(3)
        normal = 2 - int(np.argmin(np.round(spread, 3)[::-1]))
        level = float(relative[:, normal].mean()) if len(atoms) else 0.0
        index = int(np.abs(fractions[normal] - level).argmin())
        heights = (relative[:, normal] - fractions[normal][index]) * separation[normal]
        shown.remove(normal)
        title = f"the lattice plane of {LATTICE[shown[0]]} and {LATTICE[shown[1]]} nearest to the atoms"
    edges = grid.vectors[shown]
    lift = np.zeros(grid.dimension) if normal is None else fractions[normal][index] * grid.vectors[normal]
    frame, labels = _frame(edges, shown)
    mesh = np.stack(np.meshgrid(*[fractions[axis] for axis in shown], indexing="ij"), axis=-1)
    return Plane(
        normal=normal, index=index, points=(mesh @ edges + lift) @ frame.T, atoms=relative @ grid.vectors @ frame.T,
        height=heights, labels=labels, title=title, rolls=tuple(rolls),
    )  # fmt: skip


def corners(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners of the voxels around ``points`` ``[n, m, 2]``, ``[n + 1, m + 1, 2]``, as pcolormesh wants them."""
    for axis in (0, 1):
        n = points.shape[axis]
        first, last = points.take([0], axis), points.take([n - 1], axis)
        step = (last - first) / max(n - 1, 1)
        points = np.concatenate([points, last + step], axis) - step / 2
    return points


def _frame(edges: NDArray[np.float64], shown: list[int]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Orthonormal picture axes as rows ``[k, d]`` and their labels: Cartesian ones where the cell allows."""
    unit = edges / np.linalg.norm(edges, axis=1, keepdims=True)
    d = edges.shape[1]
    if np.allclose(np.abs(unit) @ np.ones(d), 1.0) and (unit.sum(axis=1) > 0).all():
        names = [AXES[int(row.argmax())] for row in unit]
        return unit, tuple(f"{name} (Å)" for name in names)
    if len(edges) == 1:
        return unit, ("x (Å)",)
    second = unit[1] - (unit[1] @ unit[0]) * unit[0]
    a = LATTICE[shown[0]]
    return np.stack([unit[0], second / np.linalg.norm(second)]), (f"along {a} (Å)", f"perpendicular to {a} (Å)")
