"""The body of a U-Net: levels of ever coarser resolution down, and up again with skip connections."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from edframe_unet.layers import Block, Down, Periodic, Up, pointwise
from edframe_unet.plugin import NetworkConfig


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
        if config.channels_last:
            self.layout = torch.channels_last if dimension == 2 else torch.channels_last_3d
            self.to(memory_format=self.layout)  # type: ignore[call-overload]  # absent from torch's types
        if config.compile:
            self.compile(dynamic=False)

    def forward(self, x: Tensor, periodic: Periodic) -> Tensor:
        x = self.mixer(x.contiguous(memory_format=self.layout))
        skips = []
        for level, blocks in enumerate(self.encoder):
            if level > 0:
                skips.append(x)
                x = self.down[level - 1](x)
            x = self._through(blocks, x, periodic)
        for level in reversed(range(self.top, len(skips))):
            skip, place = skips[level], level - self.top
            x = self.up[place](x, skip.shape[2:], periodic)
            x = self.join[place](torch.cat([skip, x], dim=1)) if self.join else skip + x
            x = self._through(self.decoder[place], x, periodic)
        return x

    def _through(self, blocks: nn.Module, x: Tensor, periodic: Periodic) -> Tensor:
        for block in blocks.children():
            if self.saves_memory and self.training:
                x = checkpoint(block, x, periodic, use_reentrant=False)
            else:
                x = block(x, periodic)
        return x
