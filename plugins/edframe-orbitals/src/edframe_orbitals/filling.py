"""Density matrices: the lowest levels of a Hamiltonian, filled, and how they change with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

ALIKE = 1e-4
"""Hartree within which levels are filled alike, so that what is symmetric stays so."""
GAP = 0.02
"""Hartree: no response is larger than with this gap."""


def occupations(levels: Float[Tensor, "m"], electrons: float) -> Float[Tensor, "m"]:
    """Electrons in each of ``levels``, ascending: two in each from below, and an equal part of the rest where the last
    ones lie together."""
    last = levels[min(len(levels), max(1, -int(-electrons // 2))) - 1]
    below, level = levels < last - ALIKE, (levels - last).abs() <= ALIKE
    filled = 2.0 * below.to(levels)
    return filled + level.to(levels) * (electrons - filled.sum()) / level.sum()


def density_matrix(hamiltonian: Float[Tensor, "m m"], electrons: float) -> Float[Tensor, "m m"]:
    """Σ_i f_i c_i c_iᵀ of a Hamiltonian in an orthogonal basis.

    The derivative is that of perturbation theory, (f_i − f_j)/(ε_i − ε_j), and finite where levels are degenerate.
    """
    matrix: Tensor = _Filled.apply(hamiltonian, electrons)  # type: ignore[no-untyped-call]
    return matrix


class _Filled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hamiltonian: Tensor, electrons: float) -> Tensor:
        levels, orbitals = torch.linalg.eigh(hamiltonian)
        filled = occupations(levels, electrons)
        ctx.save_for_backward(levels, orbitals, filled)
        matrix: Tensor = (orbitals * filled) @ orbitals.T
        return matrix

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        levels, orbitals, filled = ctx.saved_tensors
        inner = orbitals.T @ ((gradients[0] + gradients[0].T) / 2) @ orbitals
        gaps, moved = levels[:, None] - levels[None], filled[:, None] - filled[None]
        response = torch.where(moved == 0, 0.0, -moved.abs() / gaps.abs().clamp_min(GAP))
        return orbitals @ (response * inner) @ orbitals.T, None
