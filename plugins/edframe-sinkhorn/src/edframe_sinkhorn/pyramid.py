"""From coarse to fine: the grids and blurs a solve passes through, and the maps between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe_sinkhorn.small import along_axis

if TYPE_CHECKING:
    from jaxtyping import Float

COARSEST = 24
"""Points along the longest axis of the coarsest grid: there any start converges in little time."""


@dataclass(frozen=True)
class Level:
    """One grid, by its shape, and the blur in Å to solve with on it."""

    shape: tuple[int, ...]
    blur: float


def schedule(lengths: Sequence[float], shape: Sequence[int], blur: float) -> list[Level]:
    """Levels from the coarsest grid to ``shape`` with ``blur``; spacing and blur halve from one to the next.

    A coarse level has the blur of one of its voxels, or ``blur`` if that is larger. A ``blur`` below one voxel is
    approached by halves on the finest grid.
    """
    spacing = max(length / n for length, n in zip(lengths, shape, strict=True))
    levels = [Level(tuple(shape), blur)]
    while levels[0].blur < spacing:
        levels.insert(0, Level(tuple(shape), min(2 * levels[0].blur, spacing)))
    while max(levels[0].shape) > COARSEST:
        spacing *= 2
        coarse = tuple(
            min(n, max(1, round(length / spacing))) for length, n in zip(lengths, levels[0].shape, strict=True)
        )
        voxel = max(length / n for length, n in zip(lengths, coarse, strict=True))
        levels.insert(0, Level(coarse, max(blur, voxel)))
    return levels


def restrict(mass: Float[Tensor, "b *fine"], shape: Sequence[int]) -> Float[Tensor, "b *coarse"]:
    """Masses ``[b, n1, …, nd]`` summed into the blocks of a coarser ``shape``; voxels cut by a block are shared."""
    for axis, coarse in enumerate(shape, start=1):
        fine = mass.shape[axis]
        if coarse != fine:
            mass = along_axis(_restriction(fine, coarse, mass.device, mass.dtype), mass, axis)
    return mass


def prolong(
    potential: Float[Tensor, "b *coarse"], shape: Sequence[int], periodic: Sequence[bool]
) -> Float[Tensor, "b *fine"]:
    """A potential ``[b, n1, …, nd]`` at block centres, interpolated linearly to the voxels of a finer ``shape``.

    Open axes are extrapolated linearly to their ends.
    """
    for axis, (fine, wraps) in enumerate(zip(shape, periodic, strict=True), start=1):
        coarse = potential.shape[axis]
        if coarse != fine:
            potential = along_axis(
                _prolongation(coarse, fine, wraps, potential.device, potential.dtype), potential, axis
            )
    return potential


# Each solve goes between the same grids many times: the matrices are made once, and outside of inference mode, whose
# tensors could not be used everywhere.
@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _restriction(fine: int, coarse: int, device: torch.device, precision: torch.dtype) -> Tensor:
    """``[coarse, fine]``, of one axis."""
    edges = torch.arange(fine + 1, dtype=torch.float64, device=device) * (coarse / fine)
    block = torch.arange(coarse, dtype=torch.float64, device=device)[:, None]
    covered = torch.minimum(edges[1:], block + 1) - torch.maximum(edges[:-1], block)
    return (covered.clamp(min=0) * (fine / coarse)).to(precision)


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _prolongation(coarse: int, fine: int, wraps: bool, device: torch.device, precision: torch.dtype) -> Tensor:
    """``[fine, coarse]``, of one axis."""
    position = (torch.arange(fine, dtype=torch.float64, device=device) + 0.5) * (coarse / fine) - 0.5
    left = position.floor()
    if not wraps:
        left = left.clamp(0, max(coarse - 2, 0))
    right_weight = (position - left)[:, None]
    identity = torch.eye(coarse, dtype=torch.float64, device=device)
    rows_left = identity[left.long() % coarse]
    rows_right = identity[(left.long() + 1) % coarse]
    return ((1 - right_weight) * rows_left + right_weight * rows_right).to(precision)
