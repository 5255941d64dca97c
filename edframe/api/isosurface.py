"""A surface of equal density around the atoms, to be turned in a notebook or a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edframe.api.sampling import sampled
from edframe.errors import imported
from edframe.grid import Grid

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

HELD = 0.9
"""Fraction of the electrons inside the surface, where no level is given."""
POINTS = 60_000
"""Of the box that is drawn; more look no better, and take seconds."""
BOND = 1.2
"""Atoms nearer than this times the sum of their covalent radii are joined."""
MARGIN = 2.2
"""Å around the atoms."""


def isosurface(total: NDArray[np.float64], grid: Grid, structure: Structure, level: float | None = None) -> Any:
    """A plotly figure; see ``Density.isosurface``."""
    go = imported("plotly.graph_objects", "html", "an isosurface")
    from ase.data import covalent_radii
    from ase.data.colors import jmol_colors

    atoms, middle = _near_atoms(grid, structure)
    places = _box(atoms)
    values = sampled(total, grid, places + middle)
    height = level if level is not None else enclosing(total, HELD)
    x, y, z = np.moveaxis(places, -1, 0).reshape(3, -1).round(3)
    surface = go.Isosurface(
        x=x, y=y, z=z, value=values.ravel(), isomin=height, isomax=height, surface={"count": 1}, opacity=0.45,
        caps={"x_show": False, "y_show": False, "z_show": False}, colorscale=[[0, "#2f7fc1"], [1, "#2f7fc1"]],
        showscale=False, hoverinfo="skip", lighting={"ambient": 0.7, "diffuse": 0.6},
    )  # fmt: skip
    numbers = [site.specie.Z for site in structure]
    colours = [f"rgb({','.join(str(round(255 * part)) for part in jmol_colors[number])})" for number in numbers]
    sizes = [6 + 8 * float(covalent_radii[number]) for number in numbers]
    ball = go.Scatter3d(
        x=atoms[:, 0], y=atoms[:, 1], z=atoms[:, 2], mode="markers", hoverinfo="text",
        hovertext=[site.specie.symbol for site in structure],
        marker={"size": sizes, "color": colours, "opacity": 1},
    )  # fmt: skip
    traces = [surface, ball]
    if len(sticks := _bonds(atoms, np.array([covalent_radii[n] for n in numbers]))):
        traces.append(go.Scatter3d(x=sticks[:, 0], y=sticks[:, 1], z=sticks[:, 2], mode="lines", hoverinfo="skip",
                                   line={"width": 6, "color": "#8a8f98"}))  # fmt: skip
    hidden = {"visible": False}
    return go.Figure(
        traces,
        layout={
            "showlegend": False, "margin": {"l": 0, "r": 0, "t": 30, "b": 0},
            "title": {"text": f"{structure.formula}, surface at {height:.3g} e/Å³", "font": {"size": 13}},
            "scene": {"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data"},
        },
    )  # fmt: skip


def enclosing(total: NDArray[np.float64], fraction: float) -> float:
    """The density above which ``fraction`` of the electrons lie, in the unit of ``total``."""
    falling = np.sort(total.ravel())[::-1]
    place = int(np.searchsorted(np.cumsum(falling), fraction * falling.sum()))
    return float(falling[min(place, len(falling) - 1)])


def _near_atoms(grid: Grid, structure: Structure) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Atoms ``[atom, 3]`` in Å from their middle, nearest images, and the middle ``[3]``."""
    from edframe.metrics.standard import centre_of_atoms

    middle = centre_of_atoms(structure.cart_coords, grid)
    fractions = (structure.cart_coords - middle) @ np.linalg.inv(grid.vectors)
    return np.asarray((fractions - np.floor(fractions + 0.5)) @ grid.vectors), middle


def _box(atoms: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = atoms.min(axis=0) - MARGIN, atoms.max(axis=0) + MARGIN
    step = float(np.prod(high - low) / POINTS) ** (1 / 3)
    axes = [np.linspace(a, b, max(8, round((b - a) / step))) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def _bonds(atoms: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ends of all bonds, ``[row, 3]``, with a row of nan after each."""
    away = np.linalg.norm(atoms[:, None] - atoms[None], axis=-1)
    first, second = np.nonzero(np.triu(away < BOND * (radii[:, None] + radii[None]), 1))
    gap = np.full((len(first), 3), np.nan)
    return np.stack([atoms[first], atoms[second], gap], axis=1).reshape(-1, 3)
