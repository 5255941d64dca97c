"""The total energy that one diagonalisation gives for a density: how good a predicted density is as an input of DFT.

The functional of Harris, Phys. Rev. B 31, 1770 (1985), and Foulkes and Haydock, Phys. Rev. B 39, 12520 (1989):

    E[ρ] = Σ f ε − E_H[ρ] − ∫ v_xc[ρ] ρ + E_xc[ρ] + E_nuc,    (h + v_H[ρ] + v_xc[ρ]) ψ = ε ψ

Its value at the self-consistent density is the total energy, and it is stationary there: a small error of the density
costs energy in second order only, of either sign. No loss is trained on it.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.structure import Structure
from pyscf.data.nist import BOHR
from pyscf.pbc import dft, tools
from pyscf.pbc.dft.multigrid import MultiGridNumInt2

# No public name: PySCF offers the matrix of a functional's potential, not that of a potential on the mesh.
from pyscf.pbc.dft.multigrid.multigrid_pair import _get_j_pass2 as matrix_of
from scipy.linalg import eigh

from edframe.data.resampling import fourier
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.units import HARTREE
from edframe_pyscf import scf
from edframe_pyscf.levels import FUNCTIONAL, Level

FLOOR = 1e-8
"""e/bohr³. Below it PBE counts nothing: where a density is rough, some values in the vacuum are negative (PySCF's
multigrid leaves −5e-5 itself), and PBE is not defined there. It moves no energy of a self-consistent density; 1e-6
would, by 1.3e-6 hartree in Li–O–Li, 0.01 meV per atom. Noise above it counts: its gradients are a potential."""

TOLERANCE = 0.01
"""Relative error of the number of electrons of a density; beyond it is not a density of this structure."""


def harris_energy(structure: Structure, density: NDArray[Any], grid: Grid, level: Level) -> float:
    """E[ρ] in eV of a density ``[1, x, y, z]`` in e/Å³ on ``grid``; see ``HarrisFunctional.energy``."""
    return HarrisFunctional(structure, level).energy(density, grid)


def energy_error(
    structure: Structure, predicted: NDArray[Any], reference: NDArray[Any], grid: Grid, level: Level
) -> float:
    """What the error of a predicted density costs, in meV per atom; see ``HarrisFunctional.error``."""
    return HarrisFunctional(structure, level).error(predicted, reference, grid)


class HarrisFunctional:
    """E[ρ] of one structure: restricted PBE at the Γ point, in the basis and on the mesh in which ``level`` labels it.

    The integrals that do not depend on the density are made once, and the SCF that ``error`` needs is converged once.
    Raises DataError for elements that the level lacks and for an odd number of electrons.
    """

    def __init__(self, structure: Structure, level: Level) -> None:
        self.structure, self.level = structure, level
        self._cell = _cell(structure, level)
        mean_field = dft.RKS(self._cell)
        self._integrator = MultiGridNumInt2(self._cell)
        kinetic = self._cell.pbc_intor("int1e_kin", hermi=1)
        self._core = kinetic + self._integrator.get_pp(np.zeros(3), return_full=True)
        self._overlap = mean_field.get_ovlp()
        self._nuclear = float(mean_field.energy_nuc())

    def energy(self, density: NDArray[Any], grid: Grid) -> float:
        """E[ρ] in eV of a density ``[1, x, y, z]`` in e/Å³, interpolated by waves to the mesh of the level.

        A grid coarser than the mesh cannot carry the cores: the energy of an exact density of Li–O–Li is 0.16 eV per
        atom too high from points 0.15 Å apart, 0.01 from 0.11 Å, and 0.0005 from 0.075 Å. For what a prediction is
        wrong by, take ``error``. Raises DataError for a grid of another cell and for another number of electrons.
        """
        return HARTREE * self._energy(self._on_mesh(self._checked(density, grid), grid))

    def error(self, predicted: NDArray[Any], reference: NDArray[Any], grid: Grid) -> float:
        """E[ρ₀ + (ρ̂ − ρ)] − E[ρ₀] in meV per atom, ρ̂ and its reference ρ ``[1, x, y, z]`` in e/Å³.

        ρ₀ is the reference as the SCF has it on its mesh. The difference alone is interpolated from the grid: the
        error of interpolating ρ itself is larger than that of a good prediction, and as E is quadratic it would not
        cancel between E[ρ̂] and E[ρ]. Of second order in ρ̂ − ρ while the potential of ρ̂ leaves the occupied orbitals the
        lowest and its vacuum is no rougher than the reference's. The first call converges the SCF, which takes seconds.
        Raises DataError as ``energy``, and where the SCF does not converge or needs smearing.
        """
        exact, energy = self._converged
        difference = self._checked(predicted, grid) - self._checked(reference, grid)
        harris = self._energy(exact + self._on_mesh(difference, grid))
        return 1000 * HARTREE * (harris - energy) / len(self.structure)

    @cached_property
    def _converged(self) -> tuple[NDArray[np.float64], float]:
        """The density on the mesh, flat, in e/bohr³, and the energy in hartree, of the SCF."""
        ladder = [replace(rung, conv_tol=self.level.conv_tol) for rung in scf.LADDER if not rung.smearing]
        solution = scf.solve(self._cell, self.structure.formula, ladder)
        density = self._integrator.get_rho(self._cell, solution.density_matrix, None)
        return np.asarray(density), solution.energy

    def _energy(self, density: NDArray[np.float64]) -> float:
        """E in hartree of a density on the mesh, flat, in e/bohr³."""
        integrator, mesh = self._integrator, self._integrator.mesh
        voxel = self._cell.vol / density.size
        vectors = self._cell.get_Gv(mesh)  # [wave, xyz]
        waves = tools.fft(density, mesh)
        coulomb = waves * tools.get_coulG(self._cell, mesh=mesh)
        hartree = 0.5 * voxel * np.vdot(waves, coulomb).real / density.size

        gradient = tools.ifft(1j * vectors.T * waves, mesh).real
        per_electron, derivatives = integrator.eval_xc_eff(
            FUNCTIONAL, np.vstack([density, gradient]), deriv=1, xctype="GGA"
        )[:2]
        counted = density >= FLOOR
        exchange_correlation = voxel * float(density[counted] @ per_electron[counted])
        # The derivative of that sum by the values on the mesh, not the functional's: so E is stationary on any mesh.
        parts = tools.fft(derivatives * counted, mesh)
        potential = parts[0] - np.einsum("xg,gx->g", 1j * parts[1:], vectors)
        double_counting = voxel * float(density @ tools.ifft(potential, mesh).real)

        effective = np.reshape(matrix_of(integrator, voxel * (coulomb + potential)), self._core.shape)
        pairs = self._cell.nelectron // 2
        levels = eigh(self._core + effective, self._overlap, eigvals_only=True, subset_by_index=(0, pairs - 1))
        return float(2 * levels.sum() - hartree - double_counting + exchange_correlation + self._nuclear)

    def _checked(self, density: NDArray[Any], grid: Grid) -> NDArray[np.float64]:
        """A density ``[1, x, y, z]`` that is one of this structure: ``[x, y, z]``, float64."""
        name, electrons = self.structure.formula, self._cell.nelectron
        if grid.dimension != 3 or not np.allclose(grid.vectors, self.structure.lattice.matrix, atol=1e-6):
            raise DataError(f"{name}: the grid's cell {grid.cell} (Å) is not the structure's; give the density's grid")
        if density.shape != (1, *grid.shape):
            raise DataError(
                f"{name}: a density of shape {density.shape} has no energy here; give one of shape {(1, *grid.shape)}, "
                "the total alone, because the functional is spin-restricted"
            )
        count = float(density.sum(dtype=np.float64)) * grid.voxel_volume
        if not abs(count - electrons) <= TOLERANCE * electrons:
            raise DataError(
                f"{name}: the density integrates to {count:.4f} e, and its pseudopotentials leave {electrons} e; give "
                "a valence density in e/Å³ made with GTH pseudopotentials"
            )
        return np.asarray(density[0], dtype=np.float64)

    def _on_mesh(self, values: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
        """``[x, y, z]`` in e/Å³ on ``grid`` as values on the mesh, flat, in e/bohr³."""
        on_mesh, _ = fourier(values, grid, [int(n) for n in self._integrator.mesh])
        return np.asarray(on_mesh.ravel() * BOHR**3)


def _cell(structure: Structure, level: Level) -> Any:
    species = [site.specie.symbol for site in structure]
    level.require(species, [structure.formula] * len(species))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a charge is not the sum of oxidation states; an odd number is refused below
        charge = round(structure.charge)
        cell = scf.cell_of(structure, level, charge=charge)
    if cell.nelectron % 2:
        raise DataError(
            f"{structure.formula}: {cell.nelectron} electrons, and the spin-restricted functional needs an even "
            "number; give the structure its charge, or leave it out"
        )
    return cell
