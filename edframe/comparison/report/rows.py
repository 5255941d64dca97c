"""The table of a comparison: for each variant under each condition the means over its runs, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edframe.comparison.outcome import Outcome, conditions, metrics
from edframe.comparison.report.looks import of_interest
from edframe.comparison.statistics import Effect
from edframe.metrics.summary import summarise
from edframe.report.numbers import interval, number
from edframe.runs.directory import Run


@dataclass(frozen=True)
class Mean:
    """A mean and the ends of its 95% interval, which are nan where it has none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def interval(self) -> str:
        """The interval in words: ± where it is symmetric, its ends where not, nothing where there is none."""
        above, below = self.high - self.value, self.value - self.low
        if not math.isfinite(above + below):
            return ""
        alike = math.isclose(above, below, rel_tol=1e-6, abs_tol=1e-300)
        return f"± {number(above, 2)}" if alike else interval(self.low, self.high)


@dataclass(frozen=True)
class Row:
    """A variant under a condition. means: by metric, in its unit. best: metrics to be marked, see ``rows``.

    step: milliseconds. seconds: of training. memory: MB.
    """

    condition: Mapping[str, str]
    variant: str
    runs: int
    means: Mapping[str, Mean]
    best: frozenset[str]
    step: float
    seconds: float
    memory: float


def columns(outcomes: Sequence[Outcome]) -> list[str]:
    """The metrics in the order of the table: those of interest first."""
    names = metrics(outcomes)
    first = of_interest(names)
    return first + [name for name in names if name not in first]


def rows(outcomes: Sequence[Outcome], effects: Sequence[Effect], reference: str) -> list[Row]:
    """A row per condition and variant, in order of appearance.

    The lowest mean of a metric under a condition is marked when it differs significantly from the reference (or, where
    the reference is the lowest, when all others do): the lowest of several that chance explains is no result. Times
    are means over the runs, memory is the largest of them.
    """
    names = columns(outcomes)
    lines = []
    for condition in conditions(outcomes):
        here = [outcome for outcome in outcomes if outcome.condition == condition]
        runs = {v: [o for o in here if o.variant == v] for v in dict.fromkeys(outcome.variant for outcome in here)}
        means = {variant: {name: mean(group, name) for name in names} for variant, group in runs.items()}
        claimed = {(e.variant, e.metric) for e in effects if dict(e.condition) == condition and e.claimed}
        best: dict[str, set[str]] = {variant: set() for variant in runs}
        for name in names:
            lowest = min(runs, key=lambda variant: _or_infinity(means[variant][name].value))
            against = [variant for variant in runs if variant != reference] if lowest == reference else [lowest]
            if against and all((variant, name) in claimed for variant in against):
                best[lowest].add(name)
        lines += [
            Row(
                condition=condition, variant=variant, runs=len(group), means=means[variant],
                best=frozenset(best[variant]), step=1000 * _average([o.step_seconds for o in group]),
                seconds=_average([seconds(o) for o in group]), memory=max(o.memory for o in group) / 1e6,
            )
            for variant, group in runs.items()
        ]  # fmt: skip
    return lines


def mean(outcomes: Sequence[Outcome], metric: str) -> Mean:
    """Of all test samples of the runs, with Student's interval over the runs; of one run, the bootstrap's over samples.

    The mean is that of ``Effect``, in which a fold of more samples counts more; Student's interval, which counts runs
    alike, is moved to it.
    """
    if len(outcomes) == 1:
        (only,) = outcomes
        summary = summarise([s[metric] for s in only.samples.values()], groups=[only.groups[i] for i in only.samples])
        return Mean(summary.mean, summary.low, summary.high)
    value = _average([sample[metric] for outcome in outcomes for sample in outcome.samples.values()])
    runs = student([outcome.mean(metric) for outcome in outcomes])
    return Mean(value, value + runs.low - runs.value, value + runs.high - runs.value)


def student(values: ArrayLike) -> Mean:
    """The mean of ``values`` and Student's 95% interval; none for a single one."""
    from scipy.stats import t

    x = np.asarray(values, dtype=float)
    x = x[~np.isnan(x)]
    if len(x) < 2:
        return Mean(float(x[0]) if len(x) else math.nan)
    reach = float(t(len(x) - 1).ppf(0.975) * x.std(ddof=1) / math.sqrt(len(x)))
    return Mean(float(x.mean()), float(x.mean()) - reach, float(x.mean()) + reach)


def seconds(outcome: Outcome) -> float:
    """Of training, validation included: to the last event, else what the run took in all."""
    ends = [event.seconds for event in outcome.steps] + [event.seconds for event in outcome.validations]
    return float(max(ends)) if ends else float(Run(outcome.run).provenance().get("seconds", math.nan))


def _average(values: Sequence[float]) -> float:
    x = np.asarray(values, dtype=float)
    x = x[~np.isnan(x)]
    return float(x.mean()) if len(x) else math.nan


def _or_infinity(value: float) -> float:
    return math.inf if math.isnan(value) else value
