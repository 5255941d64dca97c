"""Figures of how far the variants are from the reference: run by run, and test sample by test sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edframe.comparison.outcome import Outcome, conditions, metrics
from edframe.comparison.report.curves import SHOWN
from edframe.comparison.report.looks import Look, abreast, brief, called, logarithmic, of_interest, short, tiles
from edframe.comparison.statistics import Effect
from edframe.report.page import Picture
from edframe.report.style import GREY, INK, png, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = tuple[tuple[tuple[str, str], ...], str]
"""A condition and a variant."""

BEYOND = 3
"""A panel shows intervals up to this multiple of the largest difference; those of two runs are ten times longer."""


PANELS = 12
"""Most panels of variants against the reference, while one condition is shown at least."""


def differences(
    outcomes: Sequence[Outcome], effects: Sequence[Effect], reference: str, looks: Mapping[str, Look]
) -> Picture | None:
    """Each variant's difference from the reference in every metric of interest; None where there is no other."""
    known = {effect.metric for effect in effects}  # of others no sample has a value, as of a crystal's dipole
    names = [name for name in of_interest(metrics(outcomes)) if name in known]
    lines = list(dict.fromkeys((effect.condition, effect.variant) for effect in effects))
    if not lines:
        return None
    with styled():
        columns = abreast(len(names))
        figure, axes = tiles(len(names), columns, 10 / columns, 0.95 + 0.32 * len(lines))
        for index, (ax, name) in enumerate(zip(axes, names, strict=True)):
            by_line = {(e.condition, e.variant): e for e in effects if e.metric == name}
            _differences(ax, lines, [by_line.get(line) for line in lines], outcomes, looks)
            ax.set_title(called(name))
            if index + columns >= len(names):
                ax.set_xlabel(f"difference from {short(reference, 14)} (%)")
            if index % columns == 0:
                _name_lines(ax, lines)
            else:
                ax.tick_params(labelleft=False)
        image = png(figure)
    text = (
        f"Difference of each variant from {reference}, in % of the mean of {reference}: to the left of zero the error "
    )
    text += (
        "is lower. Dots: pairs of runs of one fold and seed; circles: their mean with its 95% interval, filled where "
    )
    text += "the difference is claimed after correction for all that were tested, hollow where it is not."
    if any(effect.pairs < 3 for effect in effects):
        text += " Intervals of so few runs may leave the panel."
    alt = f"Differences from {reference} with intervals, for " + ", ".join(called(name) for name in names)
    return Picture("differences", image, alt, text)


def _differences(
    ax: Axes,
    lines: Sequence[Line],
    effects: Sequence[Effect | None],
    outcomes: Sequence[Outcome],
    looks: Mapping[str, Look],
) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    ends = [0.0]
    for place, effect in enumerate(effects):
        if effect is None:
            continue
        look, scale = looks[effect.variant], 100 / effect.reference_mean if effect.reference_mean else np.nan
        points = scale * run_differences(outcomes, effect)
        middle = scale * effect.difference
        ax.plot(points, [place + 0.27] * len(points), "o", color=look.colour, alpha=0.8, markersize=3.6,
                markeredgewidth=0)  # fmt: skip
        ax.plot([scale * effect.low, scale * effect.high], [place] * 2, color=look.colour, linewidth=1.8)
        ax.plot(middle, place, "o", markeredgecolor=look.colour, markersize=7, markeredgewidth=1.6,
                markerfacecolor=look.colour if effect.claimed else "white")  # fmt: skip
        largest = float(np.nanmax(np.abs([*points, middle]), initial=0.0))
        bar = np.nan_to_num([scale * effect.low, scale * effect.high])
        ends += [*points, middle, *np.clip(bar, -BEYOND * largest, BEYOND * largest)]
    ax.axvline(0, color=INK, linewidth=0.8, zorder=0.9)
    every = list(dict.fromkeys(condition for condition, _ in lines))
    for place, (condition, _) in enumerate(lines):
        if every.index(condition) % 2:
            ax.axhspan(place - 0.5, place + 0.5, color="#f2f4f6", linewidth=0, zorder=0)
    margin = 0.07 * float(np.nanmax(ends) - np.nanmin(ends)) or 1.0
    ax.set(xlim=(np.nanmin(ends) - margin, np.nanmax(ends) + margin), ylim=(len(effects) - 0.5, -0.5))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    ax.set_yticks(range(len(effects)))
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", color="#e3e6ea", linewidth=0.8)
    ax.set_axisbelow(True)


