"""The U-Net: mixer, levels down and up, and smooth gates that mix the input pictures into a correction."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edframe.grid import Grid
from edframe_unet.density import corrected, normalised, saturated
from edframe_unet.layers import Down, ResidualBlock, Up, pointwise, smooth_up
from edframe_unet.plugin import UNetConfig


class UNet(nn.Module):
    """A residual U-Net (Ronneberger et al. 2015) from channels to a density, 2D or 3D, any grid shape.

    The network works on compressed channels and ends one level above the grid: its outputs, one gate per picture, are
    interpolated to the grid, so they are smooth. Pictures are the channels, the baseline ρ₀ and √ρ₀, each compressed
    to c/(1+√c)², which keeps the steep cores of atoms, where superposed atoms are right, from amplifying the network's
    noise. Their sum weighted by the gates is the correction of the baseline (see ``corrected``), or, without a
    baseline, an amplitude whose square is the density. Raises DataError for a dimension other than 2 or 3.
    """

    def __init__(self, config: UNetConfig, channels: int, spins: int, dimension: int) -> None:
        super().__init__()
        widths = config.widths
        pictures = channels + 2
        self.mixer = pointwise(dimension, channels + 1, widths[0])
        self.down = nn.ModuleList(Down(dimension, a, b) for a, b in pairwise(widths))
        self.up = nn.ModuleList(Up(dimension, b, a) for a, b in pairwise(widths[1:]))

        def stack(level: int) -> nn.ModuleList:
            return nn.ModuleList(
                ResidualBlock(dimension, widths[level], config.dropout) for _ in range(config.blocks[level])
            )

        self.encoder = nn.ModuleList(stack(level) for level in range(len(widths)))
        self.decoder = nn.ModuleList(stack(level) for level in range(1, len(widths) - 1))
        last = widths[1] if len(widths) > 1 else widths[0]
        self.hidden = pointwise(dimension, last, 2 * last)
        self.head = pointwise(dimension, 2 * last, pictures * spins)
        # Small, not zero: without a baseline an amplitude of zero has no gradient.
        nn.init.normal_(self.head.weight, std=1e-2 * (2 * last) ** -0.5)

    def forward(self, channels: Tensor, baseline: Tensor | None, grid: Grid, electrons: Tensor) -> Tensor:
        """Density ``[b, s, x, y, z]`` in e/Å^d from ``channels`` ``[b, c, x, y, z]`` and ``electrons`` ``[b]``."""
        start = torch.zeros_like(channels[:, :1]) if baseline is None else baseline[:, :1].clamp_min(0)
        if baseline is not None:
            start = normalised(start, grid, electrons)
        root = start.sqrt()
        seen = torch.cat([channels.sign() * channels.abs().sqrt(), root], dim=1)
        gates = self._gates(seen / (1 + seen.abs()), grid.periodic).to(channels.dtype)
        pictures = saturated(torch.cat([channels.abs(), start, root], dim=1))
        sums = (gates.unflatten(1, (-1, pictures.shape[1])) * pictures[:, None]).sum(dim=2)
        if baseline is None:
            total = normalised(sums[:, :1].square(), grid, electrons)
        else:
            total = corrected(start, sums[:, :1], grid, electrons)
        if sums.shape[1] == 1:
            return total
        return torch.cat([total, total * torch.tanh(sums[:, 1:])], dim=1)  # |m| ≤ ρ everywhere

    def _gates(self, x: Tensor, periodic: tuple[bool, ...]) -> Tensor:
        shape = x.shape[2:]
        x = self.mixer(x)
        skips = []
        for level, blocks in enumerate(self.encoder):
            if level > 0:
                skips.append(x)
                x = self.down[level - 1](x, periodic)
            for block in blocks:
                x = block(x, periodic)
        for level in reversed(range(1, len(self.encoder) - 1)):
            skip = skips[level]
            x = skip + self.up[level - 1](x, skip.shape[2:])
            for block in self.decoder[level - 1]:
                x = block(x, periodic)
        x = self.head(F.silu(self.hidden(x)))
        return smooth_up(x, shape, periodic) if self.down else x
