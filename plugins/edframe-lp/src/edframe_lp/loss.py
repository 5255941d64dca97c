"""The losses ``l1``, ``l2`` and ``smooth-l1``: pointwise differences, integrated, per electron."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Loss
from edframe_lp.plugin import LpConfig, SmoothL1Config

if TYPE_CHECKING:
    from jaxtyping import Float


def absolute_error(
    predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"], grid: Grid
) -> Float[Tensor, "b"]:
    """∫ |ρ̂ − ρ| dV / ∫ ρ dV, dimensionless ``[b]``; densities ``[b, s, x, y, z]`` in e/Å^d, channels summed.

    The normalised mean absolute error (NMAE) as a fraction. Raises DataError when the shapes do not fit.
    """
    _check(predicted, reference, grid)
    return _integral((predicted - reference).abs(), grid) / _electrons(reference, grid)


def squared_error(
    predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"], grid: Grid
) -> Float[Tensor, "b"]:
    """∫ (ρ̂ − ρ)² dV / ∫ ρ dV in e/Å^d, ``[b]``; densities ``[b, s, x, y, z]`` in e/Å^d, channels summed.

    Raises DataError when the shapes do not fit.
    """
    _check(predicted, reference, grid)
    return _integral((predicted - reference).square(), grid) / _electrons(reference, grid)


def smooth_absolute_error(
    predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"], grid: Grid, beta: float
) -> Float[Tensor, "b"]:
    """∫ h(ρ̂ − ρ) dV / ∫ ρ dV with h(e) = e²/2β where |e| < β and |e| − β/2 elsewhere, dimensionless ``[b]``.

    Densities ``[b, s, x, y, z]`` and β in e/Å^d, channels summed. Huber, Ann. Math. Stat. 35, 73 (1964). Raises
    DataError when the shapes do not fit.
    """
    _check(predicted, reference, grid)
    return _integral(F.smooth_l1_loss(predicted, reference, reduction="none", beta=beta), grid) / _electrons(
        reference, grid
    )


class L1Loss(Loss):
    """``absolute_error`` as a component: the fraction of the reference's electrons that differs."""

    unit = "1"

    def __init__(self, config: LpConfig) -> None:
        self.config = config

    def __call__(
        self, predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"], grid: Grid
    ) -> Float[Tensor, "b"]:
        """See ``absolute_error``."""
        return absolute_error(predicted, reference, grid)


class L2Loss(Loss):
    """``squared_error`` as a component."""

    unit = "e/Å^d"

    def __init__(self, config: LpConfig) -> None:
        self.config = config

    def __call__(
        self, predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"], grid: Grid
    ) -> Float[Tensor, "b"]:
        """See ``squared_error``."""
        return squared_error(predicted, reference, grid)


class SmoothL1Loss(Loss):
    """``smooth_absolute_error`` as a component."""

    unit = "1"

    def __init__(self, config: SmoothL1Config) -> None:
        self.config = config

    def __call__(
        self, predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"], grid: Grid
    ) -> Float[Tensor, "b"]:
        """See ``smooth_absolute_error``."""
        return smooth_absolute_error(predicted, reference, grid, self.config.beta)


def _integral(field: Tensor, grid: Grid) -> Tensor:
    # Half precision could overflow in a sum over all points.
    wide = torch.promote_types(field.dtype, torch.float32)
    return field.flatten(1).sum(1, dtype=wide) * grid.voxel_volume


def _electrons(reference: Tensor, grid: Grid) -> Tensor:
    """Of the total density, which is the first channel; a magnetisation may integrate to anything."""
    return _integral(reference[:, 0], grid)


def _check(predicted: Tensor, reference: Tensor, grid: Grid) -> None:
    fits = predicted.ndim == grid.dimension + 2 and predicted.shape[2:] == grid.shape
    if predicted.shape != reference.shape or not fits:
        raise DataError(
            f"densities of shape {list(predicted.shape)} and {list(reference.shape)} cannot be compared on a grid "
            f"of shape {list(grid.shape)}: both must be [b, s, {', '.join(map(str, grid.shape))}]"
        )
