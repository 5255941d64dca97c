"""Densities on a grid from a density matrix, through the product form of Gaussian orbitals.

In an orthogonal cell a Cartesian Gaussian x^i y^j z^k exp(-a r²), summed over all periodic images, is the product
of three one-dimensional periodic sums. PySCF evaluates orbitals point by point; the product form needs n values per
axis instead of n³ (its agreement with PySCF's ``pbc_eval_gto`` is a test, its speed against it a benchmark).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.grid import Grid

NEGLIGIBLE = 1e-7
"""Eigenvalues of a density matrix below this fraction of the largest are rounding of its float32 storage."""


@dataclass(frozen=True)
class Expansion:
    """Orbitals as sums of Cartesian Gaussians, in bohr; where the atoms are is not part of it.

    atoms ``[term]``: index of the atom a term sits on. exponents ``[term]``. powers ``[term, axis]``.
    coefficients ``[orbital, term]``, normalisation included, orbitals in PySCF's order.
    """

    atoms: NDArray[np.int64]
    exponents: NDArray[np.float64]
    powers: NDArray[np.int64]
    coefficients: NDArray[np.float64]

    @classmethod
    def of(cls, cell: Any) -> Expansion:
        """The spherical orbitals of a PySCF cell. Raises DataError when the cell uses Cartesian ones."""
        if cell.cart:
            raise DataError("densities from orbitals need a cell with spherical orbitals (cart=False)")
        shells = [_shell(cell, shell) for shell in range(cell.nbas)]
        coefficients = np.zeros((cell.nao, sum(len(exponents) for _, exponents, _, _ in shells)))
        row = column = 0
        for _, _, _, block in shells:
            coefficients[row : row + block.shape[0], column : column + block.shape[1]] = block
            row, column = row + block.shape[0], column + block.shape[1]
        atoms, exponents, powers, _ = zip(*shells, strict=True)
        return cls(np.concatenate(atoms), np.concatenate(exponents), np.concatenate(powers), coefficients)

    def density(
        self, positions: NDArray[np.float64], density_matrix: NDArray[np.float64], grid: Grid
    ) -> NDArray[np.float64]:
        """ρ(r) = Σ_μν D_μν φ_μ(r) φ_ν(r) at the points of ``grid``, ``[x, y, z]`` in e/Å³.

        positions: ``[atom, xyz]`` in Å. density_matrix: symmetric, ``[orbital, orbital]``.
        Raises DataError when the grid is not periodic, orthogonal and along x, y, z.

        D is diagonalised first: of a closed shell only the occupied orbitals are left to evaluate.
        """
        vectors = grid.vectors
        if grid.dimension != 3 or not all(grid.periodic) or not np.allclose(vectors, np.diag(np.diag(vectors))):
            raise DataError("densities from orbitals need a periodic 3D grid whose cell is a box along x, y and z")
        bohr = _bohr()
        occupations, states = np.linalg.eigh(density_matrix)
        kept = np.abs(occupations) > NEGLIGIBLE * np.abs(occupations).max()
        orbitals = states[:, kept].T @ self.coefficients / bohr**1.5  # [state, term]
        centres = positions[self.atoms] / bohr  # [term, axis]
        x, y, z = (
            _axis_sums(self.exponents, self.powers[:, axis], centres[:, axis], length, points)
            for axis, (length, points) in enumerate(zip(np.diag(vectors) / bohr, grid.shape, strict=True))
        )
        planes = (y[:, :, None] * z[:, None, :]).reshape(len(y), -1)  # [term, y z]
        density = np.zeros((grid.shape[0], planes.shape[1]))
        for occupation, orbital in zip(occupations[kept], orbitals, strict=True):
            values = (x * orbital[:, None]).T @ planes
            values *= values
            values *= occupation
            density += values
        return density.reshape(grid.shape)


def density_on_grid(cell: Any, density_matrix: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """The density of a density matrix ``[orbital, orbital]`` in PySCF's order, ``[x, y, z]`` in e/Å³.

    cell: a PySCF periodic cell, Γ point. For many geometries of the same atoms, keep its ``Expansion``.
    Raises DataError when the grid is not a periodic box along x, y, z that is the same cell.
    """
    bohr = _bohr()
    if grid.dimension == 3 and not np.allclose(grid.vectors, cell.lattice_vectors() * bohr, atol=1e-6):
        raise DataError(f"the grid's cell {grid.cell} (Å) is not the cell of the orbitals")
    return Expansion.of(cell).density(cell.atom_coords() * bohr, density_matrix, grid)


def _shell(
    cell: Any, shell: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Atoms, exponents, powers and coefficients of one shell: its terms are primitives × Cartesian components."""
    from pyscf import gto

    angular = int(cell.bas_angular(shell))
    powers = [(i, j, angular - i - j) for i in range(angular, -1, -1) for j in range(angular - i, -1, -1)]
    # [primitive, contraction], radial normalisation included. No public name: ``bas_ctr_coeff`` divides it out again.
    contraction = cell._libcint_ctr_coeff(shell)
    spherical = np.asarray(gto.cart2sph(angular))  # [cartesian, spherical]
    primitives = len(contraction)
    coefficients = np.einsum("pk,cs->kspc", contraction, spherical)
    return (
        np.full(primitives * len(powers), cell.bas_atom(shell), dtype=np.int64),
        np.repeat(cell.bas_exp(shell), len(powers)),
        np.tile(np.array(powers, dtype=np.int64), (primitives, 1)),
        coefficients.reshape(-1, primitives * len(powers)),
    )


def _axis_sums(
    exponents: NDArray[np.float64],
    powers: NDArray[np.int64],
    centres: NDArray[np.float64],
    length: float,
    points: int,
) -> NDArray[np.float64]:
    """Σ_images x^p exp(-a x²) along one axis, ``[term, point]``, in bohr."""
    reach = np.ceil(np.sqrt(80.0 / exponents.min()) / length) + 1
    images = np.arange(-reach, reach + 1) * length
    x = (np.arange(points) * (length / points) - centres[:, None])[:, :, None] + images  # [term, point, image]
    values = np.exp(-exponents[:, None, None] * x**2)
    for power in range(1, int(powers.max(initial=0)) + 1):
        values[powers >= power] *= x[powers >= power]
    return np.asarray(values.sum(axis=-1))


def _bohr() -> float:
    """Å per bohr, PySCF's value."""
    from pyscf.data import nist

    return float(nist.BOHR)
