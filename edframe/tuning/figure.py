"""The figure of a study: what its trials reached, one after another, and how much each option mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edframe.report.style import BLUE, GREY, INK, ORANGE, panels, plain_ticks, png, styled

if TYPE_CHECKING:
    import optuna
    from matplotlib.axes import Axes


def figure(trials: Sequence[optuna.trial.FrozenTrial], importances: Mapping[str, float]) -> bytes:
    """PNG: validation NMAE of each trial and the best so far; beside it the importances, where they are known."""
    with styled():
        drawn, axes = panels(2 if importances else 1, 10 if importances else 6, 3.6)
        _history(axes[0], trials)
        if importances:
            _importance(axes[1], importances)
        return png(drawn)


def reached(trial: optuna.trial.FrozenTrial) -> float:
    """The best validation NMAE of a trial in %, also of one that was cut short; NaN where there is none."""
    return min(trial.intermediate_values.values(), default=float("nan"))


def _history(ax: Axes, trials: Sequence[optuna.trial.FrozenTrial]) -> None:
    from matplotlib.ticker import MaxNLocator

    numbers = np.array([trial.number for trial in trials])
    errors = np.array([reached(trial) for trial in trials])
    ended = np.array([trial.state.name == "COMPLETE" for trial in trials])
    best = np.fmin.accumulate(np.where(ended, errors, np.nan))
    cut = ~ended & np.isfinite(errors)
    ax.plot(numbers[ended], errors[ended], "o", color=BLUE, markersize=4.5, alpha=0.8, label="trained to the end")
    if cut.any():
        ax.plot(numbers[cut], errors[cut], "o", color=GREY, markersize=4.5, fillstyle="none", label="cut short")
    failed = ~np.isfinite(errors)
    if failed.any():  # at the upper edge, because they have no error
        top = ax.get_xaxis_transform()
        ax.plot(
            numbers[failed], np.full(failed.sum(), 0.98), "x", color=INK, markersize=4.5, transform=top, label="failed"
        )
    ax.step(numbers, best, where="post", color=ORANGE, zorder=1, label="best so far")
    finite = errors[np.isfinite(errors)]
    if finite.min() > 0 and finite.max() / finite.min() >= 3:
        ax.set_yscale("log")
        plain_ticks(ax.yaxis, float(finite.min()), float(finite.max()))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="trial", ylabel="validation NMAE (%)", title="trials")
    ax.legend()


def _importance(ax: Axes, importances: Mapping[str, float]) -> None:
    names = sorted(importances, key=lambda name: importances[name])
    values = [importances[name] for name in names]
    ax.barh(names, values, color=BLUE, height=0.6)
    for place, value in enumerate(values):
        ax.annotate(f"{value:.0%}", (value, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    ax.set(xlabel="importance (share of what decides for the best tenth)", title="options")
    ax.set_xlim(0, 1.12 * max(values))
    ax.tick_params(axis="y", length=0)
