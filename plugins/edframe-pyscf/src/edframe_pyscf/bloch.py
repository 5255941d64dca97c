"""Kohn–Sham potentials of a crystal with k-points, from Bloch orbitals made by fast Fourier transforms.

The Fourier transform of a Gaussian orbital is analytic, so the periodic part of a Bloch orbital,
u_k(r) = 1/Ω Σ_G φ̃(k + G) exp(iG·r), is one FFT on any cell. PySCF sums lattice images at every grid point in every
cycle, which takes most of its time for small cells with diffuse orbitals (their agreement is a test).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyscf import lib
from pyscf.gto.ft_ao import ft_ao
from pyscf.pbc import tools
from pyscf.pbc.dft.multigrid import MultiGridNumInt

KEPT = 2**31
"""Bytes of orbitals that stay in memory from cycle to cycle; beyond, they are computed again."""


class BlochNumInt(MultiGridNumInt):  # type: ignore[misc]
    """PySCF's integrator for restricted, semilocal functionals: Coulomb and exchange-correlation together.

    mean_field._numint = BlochNumInt(cell)

    PySCF has no public name for this attribute, by which its own ``multigrid_numint`` chooses an integrator.
    """

    def nr_rks(
        self, cell: Any, grids: Any, xc_code: str, dm_kpts: Any, relativity: int = 0, hermi: int = 1,
        kpts: Any = None, kpts_band: Any = None, max_memory: float = 2000, verbose: Any = None,
    ) -> tuple[float, float, Any]:  # fmt: skip
        """Electrons, exchange-correlation energy (hartree) and the potential ``[k, orbital, orbital]``, which carries
        the Coulomb energy as ``ecoul``. dm_kpts: ``[k, orbital, orbital]``; kpts ``[k, xyz]`` in 1/bohr."""
        matrices, mesh = np.asarray(dm_kpts), self.mesh
        weight = cell.vol / np.prod(mesh)
        density = np.zeros(np.prod(mesh))
        for u, matrix in zip(self._orbitals(kpts), matrices, strict=True):
            # ρ = Σ D_μν u_μ u_ν*; D is hermitian, so its product with u is all there is to sum.
            density += np.einsum("or,or->r", u.conj(), matrix.T @ u).real / len(kpts)
        vectors = cell.get_Gv(mesh)
        spectrum = tools.fft(density, mesh)
        potential = spectrum * tools.get_coulG(cell, mesh=mesh)
        coulomb = 0.5 * weight * np.vdot(spectrum, potential).real / np.prod(mesh)
        gradient = tools.ifft(1j * vectors.T * spectrum, mesh).real
        energy, derivatives = self.eval_xc_eff(xc_code, np.vstack([density, gradient]), deriv=1, xctype="GGA")[:2]
        parts = tools.fft(derivatives.reshape(4, -1), mesh)
        potential += parts[0] - np.einsum("xg,gx->g", 1j * parts[1:], vectors)
        local = tools.ifft(potential, mesh).real * weight
        effective = np.stack([(u.conj() * local) @ u.T for u in self._orbitals(kpts)])
        exchange_correlation = float(density @ energy) * weight
        tagged = lib.tag_array(effective, ecoul=coulomb, exc=exchange_correlation, vj=None, vk=None)
        return float(density.sum() * weight), exchange_correlation, tagged

    def _orbitals(self, kpts: Any) -> Iterator[NDArray[np.complex128]]:
        """Periodic parts ``[orbital, point]`` of the Bloch orbitals, in bohr, k-point by k-point."""
        kept = self.__dict__.setdefault("_kept", {})
        size = 16 * len(kpts) * self.cell.nao * int(np.prod(self.mesh))
        for k in np.reshape(kpts, (-1, 3)):
            key = tuple(k)
            if key in kept:
                yield kept[key]
                continue
            vectors = self.cell.get_Gv(self.mesh)
            spectrum = ft_ao(self.cell, vectors + k).T
            u = tools.ifft(spectrum, self.mesh) * (np.prod(self.mesh) / self.cell.vol)
            if size <= KEPT:
                kept[key] = u
            yield u
