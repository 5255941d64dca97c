"""Surfaces of equal density around the atoms, to be turned in a notebook or a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edframe.errors import imported
from edframe.report.scenes import POINTS, Box, Panel, around, bonds, images, level, looks, nearest, scene, smooth

if TYPE_CHECKING:
    from edframe.api.density import Density

Field = NDArray[np.float64]

HELD = 0.9
"""Fraction of the electrons inside the surface, where no level is given."""
CHOICES = (0.9, 0.5, 0.75, 0.95, 0.99)
"""Fractions that a page offers, the first of them at once."""
FINEST = 0.12
"""Å between the points of a surface, on coarser grids too: splines lie between grid points."""
FLOOR = 1e-6
"""e/Å³; what is less is drawn as this."""
CODE, STEP = 2500, 2048
"""In numbers of two bytes: a density is CODE times its decimal logarithm, a difference STEP times its level."""


def isosurface(density: Density, height: float | None = None) -> Any:
    """A plotly figure; see ``Density.isosurface``."""
    go = imported("plotly.graph_objects", "html", "an isosurface")

    height = enclosing(density.total, HELD) if height is None else height
    box, atoms, middle = _box(density)
    x, y, z = np.moveaxis(box.points(), -1, 0).reshape(3, -1).round(3)
    surface = go.Isosurface(
        x=x, y=y, z=z, value=_logarithm(density, box, middle).ravel(), isomin=np.log10(height), isomax=np.log10(height),
        surface={"count": 1}, opacity=0.45, caps={"x_show": False, "y_show": False, "z_show": False},
        colorscale=[[0, "#2b9c84"], [1, "#2b9c84"]], showscale=False, hoverinfo="skip", flatshading=False,
        lighting={"ambient": 0.6, "diffuse": 0.6, "specular": 0.2},
    )  # fmt: skip
    places, whose = images(atoms, density.grid, box)
    symbols = [density.structure[int(atom)].specie.symbol for atom in whose]
    colours, radii = looks(symbols)
    sticks = [[places[a], places[b], np.full(3, np.nan)] for a, b in bonds(places, radii)]
    lines = np.array(sticks).reshape(-1, 3)
    traces = [
        surface,
        go.Scatter3d(x=lines[:, 0], y=lines[:, 1], z=lines[:, 2], mode="lines", hoverinfo="skip",
                     line={"width": 7, "color": "#8a8f98"}),
        go.Scatter3d(x=places[:, 0], y=places[:, 1], z=places[:, 2], mode="markers", hoverinfo="text",
                     hovertext=symbols, marker={"size": 6 + 8 * radii, "color": colours, "opacity": 1,
                                                "line": {"color": "#1c1f24", "width": 1}}),
    ]  # fmt: skip
    hidden = {"visible": False}
    return go.Figure(
        traces,
        layout={
            "showlegend": False, "margin": {"l": 0, "r": 0, "t": 30, "b": 0},
            "title": {"text": f"{density.structure.formula}, surface at {height:.3g} e/Å³", "font": {"size": 13}},
            "scene": {"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data"},
        },
    )  # fmt: skip


def surfaces(density: Density, reference: Density | None = None) -> dict[str, Any]:
    """A scene of the density; with a reference, of both and of their difference, on one box of points."""
    box, atoms, middle = _box(density if reference is None else reference)
    every = {"density": density} if reference is None else {"density": density, "reference": reference}
    of = next(reversed(every.values()))
    heights = [enclosing(of.total, share) for share in CHOICES]
    coded = [[round(CODE * float(np.log10(height)))] for height in heights]
    panels = [
        Panel(title, np.rint(CODE * _logarithm(one, box, middle)).astype(np.int16), coded)
        for title, one in every.items()
    ]
    caption = "The level is that of the reference in both." if reference is not None else ""
    if reference is not None:
        change = smooth(density.total - reference.total, box, density.grid, middle)
        least = level([change])
        steps = np.clip(np.rint(change * (STEP / least)), -(2**15), 2**15 - 1).astype(np.int16)
        panels.append(Panel("density − reference", steps, [[-STEP, STEP]] * len(CHOICES)))
        caption += f" The difference is drawn at ±{least:.2g} e/Å³, above which half of it lies."
    levels = [
        f"{height:.2g} e/Å³, around {100 * share:g} % of the electrons"
        for share, height in zip(CHOICES, heights, strict=True)
    ]
    species = [site.specie.symbol for site in of.structure]
    return scene(of.structure.formula, caption, box, atoms, species, of.grid, panels, levels)


def enclosing(total: Field, fraction: float) -> float:
    """The density above which ``fraction`` of the electrons lie, in the unit of ``total``."""
    falling = np.sort(total.ravel())[::-1]
    place = int(np.searchsorted(np.cumsum(falling), fraction * falling.sum()))
    return max(float(falling[min(place, len(falling) - 1)]), FLOOR)


def _box(density: Density) -> tuple[Box, Field, Field]:
    """Where a density is drawn: the box, and its atoms from their middle, ``[atom, 3]``, and that, in Å."""
    atoms, middle = nearest(density.structure.cart_coords, density.grid)
    return around(atoms, middle, density.grid, POINTS, FINEST), atoms, middle


def _logarithm(density: Density, box: Box, middle: Field) -> Field:
    """Decimal logarithm, of which splines are nearly exact: a density falls off exponentially."""
    return smooth(np.log10(np.maximum(density.total, FLOOR)), box, density.grid, middle)
