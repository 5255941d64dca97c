"""Convolutions that respect the boundary of the grid, and keep zero where their input is zero.

No layer has a bias and every activation maps 0 to 0, so features vanish in vacuum; nothing is normalised over
space. Both together make the output independent of how much vacuum surrounds the atoms.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edframe.errors import DataError


def pad(x: Tensor, widths: tuple[tuple[int, int], ...], periodic: tuple[bool, ...]) -> Tensor:
    """Pad the last axes of ``x`` ``[b, c, …]`` by (before, after) points: circular where periodic, else zeros."""
    axes = len(widths)
    for wrap in (True, False):
        amounts: list[int] = []
        for axis in reversed(range(axes)):
            amounts += widths[axis] if periodic[axis] == wrap else (0, 0)
        if any(amounts):
            x = F.pad(x, amounts, mode="circular" if wrap else "constant")
    return x


class Convolution(nn.Module):
    """3-point convolution per axis without bias; the boundary is an argument because each grid has its own."""

    def __init__(self, dimension: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = _by_dimension(dimension, nn.Conv2d, nn.Conv3d)(inputs, outputs, 3, bias=False)
        nn.init.kaiming_normal_(self.convolution.weight)

    def forward(self, x: Tensor, periodic: tuple[bool, ...]) -> Tensor:
        return self.convolution(pad(x, ((1, 1),) * len(periodic), periodic))


class ResidualBlock(nn.Module):
    """x + conv(φ(conv(φ(x)))). The last convolution starts at zero, so that a deep stack starts as the identity."""

    def __init__(self, dimension: int, width: int, dropout: float) -> None:
        super().__init__()
        self.first = Convolution(dimension, width, width)
        self.second = Convolution(dimension, width, width)
        self.dropout = _by_dimension(dimension, nn.Dropout2d, nn.Dropout3d)(dropout)
        nn.init.zeros_(self.second.convolution.weight)

    def forward(self, x: Tensor, periodic: tuple[bool, ...]) -> Tensor:
        hidden = self.first(F.silu(x), periodic)
        return x + self.second(self.dropout(F.silu(hidden)), periodic)


class Down(nn.Module):
    """Halve the resolution by a strided convolution over blocks of 2 points; an odd axis is padded by one."""

    def __init__(self, dimension: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = _by_dimension(dimension, nn.Conv2d, nn.Conv3d)(inputs, outputs, 2, stride=2, bias=False)

    def forward(self, x: Tensor, periodic: tuple[bool, ...]) -> Tensor:
        odd = tuple((0, n % 2) for n in x.shape[2:])
        return self.convolution(pad(x, odd, (False,) * len(periodic)))


class Up(nn.Module):
    """Double the resolution by the transposed convolution, cropped to the shape of the finer level."""

    def __init__(self, dimension: int, inputs: int, outputs: int) -> None:
        super().__init__()
        transposed = _by_dimension(dimension, nn.ConvTranspose2d, nn.ConvTranspose3d)
        self.convolution = transposed(inputs, outputs, 2, stride=2, bias=False)

    def forward(self, x: Tensor, shape: torch.Size) -> Tensor:
        x = self.convolution(x)
        for axis, n in enumerate(shape, start=2):
            x = x.narrow(axis, 0, n)
        return x


def smooth_up(x: Tensor, shape: torch.Size, periodic: tuple[bool, ...]) -> Tensor:
    """Linear interpolation from blocks of 2 points to the points of ``shape``; open ends are extended by zeros."""
    x = pad(x, ((1, 1),) * len(periodic), periodic)
    mode = "bilinear" if len(periodic) == 2 else "trilinear"
    x = F.interpolate(x, scale_factor=2, mode=mode, align_corners=False)
    for axis, n in enumerate(shape, start=2):
        x = x.narrow(axis, 2, n)
    return x


def pointwise(dimension: int, inputs: int, outputs: int) -> nn.Module:
    """1×1 convolution without bias."""
    layer: nn.Module = _by_dimension(dimension, nn.Conv2d, nn.Conv3d)(inputs, outputs, 1, bias=False)
    return layer


def _by_dimension(dimension: int, two: type[nn.Module], three: type[nn.Module]) -> type[nn.Module]:
    if dimension not in (2, 3):
        raise DataError(f"unet works on 2D and 3D grids, not on {dimension}D ones; choose another model for this data")
    return two if dimension == 2 else three
