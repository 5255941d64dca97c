"""A model averaged over the symmetries of the cell, so that its density turns with the atoms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor, nn

from edframe.data.augmentation import Motions, move, move_back
from edframe.data.basis import any_basis
from edframe.grid import Grid

if TYPE_CHECKING:
    from jaxtyping import Float


class Symmetrised(nn.Module):
    """The mean of a model's densities over all point operations of the grid's lattice, each turned back.

    For every operation that maps the grid onto itself (48 in a cube, 2 in a triclinic cell), the density of the turned
    atoms is then the turned density, exactly; between grid points, and for other angles, it is not. In the shortest
    basis (``edframe.data.basis``) this covers the orders and directions of the vectors in which the lattice is the
    same, all of a cube, not those in which it is another. As the model's densities, the mean is nonnegative and
    integrates to the electrons. It takes as many times longer.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.any_basis = any_basis(model)

    def forward(
        self,
        channels: Float[Tensor, "b c *grid"],
        baseline: Float[Tensor, "b s *grid"] | None,
        grid: Grid,
        electrons: Float[Tensor, "b"],
    ) -> Float[Tensor, "b s *grid"]:
        """Density ``[b, s, x, y, z]`` in e/Å^d from ``channels`` ``[b, c, x, y, z]`` and ``electrons`` ``[b]``."""
        densities = self.turned(channels, baseline, grid, electrons)
        total, count = next(densities), 1
        for density in densities:
            total, count = total + density, count + 1
        return total / count

    def turned(
        self,
        channels: Float[Tensor, "b c *grid"],
        baseline: Float[Tensor, "b s *grid"] | None,
        grid: Grid,
        electrons: Float[Tensor, "b"],
    ) -> Iterator[Float[Tensor, "b s *grid"]]:
        """The model's density of the atoms turned by each operation, the identity first, and turned back."""
        for index in Motions(grid, channels.device).symmetries():
            same = index.expand(len(channels), -1)
            start = None if baseline is None else move(baseline, same)
            yield move_back(self.model(move(channels, same), start, grid, electrons), same)
