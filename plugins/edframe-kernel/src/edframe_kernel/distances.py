"""The losses ``mmd`` and ``energy``: distances between densities as distributions, by kernels of their differences."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Loss
from edframe.metrics.waves import (
    Spectrum,
    displacements,
    halved,
    nyquist,
    padded,
    pair_sum,
    sampled,
    wave_numbers,
)
from edframe_kernel.errors import difference, electrons
from edframe_kernel.plugin import EnergyConfig, MMDConfig

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

TAIL = 5.5
"""Where Gaussians are cut: exp(−TAIL²) = 7e-14 of their height."""


class MMDLoss(Loss):
    """½ ∫∫ δρ(r) exp(−|r−r′|²/2σ²) δρ(r′) over the electrons of the reference: the squared maximum mean discrepancy.

    That of the densities as distributions of one electron, as geomloss has it, is this over the number of electrons.
    Spin channels are summed.
    """

    unit = "e"

    def __init__(self, config: MMDConfig) -> None:
        self.blur = config.blur

    def __call__(
        self, predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"], grid: Grid
    ) -> Float[Tensor, "b"]:
        """``[b]``; densities ``[b, s, x, y, z]`` in e/Å^d. Raises DataError when shapes do not fit."""
        error = difference(predicted, reference, grid)
        values = pair_sum(error.flatten(0, 1), grid, gaussian(grid, self.blur)).reshape(error.shape[:2])
        return values.sum(1) / (2 * electrons(reference, grid))


class EnergyLoss(Loss):
    """−½ ∫∫ δρ(r) |r − r′| δρ(r′) over the electrons of the reference: half the energy distance (Székely, Rizzo 2013).

    That of the densities as distributions of one electron, as geomloss has it, is this over the number of electrons. A
    wrong number of electrons does not count: what is too much is spread over the cell. Spin channels are summed.
    """

    unit = "e·Å"

    def __init__(self, config: EnergyConfig) -> None:
        self.config = config

    def __call__(
        self, predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"], grid: Grid
    ) -> Float[Tensor, "b"]:
        """``[b]``; densities ``[b, s, x, y, z]`` in e/Å^d.

        Raises DataError for a grid with both periodic and open axes, and when shapes do not fit.
        """
        error = difference(predicted, reference, grid)
        error = error - error.flatten(2).mean(2).reshape(*error.shape[:2], *[1] * grid.dimension)
        values = pair_sum(error.flatten(0, 1), grid, distance(grid)).reshape(error.shape[:2])
        return values.sum(1) / (2 * electrons(reference, grid))


@lru_cache(maxsize=8)
def gaussian(grid: Grid, sigma: float) -> Spectrum:
    """exp(−r²/2σ²), on periodic axes summed over images; ``sigma`` in Å."""

    def kernel(waves: NDArray[np.float64], distances: NDArray[np.float64], along: int) -> NDArray[np.float64]:
        height = (2 * np.pi * sigma**2) ** (along / 2)
        values: NDArray[np.float64] = height * np.exp(-((waves[:, None] * sigma) ** 2 + (distances / sigma) ** 2) / 2)
        return values

    shape = padded(grid)
    if all(grid.periodic):
        lengths = np.sqrt(wave_numbers(grid, shape))
        values = kernel(lengths.ravel(), np.zeros(1), grid.dimension).reshape(lengths.shape)
    else:
        values = sampled(grid, shape, kernel)
    return Spectrum(shape, halved(values, shape[-1]))


@lru_cache(maxsize=8)
def distance(grid: Grid) -> Spectrum:
    """−r, of charges that are neutral: Γ((d+1)/2) π^((d−1)/2) 2^d / k^(d+1) by waves, without k = 0.

    On open axes it is split by Gaussians, as 1/r is in ``edframe.metrics.coulomb``: but for an infinite number −r is
    ∫ exp(−t²r²)/(√π t²) dt, which is sampled from 0 to α, and known by waves beyond.

    Raises DataError for mixed boundaries.
    """
    from scipy.special import erf, gamma, gammainc

    if any(grid.periodic) and not all(grid.periodic):
        raise DataError(
            "energy: on a grid with periodic and open axes the energy distance is infinite, unless dipoles are equal; "
            "take the loss coulomb or mmd"
        )
    d = grid.dimension
    alpha = nyquist(grid) / (2 * TAIL)
    shape = grid.shape if all(grid.periodic) else padded(grid, gap=TAIL / alpha)
    squared = wave_numbers(grid, shape)
    safe = np.where(squared > 0, squared, 1.0)
    power = (d + 1) / 2
    whole = gamma(power) * np.pi ** ((d - 1) / 2) / 2 * (4 / safe) ** power
    if all(grid.periodic):
        return Spectrum(shape, halved(np.where(squared > 0, whole, 0.0), shape[-1]))
    at_zero = np.pi ** ((d - 1) / 2) / (d + 1) / alpha ** (d + 1)
    short = np.where(squared > 0, whole * gammainc(power, safe / (4 * alpha**2)), at_zero)
    r = alpha * np.linalg.norm(displacements(grid, shape, range(d)), axis=1).reshape(shape)
    smooth = -(r * erf(r) + np.expm1(-(r**2)) / np.sqrt(np.pi)) / alpha
    values = short + np.fft.rfftn(smooth).real * grid.voxel_volume
    return Spectrum(shape, halved(values, shape[-1]))
