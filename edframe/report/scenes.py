"""Fields around atoms, as isosurfaces that can be turned in a page: what ``scenes.js`` draws, as plain data.

The page holds plotly's script and, for each panel, a field in two bytes per point.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edframe.errors import imported
from edframe.grid import Grid
from edframe.metrics.standard import centre_of_atoms
from edframe.report.densities import MARGIN

Field = NDArray[np.float64]

POINTS = 64_000
"""Of one field at most: more look no better, and take seconds to draw."""
BOND = 1.2
"""Atoms nearer than this times the sum of their covalent radii are joined."""


@dataclass(frozen=True)
class Box:
    """Points of a Cartesian box, x slowest. origin, step: ``[3]`` in Å, from the middle of the atoms."""

    origin: Field
    step: Field
    shape: tuple[int, int, int]

    def points(self) -> Field:
        """``[x, y, z, 3]`` in Å."""
        axes = [o + s * np.arange(n) for o, s, n in zip(self.origin, self.step, self.shape, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


@dataclass(frozen=True)
class Panel:
    """A field ``[x, y, z]`` at the points of a box, in numbers of two bytes, and the heights of its surfaces in these:
    for each level that can be chosen, one height or, for a field of both signs, two."""

    title: str
    field: NDArray[np.int16]
    heights: Sequence[Sequence[int]]


def around(atoms: Field, middle: Field, grid: Grid, points: int, finest: float | None = None) -> Box:
    """The box of the atoms and ``MARGIN``, in at most ``points`` points.

    atoms: ``[atom, 3]`` in Å from ``middle``, ``[3]`` in Å. In a rectangular cell the box is no larger than the cell,
    and its points are the grid's own, unless those are too many: then all steps are longer by one factor. finest: a
    step in Å that is taken where it is shorter than the grid's.
    """
    low, high = atoms.min(axis=0) - MARGIN, atoms.max(axis=0) + MARGIN
    sides = np.diag(grid.vectors)
    step = np.full(3, grid.voxel_volume ** (1 / 3))
    if np.count_nonzero(grid.vectors) == 3 and (sides > 0).all():
        step = grid.spacing
        low, high = np.maximum(low, -sides / 2), np.minimum(high, sides / 2 - step)
        low = np.ceil((middle + low) / step - 1e-9) * step - middle
    if finest is not None:
        step = np.minimum(step, finest)
    factor = max(1.0, float(np.prod((high - low) / step + 1) / points) ** (1 / 3))
    while np.prod(shape := np.floor((high - low) / (factor * step) + 1e-9) + 1) > points:
        factor *= 1.01
    return Box(low, factor * step, (int(shape[0]), int(shape[1]), int(shape[2])))


def averaged(field: Field, box: Box, grid: Grid, middle: Field) -> Field:
    """A field ``[x, y, z]`` of a grid at the points of a box, by averages over blocks as long as its steps.

    middle: ``[3]`` in Å, from where the box counts. Where the steps are the grid's own, that is linear interpolation.
    """
    from scipy.ndimage import map_coordinates, uniform_filter

    widths = np.maximum(1, np.rint(box.step.mean() / grid.spacing)).astype(int)
    modes = ["wrap" if periodic else "nearest" for periodic in grid.periodic]
    blocks = uniform_filter(field, size=widths.tolist(), mode=modes)
    places = (box.points() + middle) @ np.linalg.inv(grid.vectors) * grid.shape
    places = places + 0.5 * (widths % 2 == 0)  # blocks of an even length lie half a voxel before their point
    ends = np.array(grid.shape) - 1
    places = np.where(grid.periodic, places, np.clip(places, 0, ends))
    return np.asarray(map_coordinates(blocks, np.moveaxis(places, -1, 0), order=1, mode="grid-wrap"))


def smooth(field: Field, box: Box, grid: Grid, middle: Field) -> Field:
    """A field ``[x, y, z]`` of a periodic grid at the points of a box, by cubic splines."""
    from scipy.ndimage import map_coordinates

    places = (box.points() + middle) @ np.linalg.inv(grid.vectors) * grid.shape
    return np.asarray(map_coordinates(field, np.moveaxis(places, -1, 0), order=3, mode="grid-wrap"))


def nearest(positions: Field, grid: Grid) -> tuple[Field, Field]:
    """The images of atoms ``[atom, 3]`` that are nearest to their middle along each periodic axis, from it, in Å; and
    that middle, ``[3]``."""
    middle = centre_of_atoms(positions, grid)
    fractions = (positions - middle) @ np.linalg.inv(grid.vectors)
    fractions -= np.where(grid.periodic, np.floor(fractions + 0.5), 0.0)
    return np.asarray(fractions @ grid.vectors), middle


def images(atoms: Field, grid: Grid, box: Box) -> tuple[Field, NDArray[np.intp]]:
    """Atoms ``[atom, 3]`` with their images in the box, ``[image, 3]``, and of which atom each is; all atoms first."""
    shifts = [np.array(n) - 1 for n in np.ndindex(3, 3, 3) if n != (1, 1, 1)]
    shifts = [shift for shift in shifts if not shift[~np.array(grid.periodic)].any()]
    low, high = box.origin - 1e-3, box.origin + box.step * (np.array(box.shape) - 1) + 1e-3
    places, whose = [atoms], [np.arange(len(atoms))]
    for shift in shifts:
        moved = atoms + shift @ grid.vectors
        inside = ((moved >= low) & (moved <= high)).all(axis=1)
        places.append(moved[inside])
        whose.append(np.flatnonzero(inside))
    return np.concatenate(places), np.concatenate(whose)


def bonds(places: Field, radii: Field) -> list[tuple[int, int]]:
    """Pairs of atoms at ``[atom, 3]`` in Å that are near enough for their covalent radii ``[atom]``."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(places).query_pairs(2 * BOND * float(radii.max()), output_type="ndarray")
    away = np.linalg.norm(places[pairs[:, 0]] - places[pairs[:, 1]], axis=1)
    close = away < BOND * (radii[pairs[:, 0]] + radii[pairs[:, 1]])
    return [(int(a), int(b)) for a, b in sorted(pairs[close].tolist())]


