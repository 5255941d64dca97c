"""The losses ``coulomb`` and ``low-g``: thin layers over ``edframe.metrics.coulomb``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Loss
from edframe.metrics.coulomb import coulomb_energy
from edframe.metrics.waves import nyquist
from edframe_kernel.errors import difference, electrons
from edframe_kernel.plugin import CoulombConfig, LowGConfig

if TYPE_CHECKING:
    from jaxtyping import Float


class CoulombLoss(Loss):
    """½ ∫∫ δρ(r) δρ(r′) / |r − r′| of the error δρ = ρ̂ − ρ, in eV per electron of the reference.

    A magnetisation has no charge, but is trained alike: its error counts as if it had, in addition.
    """

    unit = "eV/e"

    def __init__(self, config: CoulombConfig) -> None:
        self.config = config

    def __call__(
        self, predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"], grid: Grid
    ) -> Float[Tensor, "b"]:
        """``[b]``; densities ``[b, s, x, y, z]`` in e/Å^d. Raises DataError on a line, and when shapes do not fit."""
        return _energy(predicted, reference, grid, None)


class LowGLoss(Loss):
    """``CoulombLoss``, of the waves with |G| < ``below`` alone."""

    unit = "eV/e"

    def __init__(self, config: LowGConfig) -> None:
        self.below = config.below

    def __call__(
        self, predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"], grid: Grid
    ) -> Float[Tensor, "b"]:
        """``[b]``; densities ``[b, s, x, y, z]`` in e/Å^d.

        Raises DataError for a cell that is too small for such waves, on a line, and when shapes do not fit.
        """
        if all(grid.periodic):
            longest = 2 * nyquist(Grid(grid.cell, (1,) * grid.dimension, grid.periodic))
            if longest >= self.below:
                raise DataError(
                    f"low-g: the longest wave of this cell has |G| = {longest:.3g} Å⁻¹, so there is nothing below "
                    f"{self.below:g} Å⁻¹ to train on; raise loss.below, or take the loss coulomb"
                )
        return _energy(predicted, reference, grid, self.below)


def _energy(predicted: Tensor, reference: Tensor, grid: Grid, below: float | None) -> Tensor:
    error = difference(predicted, reference, grid)
    energies = coulomb_energy(error.flatten(0, 1), grid, below).reshape(error.shape[:2])
    return energies.sum(1) / electrons(reference, grid)
