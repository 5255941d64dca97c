"""Figures of numbers against steps and over samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edframe.report.numbers import number
from edframe.report.read import RunFiles, column
from edframe.report.style import BLUE, GREEN, GREY, INK, ORANGE, panels, plain_ticks, png, styled
from edframe.runs.events import Step, Validation

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def learning(run: RunFiles) -> bytes | None:
    """Loss and validation NMAE against steps, with the time on the upper axis; None without any step, or for a fit."""
    if run.fit is not None or (not run.steps and not run.validations):
        return None
    loss_name = str((run.config.get("loss") or {}).get("name", "loss"))
    with styled():
        figure, axes = panels(2, 10, 3.5)
        _loss_panel(axes[0], run, loss_name)
        _validation_panel(axes[1], run)
        axes[1].set_xlim(axes[0].get_xlim() if run.steps else None)
        for ax in axes:
            _time_axis(ax, run)
        return png(figure)


def optimisation(run: RunFiles) -> bytes | None:
    """Learning rate, gradient norm and the loss's diagnostics against steps; None where none is recorded."""
    recorded = {
        "learning rate": column(event.learning_rate for event in run.steps),
        "gradient norm": column(event.gradient_norm for event in run.steps),
    }
    for name in dict.fromkeys(name for event in run.steps for name in event.diagnostics):
        recorded[name.replace("_", " ")] = column(event.diagnostics.get(name) for event in run.steps)
    names = [name for name, values in recorded.items() if np.isfinite(values).any()][:4]
    if not names:
        return None
    from matplotlib.ticker import StrMethodFormatter

    with styled():
        figure, axes = panels(len(names), min(10, 3.4 * len(names)), 2.6)
        for ax, name in zip(axes, names, strict=True):
            x, y = column(event.step for event in run.steps), recorded[name]
            # A schedule is exact; everything else is noise around a trend.
            if name == "learning rate":
                ax.plot(x, y, color=BLUE)
                ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            else:
                _noisy(ax, x, y, BLUE)
                logarithmic_where_wide(ax, y)
            ax.set(xlabel="step", title=name)
        return png(figure)


def errors(run: RunFiles) -> bytes | None:
    """Distribution of the test NMAE over samples and, beside it, against the baseline's; None without samples."""
    ours, base = (column(s.metrics.get(name) for s in run.samples) for name in ("nmae", "baseline_nmae"))
    if not np.isfinite(ours).any():
        return None
    both = np.isfinite(ours) & np.isfinite(base)
    with styled():
        figure, axes = panels(2 if both.any() else 1, 10 if both.any() else 6, 3.6)
        _histogram(axes[0], ours[np.isfinite(ours)], base[both])
        if both.any():
            _against(axes[1], ours[both], base[both])
        return png(figure)


