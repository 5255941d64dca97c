"""Which voxels the points of an XSF grid are: by the rule, the last plane of each axis repeats the first.

Several writers have another rule:

| edges of the grid     | points                              | writers                                            |
|-----------------------|-------------------------------------|----------------------------------------------------|
| the cell              | n − 1 voxels, then the first again  | the rule: Quantum ESPRESSO, VESTA, cut3d, pymatgen |
| the cell              | n voxels                            | sisl                                               |
| (n − 1)/n of the cell | n voxels, from the first to the last| those who span what they write                     |
| (n + 1)/n of the cell | n voxels                            | ASE                                                |
| several cells         | as in the first two rows            | over the conventional cell, or a supercell         |

A box without a cell is one of the same, in which the electrons decide; else the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAME = 1e-4
"""By how much planes may differ that repeat, of the largest value, and edges from the cell: files have few digits."""

Fits = Callable[[float, NDArray[np.float64]], bool]
"""Whether a mean value over a cell ``[3, 3]`` makes the electrons of its atoms."""


@dataclass(frozen=True)
class Reading:
    """One way to take a grid: its cell ``[3, 3]`` in Å, whether the last planes are dropped, and what is to be said."""

    cell: NDArray[np.float64]
    drop: bool
    note: str = ""

    def of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values[:-1, :-1, :-1] if self.drop else values


def repeats(values: NDArray[np.float64]) -> tuple[bool, bool, bool]:
    """Of each axis, whether the last plane is the first one again."""
    bound = SAME * max(float(values.max()), -float(values.min()))
    planes = [np.moveaxis(values, axis, 0)[[0, -1]] for axis in range(3)]
    x, y, z = (bool(np.abs(first - last).max() <= bound) for first, last in planes)
    return x, y, z


def over_cell(
    cell: NDArray[np.float64], edges: NDArray[np.float64], values: NDArray[np.float64], fits: Fits
) -> Reading | str:
    """How a grid over a crystal's ``cell`` is taken, or what is wrong with it."""
    shape = np.array(values.shape)[:, None]
    tolerance = SAME * np.linalg.norm(cell, axis=1).max()
    for scale, what in (
        ((shape - 1) / shape, "from the first point to the last"),
        ((shape + 1) / shape, "as ASE's are"),
    ):
        if np.abs(edges - cell * scale).max() <= tolerance:
            return Reading(cell, False, f"the edges of the grid are those of its points, {what}; no plane is repeated")
    times = edges @ np.linalg.inv(cell)
    whole = np.rint(times)
    if np.abs(whole @ cell - edges).max() > 2 * tolerance or abs(np.linalg.det(whole)) < 0.5:
        return (
            "the edges of the grid are neither PRIMVEC nor whole numbers of it, nor those that ASE writes (n + 1)/n of "
            "it; only grids over whole cells are read"
        )
    exact = whole @ cell
    every = Reading(exact, False, "no plane of the grid is repeated: its points are taken to be all voxels of the cell")
    periodic = repeats(values)
    if all(periodic):
        rule = Reading(exact, True)
        edge = all(np.abs(np.moveaxis(values, axis, 0)[-1]).max() <= SAME * np.abs(values).max() for axis in range(3))
        # Planes of vacuum repeat in any case.
        return every if edge and not _fits(rule, values, fits) and _fits(every, values, fits) else rule
    if _fits(every, values, fits):
        return every
    axis = periodic.index(False) + 1
    return (
        f"the last plane of axis {axis} does not repeat the first: it is not periodic, or lacks the plane, and the "
        "electrons do not fit either"
    )


def over_box(edges: NDArray[np.float64], values: NDArray[np.float64], fits: Fits) -> Reading:
    """How a grid over a box without a cell is taken."""
    shape = np.array(values.shape)[:, None]
    rule = [Reading(edges, True)] if all(repeats(values)) else []
    rule.append(Reading(edges * shape / (shape - 1), False))
    others = [
        Reading(edges, False, "no plane of the grid is repeated: its points are taken to be all voxels of the box"),
        Reading(edges * shape / (shape + 1), False, "the edges of the grid are taken as ASE's, (n + 1)/n of the box"),
    ]
    ways: Sequence[Reading] = [*rule, *others]
    return next((way for way in ways if _fits(way, values, fits)), rule[0])


def _fits(way: Reading, values: NDArray[np.float64], fits: Fits) -> bool:
    return fits(float(way.of(values).mean()), way.cell)