def _name_lines(ax: Axes, lines: Sequence[Line]) -> None:
    names = [short(", ".join(filter(None, (variant, brief(condition)))), 44) for condition, variant in lines]
    ax.set_yticks(range(len(lines)), labels=names)


def run_differences(outcomes: Sequence[Outcome], effect: Effect) -> NDArray[np.float64]:
    """Mean difference of each pair of runs behind an effect, over the test samples of both, ``[pair]``."""
    condition = dict(effect.condition)
    runs = {(o.variant, o.fold, o.seed): o.samples for o in outcomes if o.condition == condition}
    means = []
    for (variant, fold, seed), ours in runs.items():
        theirs = runs.get((effect.reference, fold, seed), {})
        if variant == effect.variant and ours.keys() & theirs.keys():
            values = [ours[i][effect.metric] - theirs[i][effect.metric] for i in ours if i in theirs]
            means.append(float(np.nanmean(values)))
    return np.array(means)


def pairs(outcomes: Sequence[Outcome], reference: str, looks: Mapping[str, Look]) -> Picture | None:
    """NMAE of every test sample, each variant against the reference; a column of panels for each condition shown."""
    others = [variant for variant in looks if variant != reference]
    every = conditions(outcomes)
    shown = every[: max(1, min(SHOWN, PANELS // max(len(others), 1)))]
    clouds = {
        (variant, brief(condition)): _cloud([o for o in outcomes if o.condition == condition], variant, reference)
        for variant in others
        for condition in shown
    }
    clouds = {key: cloud for key, cloud in clouds.items() if len(cloud)}
    if not clouds:
        return None
    columns = len(shown) if len(shown) > 1 else abreast(len(clouds))
    everything = np.concatenate(list(clouds.values())).ravel()
    with styled():
        figure, axes = tiles(len(clouds), columns, 10 / max(columns, 3), 10 / max(columns, 3) + 0.15)
        for index, (ax, ((variant, under), cloud)) in enumerate(zip(axes, clouds.items(), strict=True)):
            for which in "xy":
                logarithmic(ax, which, everything)
            ax.plot(ax.get_xlim(), ax.get_xlim(), color=GREY, linewidth=1, zorder=0)
            look, size = looks[variant], 3.6 if len(cloud) < 200 else 2.2
            ax.plot(*cloud.T, look.marker, color=look.colour, alpha=0.6, markersize=size, markeredgewidth=0)
            below = int((cloud[:, 1] < cloud[:, 0]).sum())
            corner = (0.03, 0.97, "left", "top") if 2 * below > len(cloud) else (0.97, 0.03, "right", "bottom")
            ax.text(*corner[:2], f"{below} of {len(cloud)} lower", transform=ax.transAxes, ha=corner[2], va=corner[3],
                    color=GREY, fontsize=8)  # fmt: skip
            ax.set_aspect("equal")
            ax.set_title(short(", ".join(filter(None, (variant, under))), 36 if columns < 4 else 28))
            if index + columns >= len(clouds):
                ax.set_xlabel(f"NMAE of {short(reference, 20)} (%)")
            if index % columns == 0:
                ax.set_ylabel("NMAE of the variant (%)")
        image = png(figure)
    text = f"NMAE of each test sample, averaged over seeds: {reference} on the horizontal axis, the variant on the "
    text += "vertical one. Below the diagonal the variant is closer to the reference density."
    text += f" Shown are {len(shown)} of {len(every)} conditions." if len(every) > len(shown) else ""
    return Picture("pairs", image, f"NMAE of each test sample against that of {reference}", text)


def _cloud(outcomes: Sequence[Outcome], variant: str, reference: str) -> NDArray[np.float64]:
    """NMAE of the reference and of the variant, ``[sample, 2]`` in %, each averaged over the seeds that both have."""
    runs = {(o.variant, o.fold, o.seed): o.samples for o in outcomes}
    by_sample: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for (name, fold, seed), ours in runs.items():
        theirs = runs.get((reference, fold, seed), {})
        if name == variant:
            for sample in ours.keys() & theirs.keys():
                by_sample.setdefault((fold, sample), []).append((theirs[sample]["nmae"], ours[sample]["nmae"]))
    return np.array([np.mean(values, axis=0) for values in by_sample.values()]).reshape(-1, 2)
