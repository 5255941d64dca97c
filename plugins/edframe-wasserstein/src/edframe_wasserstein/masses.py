"""From densities to masses that can be transported: channels that are densities, each of unit sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

EMPTY = 1e-6
"""A spin channel with a smaller fraction of the reference's electrons counts as empty."""

Transport = Callable[[Tensor, Tensor], tuple[Tensor, Mapping[str, Tensor]]]
"""Two batches of densities ``[n, x, y, z]`` to their values and diagnostics, each ``[n]``."""


def normalise(density: Float[Tensor, "b *grid"], grid: Grid, which: str) -> Float[Tensor, "b *grid"]:
    """Positive part over its sum, ``[b, x, y, z]`` in float64, differentiable.

    Raises DataError for a shape that is not the grid's, for a value that is not finite and for no positive value.
    """
    if density.shape[1:] != grid.shape:
        raise DataError(
            f"the {which} density has shape {list(density.shape)}, but a batch on this grid is "
            f"[b, {', '.join(map(str, grid.shape))}]"
        )
    positive = density.double().clamp(min=0)
    total = positive.flatten(1).sum(1).reshape(-1, *[1] * grid.dimension)
    if not (total.isfinite() & (total > 0)).all():
        raise DataError(f"the {which} density holds a value that is not finite, or no positive value at all")
    return positive / total


def per_channel(
    transport: Transport, predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"]
) -> tuple[Float[Tensor, "b"], Mapping[str, Shaped[Tensor, "b"]]]:
    """``transport`` of total densities ``[b, 1, x, y, z]``, or of spins up and down of ``[b, 2, x, y, z]``; ``[b]``.

    Spin channels (n + m)/2 and (n − m)/2 are transported apart and averaged with the reference's electrons of each as
    weights; a channel that is empty in the reference counts zero. Diagnostics are the larger of the two.
    """
    a, b = _channels(predicted), _channels(reference)
    electrons = b.double().clamp(min=0).flatten(2).sum(2)
    total = electrons.sum(1, keepdim=True)
    # Written so that NaN and an empty reference are kept, for ``normalise`` to refuse.
    filled = ~((electrons <= EMPTY * total) & (total > 0))
    values, diagnostics = transport(a[filled], b[filled])

    def spread(numbers: Tensor) -> Tensor:
        return numbers.new_zeros(filled.shape).index_put((filled,), numbers)

    value = (spread(values) * electrons / total).sum(1)
    return value, {name: spread(numbers).amax(1) for name, numbers in diagnostics.items()}


def _channels(density: Tensor) -> Tensor:
    """Total, or spins up and down, ``[b, s, x, y, z]``."""
    if density.shape[1] == 1:
        return density
    total, magnetisation = density.unbind(1)
    return torch.stack((total + magnetisation, total - magnetisation), dim=1) / 2
