"""A density as a figure: in a plane through its atoms, alone or beside a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edframe.api.sampling import sampled
from edframe.grid import Grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pymatgen.core.structure import Structure

    from edframe.api.planes import Plane

Field = NDArray[np.float64]

POINTS = 300
IN_PLANE = 0.6
"""Å; an atom farther than this from the plane is drawn hollow."""


def figure(total: Field, grid: Grid, structure: Structure, reference: Field | None = None) -> Figure:
    """A density ``[x, y, z]`` in e/Å³ in the plane where the atoms spread most, on a logarithmic scale.

    With a reference on the same points there are three panels: density, reference, and density − reference.
    """
    from matplotlib.colors import AsinhNorm, LogNorm

    from edframe.api.planes import plane_through
    from edframe.report.style import DENSITY, DIFFERENCE, panels, styled

    plane = plane_through(structure, grid)
    mesh = plane.mesh(POINTS)
    values = sampled(total, grid, mesh)
    fields = {"density": values}
    if reference is not None:
        other = sampled(reference, grid, mesh)
        fields |= {"reference": other, "density − reference": values - other}
    top = max(float(values.max()), 1e-12)
    low = 10.0 ** (np.ceil(np.log10(top)) - 5)
    norm = LogNorm(low, top)
    with styled():
        drawn, axes = panels(len(fields), 4.2 * len(fields), 4.2, layout="compressed")
        for ax, (title, field) in zip(axes, fields.items(), strict=True):
            change = "−" in title
            limit = float(np.abs(field).max()) or 1e-12
            scale = AsinhNorm(linear_width=limit / 100, vmin=-limit, vmax=limit) if change else norm
            image = ax.imshow(
                (field if change else np.maximum(field, low)).T, origin="lower", norm=scale,
                cmap=DIFFERENCE if change else DENSITY, extent=(-plane.half, plane.half, -plane.half, plane.half),
            )  # fmt: skip
            _atoms(ax, grid, structure, plane, dark=not change)
            ax.set(title=title, xlabel="Å")
            bar = drawn.colorbar(image, ax=ax, location="bottom", shrink=0.8, pad=0.02)
            bar.set_label("difference (e/Å³)" if change else "electron density (e/Å³)")
            if change:
                ticks = [-limit, 0.0, limit]
                bar.set_ticks(ticks, labels=[f"{tick:.2g}".replace("-", "−") for tick in ticks])
                bar.ax.minorticks_off()
        return drawn


def _atoms(ax: Axes, grid: Grid, structure: Structure, plane: Plane, dark: bool) -> None:
    from matplotlib.patheffects import withStroke

    colour, halo = ("white", "#1c1f24") if dark else ("#1c1f24", "white")
    shown, height, symbols = _images(grid, structure, plane)
    placed: list[NDArray[np.float64]] = []
    for symbol, place, off in zip(symbols, shown, height, strict=True):
        inside = abs(off) <= IN_PLANE
        ax.plot(*place, "o", markersize=3.5, markerfacecolor=colour if inside else "none", markeredgecolor=colour,
                markeredgewidth=0.7, clip_on=True)  # fmt: skip
        if len(symbols) <= 24 and all(np.linalg.norm(place - other) > 0.35 for other in placed):
            placed.append(place)
            ax.annotate(symbol, tuple(place), xytext=(3.5, 3.5), textcoords="offset points", color=colour, fontsize=8.5,
                        fontweight="bold", annotation_clip=True,
                        path_effects=[withStroke(linewidth=1.4, foreground=halo)])  # fmt: skip


def _images(
    grid: Grid, structure: Structure, plane: Plane
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Of all images of atoms that fall into the picture within 1.2 Å of the plane, or nearest to it: places ``[image,
    2]`` and heights in Å, and symbols."""
    vectors = grid.vectors
    normal = np.cross(*plane.directions)
    shifts = np.array(list(np.ndindex(3, 3, 3))) - 1
    places, heights, symbols = [], [], []
    for site in structure:
        relative = site.coords + shifts @ vectors - plane.centre
        flat, height = relative @ plane.directions.T, relative @ normal
        for place, off in zip(flat, height, strict=True):
            if np.abs(place).max() <= plane.half and abs(off) <= 1.2:
                places.append(place)
                heights.append(float(off))
                symbols.append(site.specie.symbol)
    return np.array(places).reshape(-1, 2), np.array(heights), symbols
