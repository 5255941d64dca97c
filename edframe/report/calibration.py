"""Figure of an ensemble's calibration: error against spread, coverage, and the expected error of each sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from edframe.grid import density_unit
from edframe.report.numbers import number
from edframe.report.style import BLUE, GREEN, GREY, INK, ORANGE, panels, png, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def calibration_figure(facts: Mapping[str, Any], dimension: int) -> bytes:
    """PNG of what ``ensemble.json`` holds; dimension: of the grids, for the unit."""
    with styled():
        figure, axes = panels(3, 11, 3.5)
        _bins(axes[0], facts, density_unit(dimension))
        _reliability(axes[1], facts["test"]["reliability"])
        _samples(axes[2], facts)
        return png(figure)


def _bins(ax: Axes, facts: Mapping[str, Any], unit: str) -> None:
    spread, error = (np.array(facts["test"]["bins"][key]) for key in ("spread", "error"))
    ax.plot(spread / facts["factor"], error, "o", color=GREY, markersize=3.5, markerfacecolor="none",
            label="spread of the members")  # fmt: skip
    ax.plot(spread, error, "o-", color=BLUE, markersize=4, label=f"× {number(facts['factor'])}, from validation")
    _diagonal(ax, np.concatenate([spread, spread / facts["factor"], error]), logarithmic=True)
    ax.set(xlabel=f"root mean variance σ ({unit})", ylabel=f"root mean squared error ({unit})",
           title=f"(a) error against spread: ENCE {number(facts['test']['ence'], 2)}")  # fmt: skip
    ax.legend()


def _reliability(ax: Axes, reliability: Mapping[str, Any]) -> None:
    from scipy.special import erf

    k = np.array(reliability["multiple"])
    ax.plot(k, 100 * erf(k / np.sqrt(2)), "--", color=GREY, linewidth=1, label="Gaussian")
    ax.plot(k, 100 * np.array(reliability["fraction"]), color=ORANGE, label="found")
    ax.set(xlabel="k", ylabel="electrons in voxels within k σ (%)", title="(b) reliability", xlim=(0, 4), ylim=(0, 102))
    ax.legend(loc="lower right")


def _samples(ax: Axes, facts: Mapping[str, Any]) -> None:
    expected, measured = (np.array([sample[key] for sample in facts["samples"]]) for key in ("expected_nmae", "nmae"))
    ax.plot(expected, measured, "o", color=GREEN, alpha=0.65, markersize=4, markeredgewidth=0)
    _diagonal(ax, np.concatenate([expected, measured]), logarithmic=False)
    rank = number(facts["test"]["spearman"], 2)
    ax.set(xlabel="expected NMAE (%)", ylabel="NMAE of the mean (%)", title=f"(c) test samples: Spearman {rank}")


def _diagonal(ax: Axes, values: ArrayLike, *, logarithmic: bool) -> None:
    ends = np.array([np.min(values), np.max(values)])
    ax.plot(ends, ends, "--", color=INK, linewidth=0.8, label="equal", zorder=0)
    if logarithmic and ends[0] > 0:
        ax.set(xscale="log", yscale="log")
