"""From a correction to a density: nonnegative, with the right number of electrons, and zero in vacuum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe.grid import Grid

if TYPE_CHECKING:
    from jaxtyping import Float


def saturated(feature: Float[Tensor, "*field"]) -> Float[Tensor, "*field"]:
    """c/(1+√c)² of a nonnegative field: c where it is small, at most 1."""
    return feature / (1 + feature.clamp_min(1e-12).sqrt()) ** 2


def integral(field: Float[Tensor, "b 1 *grid"], grid: Grid) -> Float[Tensor, "b 1 *ones"]:
    """∫ field dV per sample of ``[b, 1, x, y, z]``, float64 ``[b, 1, 1, 1, 1]``."""
    axes = tuple(range(1, field.ndim))
    return field.sum(dim=axes, keepdim=True, dtype=torch.float64) * grid.voxel_volume


def normalised(
    density: Float[Tensor, "b 1 *grid"], grid: Grid, electrons: Float[Tensor, "b"]
) -> Float[Tensor, "b 1 *grid"]:
    """``density`` ``[b, 1, x, y, z]`` scaled to hold ``electrons`` ``[b]``."""
    wanted = electrons.double().reshape(-1, *[1] * (density.ndim - 1))
    return (density * (wanted / integral(density, grid).clamp_min(1e-30))).to(density.dtype)


def corrected(
    start: Float[Tensor, "b 1 *grid"], correction: Float[Tensor, "b 1 *grid"], grid: Grid, electrons: Float[Tensor, "b"]
) -> Float[Tensor, "b 1 *grid"]:
    """A density close to ``start + correction`` that is nonnegative and has the electrons of ``start``.

    All fields ``[b, 1, x, y, z]`` in e/Å^d. Three steps, none of which touches voxels without correction, unlike a
    common factor, which would move charge out of the cores: (1) the net charge of the correction is taken out of
    it in proportion to the saturated start; (2) what it removes from a voxel is bent to ρ₀(e^(c/ρ₀) − 1) > −ρ₀;
    (3) of what is added in all and removed in all, the larger is scaled down to the smaller.
    """
    smooth = saturated(start)
    net = integral(correction, grid) / integral(smooth, grid).clamp_min(1e-30)
    correction = correction - net.to(correction.dtype) * smooth
    added = correction.clamp_min(0)
    removed = -start * torch.expm1(correction.clamp_max(0) / start.clamp_min(1e-9))
    gain, deficit = integral(added, grid), integral(removed, grid)
    moved = torch.minimum(gain, deficit)
    added = added * (moved / gain.clamp_min(1e-30)).to(start.dtype)
    removed = removed * (moved / deficit.clamp_min(1e-30)).to(start.dtype)
    return normalised((start + added - removed).clamp_min(0), grid, electrons)
