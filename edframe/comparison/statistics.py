"""How significant a difference is: paired by fold, seed and test sample, with an interval over runs and samples.

Runs of one fold and seed have the same training and test samples, initial weights and batches, so their difference is
the effect of the variant, for this choice of samples, weights and batches. The run is the unit of replication: many
test samples determine the mean of one run more precisely, but say nothing about what another training would have given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from edframe.comparison.outcome import Outcome, conditions, frame, metrics
from edframe.report.numbers import interval, number

if TYPE_CHECKING:
    from pandas import DataFrame

RESAMPLES = 4999
LEVEL = 0.05
"""Largest corrected p-value at which a difference is claimed: one claim in twenty is expected to be false."""


NOT_JUDGED = ("baseline_nmae", "electron_count_error")
"""Metrics of which nothing is asked: the baseline is no prediction, and the other is rounding where models normalise.
Asking would make every other claim harder."""


@dataclass(frozen=True)
class Effect:
    """A variant against the reference in one metric, under one condition; values in the metric's unit.

    difference: mean of variant − reference. low, high: its 95% interval, nan for a single pair of runs. p: of no
    difference; corrected: for all effects of the comparison together.
    """

    metric: str
    unit: str
    condition: tuple[tuple[str, str], ...]
    variant: str
    reference: str
    pairs: int
    variant_mean: float
    reference_mean: float
    difference: float
    low: float
    high: float
    p: float
    corrected: float = math.nan

    @property
    def relative(self) -> float:
        """The difference as a fraction of the reference's mean."""
        return self.difference / self.reference_mean if self.reference_mean else math.nan

    @property
    def claimed(self) -> bool:
        """Whether the difference is significant, corrected for all effects of the comparison."""
        return self.corrected <= LEVEL

    def sentence(self, name: str | None = None) -> str:
        """The effect in words: what is claimed, or that nothing is. name: of the metric, to be read."""
        what, unit = name or self.metric, f" {self.unit}" if self.unit not in ("", "1") else ""
        means = f"{number(self.variant_mean)} against {number(self.reference_mean)}{unit}"
        if self.pairs < 2:
            return f"{what}: {self.variant} {means} in one run; nothing can be said without another seed or fold."
        data = f"difference {number(self.difference)}, 95% interval {interval(self.low, self.high)}"
        data += f", {self.pairs} pairs of runs, corrected p {number(self.corrected, 2)}"
        if not self.claimed:
            after = " after correction" if self.p <= LEVEL else ""
            return f"{what}: {self.variant} and {self.reference} do not differ significantly{after} ({means}; {data})."
        way = "lower" if self.difference < 0 else "higher"
        share = f"{number(100 * abs(self.relative))} % " if math.isfinite(self.relative) else ""
        return f"{what}: {self.variant} is {share}{way} than {self.reference} ({means}; {data})."


def effects(outcomes: Sequence[Outcome], reference: str) -> list[Effect]:
    """Every other variant against ``reference``, by condition and metric, with p-values corrected for their number.

    The correction bounds the share of false claims among all (Benjamini & Hochberg, J. R. Stat. Soc. B 57, 289
    (1995), by SciPy), which holds for tests that depend on each other positively, as metrics of one run do.
    """
    every = []
    for condition in conditions(outcomes):
        here = [outcome for outcome in outcomes if outcome.condition == condition]
        table = frame(here)
        for variant in dict.fromkeys(outcome.variant for outcome in here):
            if variant != reference:
                every += [
                    _effect(table, here[0].units[metric], condition, variant, reference, metric)
                    for metric in metrics(here)
                    if metric not in NOT_JUDGED and table[metric].notna().any()
                ]
    tested = [index for index, effect in enumerate(every) if math.isfinite(effect.p)]
    if tested:
        corrected = stats.false_discovery_control([every[index].p for index in tested])
        for index, value in zip(tested, corrected, strict=True):
            every[index] = replace(every[index], corrected=float(value))
    return every


def _effect(
    table: DataFrame, unit: str, condition: dict[str, str], variant: str, reference: str, metric: str
) -> Effect:
    keys = ["fold", "seed", "id", "group"]
    ours, theirs = (table[table["variant"] == name][[*keys, metric]] for name in (variant, reference))
    joined = ours.merge(theirs, on=keys, suffixes=("", "_reference")).dropna()
    values, base = joined[metric].to_numpy(float), joined[f"{metric}_reference"].to_numpy(float)
    pair = joined.groupby(["fold", "seed"]).ngroup().to_numpy()
    difference, low, high, p = paired(values - base, pair, joined["group"].to_numpy())
    return Effect(
        metric=metric, unit=unit, condition=tuple(condition.items()), variant=variant, reference=reference,
        pairs=len(np.unique(pair)), variant_mean=_mean(values), reference_mean=_mean(base), difference=difference,
        low=low, high=high, p=p,
    )  # fmt: skip


def paired(
    differences: NDArray[np.float64], runs: NDArray[np.int64], groups: NDArray[np.int64], seed: int = 0
) -> tuple[float, float, float, float]:
    """Mean difference, the ends of its 95% interval, and the p-value of no difference.

    One entry per pair of predictions ``[pair]``: their difference, the pair of runs and the group of samples that they
    belong to. The standard error is that of a bootstrap which draws runs and groups anew, each with replacement (Owen,
    Ann. Appl. Stat. 1, 386 (2007): never too small on average), corrected for the number of runs; the quantiles are
    Student's for that number (Hesterberg, Am. Stat. 69, 371 (2015), section 4.3): with three runs a percentile
    interval would be three times too narrow. nan for a single pair of runs.
    """
    mean = _mean(differences)
    run, group = (np.unique(labels, return_inverse=True)[1] for labels in (runs, groups))
    count = int(run.max()) + 1 if len(run) else 0
    if count < 2:
        return mean, math.nan, math.nan, math.nan
    shape = (count, int(group.max()) + 1)
    sums, sizes = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (run, group), differences)
    np.add.at(sizes, (run, group), 1.0)
    random = np.random.default_rng(seed)
    drawn_runs, drawn_groups = (random.multinomial(n, [1 / n] * n, RESAMPLES).astype(float) for n in shape)
    held = ((drawn_runs @ sizes) * drawn_groups).sum(1)
    means = ((drawn_runs @ sums) * drawn_groups).sum(1)[held > 0] / held[held > 0]
    error = float(means.std(ddof=1)) * math.sqrt(count / (count - 1))
    if error <= 1e-12 * abs(mean):
        return mean, mean, mean, 0.0 if mean else 1.0
    student = stats.t(count - 1)
    reach = float(student.ppf(0.975)) * error
    return mean, mean - reach, mean + reach, float(2 * student.sf(abs(mean) / error))


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else math.nan
