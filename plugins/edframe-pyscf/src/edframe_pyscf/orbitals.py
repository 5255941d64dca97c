"""Densities on a grid from a density matrix, through the product form of Gaussian orbitals.

In an orthogonal cell a Cartesian Gaussian x^i y^j z^k exp(-a r²), summed over all periodic images, is the product
of three one-dimensional periodic sums. PySCF evaluates orbitals point by point; the product form needs n values per
axis instead of n³ (its agreement with PySCF's ``pbc_eval_gto`` is a test, its speed against it a benchmark).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.grid import Grid

BOHR = 0.529177210903
"""Å (CODATA 2018), as in PySCF."""


def density_on_grid(cell: Any, density_matrix: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """ρ(r) = Σ_μν D_μν φ_μ(r) φ_ν(r) at the points of ``grid``, ``[x, y, z]`` in e/Å³.

    cell: a PySCF periodic cell, Γ point. density_matrix: ``[orbital, orbital]`` in PySCF's order.
    Raises DataError when the grid is not a periodic orthogonal grid of the same cell.
    """
    if grid.dimension != 3 or not grid.orthogonal or not all(grid.periodic):
        raise DataError("densities from orbitals need a periodic, orthogonal 3D grid")
    if not np.allclose(grid.vectors, cell.lattice_vectors() * BOHR, atol=1e-6):
        raise DataError("the grid's cell is not the cell of the orbitals")
    orbitals = _orbitals(cell, grid)
    flat = orbitals.reshape(len(orbitals), -1)
    density = np.einsum("og,og->g", density_matrix @ flat, flat)
    return np.asarray(density).reshape(grid.shape) / BOHR**3


def _orbitals(cell: Any, grid: Grid) -> NDArray[np.float64]:
    """Values of all spherical orbitals, ``[orbital, x, y, z]`` in bohr^(-3/2)."""
    values = np.empty((cell.nao, *grid.shape))
    start = 0
    for shell in range(cell.nbas):
        cartesian = _shell(cell, shell, grid)
        to_spherical = _to_spherical(int(cell.bas_angular(shell)))
        spherical = np.einsum("cs,kcxyz->ksxyz", to_spherical, cartesian)
        count = spherical.shape[0] * spherical.shape[1]
        values[start : start + count] = spherical.reshape(count, *grid.shape)
        start += count
    return values


def _to_spherical(angular: int) -> NDArray[np.float64]:
    """PySCF's matrix from Cartesian to real spherical Gaussians, ``[cartesian, spherical]``."""
    from pyscf import gto

    return np.asarray(gto.cart2sph(angular))


def _shell(cell: Any, shell: int, grid: Grid) -> NDArray[np.float64]:
    """Cartesian Gaussians of one shell, contracted, ``[contraction, cartesian, x, y, z]``."""
    angular = int(cell.bas_angular(shell))
    exponents = cell.bas_exp(shell)
    contraction = cell._libcint_ctr_coeff(shell)  # [primitive, contraction], radial normalisation included
    centre = cell.bas_coord(shell)
    lengths = np.diag(grid.vectors) / BOHR
    axes = [
        _axis_sums(exponents, angular, centre[axis], lengths[axis], grid.shape[axis]) for axis in range(3)
    ]  # each [power, primitive, point]
    nx, ny, nz = grid.shape
    powers = [(i, j, angular - i - j) for i in range(angular, -1, -1) for j in range(angular - i, -1, -1)]
    out = np.empty((contraction.shape[1], len(powers), nx, ny * nz))
    for index, (i, j, k) in enumerate(powers):
        plane = (axes[1][j][:, :, None] * axes[2][k][:, None, :]).reshape(len(exponents), ny * nz)
        for column in range(contraction.shape[1]):
            out[column, index] = (axes[0][i] * contraction[:, column, None]).T @ plane
    return out.reshape(contraction.shape[1], len(powers), nx, ny, nz)


def _axis_sums(
    exponents: NDArray[np.float64], angular: int, centre: float, length: float, points: int
) -> NDArray[np.float64]:
    """Σ_images x^p exp(-a x²) along one axis, ``[power p ≤ angular, primitive, point]``, in bohr."""
    reach = np.sqrt(80.0 / exponents.min()) + length
    images = np.arange(-np.ceil(reach / length), np.ceil(reach / length) + 1) * length
    x = np.arange(points)[:, None] * (length / points) - centre + images  # [point, image]
    gaussians = np.exp(-exponents[:, None, None] * x**2)
    return np.stack([(gaussians * x**p).sum(axis=-1) for p in range(angular + 1)])
