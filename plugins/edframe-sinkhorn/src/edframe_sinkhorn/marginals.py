"""From two densities to masses that can be transported, and from derivatives by these back to the densities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid
from edframe_sinkhorn.masses import Masses
from edframe_sinkhorn.options import Options

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Marginals:
    """Densities a and b as masses: each divided by its own sum, or both by that of b ("unbalanced").

    a, b: as given. total_a, total_b: sums of what is positive in them, ``[b, 1, …, 1]``.
    """

    a: Float[Tensor, "b *grid"]
    b: Float[Tensor, "b *grid"]
    total_a: Float[Tensor, "b *ones"]
    total_b: Float[Tensor, "b *ones"]
    first: Masses
    second: Masses
    voxel_volume: float
    options: Options

    @classmethod
    def of(cls, a: Float[Tensor, "b *grid"], b: Float[Tensor, "b *grid"], grid: Grid, options: Options) -> Marginals:
        """Raises DataError for densities that do not fit the grid or each other, or that cannot be masses."""
        positive_a, total_a = _positive(a, grid, "first")
        positive_b, total_b = _positive(b, grid, "second")
        if len(a) != len(b):
            raise DataError(f"sinkhorn compares batches of one size, not {len(a)} densities with {len(b)}")
        unit_a = total_b if options.mass == "unbalanced" else total_a
        first, second = Masses.of(positive_a.div_(unit_a)), Masses.of(positive_b.div_(total_b))
        return cls(a, b, total_a, total_b, first, second, grid.voxel_volume, options)

    @property
    def factor(self) -> Float[Tensor, "b *ones"]:
        """From the value of the masses to that of the densities: 1, or the electrons of b (``scale="total"``)."""
        if self.options.scale == "total":
            return self.total_b * self.voxel_volume
        return torch.ones_like(self.total_b)

    def gradient(self, potential: Float[Tensor, "b *grid"]) -> Float[Tensor, "b *grid"]:
        """Derivative of the value by a, from ``potential``, that by its mass."""
        unbalanced = self.options.mass == "unbalanced"
        change = potential if unbalanced else potential - self._flow(self.first, potential)
        unit = self.total_b if unbalanced else self.total_a
        return _where_positive(self.a, change * (self.factor / unit))

    def reference_gradient(
        self,
        potential: Float[Tensor, "b *grid"],
        reference_potential: Float[Tensor, "b *grid"],
        value: Float[Tensor, "b"],
    ) -> Float[Tensor, "b *grid"]:
        """Derivative of the value by b, from those by both masses and the value of the masses."""
        flow = self._flow(self.second, reference_potential)
        if self.options.mass == "unbalanced":
            flow = flow + self._flow(self.first, potential)
        gradient = (reference_potential - flow) * (self.factor / self.total_b)
        if self.options.scale == "total":
            gradient += value.reshape(self.total_b.shape) * self.voxel_volume
        return _where_positive(self.b, gradient)

    def _flow(self, masses: Masses, potential: Tensor) -> Tensor:
        """What the masses lose when the sum grows that they are divided by."""
        return masses.integral(potential).reshape(self.total_a.shape)


def _where_positive(density: Tensor, gradient: Tensor) -> Tensor:
    """``gradient``, in place, without what lies below zero in ``density``."""
    return gradient.masked_fill_(density < 0, 0.0) if density.amin() < 0 else gradient


def _positive(density: Tensor, grid: Grid, which: str) -> tuple[Tensor, Tensor]:
    """Positive part in float64, and its sum ``[b, 1, …, 1]``."""
    if density.shape[1:] != grid.shape:
        raise DataError(
            f"sinkhorn: the {which} density has shape {tuple(density.shape)}, but a batch on this grid is "
            f"[b, {', '.join(map(str, grid.shape))}]"
        )
    positive = density.detach().double().clamp(min=0)
    total = positive.flatten(1).sum(1).reshape(-1, *[1] * grid.dimension)
    if not (total.isfinite() & (total > 0)).all():
        raise DataError(f"sinkhorn: the {which} density holds a value that is not finite, or no positive value at all")
    return positive, total
