"""Density of states of the energies at a mesh of k-points, a Gaussian at each, as dos.x of Quantum ESPRESSO has it.

    D(E) = 2 Σ_k w_k Σ_n exp(−((E − ε_kn) / w)²) / (√π w),    N(E) = ∫ D = Σ_k w_k Σ_n (1 + erf((E − ε_kn) / w))

The factor 2 is that of spin. w is ``degauss`` of dos.x, in eV.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.restart.bands import Bands

STEP = 0.2
"""Of the width, between energies."""
REACH = 5.0
"""Widths beyond the outermost levels."""


@dataclass(frozen=True)
class States:
    """energies: eV. density: of both spins, per eV and cell. count: states below an energy. fermi: the energy below
    which there are as many as electrons, eV. Each ``[energy]`` but the last."""

    energies: NDArray[np.float64]
    density: NDArray[np.float64]
    count: NDArray[np.float64]
    fermi: float


def states(bands: Bands, width: float, energies: NDArray[np.float64] | None = None) -> States:
    """Density of states by Gaussians of ``width``, eV; at ``energies``, by default on all that the bands cover.

    Raises DataError for k-points along a path, and for fewer bands than the electrons fill.
    """
    from scipy.optimize import brentq
    from scipy.special import erf

    if bands.weights is None:
        raise DataError(
            "a density of states needs k-points of a mesh, and these are a path; set calculation = 'nscf' and "
            "K_POINTS automatic"
        )
    if not width > 0:
        raise DataError(f"the width of a density of states is {width:g} eV; give a positive one, such as 0.1")
    levels, weights = bands.energies, bands.weights
    if 2 * levels.shape[1] <= bands.electrons:
        raise DataError(
            f"{levels.shape[1]} bands hold no more than the {bands.electrons:g} electrons, so that there is no Fermi "
            "energy; ask for more bands (nbnd)"
        )
    low, high = float(levels.min()) - REACH * width, float(levels.max()) + REACH * width
    if energies is None:
        energies = np.linspace(low, high, int(np.ceil((high - low) / (STEP * width))) + 1)

    def summed(
        kernel: Callable[[NDArray[np.float64]], NDArray[np.float64]], at: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        total = np.zeros(len(at))
        for weight, row in zip(weights, levels, strict=True):
            total += weight * kernel((at[:, None] - row) / width).sum(axis=1)
        return total

    def count(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return summed(lambda x: 1 + erf(x), at)

    density = summed(lambda x: 2 * np.exp(-(x**2)) / (np.sqrt(np.pi) * width), energies)
    fermi = brentq(lambda energy: float(count(np.array([energy]))[0]) - bands.electrons, low, high)
    return States(energies, density, count(energies), float(fermi))
