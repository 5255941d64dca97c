"""Draw the figures of gallery.md, and print the numbers that it quotes; half a minute on one core.

python plugins/edframe-sinkhorn/docs/gallery.py

Needs edframe-pyscf for two densities of Li–O–Li and POT for exact transport.
One module, though long: a section for each figure, each read on its own, on the few helpers they share.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from edframe_sinkhorn import sinkhorn_divergence
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RectBivariateSpline

from edframe.grid import Grid
from edframe.report.style import BLUE, DENSITY, DIFFERENCE, GREEN, GREY, INK, ORANGE, panels, png, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar

FIGURES = Path(__file__).parent / "figures"
CONVERGED = {"tol": 1e-5, "max_iterations": 2000}
Floats = NDArray[np.float64]

SHOWN = 1e-2
"""e/Å³; no arrows where the density is lower."""
ENLARGED = 1.5
"""Arrows are drawn so many times longer than the way."""
WIDTH = 0.3
"""Å; of the Gaussian that is moved by parts of a voxel."""


# What the figures are made of


def displacement(potential: ArrayLike, grid: Grid) -> Floats:
    """−∇ of a potential ``[n1, …, nd]`` in Å², ``[n1, …, nd, d]`` in Å, by central differences; all axes periodic.

    Of ``result.potential`` it is how far the mass at each point moves: where the plan between a and b sends it on
    average, less where the plan of a with itself does.
    """
    values = np.asarray(potential)
    steps = [(np.roll(values, -1, axis) - np.roll(values, 1, axis)) / 2 for axis in range(values.ndim)]
    return np.asarray(-np.stack(steps, -1) @ np.linalg.inv(grid.voxel).T)


def deposit(mass: ArrayLike, points: Floats, grid: Grid) -> Floats:
    """Masses ``[k]`` at ``points`` ``[k, d]`` in Å, shared among the grid points around: cloud in cell; periodic.

    Linear weights keep the mass and the centre of mass.
    """
    index = points @ np.linalg.inv(grid.voxel)
    low = np.floor(index).astype(int)
    right = index - low
    result = np.zeros(grid.points)
    for corner in np.ndindex(*[2] * grid.dimension):
        weight = np.prod(np.where(corner, right, 1 - right), axis=1) * np.asarray(mass)
        place = np.ravel_multi_index(tuple((low + corner).T), grid.shape, mode="wrap")
        result += np.bincount(place, weight, grid.points)
    return result.reshape(grid.shape)


def push(density: Floats, moves: Floats, t: float, grid: Grid, parts: int = 1) -> Floats:
    """The density after each of its voxels has gone the fraction ``t`` of its way ``moves`` ``[n1, …, nd, d]`` in Å.

    parts: pieces per axis that a voxel is cut into; each goes the way of its own place, to first order. More leave
    fewer gaps where the field spreads, and smooth by a part of a voxel.
    """
    slopes = [(np.roll(moves, -1, axis) - np.roll(moves, 1, axis)) / 2 for axis in range(grid.dimension)]
    result = np.zeros(grid.shape)
    for part in np.ndindex(*[parts] * grid.dimension):
        aside = (np.array(part) + 0.5) / parts - 0.5  # in voxels
        way = moves + sum(x * slope for x, slope in zip(aside, slopes, strict=True))
        points = grid.coordinates() + aside @ grid.voxel + t * way
        result += deposit(density.ravel(), points.reshape(-1, grid.dimension), grid)
    return np.asarray(result / parts**grid.dimension)


def gaussian(grid: Grid, centre: ArrayLike, width: float) -> Floats:
    """A normalised Gaussian of standard deviation ``width`` Å around ``centre`` in Å; periodic axes wrap."""
    apart = grid.fractions() - np.atleast_1d(centre) @ np.linalg.inv(grid.vectors)
    squared = (((apart - np.where(grid.periodic, np.rint(apart), 0)) @ grid.vectors) ** 2).sum(-1)
    return np.asarray(np.exp(-squared / (2 * width**2)) / (2 * np.pi * width**2) ** (grid.dimension / 2))


def atom(grid: Grid, shift: float) -> Floats:
    """A model of Li, e/Å³: a core of two electrons and a shell of one, moved by ``shift`` Å along the first axis."""
    centre = grid.vectors.sum(0) / 2 + np.array([shift - 1.0, 0.0, 0.0])
    return 2 * gaussian(grid, centre, 0.25) + gaussian(grid, centre, 0.5)


def between_gaussians(s: ArrayLike, t: float, blur: float) -> Floats:
    """OT_ε on a line between Gaussians of widths s and t (Å) with one centre, in Å²: Janati et al. 2020, theorem 1."""
    s, epsilon = np.asarray(s, dtype=float), blur**2
    spread = np.sqrt(4 * s**2 * t**2 + epsilon**2)
    return np.asarray(s**2 + t**2 - spread + epsilon * (1 + np.log((spread + epsilon) / (2 * epsilon)))) / 2


def debiased(s: ArrayLike, t: float, blur: float) -> Floats:
    """S_ε of the same."""
    own = [np.array([between_gaussians(x, x, blur) for x in np.ravel(w)]) for w in (s, t)]
    return between_gaussians(s, t, blur) - own[0].reshape(np.shape(s)) / 2 - own[1].item() / 2


def transport(a: Floats, b: Floats, grid: Grid, blur: float | None = None, **options: Any) -> Any:
    """``sinkhorn_divergence``, converged, of two densities ``[n1, …, nd]`` or two batches ``[b, n1, …, nd]``."""
    first, second = (torch.from_numpy(x.reshape(-1, *grid.shape)) for x in (a, b))
    return sinkhorn_divergence(first, second, grid, blur, **CONVERGED, **options)


def lithium_oxide(*names: str, points: int = 48) -> tuple[Grid, list[Floats], list[Floats]]:
    """Densities in e/Å³ on ``points``³ and positions in Å, of samples of the dataset ``li-o-li``."""
    from edframe_pyscf.li_o_li import LiOLi
    from edframe_pyscf.plugin import LiOLiConfig

    dataset = LiOLi(LiOLiConfig(grid=points))
    samples = [dataset[dataset.ids.index(name)] for name in names]
    densities = [sample.density[0].astype(np.float64) for sample in samples]
    return dataset.grid, densities, [sample.structure.cart_coords for sample in samples]


# The figures


def draw_displacement() -> Any:
    """An atom of Li–O–Li moves by 0.24 Å: the displacement field of transport, and the gradient of L2."""
    from matplotlib.colors import BoundaryNorm

    names = ("li-o-li-12-08", "li-o-li-12-18")
    grid, (a, b), (before, after) = lithium_oxide(*names)
    result = transport(a, b, grid)
    moves = displacement(result.potential[0], grid)
    centre, plane = grid.vectors.sum(0) / 2, grid.shape[2] // 2
    at_atoms = [moves[tuple(np.rint(position / grid.spacing).astype(int))] for position in before]
    away = (a > SHOWN) & (np.linalg.norm(grid.coordinates() - before[2], axis=-1) > 1.5)
    show("Li moves by, Å", after[2] - before[2], np.linalg.norm(after[2] - before[2]))
    show("field at the grid points nearest to it, O, and the other Li, Å", *np.linalg.norm(at_atoms[::-1], axis=1))
    show("its direction there, and of the way", *(way[1] / way[0] for way in (at_atoms[2], after[2] - before[2])))
    show("largest field more than 1.5 Å from it, Å", np.linalg.norm(moves, axis=-1)[away].max())
    show("S, and half the mean square of the field, Å²", result.value, mean((moves**2).sum(-1) / 2, a))
    drift = np.tensordot(b - a, grid.coordinates(), 3) / a.sum()
    show("mean of the field, and way of the centre of the electrons, Å", mean(moves, a), drift)
    figure, axes = panels(2, 10, 3.5, layout="compressed")

    fine, (fine_a, fine_b), _ = lithium_oxide(*names, points=96)  # the same densities, for smooth contours
    x, y = (fine.coordinates()[:, :, 0, axis] - centre[axis] for axis in (0, 1))
    mesh = bands(axes[0], x, y, fine_a[:, :, 48], (-3, 1.75), light_greys())
    decades(figure.colorbar(mesh, ax=axes[0], location="right", aspect=18, pad=0.02), "electron density a (e/Å³)")
    every = (slice(None, None, 2), slice(None, None, 2))
    x_tail, y_tail = (grid.coordinates()[:, :, plane, axis][every] - centre[axis] for axis in (0, 1))
    u, v = (moves[:, :, plane, axis][every] for axis in (0, 1))
    drawn = (a[:, :, plane][every] > SHOWN) & (np.hypot(u, v) > 0.005)
    arrows = axes[0].quiver(
        x_tail[drawn], y_tail[drawn], u[drawn], v[drawn], color=ORANGE, angles="xy", scale_units="xy",
        scale=1 / ENLARGED, width=0.0035, headwidth=4, headlength=4.5, headaxislength=4,
    )  # fmt: skip
    axes[0].quiverkey(arrows, 0.9, 1.045, 0.2, "0.2 Å", labelpos="W", coordinates="axes")

    change = (fine_a - fine_b)[:, :, 48]
    steps = np.array([0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50])
    levels = np.concatenate((-steps[::-1], steps))
    show("largest |a − b| in the plane, e/Å³", np.abs(change).max())
    norm = BoundaryNorm(levels, 256, extend="neither")
    mesh = axes[1].contourf(*finer(x, y, change), levels, norm=norm, cmap=DIFFERENCE)
    bar = figure.colorbar(mesh, ax=axes[1], location="right", aspect=18, pad=0.02, spacing="uniform", ticks=levels)
    bar.set_ticklabels([f"{level:g}".replace("-", "−") for level in levels])
    bar.set_label("a − b (e/Å³)")
    titles = (
        r"(a) transport: $-\nabla(f_{ab}-f_{aa})$",
        r"(b) L2: $\frac{1}{2}\,\partial/\partial a \int (a-b)^2 = a-b$",
    )
    for ax, title, edge in zip(axes, titles, (INK, "white"), strict=True):
        framed(ax)
        ax.set(title=title, xlabel="x (Å)", ylabel="y (Å)", xlim=(-3.3, 3.4), ylim=(-2.0, 2.4), aspect="equal")
        mark(ax, before - centre, ("Li", "O", "Li"))
        ax.plot(*(after[2] - centre)[:2], "o", markersize=4, markerfacecolor="none", markeredgecolor=edge)
    axes[1].tick_params(labelleft=False)
    axes[1].set_ylabel("")
    return figure


def draw_interpolation() -> Any:
    """A bent Li–O–Li turns over: mass pushed along the potential, above the straight average."""
    grid, (a, b), _ = lithium_oxide("li-o-li-13-13", "li-o-li-11-11")
    result = transport(a, b, grid)
    moves = displacement(result.potential[0], grid)
    times = (0.0, 0.25, 0.5, 0.75, 1.0)
    centre = grid.vectors.sum(0) / 2
    x, y = (grid.coordinates()[:, :, 0, axis] - centre[axis] for axis in (0, 1))
    rows = {
        "transport": [push(a, moves, t, grid, parts=3) for t in times],
        "average": [(1 - t) * a + t * b for t in times],
    }
    for name, row in rows.items():
        show(f"{name}: electrons", *(density.sum() * grid.voxel_volume for density in row))
    show("S(a, b), Å²", result.value)
    for name, row in rows.items():
        costs = transport(np.stack([row[2], row[4]]), np.stack([b, b]), grid).value
        show(f"{name}: S(t = ½, b), S(t = 1, b), as parts of S(a, b)", costs / result.value)
    figure, _ = panels(1, 10, 3.7, layout="compressed")
    figure.clear()
    grid_of_axes = figure.subplots(2, len(times), sharex=True, sharey=True)
    for name, row, line in zip(rows, rows.values(), grid_of_axes, strict=True):
        for t, density, ax in zip(times, row, line, strict=True):
            column = density.sum(2) * grid.spacing[2]
            mesh = bands(ax, x, y, column, (-2, 1.25), DENSITY)
            framed(ax)
            ax.set(xlim=(-2.9, 2.9), ylim=(-2.3, 2.3), aspect="equal", xticks=(-2, 0, 2), yticks=(-2, 0, 2))
            if name == "transport":
                ax.set_title(f"t = {t:g}", loc="center")
            else:
                ax.set_xlabel("x (Å)")
        line[0].set_ylabel({"transport": "a moved by −t∇φ", "average": "(1 − t) a + t b"}[name] + "\ny (Å)")
    bar = figure.colorbar(mesh, ax=grid_of_axes, location="right", aspect=24, pad=0.015)
    decades(bar, "electrons in a column along z (e/Å²)")
    return figure


def draw_shift() -> Any:
    """What L1, L2, S and exact discrete transport charge for an atom that is moved."""
    import ot

    grid = Grid.of([6.4] * 3, 32, False)
    rest, volume = atom(grid, 0.0), grid.voxel_volume
    shifts = np.array([0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0])
    moved = [atom(grid, shift) for shift in shifts]
    l1 = np.array([np.abs(density - rest).sum() * volume for density in moved]) / (2 * rest.sum() * volume)
    l2 = np.array([((density - rest) ** 2).sum() for density in moved]) / (2 * (rest**2).sum())
    results = transport(np.stack(moved), np.stack([rest] * len(moved)), grid)
    values = results.value.numpy()
    show("L1 at the shifts", *l1)
    show("L2", *l2)
    show("S / (δ²/2) − 1", *(values[1:] / (shifts[1:] ** 2 / 2) - 1))
    figure, axes = panels(3, 10, 3.0)
    fine = np.linspace(0, 2, 81)
    axes[0].plot(shifts, l1, "o-", color=BLUE, markersize=4, label="L1: ∫|a − b|")
    axes[0].plot(shifts, l2, "s-", color=GREEN, markersize=4, label="L2: ∫(a − b)²")
    axes[0].set(title="(a) pointwise", ylabel="loss / its limit at δ → ∞", ylim=(0, 1.08))
    axes[0].legend(loc="lower right")
    axes[1].plot(fine, fine**2 / 2, color=GREY, label="½ δ²")
    axes[1].plot(shifts, values, "o", color=ORANGE, markersize=4, label="S, blur of a voxel")
    axes[1].set(title="(b) transport", ylabel="S (Å²)", ylim=(-0.03, 2.16))
    axes[1].legend(loc="upper left")
    for ax in axes[:2]:
        ax.set(xlabel="shift δ of the atom (Å)", xlim=(-0.03, 2.05))

    line, voxel = Grid.of([8.0], 40, False), 0.2  # the other two axes of a Gaussian in space add nothing
    x = line.coordinates()[:, 0]
    parts = np.array([0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    still, shifted = gaussian(line, 4.0, WIDTH), [gaussian(line, 4.0 + part * voxel, WIDTH) for part in parts]
    true = (parts * voxel) ** 2 / 2
    exact = [ot.emd2_1d(x, x, s / s.sum(), still / still.sum()) / 2 for s in shifted]
    show("exact transport of the gridded densities / (δ²/2)", *(np.array(exact) / true))
    axes[2].plot(parts, exact / true, "^-", color=INK, markersize=4, label="exact, discrete")
    for voxels, colour, marker, size in ((0.5, BLUE, "s", 4), (1.0, ORANGE, "o", 7), (2.0, GREEN, "D", 3.5)):
        costs = transport(np.stack(shifted), np.stack([still] * len(parts)), line, voxels * voxel).value.numpy()
        show(f"S / (δ²/2), blur {voxels} voxels", *(costs / true))
        label = f"S, blur {voxels:g} voxel" + "s" * (voxels > 1)
        hollow = {"markerfacecolor": "none"} if size > 4 else {}
        axes[2].plot(parts, costs / true, marker + "-", color=colour, markersize=size, label=label, **hollow)
    axes[2].set_yscale("log")
    axes[2].set(title="(c) below one voxel", xlabel="shift δ (voxels of 0.2 Å)", ylabel="value / ½ δ²", xlim=(0, 1.03))
    axes[2].set_yticks([1, 2, 5, 10, 20], labels=["1", "2", "5", "10", "20"])
    axes[2].minorticks_off()
    axes[2].legend(loc="upper right")
    return figure


def draw_blur() -> Any:
    """What a blur hides: a change of width; and what the self transports are for."""
    grid, width = Grid.of([12.0], 240, False), 0.6
    reference = gaussian(grid, 6.0, width)
    figure, axes = panels(2, 8, 3.1)
    blurs = np.array([0.1, 0.15, 0.25, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0]) * width
    fine = np.geomspace(0.08, 2.1, 60) * width
    for factor, colour, marker in ((1.1, BLUE, "o"), (1.5, ORANGE, "s")):
        true = ((factor - 1) * width) ** 2 / 2
        wider = gaussian(grid, 6.0, factor * width)
        costs = np.array([transport(wider, reference, grid, blur).value.item() for blur in blurs])
        law = np.array([debiased(factor * width, width, blur) for blur in fine])
        show(f"width × {factor}: S / exact at blur / σ = {blurs / width}", *(costs / true))
        closed = np.array([debiased(factor * width, width, blur) for blur in blurs])
        show("  largest difference from the closed form", np.abs(costs - closed).max() / true)
        axes[0].plot(fine / width, law / true, color=colour)
        axes[0].plot(blurs / width, costs / true, marker, color=colour, markersize=4, label=f"σ → {factor:g} σ")
    shifted = gaussian(grid, 6.3, width)
    costs = np.array([transport(shifted, reference, grid, blur).value.item() for blur in blurs])
    show("shift by σ/2: S / exact", *(costs / (0.3**2 / 2)))
    axes[0].plot(blurs / width, costs / (0.3**2 / 2), "D-", color=GREEN, markersize=4, label="shift by σ/2")
    axes[0].set(
        title="(a) blur",
        xlabel="blur / σ",
        ylabel="S / value without blur",
        ylim=(0, 1.08),
        xlim=(0, 2.1),
        xticks=(0, 0.5, 1, 1.5, 2),
    )
    axes[0].legend(loc="lower left")
    widths = np.linspace(0.25, 1.6, 15) * width
    fine = np.linspace(0.2, 1.65, 80) * width
    for flag, colour, marker, label in ((True, ORANGE, "o", "S"), (False, GREY, "s", "OT alone (debias=False)")):
        law = debiased(fine, width, width / 2) if flag else between_gaussians(fine, width, width / 2)
        costs = np.array(
            [transport(gaussian(grid, 6.0, w), reference, grid, width / 2, debias=flag).value.item() for w in widths]
        )
        show(f"{label}: at widths / σ {widths / width}, Å²", *costs)
        axes[1].plot(fine / width, law, color=colour)
        axes[1].plot(widths / width, costs, marker, color=colour, markersize=4, label=label)
        least = 1.0 if flag else np.sqrt(1 - 0.5**2)
        axes[1].axvline(least, ymax=0.7, color=colour, linewidth=0.8, linestyle=":")
        show("  least at width / σ", fine[law.argmin()] / width, least)
    axes[1].set(
        title="(b) the self transports, blur σ/2", xlabel="width of a / σ", ylabel="value (Å²)", ylim=(-0.005, 0.27)
    )
    axes[1].legend(loc="upper center")
    return figure


def mean(field: Floats, density: Floats) -> Any:
    """The mean of ``field`` over the electrons."""
    return np.tensordot(density, field, density.ndim) / density.sum()


def framed(ax: Axes) -> None:
    """A picture has four sides."""
    for spine in ax.spines.values():
        spine.set_visible(True)


def bands(ax: Axes, x: Floats, y: Floats, values: Floats, span: tuple[float, float], colours: Any) -> Any:
    """Filled contours, four per decade; ``span``: of log10. What is lower has the lowest colour."""
    levels = np.arange(span[0], span[1] + 0.1, 0.25)
    x, y, logarithms = finer(x, y, np.log10(values.clip(10.0 ** (span[0] - 1))))
    return ax.contourf(x, y, logarithms.clip(*span), levels, cmap=colours)


def finer(x: Floats, y: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Cubic splines between the voxels, four points for each, so that contours are not polygons."""
    spline = RectBivariateSpline(x[:, 0], y[0], values)
    fine = [np.linspace(axis[0], axis[-1], 4 * len(axis) - 3) for axis in (x[:, 0], y[0])]
    return *np.meshgrid(*fine, indexing="ij"), spline(*fine)


