"""Axes that cannot be halved as often as a U-Net does: continued by their own period, as far as the network sees.

The output at a point depends on where the point lies within the blocks of 2, 4, … points. A grid of 20 points has two
and a half blocks of 8, so its coarsest level has no period of 20 points. What is computed is the output for the
infinite crystal, with a block that begins at the first point, cut to the points of the grid. A supercell of 2 × 20
points, which can be halved, gives the same in its first half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe_unet.plugin import NetworkConfig

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Reach:
    """How far a level must reach beyond the grid, in points of that level, so that the output on the grid is right.

    entered: for each level, where it is entered on the way down. joined: where the way up meets the features of the way
    down. last: the part that the output has.
    """

    entered: tuple[int, ...]
    joined: tuple[int, ...]
    last: int

    @classmethod
    def of(cls, config: NetworkConfig, top: int) -> Reach:
        """Of a network whose output is the level ``top``."""
        levels = len(config.widths)
        blocks = [2 * (config.kernel // 2) * count for count in config.blocks]
        left = 1 if top else 0  # for the interpolation to the grid
        joined = [0] * levels
        last = left
        for level in range(top, levels - 1):
            joined[level] = left + blocks[level]
            left = -(-joined[level] // 2) + (config.up == "linear")
        entered = [0] * levels
        for level in reversed(range(levels)):
            left = left if level == levels - 1 else max(2 * entered[level + 1], joined[level])
            entered[level] = left + blocks[level]
        return cls(tuple(entered), tuple(joined), last)


@dataclass(frozen=True)
class Axis:
    """points: of the grid, at this level. before: further ones in front of these; None where it is not continued."""

    points: int
    wraps: bool
    before: int | None = None

    def coarser(self) -> Axis:
        before = None if self.before is None else self.before // 2
        return Axis(-(-self.points // 2), self.wraps, before)


def continued(
    x: Float[Tensor, "b c *grid"], axes: Sequence[Axis], reach: int, halvings: int
) -> tuple[Float[Tensor, "b c *longer"], tuple[Axis, ...]]:
    """``x`` ``[b, c, …]`` with each periodic axis of odd length continued, so that it can be halved ``halvings`` times.

    reach: points on both sides, at least.
    """
    blocks = 2**halvings
    longer = []
    for place, axis in enumerate(axes, start=2):
        if axis.wraps and axis.points % 2:
            before = -(-reach // blocks) * blocks
            total = -(-(axis.points + 2 * before) // blocks) * blocks + blocks
            x = _repeated(x, place, before, total)
            axis = Axis(axis.points, False, before)
        longer.append(axis)
    return x, tuple(longer)


def cut(
    x: Float[Tensor, "b c *grid"], axes: Sequence[Axis], halo: int, like: Sequence[Axis]
) -> Float[Tensor, "b c *shorter"]:
    """``x`` with ``halo`` points around those of the grid along each axis that is continued in ``like``."""
    for place, (axis, other) in enumerate(zip(axes, like, strict=True), start=2):
        if other.before is None:
            continue
        total = axis.points + 2 * halo
        x = _repeated(x, place, halo, total) if axis.before is None else x.narrow(place, axis.before - halo, total)
    return x


def around(axes: Sequence[Axis], halo: int, like: Sequence[Axis]) -> tuple[Axis, ...]:
    """The axes after ``cut``."""
    return tuple(
        axis if other.before is None else replace(axis, wraps=False, before=halo)
        for axis, other in zip(axes, like, strict=True)
    )


def _repeated(x: Tensor, place: int, before: int, total: int) -> Tensor:
    """An axis from ``before`` points in front of its first, ``total`` points, by its period."""
    indices = torch.arange(-before, total - before, device=x.device) % x.shape[place]
    return x.index_select(place, indices)
