"""Figures of densities: reference, prediction and their difference in a plane through the atoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edframe.grid import Grid, density_unit
from edframe.report.read import Prediction
from edframe.report.slices import Plane, corners, through_atoms
from edframe.report.style import BLUE, DENSITY, DIFFERENCE, GREY, INK, ORANGE, panels, png, styled
from edframe.report.symbols import draw_atoms

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARGIN = 2.6
"""Å of surroundings shown around the atoms; beyond it a valence density is below 10⁻³ e/Å³."""
SMOOTHED = 300**2
"""Points up to which colours are interpolated between grid points; finer planes look smooth as they are."""


@dataclass(frozen=True)
class Slices:
    """A drawn figure and what its caption must say."""

    image: bytes
    plane: str
    alt: str


@dataclass(frozen=True)
class Curve:
    """A density of one dimension, ``[x]`` in e/Å, as it is drawn."""

    title: str
    field: NDArray[np.float32]
    colour: str
    width: float = 1.5
    dash: str = "--"


Fields = Mapping[str, NDArray[np.float32]]
"""Fields ``[x, y, z]`` by the title of their panel."""


def slices(sample: Prediction) -> Slices:
    """Reference, prediction, difference and the baseline's difference, on shared scales."""
    plane = through_atoms(sample.positions, sample.grid)
    reference, predicted = sample.reference[0], sample.predicted[0]
    baseline = None if sample.baseline is None else sample.baseline[0]
    with styled():
        if sample.grid.dimension == 1:
            curves = [Curve("prediction", predicted, ORANGE)]
            curves += [] if baseline is None else [Curve("baseline", baseline, GREY, width=1, dash="-")]
            image = lines(plane, sample.species, reference, curves)
        else:
            differences = {"prediction − reference": predicted - reference}
            differences |= {} if baseline is None else {"baseline − reference": baseline - reference}
            image = maps(
                plane, sample.grid, sample.species, {"reference": reference, "prediction": predicted}, differences
            )
    return Slices(image, plane.title, described(sample.species, sample.grid, "reference, prediction and difference"))


def described(species: Sequence[str], grid: Grid, what: str) -> str:
    """Text for those who do not see a figure of ``what``."""
    where = "line" if grid.dimension == 1 else "plane"
    formula = "–".join(species) if len(species) < 6 else f"{len(species)} atoms"
    return f"Density of {formula} in a {where} through the atoms: {what}"


def maps(
    plane: Plane,
    grid: Grid,
    species: Sequence[str],
    densities: Fields,
    differences: Fields,
    limit: float | None = None,
    width: float = 10.0,
) -> bytes:
    """PNG of densities on one logarithmic scale, then differences on one of both signs; fields ``[x, y, z]`` by title.

    limit: end of the differences' scale in e/Å^d; None: the largest of those shown. width: of the figure, in inches.
    """
    from matplotlib.colors import AsinhNorm, LogNorm

    maxima = [float(plane.cut(field).max()) for field in densities.values()]
    top = max(*maxima, 1e-12)
    density_norm = LogNorm(10.0 ** (np.ceil(np.log10(top)) - 5), top)
    if limit is None:
        limit = max(float(np.abs(plane.cut(field)).max()) for field in differences.values()) or 1e-12
    # Errors near nuclei are a hundred times those in bonds: linear up to 1% of the largest, logarithmic above.
    difference_norm = AsinhNorm(linear_width=limit / 100, vmin=-limit, vmax=limit)
    bounds = _view(plane)
    unit = density_unit(grid.dimension)
    shown: list[tuple[str, NDArray[np.float64], Any, str]] = [
        *((title, plane.cut(field), density_norm, DENSITY) for title, field in densities.items()),
        *((title, plane.cut(field), difference_norm, DIFFERENCE) for title, field in differences.items()),
    ]
    aspect = (bounds[3] - bounds[2]) / (bounds[1] - bounds[0])
    height = float(np.clip(width / len(shown) * aspect * 0.92, 1.4, 7)) + 1.3
    figure, axes = panels(len(shown), width, height, layout="compressed")
    meshes = []
    for number, (ax, (title, values, norm, colours)) in enumerate(zip(axes, shown, strict=True)):
        meshes.append(_map(ax, plane, values, norm, colours))
        ax.set(title=f"({'abcdefgh'[number]}) {title}", xlabel=plane.labels[0], xlim=bounds[:2], ylim=bounds[2:])
        if number == 0:
            ax.set_ylabel(plane.labels[1])
        else:
            ax.tick_params(labelleft=False)
        side = min(bounds[1] - bounds[0], bounds[3] - bounds[2])
        draw_atoms(ax, species, plane.atoms, plane.height, side, dark=colours == DENSITY)
    first = len(densities)
    for mesh, over, label in ((meshes[0], axes[:first], "electron density"), (meshes[-1], axes[first:], "difference")):
        shrink, aspect = (0.75, 38) if len(over) > 1 else (0.95, 24)
        extend = "min" if over[0] is axes[0] else "neither"
        bar = figure.colorbar(mesh, ax=over, location="bottom", pad=0.03, shrink=shrink, aspect=aspect, extend=extend)
        bar.set_label(f"{label} ({unit})")
    ticks = _symmetric_ticks(limit)
    bar.set_ticks(ticks, labels=[f"{t:g}".replace("-", "−") for t in ticks])
    bar.ax.minorticks_off()
    return png(figure)


