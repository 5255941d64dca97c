"""The electrostatic energy of an error: how much it matters to a self-consistent field, which feels charge, not points.

E = ½ ∫∫ δρ(r) δρ(r′) / |r − r′|: by waves ½ ∫ v(k) |δρ(k)|², with v = 4π/k² in space and v = 2π/k in a plane, so that
long waves count most. On periodic axes this is a sum over the waves of the cell without the constant one. On open axes
the kernel is split by Gaussians, 1/r = erf(αr)/r + erfc(αr)/r (Martyna and Tuckerman, J. Chem. Phys. 110, 2810 (1999)):
the first part is smooth, and is sampled at the differences of points; the second is short, and is known by waves. Both
are exact for densities that the grid resolves. Where axes of both kinds meet, the sum of Gaussians
erf(αr)/r = 2/√π ∫₀^α exp(−t²r²) dt is transformed along the periodic ones.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.metrics.waves import Spectrum, halved, nyquist, padded, pair_sum, sampled, wave_numbers

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

__all__ = ["COULOMB", "LOW_G", "coulomb_energy"]

COULOMB = 14.399645
"""e²/4πε₀ in eV·Å (CODATA 2018)."""

LOW_G = 1.0
"""Å⁻¹. Waves with a smaller |k| are slow to converge in a self-consistent field: there the dielectric response of a
metal amplifies an error most. It is the scale below which Kerker's preconditioner damps (Phys. Rev. B 23, 3082
(1981)), and codes take about this number."""

TAIL = 5.5
"""Where Gaussians are cut: exp(−TAIL²) = 7e-14 of their height."""


def coulomb_energy(field: Float[Tensor, "b *grid"], grid: Grid, below: float | None = None) -> Float[Tensor, "b"]:
    """½ ∫∫ f(r) f(r′) / |r − r′| dV dV′ in eV, ``[b]``, differentiable, of charges ``[b, x, y, z]`` in e/Å^d.

    below: Å⁻¹; only waves longer than 2π/below count; None: all. In two dimensions the charges lie in a plane, in
    space. On a grid with a periodic axis the energy is that of one cell, and charge is neutralised by a uniform one in
    the cell: without it the energy would be infinite. Raises DataError on a line, where 1/r has no finite energy.
    """
    import torch

    if grid.dimension == 1:
        raise DataError("charges on a line have no finite electrostatic energy: take a grid of 2 or 3 dimensions")
    field = field.to(torch.promote_types(field.dtype, torch.float32))
    if any(grid.periodic) and not all(grid.periodic):  # else the wave k = 0 has no weight
        field = field - field.flatten(1).mean(1).reshape(-1, *[1] * grid.dimension)
    return 0.5 * COULOMB * pair_sum(field, grid, _spectrum(grid, below))


NODES = 128
"""Points of the quadratures; see the tests for what they give."""


@lru_cache(maxsize=8)
def _spectrum(grid: Grid, below: float | None) -> Spectrum:
    """v(k) of 1/r in Å^(d−1) on the padded grid."""
    if all(grid.periodic):
        squared = wave_numbers(grid, grid.shape)
        within = (squared > 0) & (squared < (np.inf if below is None else below) ** 2)
        values = np.zeros(squared.shape)
        values[within] = _transform(squared[within], grid.dimension)
        return Spectrum(grid.shape, halved(values, grid.shape[-1]))
    if below is not None:
        shape = padded(grid)
        return Spectrum(shape, halved(sampled(grid, shape, partial(_long_waves, grid.dimension, below)), shape[-1]))
    alpha = nyquist(grid) / (2 * TAIL)  # then erf(αr)/r is resolved on the points
    shape = padded(grid, gap=TAIL / alpha)
    short = _short(wave_numbers(grid, shape), grid.dimension, alpha)
    smooth = sampled(grid, shape, partial(_gaussians, alpha))[..., : short.shape[-1]]
    return Spectrum(shape, halved(short + smooth, shape[-1]))


def _transform(squared: NDArray[np.float64], dimension: int) -> NDArray[np.float64]:
    """Of 1/r at |k|² > 0."""
    return 4 * np.pi / squared if dimension == 3 else 2 * np.pi / np.sqrt(squared)


def _short(squared: NDArray[np.float64], dimension: int, alpha: float) -> NDArray[np.float64]:
    """Transform of erfc(αr)/r."""
    from scipy.special import erf

    x = squared / (4 * alpha**2)
    safe = np.where(x > 0, x, 1.0)
    if dimension == 3:
        values = np.where(x > 0, -np.expm1(-safe) / safe, 1.0) * (np.pi / alpha**2)
    else:
        values = np.where(x > 0, erf(np.sqrt(safe)) / np.sqrt(safe), 2 / np.sqrt(np.pi)) * (np.pi / alpha)
    return np.asarray(values)


def _gaussians(
    alpha: float, waves: NDArray[np.float64], distances: NDArray[np.float64], along: int
) -> NDArray[np.float64]:
    """erf(αr)/r, ``[g, o]``, transformed along ``along`` axes; ``waves`` ``[g]`` in Å⁻¹, ``distances`` ``[o]`` in Å.

    2/√π ∫₀^α (√π/t)^p exp(−G²/4t² − t²ρ²) dt. At G = 0 that is infinite, by a number that neutral charges do not feel;
    it is left out.
    """
    from scipy.special import erf

    if not along:
        safe = np.where(distances > 0, distances, 1.0)
        return np.asarray(np.where(distances > 0, erf(alpha * safe) / safe, 2 * alpha / np.sqrt(np.pi)))[None]
    t, weights = _quadrature(NODES, alpha)
    weights = 2 / np.sqrt(np.pi) * weights * (np.sqrt(np.pi) / t) ** along
    decay = -((t[:, None] * distances) ** 2)
    values = weights * np.exp(-((waves[:, None] / (2 * t)) ** 2)) @ np.exp(decay)
    values[waves == 0] = weights @ np.expm1(decay)
    return np.asarray(values)


def _long_waves(
    dimension: int, below: float, waves: NDArray[np.float64], distances: NDArray[np.float64], along: int
) -> NDArray[np.float64]:
    """The part of 1/r with |k| < ``below``, ``[g, o]``, as ``_gaussians``: an integral over the waves across."""
    from scipy.special import itj0y0, j0, sici

    if not along:  # 2 Si(kρ)/πρ in space, ∫ J₀ in a plane
        safe = np.where(distances > 0, distances, 1.0)
        integral = 2 / np.pi * sici(below * safe)[0] if dimension == 3 else itj0y0(below * safe)[0]
        return np.asarray(np.where(distances > 0, integral / safe, below * (2 / np.pi if dimension == 3 else 1.0)))[
            None
        ]
    values = np.zeros((len(waves), len(distances)))
    for row in np.flatnonzero(waves < below):
        end = np.sqrt(below**2 - waves[row] ** 2)
        k, weights = _quadrature(NODES + int(end * distances.max()), end)
        phases = k[:, None] * distances
        if dimension - along == 1:
            weights, shape = weights / np.pi, np.cos(phases)
        else:
            weights, shape = weights * k / (2 * np.pi), j0(phases)
        weights = weights * _transform(k**2 + waves[row] ** 2, dimension)
        values[row] = weights @ (shape - (waves[row] == 0))
    return values


def _quadrature(nodes: int, end: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights of Gauss and Legendre on [0, end]."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    return end * (x + 1) / 2, end * w / 2
