"""Whether a predicted spread says how large the error is: binned error against spread, coverage, and one factor.

Voxels are weighted by the electrons predicted in them where they are counted, because most voxels of a cell with a
molecule are vacuum, where errors and spreads are nearly zero.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edframe.grid import Grid

Array = NDArray[np.float64]

MEAN_DEVIATION = math.sqrt(2 / math.pi)
"""⟨|x|⟩ of a Gaussian of unit standard deviation."""
BINS = 15
"""Bins of spread, each with the same number of electrons, as far as single voxels allow."""
FINE = 10.0 ** np.linspace(-12, 4, 1601)
"""Edges of the spreads in e/Å^d that are distinguished while samples pass by; the bins are put together from them."""
MULTIPLES = np.linspace(0, 4, 81)
"""k, for the fraction of the electrons in voxels whose error is at most k σ."""


class Calibration:
    """Errors against spreads of samples that pass by one at a time; spreads are multiplied by ``factor``."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor
        self.nmae: list[float] = []
        self.expected_nmae: list[float] = []
        self._sums = np.zeros((3, len(FINE) + 1))
        self._within = np.zeros(len(MULTIPLES))
        self._electrons = 0.0

    def add(self, mean: Array, spread: Array, reference: Array) -> None:
        """A sample: predicted mean, its spread and the reference density, each ``[x, y, z]`` in e/Å^d."""
        error = np.abs(mean - reference).ravel()
        sigma = self.factor * spread.ravel()
        electrons = np.maximum(mean, 0).ravel()
        total = reference.sum()
        self.nmae.append(float(100 * error.sum() / total))
        self.expected_nmae.append(float(100 * MEAN_DEVIATION * sigma.sum() / total))
        place = np.digitize(sigma, FINE)
        for row, values in enumerate((electrons, electrons * error**2, electrons * sigma**2)):
            self._sums[row] += np.bincount(place, values, minlength=self._sums.shape[1])
        ratio = np.divide(error, sigma, out=np.where(error > 0, np.inf, 0.0), where=sigma > 0)
        first = np.searchsorted(MULTIPLES, ratio)  # the smallest multiple that the error is within
        self._within += np.cumsum(np.bincount(first, electrons, minlength=len(MULTIPLES) + 1)[: len(MULTIPLES)])
        self._electrons += electrons.sum()

    def fitted_factor(self) -> float:
        """What to multiply the spread by, so that it expects the mean NMAE that was found; inf where it is zero."""
        expected = float(np.mean(self.expected_nmae))
        return self.factor * float(np.mean(self.nmae)) / expected if expected else math.inf

    def coverage(self) -> Array:
        """Fraction of the electrons in voxels whose error is at most MULTIPLES times the spread."""
        return np.asarray(self._within / self._electrons)

    def bins(self) -> tuple[Array, Array]:
        """Root mean variance and root mean squared error of each bin, in e/Å^d, by rising spread."""
        share = self._sums[0] / self._sums[0].sum()
        label = np.minimum((BINS * (np.cumsum(share) - share / 2)).astype(int), BINS - 1)
        electrons, squares, variances = (np.bincount(label, row, minlength=BINS) for row in self._sums)
        filled = (electrons > 0) & (variances > 0)
        return (
            np.sqrt(variances[filled] / electrons[filled]),
            np.sqrt(squares[filled] / electrons[filled]),
        )

    def summary(self) -> dict[str, Any]:
        """All figures as plain data; None for a rank correlation of fewer than three samples, or of equal ones."""
        spread, error = self.bins()
        raw = spread / self.factor
        covered = self.coverage()
        return {
            "samples": len(self.nmae),
            "nmae": float(np.mean(self.nmae)),
            "expected_nmae": float(np.mean(self.expected_nmae)),
            "spearman": _spearman(self.expected_nmae, self.nmae),
            "ence": float(np.mean(np.abs(spread - error) / spread)),
            "ence_uncalibrated": float(np.mean(np.abs(raw - error) / raw)),
            "coverage": {str(k): float(covered[np.searchsorted(MULTIPLES, k)]) for k in (1, 2, 3)},
            "bins": {"spread": spread.tolist(), "error": error.tolist()},
            "reliability": {"multiple": MULTIPLES.round(4).tolist(), "fraction": covered.tolist()},
        }


def expected_nmae(spread: float, electrons: float, grid: Grid) -> float:
    """The NMAE in % that a spread lets expect whose sum over the points is ``spread``, in e/Å^d: √(2/π) ∫σ / N."""
    return 100 * MEAN_DEVIATION * spread * grid.voxel_volume / electrons


def _spearman(expected: list[float], measured: list[float]) -> float | None:
    from scipy.stats import spearmanr

    if len(measured) < 3 or np.ptp(expected) == 0 or np.ptp(measured) == 0:
        return None
    return float(spearmanr(expected, measured).statistic)
