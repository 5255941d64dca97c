"""Sums over a density of any range in the scaling domain: bands of magnitude, each with an offset of its own.

K is linear: K(Σ bands) = Σ K(band), and within a band float64 has the range. An application costs as many plain ones as
there are bands, two to four where electrons move far, while one in the log domain costs fifteen.

A band is lost where its sum leaves the range. That does not matter where no more of it can arrive than e^−DIGITS of
what the others bring; how much can is bounded over blocks of points, by the largest density in a block and the least
distance between two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

HEADROOM = 600.0
"""Largest exponent put into the scaling domain; a sum over all points stays below float64's e^709."""

WIDTH = 900.0
"""Exponents from the largest of a band to its least: what is left of the range is the kernel's."""

MOST = 6
"""Bands beyond which the log domain is as fast."""

DIGITS = 30.0
"""What is dropped from a sum may be e^−30 of it at most."""

BLOCK = 4
"""Points along an axis of the blocks over which the arriving density is bounded."""


class Applied(Protocol):
    """What is needed of a kernel: see ``kernel.Kernel``."""

    def apply(self, density: Float[Tensor, "b *grid"]) -> Float[Tensor, "b *grid"]: ...

    def limits(self, density: Float[Tensor, "b *grid"]) -> list[Float[Tensor, "..."] | float]: ...


def banded(
    kernel: Applied, log_matrices: Sequence[Float[Tensor, "_ _"]], log_density: Float[Tensor, "b *grid"]
) -> tuple[Float[Tensor, "b *grid"], Bool[Tensor, "b *grid"]] | None:
    """log(K exp(``log_density``)), ``[b, n1, …, nd]``, and where it is lost; None where bands do not serve.

    log_matrices: of ``kernel`` along each axis, where they fall with the distance from the diagonal (or its images).
    log_density: −inf means zero density.
    """
    top = log_density.flatten(1).amax(1)
    least = log_density.masked_fill(log_density == -torch.inf, torch.inf).flatten(1).amin(1)
    if not bool(top.isfinite().all()):  # a sample without any density
        return None
    count = max(math.ceil(float((top - least).max()) / WIDTH), 1)
    if count > MOST:
        return None
    top = top.reshape(-1, *[1] * (log_density.ndim - 1))
    total, arriving = None, None
    for band in range(count):
        offset = top - (band * WIDTH + HEADROOM)
        shifted = log_density - offset
        if count > 1:
            shifted.masked_fill_((shifted > HEADROOM) | (shifted <= HEADROOM - WIDTH), -torch.inf)
        highest = _blocks(shifted).add_(offset) if count > 1 else None
        density = shifted.exp_()
        limits = kernel.limits(density)
        sums = kernel.apply(density)
        lost = _lost(sums, limits)
        log_sums = sums.log_().add_(offset)
        if highest is None:
            return log_sums, lost
        total = log_sums if total is None else torch.logaddexp(total, log_sums)
        if bool(lost.any()):
            most = _spread(_arriving(highest, log_matrices), log_density.shape[1:]).masked_fill_(~lost, -torch.inf)
            arriving = most if arriving is None else torch.maximum(arriving, most)
    assert total is not None
    if arriving is None:
        return total, torch.zeros_like(total, dtype=torch.bool)
    return total, arriving.add_(math.log(log_density[0].numel()) + DIGITS) > total


def _lost(sums: Tensor, limits: Sequence[Tensor | float]) -> Tensor:
    lost = sums < limits[0]
    for limit in limits[1:]:
        lost |= sums < limit
    return lost


def _blocks(field: Float[Tensor, "b *grid"]) -> Float[Tensor, "b *blocks"]:
    """The largest value in each block of BLOCK points along each axis."""
    for axis in range(1, field.ndim):
        field = torch.stack([part.amax(axis) for part in torch.split(field, BLOCK, axis)], axis)
    return field


def _spread(field: Float[Tensor, "b *blocks"], shape: Sequence[int]) -> Float[Tensor, "b *grid"]:
    """A value per block at each of its points."""
    for axis, n in enumerate(shape, start=1):
        field = field.repeat_interleave(BLOCK, axis).narrow(axis, 0, n)
    return field


def _arriving(
    highest: Float[Tensor, "b *blocks"], log_matrices: Sequence[Float[Tensor, "_ _"]]
) -> Float[Tensor, "b *blocks"]:
    """The most that one point of any block can bring to a point of each."""
    for axis, log_matrix in enumerate(log_matrices, start=1):
        nearest = _blocks(log_matrix[None])[0]  # [m, m]
        lines = highest.movedim(axis, -1)
        highest = (lines[..., None, :] + nearest).amax(-1).movedim(-1, axis)
    return highest
