"""The U-Net: mixer, levels down and up, and a head that corrects the amplitude of the baseline density."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edframe.grid import Grid
from edframe_unet.layers import Down, ResidualBlock, Up, pointwise
from edframe_unet.plugin import UNetConfig


class UNet(nn.Module):
    """A residual U-Net (Ronneberger et al. 2015) from channels to a density, 2D or 3D, any grid shape.

    With amplitude y from the network and baseline ρ₀ (0 without one), the total density is
    ρ ∝ (√ρ₀ + y)², scaled to the number of electrons: nonnegative, and zero where ρ₀ and all channels are zero.
    Raises DataError for a dimension other than 2 or 3.
    """

    def __init__(self, config: UNetConfig, channels: int, spins: int, dimension: int) -> None:
        super().__init__()
        widths, blocks = config.widths, config.blocks
        self.mixer = pointwise(dimension, channels + 1, widths[0])
        self.down = nn.ModuleList(Down(dimension, a, b) for a, b in itertools.pairwise(widths))
        self.up = nn.ModuleList(Up(dimension, b, a) for a, b in itertools.pairwise(widths))

        def stack(level: int) -> nn.ModuleList:
            return nn.ModuleList(ResidualBlock(dimension, widths[level], config.dropout) for _ in range(blocks[level]))

        self.encoder = nn.ModuleList(stack(level) for level in range(len(widths)))
        self.decoder = nn.ModuleList(stack(level) for level in range(len(widths) - 1))
        self.hidden = pointwise(dimension, 2 * widths[0], 2 * widths[0])
        self.head = pointwise(dimension, 2 * widths[0], spins)
        # Small, not zero: without a baseline an amplitude of zero has no gradient.
        nn.init.normal_(self.head.weight, std=1e-2 * (2 * widths[0]) ** -0.5)

    def forward(self, channels: Tensor, baseline: Tensor | None, grid: Grid, electrons: Tensor) -> Tensor:
        """Density ``[b, s, x, y, z]`` in e/Å^d from ``channels`` ``[b, c, x, y, z]`` and ``electrons`` ``[b]``."""
        root = torch.zeros_like(channels[:, :1]) if baseline is None else baseline[:, :1].clamp_min(0).sqrt()
        seen = torch.cat([channels.sign() * channels.abs().sqrt(), root], dim=1)
        amplitude = self._amplitude(seen / (1 + seen.abs()), grid.periodic)
        total = (root + amplitude[:, :1] / (1 + root)).square()
        axes = tuple(range(1, total.ndim))
        norm = total.double().sum(dim=axes, keepdim=True) * grid.voxel_volume
        wanted = electrons.double().reshape(-1, *[1] * len(axes))
        total = (total * (wanted / norm.clamp_min(1e-30))).to(total.dtype)
        if amplitude.shape[1] == 1:
            return total
        # |m| ≤ ρ everywhere.
        return torch.cat([total, total * torch.tanh(amplitude[:, 1:])], dim=1)

    def _amplitude(self, x: Tensor, periodic: tuple[bool, ...]) -> Tensor:
        x = mixed = self.mixer(x)
        skips = []
        for level, blocks in enumerate(self.encoder):
            for block in blocks:
                x = block(x, periodic)
            if level < len(self.down):
                skips.append(x)
                x = self.down[level](x, periodic)
        for level in reversed(range(len(self.down))):
            x = skips[level] + self.up[level](x, skips[level].shape[2:])
            for block in self.decoder[level]:
                x = block(x, periodic)
        x = F.silu(self.hidden(torch.cat([x, mixed], dim=1)))
        return self.head(x)
