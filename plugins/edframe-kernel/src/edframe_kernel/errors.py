"""What all losses of the plugin begin with: the error, and the number of electrons that it is counted by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid

if TYPE_CHECKING:
    from jaxtyping import Float


def difference(
    predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"], grid: Grid
) -> Float[Tensor, "b s *grid"]:
    """ρ̂ − ρ, ``[b, s, x, y, z]`` in float32 or better. Raises DataError when the shapes do not fit."""
    fits = predicted.ndim == grid.dimension + 2 and predicted.shape[2:] == grid.shape
    if predicted.shape != reference.shape or not fits:
        raise DataError(
            f"densities of shape {list(predicted.shape)} and {list(reference.shape)} cannot be compared on a grid "
            f"of shape {list(grid.shape)}: both must be [b, s, {', '.join(map(str, grid.shape))}]"
        )
    wide = torch.promote_types(predicted.dtype, torch.float32)
    return predicted.to(wide) - reference.to(wide)


def electrons(reference: Float[Tensor, "b s *grid"], grid: Grid) -> Float[Tensor, "b"]:
    """∫ρ dV of the total density, which is the first channel, ``[b]``."""
    wide = torch.promote_types(reference.dtype, torch.float32)
    return reference[:, 0].flatten(1).sum(1, dtype=wide) * grid.voxel_volume
