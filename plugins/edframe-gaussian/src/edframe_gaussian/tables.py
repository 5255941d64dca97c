"""Radial densities of free atoms, read from the file in the package. How it was made: ``atomic_tables.py``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from edframe.errors import DataError

if TYPE_CHECKING:
    from jaxtyping import Float

PATH = Path(__file__).with_name("atomic_densities.safetensors")


@dataclass(frozen=True)
class AtomicDensity:
    """Valence density of a spherical, neutral atom.

    values: ``[n]`` in e/Å³ at ``spacing * arange(n)`` Å; zero at the last radius and beyond. charge: its
    integral, the valence electrons of the pseudopotential.
    """

    symbol: str
    values: NDArray[np.float64]
    spacing: float
    charge: float

    @property
    def radii(self) -> NDArray[np.float64]:
        """Where the values are, ``[n]`` in Å."""
        return np.arange(len(self.values), dtype=np.float64) * self.spacing

    @property
    def cutoff(self) -> float:
        """Radius beyond which the density is zero, Å."""
        return self.spacing * (len(self.values) - 1)

    def integral(self) -> float:
        """∫ ρ 4πr² dr in e."""
        from scipy.interpolate import CubicSpline

        return float(CubicSpline(self.radii, 4 * np.pi * self.radii**2 * self.values).integrate(0, self.cutoff))

    def projected(self, dimension: int) -> NDArray[np.float64]:
        """The density integrated over the 3 − d axes that a grid of dimension d leaves out, ``[n]`` in e/Å^d."""
        if dimension == 3:
            return self.values
        from scipy.interpolate import CubicSpline

        r = self.radii
        if dimension == 1:  # ∫ρ over the plane at distance x is 2π ∫_x^∞ ρ(t) t dt
            inside = CubicSpline(r, 2 * np.pi * r * self.values).antiderivative()(r)
            return np.asarray(inside[-1] - inside, dtype=np.float64)
        profile = CubicSpline(r, self.values, bc_type="clamped")
        along = np.hypot(r[:, None], r[None, :])  # [n, height above the plane]
        columns = np.where(along < self.cutoff, profile(np.minimum(along, self.cutoff)), 0.0)
        return np.asarray(2 * self.spacing * (columns.sum(1) - columns[:, 0] / 2), dtype=np.float64)


def load_atomic_densities(species: Sequence[str], path: Path = PATH) -> list[AtomicDensity]:
    """The densities of ``species``, in their order. Raises DataError for one that the file does not have."""
    with safe_open(path, framework="numpy") as file:
        facts = _facts(file)
        known = list(facts["elements"])
        missing = [symbol for symbol in species if symbol not in known]
        if missing:
            raise DataError(
                f"there is no atomic density for {', '.join(missing)}: the tables of the featurizer 'sad' cover "
                f"{known[0]} to {known[-1]} ({', '.join(known)}). Use the featurizer 'gaussian', or add the element "
                "to edframe_gaussian.atomic_tables."
            )
        return [
            AtomicDensity(s, file.get_tensor(s), facts["spacing_angstrom"], facts["elements"][s]["valence_charge"])
            for s in species
        ]


def read_facts(path: Path = PATH) -> dict[str, Any]:
    """How the tables were made: functional, pseudopotential, PySCF version; per element basis, charge, cutoff."""
    with safe_open(path, framework="numpy") as file:
        return _facts(file)


def _facts(file: Any) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(file.metadata()["edframe"])
    return facts


class RadialSpline:
    """A density as a cubic spline in the distance, evaluated with torch: never negative, zero beyond its last knot.

    values: ``[n]`` at ``spacing * arange(n)`` Å, the last at the ``cutoff``. The slope is zero at both ends: at a
    nucleus a pseudo-density is smooth, and at the cutoff it has faded.
    """

    def __init__(self, values: NDArray[np.float64], spacing: float) -> None:
        coefficients = np.pad(_clamped_spline(values), ((0, 0), (0, 1)))  # one more interval of zeros
        self._coefficients = torch.as_tensor(coefficients, dtype=torch.float32)
        self._per_length = 1.0 / spacing
        self.cutoff = spacing * (len(values) - 1)

    def __call__(self, squared: Float[Tensor, "*points"]) -> Float[Tensor, "*points"]:
        """Values at squared distances (Å², float32), of the same shape."""
        if self._coefficients.device != squared.device:
            self._coefficients = self._coefficients.to(squared.device)
        position = squared.sqrt().mul_(self._per_length).clamp_(max=self._coefficients.shape[1] - 1)
        interval = position.int()
        fraction = position.sub_(interval)
        flat = interval.view(-1)
        # Four gathers of one number each are three times as fast as one gather of four.
        value = self._coefficients[3].index_select(0, flat)
        for power in (2, 1, 0):
            value = self._coefficients[power].index_select(0, flat).addcmul_(value, fraction.view(-1))
        return value.clamp_(min=0).view_as(squared)  # where it fades, rounding leaves −1e-15


def _clamped_spline(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients ``[power, interval]`` of the cubic spline on knots 0, 1, 2, …, whose slope is zero at both ends.

    What SciPy's CubicSpline gives; to import that takes as long as half of a small prediction. The slopes s solve
    s_{i−1} + 4 s_i + s_{i+1} = 3 (y_{i+1} − y_{i−1}), by Thomas' algorithm.
    """
    right = 3 * (values[2:] - values[:-2])
    pivots, slopes = np.empty(len(right)), np.zeros(len(values))
    pivot = np.inf
    for i in range(len(right)):
        pivots[i] = pivot = 4 - 1 / pivot
        slopes[i + 1] = right[i] - (slopes[i] / pivots[i - 1] if i else 0.0)
    for i in reversed(range(len(right))):
        slopes[i + 1] = (slopes[i + 1] - slopes[i + 2]) / pivots[i]
    rise, start, end = np.diff(values), slopes[:-1], slopes[1:]
    return np.stack([values[:-1], start, 3 * rise - 2 * start - end, start + end - 2 * rise])
