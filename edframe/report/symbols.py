"""Marks and symbols of atoms in a picture plane, none over another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edframe.report.style import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IN_PLANE = 0.6
"""Å; an atom farther than this from the plane is drawn hollow."""
MOST = 24
"""Symbols in one picture; more would cover the density, and marks of other shapes are explained instead."""
SHAPES = "o^sDvP"
APART = 0.07
"""Fraction of the picture's side that a symbol needs; atoms that are nearer to each other share one."""


def draw_atoms(
    ax: Axes,
    species: Sequence[str],
    places: NDArray[np.float64],
    heights: NDArray[np.float64],
    side: float,
    *,
    dark: bool,
) -> None:
    """A mark at each atom, hollow where it is off the plane, and symbols beside them, or a legend of their shapes.

    places: ``[atom, 2]`` in Å. heights: above the plane, ``[atom]`` in Å. side: the shorter one of the picture, in Å.
    dark: whether the picture is, so that marks are white.
    """
    from matplotlib.patheffects import withStroke

    colour, halo = ("white", INK) if dark else (INK, "white")
    labels = labelled(species, places, heights, APART * side)
    shapes = {symbol: "o" if labels else SHAPES[i % 6] for i, symbol in enumerate(dict.fromkeys(species))}
    for symbol, (x, y), height in zip(species, places, heights, strict=True):
        inside = abs(height) <= IN_PLANE
        ax.plot(x, y, shapes[symbol], markersize=3.4, markerfacecolor=colour if inside else "none",
                markeredgecolor=colour, markeredgewidth=0.8, alpha=1.0 if inside else 0.7, clip_on=True)  # fmt: skip
    for place, text in labels:
        ax.annotate(text, (float(place[0]), float(place[1])), xytext=(3.5, 3.5), textcoords="offset points",
                    color=colour, fontsize=8.5, fontweight="bold", annotation_clip=True,
                    path_effects=[withStroke(linewidth=1.4, foreground=halo)])  # fmt: skip
    if len(species) and not labels:
        for symbol, shape in shapes.items():
            ax.plot([], [], shape, color=colour, markersize=4, label=symbol)
        ax.legend(loc="upper right", ncols=min(len(shapes), 4), frameon=True, facecolor=halo, edgecolor="none",
                  framealpha=0.6, labelcolor=colour, handletextpad=0.1, columnspacing=0.8)  # fmt: skip


def labelled(
    species: Sequence[str], places: NDArray[np.float64], heights: NDArray[np.float64], apart: float
) -> list[tuple[NDArray[np.float64], str]]:
    """Where a symbol goes and what it says: one for atoms nearer to each other than ``apart``, that of the one nearest
    to the plane first; none where there would be more than MOST."""
    groups: list[tuple[NDArray[np.float64], list[str]]] = []
    for atom in np.argsort(np.abs(heights), kind="stable"):
        near = next((names for place, names in groups if np.linalg.norm(place - places[atom]) < apart), None)
        if near is None:
            groups.append((places[atom], [species[atom]]))
        elif species[atom] not in near:
            near.append(species[atom])
    return [(place, ", ".join(names)) for place, names in groups] if len(groups) <= MOST else []
