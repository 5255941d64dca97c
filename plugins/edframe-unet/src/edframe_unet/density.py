"""From a correction to a density: nonnegative, with the right number of electrons, and zero in vacuum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe.data.sums import Summing, on_whole
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


def sums(grid: Grid, *fields: Float[Tensor, "b 1 *grid"]) -> Float[Tensor, "b n"]:
    """∫ field dV of each of ``fields`` ``[b, 1, x, y, z]``, float64 ``[b, n]``."""
    return torch.stack([integral(field, grid).flatten() for field in fields], dim=1)


def like(values: Float[Tensor, "b"], field: Float[Tensor, "b 1 *grid"]) -> Float[Tensor, "b 1 *ones"]:
    """Numbers ``[b]`` in the shape in which they multiply ``field``."""
    return values.reshape(-1, *[1] * (field.ndim - 1))


def normalised(
    density: Float[Tensor, "b 1 *grid"], grid: Grid, electrons: Float[Tensor, "b"]
) -> Float[Tensor, "b 1 *grid"]:
    """``density`` ``[b, 1, x, y, z]`` scaled to hold ``electrons`` ``[b]``."""
    return on_whole(scaled(density, grid, electrons))


def scaled(density: Float[Tensor, "b 1 *grid"], grid: Grid, electrons: Float[Tensor, "b"]) -> Summing:
    """The same on a part of the grid, see ``edframe.data.sums``."""
    held = yield sums(grid, density)
    return (density * like(electrons.double() / held[:, 0].clamp_min(1e-30), density)).to(density.dtype)


def corrected(
    start: Float[Tensor, "b 1 *grid"], correction: Float[Tensor, "b 1 *grid"], grid: Grid, electrons: Float[Tensor, "b"]
) -> Summing:
    """A density close to ``start + correction`` that is nonnegative and has the electrons of ``start``.

    All fields ``[b, 1, x, y, z]`` in e/Å^d, on a part of the grid, see ``edframe.data.sums``. Three steps, none of
    which touches voxels without correction, unlike a common factor, which would move charge out of the cores: (1) the
    net charge of the correction is taken out of it in proportion to the saturated start; (2) what it removes from a
    voxel is bent to ρ₀(e^(c/ρ₀) − 1) > −ρ₀; (3) of what is added in all and removed in all, the larger is scaled down
    to the smaller.
    """
    smooth = saturated(start)
    charge, room = (yield sums(grid, correction, smooth)).unbind(1)
    net = like(charge / room.clamp_min(1e-30), start)
    correction = correction - net.to(correction.dtype) * smooth
    added = correction.clamp_min(0)
    removed = -start * torch.expm1(correction.clamp_max(0) / start.clamp_min(1e-9))
    gain, deficit = (yield sums(grid, added, removed)).unbind(1)
    moved = torch.minimum(gain, deficit)
    added = added * like(moved / gain.clamp_min(1e-30), start).to(start.dtype)
    removed = removed * like(moved / deficit.clamp_min(1e-30), start).to(start.dtype)
    return (yield from scaled((start + added - removed).clamp_min(0), grid, electrons))
