"""Densities that are never negative and hold their electrons, without a change of the cores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

TYPICAL = 0.1
"""e/Å^d above which a density takes no larger part of missing electrons."""


def with_electrons(
    density: Float[Tensor, "b s *grid"], electrons: Float[Tensor, "b"], voxel_volume: float
) -> Float[Tensor, "b s *grid"]:
    """``density`` ``[b, s, …]`` in e/Å^d with a total that is nonnegative and integrates to ``electrons`` ``[b]``.

    What is missing is spread in proportion to ρ/(1 + ρ/``TYPICAL``): in proportion to the density where it is low, and
    evenly where it is high, so that a core of 100 e/Å³ does not take it all. A magnetisation is cut at ± the total.
    """
    total = density[:, :1].double().clamp_min(0)
    wanted = electrons.to(total).reshape(-1, *[1] * (total.ndim - 1))
    axes = tuple(range(1, total.ndim))
    share = total / (1 + total / TYPICAL)
    for _ in range(3):  # one suffices unless so much is taken away that some points would be negative
        missing = wanted / voxel_volume - total.sum(axes, keepdim=True)
        total = (total + share * (missing / share.sum(axes, keepdim=True).clamp_min(1e-300))).clamp_min(0)
    total = total * (wanted / (total.sum(axes, keepdim=True) * voxel_volume).clamp_min(1e-300))
    total = total.to(density.dtype)
    magnetisation = torch.maximum(torch.minimum(density[:, 1:], total), -total)
    return torch.cat([total, magnetisation], 1)
