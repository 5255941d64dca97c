"""The body of a U-Net: levels of ever coarser resolution down, and up again with skip connections.

A periodic axis that cannot be halved so often is continued by its period, see ``edframe_unet.frame``, an open one by
zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from edframe_unet.frame import Axis, Reach, around, continued, cut
from edframe_unet.layers import Block, Down, Periodic, Up, pointwise
from edframe_unet.plugin import NetworkConfig

if TYPE_CHECKING:
    from jaxtyping import Float


class Network(nn.Module):
    """Features ``[b, c, x, y, z]`` in, features of the level ``top`` out: 0 is the grid, 1 has blocks of 2 points.

    The mixer, a 1×1 convolution, makes ``widths[0]`` features of the ``inputs``. Raises DataError for a dimension
    other than 2 or 3, and for a grid whose coarsest level is smaller than the kernel.
    """

    def __init__(self, config: NetworkConfig, inputs: int, dimension: int, top: int) -> None:
        super().__init__()
        widths = config.widths
        self.top = min(top, len(widths) - 1)
        self.outputs = widths[self.top]
        self.layout = torch.contiguous_format
        self.saves_memory = config.checkpointing
        self.mixer = pointwise(dimension, inputs, widths[0])
        self.down = nn.ModuleList(Down(config.down, dimension, a, b) for a, b in pairwise(widths))

        def stack(level: int) -> nn.ModuleList:
            return nn.ModuleList(Block(config, dimension, widths[level]) for _ in range(config.blocks[level]))

        above = range(self.top, len(widths) - 1)
        self.encoder = nn.ModuleList(stack(level) for level in range(len(widths)))
        self.up = nn.ModuleList(Up(config.up, dimension, widths[level + 1], widths[level]) for level in above)
        joined = above if config.skips == "concatenated" else ()
        self.join = nn.ModuleList(pointwise(dimension, 2 * widths[level], widths[level]) for level in joined)
        self.decoder = nn.ModuleList(stack(level) for level in above)
        self.reach = Reach.of(config, self.top)
        if config.channels_last:
            self.layout = torch.channels_last if dimension == 2 else torch.channels_last_3d
            self.to(memory_format=self.layout)  # type: ignore[call-overload]  # absent from torch's types
        if config.compile:
            self.compile(dynamic=False)

    def forward(
        self, x: Float[Tensor, "b c *grid"], periodic: Periodic
    ) -> tuple[Float[Tensor, "b o *top"], tuple[Axis, ...]]:
        """Features, and the axes: a continued one has a further point on both sides, at levels above the grid."""
        x = self.mixer(x.contiguous(memory_format=self.layout))
        axes = tuple(Axis(n, wraps) for n, wraps in zip(x.shape[2:], periodic, strict=True))
        skips = []
        for level, blocks in enumerate(self.encoder):
            if level > 0:
                skips.append((x, axes))
                x, axes = continued(x, axes, 2 * self.reach.entered[level], len(self.down) - level + 1)
                x, axes = self.down[level - 1](x), tuple(axis.coarser() for axis in axes)
            x = self._through(blocks, x, axes)
        for level in reversed(range(self.top, len(skips))):
            (skip, finer), place, halo = skips[level], level - self.top, self.reach.joined[level]
            shape = [
                n if axis.before is None else 2 * m
                for n, m, axis in zip(skip.shape[2:], x.shape[2:], axes, strict=True)
            ]
            x = self.up[place](x, torch.Size(shape), _wraps(axes))
            doubled = [
                replace(fine, before=None if axis.before is None else 2 * axis.before)
                for fine, axis in zip(finer, axes, strict=True)
            ]
            x, skip = cut(x, doubled, halo, axes), cut(skip, finer, halo, axes)
            axes = around(finer, halo, axes)
            x = self.join[place](torch.cat([skip, x], dim=1)) if self.join else skip + x
            x = self._through(self.decoder[place], x, axes)
        last = self.reach.last
        return cut(x, axes, last, axes), around(axes, last, axes)

    def _through(self, blocks: nn.Module, x: Tensor, axes: Sequence[Axis]) -> Tensor:
        periodic = _wraps(axes)
        for block in blocks.children():
            if self.saves_memory and self.training:
                x = checkpoint(block, x, periodic, use_reentrant=False)
            else:
                x = block(x, periodic)
        return x


def _wraps(axes: Sequence[Axis]) -> Periodic:
    return tuple(axis.wraps for axis in axes)