def smoothed(y: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Running median over ``width`` values, then a Gaussian: single spikes of a small batch do not bend it."""
    from scipy.ndimage import gaussian_filter1d, median_filter

    return np.asarray(gaussian_filter1d(median_filter(y, width, mode="reflect"), width / 4, mode="nearest"))


def _loss_panel(ax: Axes, run: RunFiles, name: str) -> None:
    x, y = column(event.step for event in run.steps), column(event.loss for event in run.steps)
    _noisy(ax, x, y, BLUE, "training batches")
    vx, vy = column(event.step for event in run.validations), column(event.loss for event in run.validations)
    if np.isfinite(vy).any():
        ax.plot(vx, vy, "o-", color=ORANGE, markersize=4, label="validation")
    logarithmic_where_wide(ax, np.concatenate([y, vy]))
    ax.set(xlabel="step", ylabel=f"loss ({name})", title="loss")
    ax.legend()


def _validation_panel(ax: Axes, run: RunFiles) -> None:
    x, y = column(event.step for event in run.validations), column(event.nmae for event in run.validations)
    ax.set(xlabel="step", ylabel="validation NMAE (%)", title="error on held-out structures")
    if not np.isfinite(y).any():
        ax.text(0.5, 0.5, "no validation was recorded", transform=ax.transAxes, ha="center", color=GREY)
        return
    ax.plot(x, y, "o-", color=ORANGE, markersize=4, label="validation")
    levels = [y]
    for key, label, colour in (("nmae", "test mean", INK), ("baseline_nmae", "baseline, test mean", GREY)):
        if key in run.summary and np.isfinite(mean := run.summary[key].mean):
            ax.axhline(mean, color=colour, linestyle="--", linewidth=1.1, label=f"{label} ({number(mean)} %)")
            levels.append(np.array([mean]))
    logarithmic_where_wide(ax, np.concatenate(levels))
    ax.legend()


def _noisy(ax: Axes, x: NDArray[np.float64], y: NDArray[np.float64], colour: str, label: str | None = None) -> None:
    """Every value faintly, and their running median; a short series is drawn as it is."""
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    if len(y) < 20:
        ax.plot(x, y, "o-" if len(y) < 3 else "-", color=colour, label=label)
        return
    width = max(5, len(y) // 20 | 1)
    ax.plot(x, y, color=colour, alpha=0.28, linewidth=0.7, label=label)
    ax.plot(x, smoothed(y, width), color=colour, label=f"running median ({width} steps)" if label else None)


def logarithmic_where_wide(ax: Axes, y: NDArray[np.float64], which: str = "y") -> None:
    """A logarithmic axis where all values allow it and span enough to need it; plain numbers on its ticks."""
    finite = y[np.isfinite(y)]
    if len(finite) == 0 or finite.min() <= 0 or finite.max() / finite.min() < 3:
        return
    (ax.set_yscale if which == "y" else ax.set_xscale)("log")
    if finite.max() / finite.min() < 2000:
        plain_ticks(ax.yaxis if which == "y" else ax.xaxis, float(finite.min()), float(finite.max()))


def _time_axis(ax: Axes, run: RunFiles) -> None:
    """Seconds of training on the upper axis, where they rise with the steps."""
    events: list[Step | Validation] = [*run.steps, *run.validations]
    step, seconds = column(event.step for event in events), column(event.seconds for event in events)
    known = np.isfinite(step) & np.isfinite(seconds)
    step, order = np.unique(step[known], return_index=True)
    seconds = np.maximum.accumulate(seconds[known][order]) if len(order) else seconds[known]
    if len(step) < 2 or not (np.diff(seconds) >= 0).all() or seconds[-1] <= seconds[0]:
        return
    seconds = seconds + np.arange(len(seconds)) * 1e-9 * seconds[-1]  # strictly rising, so that it can be inverted
    unit, scale = ("min", 60.0) if seconds[-1] > 180 else ("s", 1.0)
    # Beyond the recorded steps, where the axis reaches too, time goes on at its mean pace.
    reach = step[-1] - step[0]
    step = np.concatenate([[step[0] - reach], step, [step[-1] + reach]])
    pace = seconds[-1] - seconds[0]
    seconds = np.concatenate([[seconds[0] - pace], seconds, [seconds[-1] + pace]]) / scale

    def forward(x: ArrayLike) -> NDArray[np.float64]:
        return np.asarray(np.interp(np.asarray(x, dtype=float), step, seconds))

    def back(t: ArrayLike) -> NDArray[np.float64]:
        return np.asarray(np.interp(np.asarray(t, dtype=float), seconds, step))

    upper = ax.secondary_xaxis("top", functions=(forward, back))
    upper.set_xlabel(f"time ({unit})", color=GREY)
    upper.tick_params(colors=GREY)
    ax.set_title("")  # the upper axis takes its place; the y label says the same


def _histogram(ax: Axes, ours: NDArray[np.float64], base: NDArray[np.float64]) -> None:
    everything = np.concatenate([ours, base])
    low, high = everything.min(), everything.max()
    logarithmic = low > 0 and high / low >= 3
    if high <= low:
        low, high = low - 0.5, high + 0.5
    count = int(np.clip(3 * np.sqrt(len(ours)), 8, 50))
    bins = np.geomspace(low * 0.98, high * 1.02, count + 1) if logarithmic else np.linspace(low, high, count + 1)
    for values, colour, label in ((base, GREY, "baseline"), (ours, BLUE, "model")):
        if len(values):
            ax.hist(values, bins.tolist(), color=colour, alpha=0.75, edgecolor="white", linewidth=0.4,
                    label=f"{label}: mean {number(values.mean())} %")  # fmt: skip
            ax.axvline(values.mean(), ymax=0.8, color=INK, linewidth=0.9, linestyle=":")
    if logarithmic:
        logarithmic_where_wide(ax, everything, "x")
    ax.set(xlabel="NMAE (%)", ylabel="test structures")
    ax.set_ylim(0, ax.get_ylim()[1] * 1.22)  # room for the legend above the bars
    ax.legend(ncols=2, loc="upper center")


def _against(ax: Axes, ours: NDArray[np.float64], base: NDArray[np.float64]) -> None:
    ax.plot(base, ours, "o", color=GREEN, alpha=0.65, markersize=4, markeredgewidth=0)
    ends = np.array([min(base.min(), ours.min()), max(base.max(), ours.max())])
    # The line of no gain is worth its room only where the cloud is near it.
    if (ours > 0.4 * base).any():
        ax.plot(ends, ends, color=GREY, linewidth=1, linestyle="--", label="no better than the baseline")
        ax.legend()
    ax.set(xlabel="NMAE of the baseline (%)", ylabel="NMAE of the model (%)")
