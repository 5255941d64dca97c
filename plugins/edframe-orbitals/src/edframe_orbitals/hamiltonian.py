"""A Hamiltonian of one s and one p shell per atom, whose few numbers are fitted to densities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from pymatgen.core.periodic_table import Element
from torch import Tensor, nn

from edframe.io.units import HARTREE
from edframe_orbitals import elements
from edframe_orbitals.filling import density_matrix, occupations
from edframe_orbitals.overlap import overlaps

if TYPE_CHECKING:
    from jaxtyping import Float, Int

ROUNDS = 8
"""Of charges and potentials. A fixed number, so that the density is a smooth function of the positions."""
MIXED = 0.4
"""Part of the new charges that is taken in each round."""


@dataclass(frozen=True)
class Orbitals:
    """The solution for one molecule; lengths in bohr, energies in hartree.

    kinds ``[a]``, positions ``[a, 3]``; exponents and coefficients ``[a, 2, g]``, of s and of p; shown ``[o]``: which
    of the 4a orbitals there are; vectors ``[o, m]``, levels ``[m]``, filled ``[m]``; overlap ``[o, o]``; charges
    ``[a]`` in e.
    """

    kinds: Int[Tensor, "a"]
    positions: Float[Tensor, "a 3"]
    exponents: Float[Tensor, "a 2 g"]
    coefficients: Float[Tensor, "a 2 g"]
    shown: Int[Tensor, "o"]
    vectors: Float[Tensor, "o m"]
    levels: Float[Tensor, "m"]
    filled: Float[Tensor, "m"]
    overlap: Float[Tensor, "o o"]
    charges: Float[Tensor, "a"]

    @property
    def owners(self) -> Int[Tensor, "o"]:
        """The atom of each orbital."""
        return self.shown // 4

    @property
    def density(self) -> Float[Tensor, "o o"]:
        """The density matrix."""
        return (self.vectors * self.filled) @ self.vectors.T


class Hamiltonian(nn.Module):
    """Extended Hückel theory with self-consistent charges.

    H_ab = K_ab S_ab (h_a + h_b)/2 − S_ab (V_A + V_B)/2, V_A = Σ_B γ_AB q_B, q Mulliken charges, γ_AB = 1/√(R² + 1/U²)
    with U the mean of U_A and U_B. Orbitals are contracted Gaussians without a node. Of each element there are the
    contractions, two scales, two levels and U; of each two K; twelve numbers of an element in all.

    Sources: Hoffmann, J. Chem. Phys. 39, 1397 (1963); Elstner et al., Phys. Rev. B 58, 7260 (1998).
    """

    exponents: Float[Tensor, "s 2 g"]
    valence: Float[Tensor, "s"]

    def __init__(self, species: Sequence[str]) -> None:
        super().__init__()
        elements.known(tuple(species))
        numbers = [Element(symbol).Z for symbol in species]
        starts = [elements.start(number) for number in numbers]
        levels = torch.tensor([elements.LEVELS[symbol] for symbol in species], dtype=torch.float64) / HARTREE
        self.heavy = torch.tensor([number > 2 for number in numbers])
        count = len(numbers)
        self.register_buffer("exponents", torch.stack([exponents for exponents, _ in starts]))
        self.register_buffer("valence", torch.zeros(count, dtype=torch.float64))
        self.contraction = nn.Parameter(torch.stack([coefficients for _, coefficients in starts]))
        self.scale = nn.Parameter(torch.zeros(count, 2, dtype=torch.float64))
        self.level = nn.Parameter(levels)
        outer = torch.where(self.heavy, levels[:, 1], levels[:, 0])
        self.hardness = nn.Parameter(0.25 - 0.5 * outer)
        self.coupling = nn.Parameter(torch.full((2, 2), 1.75, dtype=torch.float64))
        self.pair = nn.Parameter(torch.zeros(count, count, dtype=torch.float64))

    def shells(self) -> tuple[Float[Tensor, "s 2 g"], Float[Tensor, "s 2 g"]]:
        """Exponents, and coefficients of orbitals whose square integrates to one."""
        exponents = self.exponents * self.scale.exp()[..., None]
        rows = []
        for ell in (0, 1):
            own = self.contraction[:, ell] * elements.norms(exponents[:, ell], ell)
            sums = exponents[:, ell, :, None] + exponents[:, ell, None, :]
            each = (torch.pi / sums) ** 1.5 if ell == 0 else (torch.pi / sums) ** 1.5 / (2 * sums)
            rows.append(own / torch.einsum("sg,sgh,sh->s", own, each, own).sqrt()[:, None])
        return exponents, torch.stack(rows, 1)

    def forward(
        self, kinds: Int[Tensor, "a"], positions: Float[Tensor, "a 3"], electrons: float
    ) -> tuple[Orbitals, Float[Tensor, "o o"]]:
        """The orbitals, and the density matrix, through which gradients flow. positions in bohr."""
        exponents, coefficients = (part[kinds] for part in self.shells())
        heavy = self.heavy[kinds]
        shown = torch.stack([torch.ones_like(heavy), heavy, heavy, heavy], 1).flatten().nonzero()[:, 0]
        owners, shells = shown // 4, (shown % 4 > 0).long()
        overlap = overlaps(exponents, coefficients, positions)[shown][:, shown]
        bare = self._bare(kinds, owners, shells, overlap)
        hardness = self.hardness[kinds]
        mean = (hardness[:, None] + hardness[None]) / 2
        repulsion = ((positions[:, None] - positions[None]).square().sum(-1) + mean**-2).rsqrt()
        lower = torch.linalg.cholesky(overlap)
        inverse = torch.linalg.solve_triangular(lower, torch.eye(len(shown), dtype=lower.dtype), upper=False)
        charges = torch.zeros(len(kinds), dtype=torch.float64)
        for turn in range(ROUNDS):
            potential = (repulsion @ charges)[owners]
            full = bare - 0.5 * overlap * (potential[:, None] + potential[None])
            orthogonal = inverse @ full @ inverse.T
            density = inverse.T @ density_matrix(orthogonal, electrons) @ inverse
            held = torch.zeros_like(charges).index_add(0, owners, (density * overlap).sum(1))
            charges = charges + (1.0 if turn == ROUNDS - 1 else MIXED) * (self.valence[kinds] - held - charges)
        with torch.no_grad():
            levels, vectors = torch.linalg.eigh(orthogonal)
            orbitals = Orbitals(
                kinds, positions, exponents, coefficients, shown, inverse.T @ vectors, levels,
                occupations(levels, electrons), overlap, charges,
            )  # fmt: skip
        return orbitals, density

    def _bare(self, kinds: Tensor, owners: Tensor, shells: Tensor, overlap: Tensor) -> Tensor:
        """H without charges."""
        levels = self.level[kinds[owners], shells]
        coupling = (self.coupling + self.coupling.T)[shells][:, shells] / 2
        pair = 1 + (self.pair + self.pair.T)[kinds[owners]][:, kinds[owners]]
        between = overlap * coupling * pair * (levels[:, None] + levels[None]) / 2
        return torch.where(owners[:, None] == owners[None], torch.diag(levels), between)
