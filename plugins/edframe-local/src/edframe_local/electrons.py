"""Densities that are never negative and hold their electrons, without a change of the cores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe.data.sums import Summing, on_whole

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
    return on_whole(spread(density, electrons, voxel_volume))


def spread(density: Float[Tensor, "b s *part"], electrons: Float[Tensor, "b"], voxel_volume: float) -> Summing:
    """The same on a part of the grid, see ``edframe.data.sums``."""
    total = density[:, :1].double().clamp_min(0)
    share = total / (1 + total / TYPICAL)
    wanted = electrons.to(total) / voxel_volume
    held, room = (yield torch.stack([_sum(total), _sum(share)], 1)).unbind(1)
    for _ in range(3):  # one suffices unless so much is taken away that some points would be negative
        factor = (wanted - held) / room.clamp_min(1e-300)
        total = (total + share * factor.reshape(-1, *[1] * (total.ndim - 1))).clamp_min(0)
        held = (yield _sum(total)[:, None])[:, 0]
    total = total * (wanted / held.clamp_min(1e-300)).reshape(-1, *[1] * (total.ndim - 1))
    total = total.to(density.dtype)
    magnetisation = torch.maximum(torch.minimum(density[:, 1:], total), -total)
    return torch.cat([total, magnetisation], 1)


def _sum(total: Tensor) -> Tensor:
    return total.flatten(1).sum(1)
