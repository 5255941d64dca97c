"""How variants look: the same colour and mark in every figure of a comparison, and texts that figures can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from edframe.comparison.outcome import Outcome
from edframe.metrics.standard import DESCRIPTIONS
from edframe.report.page import NAMES
from edframe.report.style import BLUE, GREEN, INK, ORANGE, plain_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito (2008) without its yellow, which white paper swallows.
COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", INK)
MARKERS = "osD^vPX"
DASHES = ("-", "--", ":", "-.")
"""The next where the colours are used up."""

NAMED_FIRST = ("nmae", "low_density_nmae", "dipole_error", "basin_error", "coulomb_error", "low_g_error")
"""Metrics that are shown first, in this order; the losses follow."""


@dataclass(frozen=True)
class Look:
    """Colour, marker and dash of a variant."""

    colour: str
    marker: str
    dash: str


def looks(outcomes: Sequence[Outcome]) -> dict[str, Look]:
    """The look of each variant, in order of appearance."""
    variants = dict.fromkeys(outcome.variant for outcome in outcomes)
    return {variant: Look(COLOURS[i % 7], MARKERS[i % 7], DASHES[i // 7 % 4]) for i, variant in enumerate(variants)}


def of_interest(metrics: Sequence[str]) -> list[str]:
    """The metrics that figures and sentences are about: ``NAMED_FIRST``, then the losses, which are all the others."""
    losses = [name for name in metrics if name not in DESCRIPTIONS and not name.startswith("baseline_")]
    return [name for name in NAMED_FIRST if name in metrics] + losses


def called(metric: str) -> str:
    """What a metric is called; a loss goes by its own name."""
    if metric in DESCRIPTIONS or metric.startswith("baseline_"):
        return NAMES.get(metric, metric)
    return f"{metric} loss"  # the variants may have the same names


def headed(metric: str, units: Mapping[str, str]) -> str:
    """Name and unit, as on an axis; a pure number has none."""
    unit = units[metric]
    return f"{called(metric)} ({unit})" if unit not in ("", "1") else called(metric)


def condition_label(condition: Mapping[str, str] | Sequence[tuple[str, str]]) -> str:
    """A condition in words; empty for the only one."""
    return ", ".join(f"{key} {value}" for key, value in dict(condition).items())


def brief(condition: Mapping[str, str] | Sequence[tuple[str, str]]) -> str:
    """A condition as a figure has room for it: where it has several keys, their values alone."""
    labels = dict(condition)
    return condition_label(labels) if len(labels) == 1 else ", ".join(labels.values())


def short(label: str, longest: int = 30) -> str:
    """A label as matplotlib can draw it: cut where it is long, and a dollar sign is one, not mathematics."""
    cut = label if len(label) <= longest else f"{label[: longest - 1]}…"
    return cut.replace("$", r"\$")


def tiles(count: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels in rows of ``columns``; sizes of one panel in inches."""
    from matplotlib.figure import Figure

    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in axes[count:]:
        figure.delaxes(ax)
    return figure, axes[:count]


def abreast(count: int, most: int = 4) -> int:
    """Columns that fill the rows of ``count`` panels evenly."""
    return -(-count // -(-count // most))


def legend(figure: Figure, ax: Axes) -> None:
    """One legend for all panels, above them: what the variants look like is the same everywhere."""
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper center", ncols=min(len(handles), 6))


def logarithmic(ax: Axes, which: str, values: ArrayLike) -> None:
    """A logarithmic axis with plain numbers on its ticks, around positive ``values``."""
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite) & (finite > 0)]
    if not len(finite):
        return
    low, high = finite.min(), finite.max()
    margin = (high / low) ** 0.06 * 1.03
    ax.set(**{f"{which}scale": "log", f"{which}lim": (low / margin, high * margin)})
    plain_ticks(ax.yaxis if which == "y" else ax.xaxis, low, high)