def light_greys() -> Any:
    """Greys on which marks and arrows can be seen."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["Greys"](np.linspace(0.0, 0.68, 256)))


def decades(bar: Colorbar, label: str) -> None:
    """Powers of ten along the colours of ``bands``."""
    low, high = np.ceil(bar.vmin), np.floor(bar.vmax)
    ticks = np.arange(low, high + 1)
    bar.set_ticks(ticks, labels=[f"$10^{{{tick:.0f}}}$" for tick in ticks])
    bar.set_label(label)


def mark(ax: Axes, positions: Floats, symbols: Sequence[str]) -> None:
    """A mark and a symbol at each atom."""
    from matplotlib.patheffects import withStroke

    for (x, y, _), symbol in zip(positions, symbols, strict=True):
        ax.plot(x, y, "o", markersize=3.2, color=INK)
        ax.annotate(symbol, (x, y), xytext=(-4, 4), textcoords="offset points", ha="right", color=INK, fontsize=9,
                    fontweight="bold", path_effects=[withStroke(linewidth=1.6, foreground="white")])  # fmt: skip


def show(what: str, *values: Any) -> None:
    """One printed line of numbers."""
    with np.printoptions(precision=4, suppress=True):
        print(f"  {what}:", *(np.asarray(value).squeeze().round(6) for value in values))


DRAWINGS = {
    "displacement": draw_displacement,
    "interpolation": draw_interpolation,
    "shift": draw_shift,
    "blur": draw_blur,
}


def main(names: Sequence[str]) -> None:
    """Draw all figures, or those that are named."""
    torch.set_num_threads(1)
    FIGURES.mkdir(exist_ok=True)
    for name in names or DRAWINGS:
        began = time.perf_counter()
        with styled():
            path = FIGURES / f"{name}.png"
            print(name)
            path.write_bytes(png(DRAWINGS[name]()))
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB, {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
