"""A metric over the samples of a test set: mean, median, largest value, and an interval of the mean."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Summary:
    """One metric over the samples of a test set; ``low`` and ``high`` bound the mean with 95% confidence."""

    mean: float
    median: float
    max: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Plain numbers for JSON."""
        return asdict(self)


def summarise(
    values: Iterable[float], groups: Sequence[int] | None = None, resamples: int = 9999, seed: int = 0
) -> Summary:
    """Mean, median, maximum and the 95% bootstrap interval of the mean (bias-corrected and accelerated).

    groups: a label per value. Values of one group (mirror images, neighbours in time) are drawn together, because they
    say less than as many independent ones; None: each value is its own group. Values that are nan (a metric undefined
    for a sample) are left out. One group has no interval: nan. Equal values have an interval of no width. Efron, J. Am.
    Stat. Assoc. 82, 171 (1987); groups as in Davison & Hinkley, Bootstrap Methods (1997), section 3.8.
    """
    x = np.array([float(v) for v in values])
    labels = np.arange(len(x)) if groups is None else np.asarray(groups)
    if len(labels) != len(x):
        raise ValueError(f"{len(labels)} group labels for {len(x)} values")
    x, labels = x[~np.isnan(x)], labels[~np.isnan(x)]
    if len(x) == 0:
        return Summary(*[float("nan")] * 5)
    low, high = _interval(x, labels, resamples, seed)
    return Summary(float(x.mean()), float(np.median(x)), float(x.max()), low, high)


def _interval(x: NDArray[np.float64], labels: NDArray[np.int64], resamples: int, seed: int) -> tuple[float, float]:
    members = np.unique(labels, return_inverse=True)[1]
    counts = np.bincount(members).astype(float)
    sums = np.bincount(members, weights=x)
    if len(counts) < 2 or not np.isfinite(x).all():
        return float("nan"), float("nan")
    means = sums / counts
    if np.ptp(means) <= 1e-12 * np.abs(means).max():
        return float(x.mean()), float(x.mean())
    from scipy.stats import bootstrap

    def mean(drawn: Any, sizes: Any, axis: int = -1) -> Any:
        return drawn.sum(axis) / sizes.sum(axis)

    batch = max(1, 2_000_000 // len(counts))  # resamples held in memory at once
    for method in ("BCa", "percentile"):  # with two or three values the acceleration can be undefined
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            interval = bootstrap(
                (sums, counts), mean, paired=True, vectorized=True, n_resamples=resamples, batch=batch, method=method,
                rng=np.random.default_rng(seed),
            ).confidence_interval  # fmt: skip
        if np.isfinite([interval.low, interval.high]).all():
            break
    return float(interval.low), float(interval.high)