def level(fields: Sequence[Field]) -> float:
    """The height above which lies half of the sizes of all ``fields`` together, in their unit; never zero."""
    sizes = np.sort(np.abs(np.concatenate([field.ravel() for field in fields])))[::-1]
    half = int(np.searchsorted(np.cumsum(sizes), sizes.sum() / 2))
    return float(sizes[min(half, len(sizes) - 1)]) or 1.0


def looks(species: Sequence[str]) -> tuple[list[str], Field]:
    """Colours of atoms, as CSS writes them, and their covalent radii in Å, ``[atom]``."""
    from ase.data import atomic_numbers, covalent_radii
    from ase.data.colors import jmol_colors

    kinds = [atomic_numbers[symbol] for symbol in species]
    colours = [f"rgb({','.join(str(round(255 * part)) for part in jmol_colors[z])})" for z in kinds]
    return colours, np.array([float(covalent_radii[z]) for z in kinds])


def scene(
    name: str, caption: str, box: Box, atoms: Field, species: Sequence[str], grid: Grid, panels: Sequence[Panel],
    levels: Sequence[str] = ("",),
) -> dict[str, Any]:  # fmt: skip
    """What ``scenes.js`` draws: panels beside each other with the same atoms, ``[atom, 3]`` in Å as of ``nearest``.

    levels: what the heights are called between which one can choose.
    """
    places, whose = images(atoms, grid, box)
    symbols = [species[atom] for atom in whose]
    colours, radii = looks(symbols)
    return {
        "id": name,
        "caption": caption,
        "origin": box.origin.round(4).tolist(),
        "step": box.step.round(6).tolist(),
        "shape": list(box.shape),
        "levels": list(levels),
        "variants": [panel.title for panel in panels],
        "heights": [[list(heights) for heights in panel.heights] for panel in panels],
        "fields": [_packed(panel.field) for panel in panels],
        "species": symbols,
        "atoms": places.round(4).tolist(),
        "bonds": bonds(places, radii),
        "colours": colours,
        "radii": radii.round(2).tolist(),
    }


def scripts() -> tuple[list[str], str]:
    """The scripts of a page with scenes, and what its content security policy must say to allow them alone."""
    offline = imported("plotly.offline", "html", "a page with surfaces")
    drawing = resources("edframe.report").joinpath("scenes.js").read_text(encoding="utf-8")
    texts = [offline.get_plotlyjs(), drawing]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
    return texts, " ".join(f"'sha256-{value}'" for value in hashes)


def _packed(field: NDArray[np.int16]) -> dict[str, str]:
    """Plotly's form of an array of two-byte numbers."""
    return {"dtype": "i2", "bdata": base64.b64encode(field.astype("<i2").tobytes()).decode("ascii")}
