"""A density as a figure, alone or beside a reference: in a plane through its atoms, or along a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edframe.api.sampling import sampled

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from edframe.api.density import Density
    from edframe.api.planes import Plane

Field = NDArray[np.float64]

POINTS = 300
REACH = 1.2
"""Å; images of atoms farther than this from the plane are not marked."""
WIDE = 30
"""Ratio of the largest to the smallest value beyond which a profile has a logarithmic axis."""


def in_plane(density: Density, reference: Density | None, plane: Plane) -> Figure:
    """The total density in a plane, on a logarithmic scale with a contour at each power of ten.

    With a reference on the same points there are three panels: density, reference, and density − reference.
    """
    from matplotlib.colors import AsinhNorm, LogNorm

    from edframe.report.style import DENSITY, DIFFERENCE, panels, styled
    from edframe.report.symbols import draw_atoms

    mesh, half = plane.mesh(POINTS), plane.half
    values = _smooth(density, mesh)
    fields = {"density": values}
    if reference is not None:
        change = sampled(density.total - reference.total, density.grid, mesh, 3)
        fields |= {"reference": _smooth(reference, mesh), "density − reference": change}
    top = max(float(values.max()), 1e-12)
    low = 10.0 ** (np.ceil(np.log10(top)) - 5)
    norm = LogNorm(low, top)
    symbols, places, heights = _images(density, plane)
    with styled():
        drawn, axes = panels(len(fields), 3.5 * len(fields) + 0.4, 4.4, layout="compressed")
        for number, (ax, (title, field)) in enumerate(zip(axes, fields.items(), strict=True)):
            signed = "−" in title
            limit = float(np.abs(field).max()) or 1e-12
            scale = AsinhNorm(linear_width=limit / 100, vmin=-limit, vmax=limit) if signed else norm
            shown = field if signed else np.maximum(field, low)
            image = ax.imshow(
                shown.T, origin="lower", norm=scale, cmap=DIFFERENCE if signed else DENSITY,
                extent=(-half, half, -half, half),
            )  # fmt: skip
            if not signed:
                steps = np.linspace(-half, half, POINTS)
                decades = np.arange(np.floor(np.log10(low)) + 1, np.ceil(np.log10(top)))
                ax.contour(steps, steps, np.log10(shown).T, levels=decades, colors="white", linestyles="solid",
                           linewidths=0.6, alpha=0.75)  # fmt: skip
            draw_atoms(ax, symbols, places, heights, 2 * half, dark=not signed)
            ax.set(title=title, xlabel="Å", xlim=(-half, half), ylim=(-half, half))
            ax.tick_params(labelleft=number == 0)
            bar = drawn.colorbar(image, ax=ax, location="bottom", shrink=0.9, pad=0.02, extend="neither" if signed
                                 else "min")  # fmt: skip
            bar.set_label("difference (e/Å³)" if signed else "electron density (e/Å³)")
            if signed:
                ticks = [-limit, -limit / 20, 0.0, limit / 20, limit]
                bar.set_ticks(ticks, labels=[f"{tick:.2g}".replace("-", "−") for tick in ticks])
                bar.ax.minorticks_off()
        return drawn


def along_line(density: Density, reference: Density | None, start: ArrayLike, end: ArrayLike) -> Figure:
    """The total density along a straight line, on a logarithmic scale where its range is wide; with a reference on the
    same points also the difference from it.

    start, end: as of ``Density.line``.
    """
    from edframe.report.style import BLUE, INK, ORANGE, panels, styled

    ends = [density.place(where) for where in (start, end)]
    away = np.linspace(0, float(np.linalg.norm(ends[1] - ends[0])), POINTS)
    places = ends[0] + np.linspace(0, 1, POINTS)[:, None] * (ends[1] - ends[0])
    values = _smooth(density, places)
    with styled():
        drawn, axes = panels(1 if reference is None else 2, 6 if reference is None else 10, 3.4)
        if reference is not None:
            axes[0].plot(away, _smooth(reference, places), color=INK, linewidth=2.2, label="reference")
            axes[0].plot(away, values, "--", color=ORANGE, label="density")
            axes[0].legend()
            axes[1].axhline(0, color=INK, linewidth=0.6)
            axes[1].plot(away, sampled(density.total - reference.total, density.grid, places, 3), color=ORANGE)
            axes[1].set(title="density − reference", ylabel="difference (e/Å³)")
        else:
            axes[0].plot(away, values, color=BLUE)
        axes[0].set(title="density", ylabel="electron density (e/Å³)")
        if values.min() > 0 and values.max() > WIDE * values.min():
            axes[0].set_yscale("log")
        else:
            axes[0].set_ylim(bottom=0)
        names = [_named(density, place) for place in (start, end)]
        for ax in axes:
            ax.set(xlabel=f"distance from {names[0]} towards {names[1]} (Å)", xlim=(0, away[-1]))
        return drawn


def _smooth(density: Density, places: Field) -> Field:
    """The total density at points ``[…, 3]`` in Å, by splines of its logarithm, which are nearly exact between grid
    points: it falls off exponentially."""
    floor = 1e-12 * max(float(density.total.max()), 1e-12)
    return np.asarray(10.0 ** sampled(np.log10(np.maximum(density.total, floor)), density.grid, places, 3))


def _named(density: Density, place: ArrayLike) -> str:
    if np.ndim(place) == 0:
        number = int(np.asarray(place))
        return f"{density.structure[number].specie.symbol} {number + 1}"
    return "(" + ", ".join(f"{x:.2f}" for x in np.asarray(place)) + ")"


def _images(density: Density, plane: Plane) -> tuple[list[str], Field, Field]:
    """Of all images of atoms that fall into the picture within REACH of the plane: symbols, places ``[image, 2]`` and
    heights in Å."""
    normal = np.cross(*plane.directions)
    shifts = np.array(list(np.ndindex(3, 3, 3))) - 1
    places, heights, symbols = [], [], []
    for site in density.structure:
        relative = site.coords + shifts @ density.grid.vectors - plane.centre
        flat, height = relative @ plane.directions.T, relative @ normal
        for place, off in zip(flat, height, strict=True):
            if np.abs(place).max() <= plane.half and abs(off) <= REACH:
                places.append(place)
                heights.append(float(off))
                symbols.append(site.specie.symbol)
    return symbols, np.array(places).reshape(-1, 2), np.array(heights)
