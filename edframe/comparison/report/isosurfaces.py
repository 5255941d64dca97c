"""Where the variants err, in space: prediction − reference around the atoms, as isosurfaces that can be turned.

The page holds plotly's script and, for each example, the fields in two bytes per point; ``isosurfaces.js`` draws them.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edframe.comparison.report.examples import Example
from edframe.grid import Grid, density_unit
from edframe.metrics.standard import centre_of_atoms
from edframe.report.densities import MARGIN
from edframe.report.numbers import number

VARIANTS = 8
"""Scenes beside each other; a browser draws no more than about sixteen."""
BYTES = 4_500_000
"""Of all fields together as text, so that a page stays below 10 MB with plotly's 5 MB."""
POINTS = 64_000
"""Of one field at most: more look no better, and take seconds to draw."""
STEP = 2048
"""What the level is written as; 16 times the level is the largest number of two bytes."""


@dataclass(frozen=True)
class Box:
    """Points of a Cartesian box, x slowest. origin, step: ``[3]`` in Å, from the middle of the atoms."""

    origin: NDArray[np.float64]
    step: NDArray[np.float64]
    shape: tuple[int, int, int]

    def points(self) -> NDArray[np.float64]:
        """``[x, y, z, 3]`` in Å."""
        axes = [o + s * np.arange(n) for o, s, n in zip(self.origin, self.step, self.shape, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def scenes(examples: Sequence[Example]) -> list[dict[str, Any]]:
    """What ``isosurfaces.js`` draws of each example, as plain data; nothing of grids that are not three-dimensional."""
    spatial = [example for example in examples if example.grid.dimension == 3]
    fields = sum(min(len(example.predicted), VARIANTS) for example in spatial)
    points = min(POINTS, int(BYTES / (8 / 3) / max(fields, 1)))  # two bytes are 8/3 letters of base64
    return [_scene(example, points) for example in spatial]


def _scene(example: Example, points: int) -> dict[str, Any]:
    from ase.data import atomic_numbers, covalent_radii
    from ase.data.colors import jmol_colors

    middle = centre_of_atoms(example.positions, example.grid)
    atoms = _nearest(example.positions - middle, example.grid)
    box = around(atoms, middle, example.grid, points)
    errors = {
        variant: sampled(field.astype(np.float64) - example.reference, box, example)
        for variant, field in list(example.predicted.items())[:VARIANTS]
    }
    height = level(list(errors.values()))
    kinds = [atomic_numbers[symbol] for symbol in example.species]
    caption = f"Surfaces at ±{number(height, 2)} {density_unit(3)} in all panels"
    coarser = box.step.max() / example.grid.spacing.max()
    if coarser > 1.05:
        block = f"{number(float(box.step.max()), 2)} Å ({coarser:.1f} voxels)"
        caption += f"; averaged over blocks of {block} to keep the page small"
    return {
        "id": example.id,
        "caption": f"{caption}.",
        "origin": box.origin.round(4).tolist(),
        "step": box.step.round(6).tolist(),
        "shape": list(box.shape),
        "level": STEP,
        "variants": list(errors),
        "fields": [_packed(field, height) for field in errors.values()],
        "species": list(example.species),
        "atoms": atoms.round(4).tolist(),
        "colours": [f"rgb({','.join(str(round(255 * part)) for part in jmol_colors[z])})" for z in kinds],
        "radii": [round(float(covalent_radii[z]), 2) for z in kinds],
    }


def level(errors: Sequence[NDArray[np.float64]]) -> float:
    """The height above which lies half of the absolute error of all ``errors`` together, in their unit; never zero."""
    sizes = np.sort(np.abs(np.concatenate([field.ravel() for field in errors])))[::-1]
    half = int(np.searchsorted(np.cumsum(sizes), sizes.sum() / 2))
    return float(sizes[min(half, len(sizes) - 1)]) or 1.0


def around(atoms: NDArray[np.float64], middle: NDArray[np.float64], grid: Grid, points: int) -> Box:
    """The box of the atoms and ``MARGIN``, in at most ``points`` points.

    atoms: ``[atom, 3]`` in Å from ``middle``, ``[3]`` in Å. In a rectangular cell the box is no larger than the cell,
    and its points are the grid's own, unless those are too many: then all steps are longer by one factor.
    """
    low, high = atoms.min(axis=0) - MARGIN, atoms.max(axis=0) + MARGIN
    sides = np.diag(grid.vectors)
    step = np.full(3, grid.voxel_volume ** (1 / 3))
    if np.count_nonzero(grid.vectors) == 3 and (sides > 0).all():
        step = grid.spacing
        low, high = np.maximum(low, -sides / 2), np.minimum(high, sides / 2 - step)
        low = np.ceil((middle + low) / step - 1e-9) * step - middle
    factor = max(1.0, float(np.prod((high - low) / step + 1) / points) ** (1 / 3))
    while np.prod(shape := np.floor((high - low) / (factor * step) + 1e-9) + 1) > points:
        factor *= 1.01
    return Box(low, factor * step, (int(shape[0]), int(shape[1]), int(shape[2])))


def sampled(field: NDArray[np.float64], box: Box, example: Example) -> NDArray[np.float64]:
    """A field ``[x, y, z]`` of the example's grid at the points of a box, by averages over blocks as long as its steps.

    Where the steps are the grid's own, that is linear interpolation.
    """
    from scipy.ndimage import map_coordinates, uniform_filter

    grid = example.grid
    widths = np.maximum(1, np.rint(box.step.mean() / grid.spacing)).astype(int)
    modes = ["wrap" if periodic else "nearest" for periodic in grid.periodic]
    averaged = uniform_filter(field, size=widths.tolist(), mode=modes)
    middle = centre_of_atoms(example.positions, grid)
    places = (box.points() + middle) @ np.linalg.inv(grid.vectors) * grid.shape
    places = places + 0.5 * (widths % 2 == 0)  # blocks of an even length lie half a voxel before their point
    ends = np.array(grid.shape) - 1
    places = np.where(grid.periodic, places, np.clip(places, 0, ends))
    return np.asarray(map_coordinates(averaged, np.moveaxis(places, -1, 0), order=1, mode="grid-wrap"))


def _nearest(relative: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """The image of each vector that is nearest to the origin along each periodic axis, ``[atom, 3]`` in Å."""
    fractions = relative @ np.linalg.inv(grid.vectors)
    fractions -= np.where(grid.periodic, np.floor(fractions + 0.5), 0.0)
    return np.asarray(fractions @ grid.vectors)


def _packed(field: NDArray[np.float64], height: float) -> dict[str, str]:
    """Plotly's form of an array of two-byte numbers."""
    steps = np.clip(np.rint(field * (STEP / height)), -(2**15), 2**15 - 1).astype("<i2")
    return {"dtype": "i2", "bdata": base64.b64encode(steps.tobytes()).decode("ascii")}