def _map(ax: Axes, plane: Plane, values: NDArray[np.float64], norm: Any, colours: str) -> Any:
    # What is below the scale, or negative, takes its lowest colour instead of a hole.
    clipped = np.maximum(values, norm.vmin) if colours == DENSITY else values
    # Voxels are drawn below, so that the outer half of the outermost ones is not left white.
    mesh = corners(plane.points)
    drawn = ax.pcolormesh(mesh[..., 0], mesh[..., 1], clipped, norm=norm, cmap=colours)
    if values.size <= SMOOTHED and min(values.shape) > 1:
        ax.pcolormesh(plane.points[..., 0], plane.points[..., 1], clipped, norm=norm, cmap=colours, shading="gouraud")
    if colours == DENSITY and min(values.shape) > 1:
        # Densities fall off exponentially: between grid points their logarithm is nearly linear, they are not.
        decades = np.arange(np.floor(np.log10(norm.vmin)) + 1, np.ceil(np.log10(norm.vmax)))
        x, y = plane.points[..., 0], plane.points[..., 1]
        ax.contour(
            x, y, np.log10(clipped), levels=decades, linestyles="solid", colors="white", linewidths=0.6, alpha=0.75
        )
    ax.set_aspect("equal")
    for spine in ax.spines.values():
        spine.set_visible(True)
    ax.grid(visible=False)
    return drawn


def _view(plane: Plane) -> tuple[float, float, float, float]:
    """Limits of the picture: the atoms and MARGIN around them, but no more than the cell."""
    mesh = corners(plane.points)
    low, high = mesh.min(axis=(0, 1)), mesh.max(axis=(0, 1))
    if len(plane.atoms):
        low = np.maximum(low, plane.atoms.min(axis=0) - MARGIN)
        high = np.minimum(high, plane.atoms.max(axis=0) + MARGIN)
    return float(low[0]), float(high[0]), float(low[1]), float(high[1])


def _symmetric_ticks(limit: float) -> list[float]:
    """−…, 0, …+ in decades, as many as fit the linear width of 1% of ``limit``."""
    top = np.floor(np.log10(limit))
    decades = [10.0**e for e in (top - 1, top)]
    return [*(-d for d in reversed(decades)), 0.0, *decades]


def lines(plane: Plane, species: Sequence[str], reference: NDArray[np.float32], curves: Sequence[Curve]) -> bytes:
    """PNG of a reference ``[x]`` and other densities of one dimension, and of their differences from it."""
    x = plane.points[..., 0]
    base = plane.cut(reference)
    figure, axes = panels(2, 10, 3.3)
    axes[0].plot(x, base, color=INK, linewidth=2.2, label="reference")
    for curve in curves:
        values = plane.cut(curve.field)
        axes[0].plot(x, values, color=curve.colour, linewidth=curve.width, linestyle=curve.dash, label=curve.title)
        axes[1].plot(x, values - base, color=curve.colour, linewidth=curve.width, label=f"{curve.title} − reference")
    axes[1].axhline(0, color=INK, linewidth=0.6)
    axes[0].set(xlabel=plane.labels[0], ylabel="electron density (e/Å)", title="(a) density")
    axes[1].set(xlabel=plane.labels[0], ylabel="difference (e/Å)", title="(b) difference")
    for ax in axes:
        ax.legend()
        for symbol, atom in zip(species, plane.atoms, strict=True):
            ax.axvline(atom[0], color=BLUE, linewidth=0.6, linestyle=":")
            ax.annotate(symbol, (atom[0], 1), xycoords=("data", "axes fraction"), xytext=(2, -9),
                        textcoords="offset points", color=BLUE)  # fmt: skip
    return png(figure)
