"""One converged periodic Kohn–Sham density matrix, or an error; never an unconverged label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe_pyscf.levels import FUNCTIONAL, PSEUDOPOTENTIAL, Level

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


@dataclass(frozen=True)
class Settings:
    """How one SCF is driven. Energies in hartree."""

    level_shift: float = 0.0
    smearing: float = 0.0
    max_cycle: int = 60
    conv_tol: float = 1e-9
    conv_tol_grad: float = 1e-5


LADDER = (
    Settings(),
    Settings(level_shift=0.3, max_cycle=150),
    Settings(smearing=0.005, max_cycle=150),
)
"""Tried in order until one converges. No second-order rung: PySCF 2.14 has none with multigrid integration."""


@dataclass(frozen=True)
class Solution:
    """A converged SCF. ``density_matrix`` is ``[orbital, orbital]``, energy in hartree."""

    density_matrix: NDArray[np.float64]
    energy: float
    cycles: int
    settings: Settings

    def record(self) -> dict[str, Any]:
        """What is stored beside the matrix: energy, cycles and every setting used."""
        return {"energy_hartree": self.energy, "cycles": self.cycles, **asdict(self.settings)}


def cell_of(structure: Structure, level: Level, *, charge: int = 0) -> Any:
    """``build_cell`` of a structure."""
    species = [site.specie.symbol for site in structure]
    return build_cell(species, structure.cart_coords, structure.lattice.matrix, level, charge=charge)


def build_cell(
    species: Sequence[str],
    positions: NDArray[np.float64],
    lattice: NDArray[np.float64],
    level: Level,
    *,
    mesh: Sequence[int] | None = None,
    charge: int = 0,
) -> Any:
    """The PySCF cell: ``positions`` ``[atom, xyz]`` and ``lattice`` rows in Å, GTH pseudopotentials, Γ point.

    mesh: points along the lattice vectors on which the SCF integrates; None: those of the level. charge: in e, made
    good by a uniform background.
    """
    from pyscf.pbc import gto

    lattice = np.asarray(lattice, dtype=float)
    return gto.M(
        atom=[(name, tuple(at)) for name, at in zip(species, positions, strict=True)],
        a=lattice,
        unit="A",
        basis=level.basis,
        pseudo=PSEUDOPOTENTIAL,
        precision=level.precision,
        mesh=list(mesh) if mesh is not None else level.mesh(np.linalg.norm(lattice, axis=1).tolist()),
        charge=charge,
        verbose=0,
    )


def solve(cell: Any, label: str, ladder: Sequence[Settings] = LADDER) -> Solution:
    """Converge PBE for ``cell`` from scratch (multigrid integration, Γ point).

    Raises DataError, naming ``label``, when no rung of the ladder converges.
    """
    for settings in ladder:
        mean_field, cycles = _attempt(cell, settings)
        if mean_field.converged:
            matrix = np.asarray(mean_field.make_rdm1())
            return Solution(matrix, float(mean_field.e_tot), cycles, settings)
    tried = "; ".join(_describe(s) for s in ladder)
    raise DataError(
        f"{label}: the SCF did not converge with any of: {tried}. An unconverged density is not a label: "
        "shorten the bonds, or give a ladder with stronger smearing."
    )


def _attempt(cell: Any, settings: Settings) -> tuple[Any, int]:
    from pyscf.pbc import dft

    return drive(dft.RKS(cell).multigrid_numint(), settings)


def drive(mean_field: Any, settings: Settings, start: NDArray[Any] | None = None) -> tuple[Any, int]:
    """Run PBE as ``settings`` say: the mean field, smeared where they ask for it, converged or not, and its cycles.

    start: density matrix ``[orbital, orbital]``; None: PySCF's own.
    """
    from pyscf.pbc import scf

    cycles = 0

    def count(_: dict[str, Any]) -> None:
        nonlocal cycles
        cycles += 1

    mean_field.xc = FUNCTIONAL
    if settings.smearing:
        mean_field = scf.addons.smearing(mean_field, sigma=settings.smearing, method="fermi")
    mean_field.level_shift = settings.level_shift
    mean_field.max_cycle = settings.max_cycle
    mean_field.conv_tol = settings.conv_tol
    mean_field.conv_tol_grad = settings.conv_tol_grad
    mean_field.callback = count
    # It only prints: of an ion, corrections of the energy, from a density on a mesh that is not this one's. There
    # is no public name for this hook at the end of a calculation.
    mean_field._finalize = lambda: mean_field
    mean_field.kernel(dm0=start)
    return mean_field, cycles


def _describe(settings: Settings) -> str:
    parts = [f"{key}={value:g}" for key, value in asdict(settings).items() if value]
    return ", ".join(parts)
