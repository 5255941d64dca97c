"""Figures of a comparison against what was spent: steps, seconds, training samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edframe.comparison.outcome import Outcome, conditions, metrics
from edframe.comparison.report.looks import (
    Look,
    abreast,
    called,
    condition_label,
    headed,
    legend,
    logarithmic,
    of_interest,
    short,
    tiles,
)
from edframe.comparison.report.rows import student
from edframe.report.page import Picture
from edframe.report.style import png, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 4
"""Conditions that have a figure of their own; the table has all."""

SIZE = "training.size"
"""The key of a condition by which learning curves over samples are drawn."""


def learning(outcomes: Sequence[Outcome], looks: Mapping[str, Look]) -> list[Picture]:
    """Validation NMAE against steps and against seconds, a figure for each of the first conditions."""
    every = conditions(outcomes)
    trained = [outcome for outcome in outcomes if len(outcome.validations) > 1]
    errors = [event.nmae for outcome in trained for event in outcome.validations]
    pictures = []
    for index, condition in enumerate(every[:SHOWN]):
        here = [outcome for outcome in trained if outcome.condition == condition]
        if not here:
            continue
        with styled():
            figure, axes = tiles(2, 2, 5, 3.3)
            for variant in dict.fromkeys(outcome.variant for outcome in here):
                _learning(axes, [outcome for outcome in here if outcome.variant == variant], looks[variant], variant)
            for ax, label in zip(axes, ("step", "time (s)"), strict=True):
                ax.set(xlabel=label, xlim=(0, None))
                logarithmic(ax, "y", errors)  # of all conditions, so that their figures can be held side by side
            axes[0].set_ylabel("validation NMAE (%)")
            legend(figure, axes[0])
            image = png(figure)
        where = f"Under {condition_label(condition)}: " if condition else ""
        text = f"{where}NMAE on the validation samples during training, left against optimiser steps, right against "
        text += "seconds. Lines: median over the runs of a variant; bands: their range. What costs more per step "
        text += "falls behind from left to right."
        text += f" Shown are {SHOWN} of {len(every)} conditions." if len(every) > SHOWN and index == 0 else ""
        missing = {outcome.variant for outcome in outcomes} - {outcome.variant for outcome in here}
        text += f" Without a curve, being fitted in one go: {', '.join(sorted(missing))}." if missing else ""
        alt = f"Validation error against steps and time{' under ' + condition_label(condition) if condition else ''}"
        pictures.append(Picture(f"learning-{index + 1}", image, alt, text))
    return pictures


def _learning(axes: Sequence[Axes], outcomes: Sequence[Outcome], look: Look, variant: str) -> None:
    by_step: dict[int, list[tuple[float, float]]] = {}
    for outcome in outcomes:
        for event in outcome.validations:
            by_step.setdefault(event.step, []).append((event.nmae, event.seconds))
    steps = sorted(by_step)
    errors = [np.array([error for error, _ in by_step[step]]) for step in steps]
    times = [float(np.median([time for _, time in by_step[step]])) for step in steps]
    middle, low, high = (np.array([reduce(values) for values in errors]) for reduce in (np.median, np.min, np.max))
    for ax, x in zip(axes, (np.array(steps), np.array(times)), strict=True):
        ax.fill_between(x, low, high, color=look.colour, alpha=0.18, linewidth=0)
        ax.plot(x, middle, look.dash, color=look.colour, marker=look.marker, markersize=3.5, label=short(variant))


def sizes(outcomes: Sequence[Outcome], looks: Mapping[str, Look]) -> list[Picture]:
    """Error against the number of training samples, where that differs between conditions; else nothing."""
    rest = [{key: value for key, value in c.items() if key != SIZE} for c in conditions(outcomes)]
    rest = [c for index, c in enumerate(rest) if c not in rest[:index]]
    names = of_interest(metrics(outcomes))
    pictures = []
    for index, condition in enumerate(rest[:SHOWN]):
        here = [o for o in outcomes if {k: v for k, v in o.condition.items() if k != SIZE} == condition]
        if len({outcome.condition.get(SIZE) for outcome in here}) < 2:
            continue
        with styled():
            figure, axes = tiles(len(names), abreast(len(names)), 10 / abreast(len(names)), 2.7)
            for ax, name in zip(axes, names, strict=True):
                _sizes(ax, here, name, looks)
                ax.set_title(headed(name, here[0].units))
                ax.set_xlabel("training samples")
            legend(figure, axes[0])
            image = png(figure)
        text = f"Under {condition_label(condition)}: mean" if condition else "Mean"
        text += " error on the test samples against the number of training samples, both logarithmic: a straight line "
        text += "is a power law. Marks: mean over the runs, with Student's 95% interval; faint: the runs. Where an "
        text += "interval leaves its panel, the runs are too few to bound the mean."
        text += f" Shown are {SHOWN} of {len(rest)} conditions." if len(rest) > SHOWN and index == 0 else ""
        alt = "Errors against the number of training samples: " + ", ".join(called(name) for name in names)
        pictures.append(Picture(f"sizes-{index + 1}", image, alt, text))
    return pictures


def _sizes(ax: Axes, outcomes: Sequence[Outcome], metric: str, looks: Mapping[str, Look]) -> None:
    variants = list(dict.fromkeys(outcome.variant for outcome in outcomes))
    everything: list[float] = []
    middles: set[float] = set()
    for place, variant in enumerate(variants):
        by_size: dict[str, list[Outcome]] = {}
        for outcome in outcomes:
            if outcome.variant == variant:
                by_size.setdefault(outcome.condition[SIZE], []).append(outcome)
        # Folds of one size may differ by a sample.
        groups = sorted(by_size.values(), key=lambda group: group[0].training)
        counts = np.array([np.mean([outcome.training for outcome in group]) for group in groups])
        errors = [[outcome.mean(metric) for outcome in group] for group in groups]
        means = [student(values) for values in errors]
        aside = counts * 1.035 ** (place - (len(variants) - 1) / 2)  # beside each other instead of on top
        look = looks[variant]
        for x, runs in zip(aside, errors, strict=True):
            ax.plot([x] * len(runs), runs, look.marker, color=look.colour, alpha=0.55, markersize=3.5, linewidth=0)
            everything += runs
        middles |= set(counts.round())
        values = np.array([mean.value for mean in means])
        ax.errorbar(aside, values, _reaches(values, [(m.low, m.high) for m in means]), color=look.colour,
                    linestyle=look.dash, marker=look.marker, markersize=4.5, capsize=2, elinewidth=0.9,
                    label=short(variant))  # fmt: skip
    logarithmic(ax, "y", everything)
    logarithmic(ax, "x", [outcome.training for outcome in outcomes])
    from matplotlib.ticker import FixedLocator

    ax.xaxis.set_major_locator(FixedLocator(sorted(middles)))
    ax.xaxis.set_major_formatter("{x:g}")
    low, high = ax.get_xlim()
    ax.set_xlim(low / 1.05, high * 1.05)


def _reaches(values: NDArray[np.float64], ends: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """What errorbar wants: below and above ``values``, ``[2, n]``; nan where there is no interval."""
    low, high = np.array(ends).T
    # A lower end below zero has no place on a logarithmic axis; the bar then goes down as far as the panel does.
    return np.stack([values - np.maximum(low, values * 1e-3), high - values])
