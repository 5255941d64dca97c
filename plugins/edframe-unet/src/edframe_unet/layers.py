"""Convolutions that respect the boundary of the grid, and keep zero where their input is zero.

No layer has a bias and every activation maps 0 to 0, so features vanish in vacuum; nothing is normalised over
space. Both together make the output independent of how much vacuum surrounds the atoms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from edframe.errors import DataError
from edframe_unet.plugin import NetworkConfig

if TYPE_CHECKING:
    from jaxtyping import Float

Periodic = tuple[bool, ...]

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {"silu": F.silu, "gelu": F.gelu, "relu": F.relu}
"""Each maps 0 to 0."""

SMALL = 20480
"""PyTorch's bound (``use_mkldnn`` in ATen's Convolution.cpp), beyond which it takes oneDNN for a single sample, too."""


class _Padding(torch.autograd.Function):
    """Points on both sides of each axis. ``F.pad`` does not keep the layout, which makes a step a third longer."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, width: int, periodic: Periodic) -> Tensor:
        ctx.width, ctx.periodic = width, periodic
        padded = x.new_zeros([*x.shape[:2], *(n + 2 * width for n in x.shape[2:])])
        padded = padded.contiguous(memory_format=_layout(x))
        _inner(padded, width).copy_(x)
        for axis, wraps in enumerate(periodic, start=2):
            if wraps:
                n = x.shape[axis]
                padded.narrow(axis, 0, width).copy_(padded.narrow(axis, n, width))
                padded.narrow(axis, n + width, width).copy_(padded.narrow(axis, width, width))
        return padded

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        width, gradient = ctx.width, gradient.clone()
        for axis in reversed(range(2, gradient.ndim)):
            if ctx.periodic[axis - 2]:
                n = gradient.shape[axis] - 2 * width
                gradient.narrow(axis, n, width).add_(gradient.narrow(axis, 0, width))
                gradient.narrow(axis, width, width).add_(gradient.narrow(axis, n + width, width))
        return _inner(gradient, width).contiguous(memory_format=_layout(gradient)), None, None


def pad(x: Float[Tensor, "b c *grid"], width: int, periodic: Periodic) -> Float[Tensor, "b c *padded"]:
    """``width`` more points on both sides of the last axes of ``x`` ``[b, c, …]``: its other side where periodic, else
    zeros. At most as many as there are."""
    padded: Tensor = _Padding.apply(x, width, periodic)  # type: ignore[no-untyped-call]
    return padded


def _inner(padded: Tensor, width: int) -> Tensor:
    for axis in range(2, padded.ndim):
        padded = padded.narrow(axis, width, padded.shape[axis] - 2 * width)
    return padded


def _layout(x: Tensor) -> torch.memory_format:
    layout = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
    return layout if x.is_contiguous(memory_format=layout) else torch.contiguous_format


class Convolution(nn.Module):
    """``kernel`` points per axis, without bias; the boundary is an argument because each grid has its own."""

    def __init__(self, dimension: int, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.reach = kernel // 2
        self.convolution = _by_dimension(dimension, nn.Conv2d, nn.Conv3d)(inputs, outputs, kernel, bias=False)
        nn.init.kaiming_normal_(self.convolution.get_parameter("weight"))

    def forward(self, x: Float[Tensor, "b c *grid"], periodic: Periodic) -> Float[Tensor, "b o *grid"]:
        if min(x.shape[2:]) < self.reach:
            raise DataError(
                f"a kernel of {2 * self.reach + 1} points does not fit the coarsest level of this grid, "
                f"{'×'.join(map(str, x.shape[2:]))} points; use fewer levels in model.widths and model.blocks"
            )
        padded = pad(x, self.reach, periodic)
        if _left_slow(padded):
            weight = self.convolution.get_parameter("weight")
            one = [1] * (x.ndim - 2)
            convolved: Tensor = torch.mkldnn_convolution(padded, weight, None, [0] * len(one), one, one, 1)
        else:
            convolved = self.convolution(padded)
        return convolved


def _left_slow(x: Tensor) -> bool:
    """Whether PyTorch would convolve this by its plain loops: a single sample on a CPU whose first axes are short.

    It counts the channels and all axes but the last as if that were an image, which fits small images. In three
    dimensions its loops take ten times as long as oneDNN, which it takes for two samples.
    """
    few = x.ndim == 5 and x.shape[0] == 1 and x.shape[:4].numel() <= SMALL
    return few and x.device.type == "cpu" and x.dtype == torch.float32 and _has_onednn()


def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.enabled and torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


class Block(nn.Module):
    """Two convolutions φ(conv(·)). ``residual``: x + conv(φ(conv(φ(x)))), which starts as the identity.

    The zero with which its last convolution starts keeps a deep stack from losing the signal.
    """

    def __init__(self, config: NetworkConfig, dimension: int, width: int) -> None:
        super().__init__()
        self.residual = config.block == "residual"
        self.activation = ACTIVATIONS[config.activation]
        self.first = Convolution(dimension, width, width, config.kernel)
        self.second = Convolution(dimension, width, width, config.kernel)
        self.dropout = _by_dimension(dimension, nn.Dropout2d, nn.Dropout3d)(config.dropout)
        if self.residual:
            nn.init.zeros_(self.second.convolution.get_parameter("weight"))

    def forward(self, x: Float[Tensor, "b c *grid"], periodic: Periodic) -> Float[Tensor, "b c *grid"]:
        if self.residual:
            hidden = self.activation(self.first(self.activation(x), periodic))
            change: Tensor = self.second(self.dropout(hidden), periodic)
            return x + change
        hidden = self.dropout(self.activation(self.first(x, periodic)))
        return self.activation(self.second(hidden, periodic))


class Down(nn.Module):
    """Halve the resolution: over blocks of 2 points a strided convolution, the mean or the maximum.

    An odd axis is padded by one. Mean and maximum are followed by a 1×1 convolution to the wider level.
    """

    def __init__(self, way: str, dimension: int, inputs: int, outputs: int) -> None:
        super().__init__()
        strided = _by_dimension(dimension, nn.Conv2d, nn.Conv3d)
        average = _by_dimension(dimension, nn.AvgPool2d, nn.AvgPool3d)
        maximum = _by_dimension(dimension, nn.MaxPool2d, nn.MaxPool3d)
        if way == "strided":
            self.pooling: nn.Module = nn.Identity()
            self.convolution = strided(inputs, outputs, 2, stride=2, bias=False)
        else:
            self.pooling = (average if way == "average" else maximum)(2)
            self.convolution = pointwise(dimension, inputs, outputs)

    def forward(self, x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b o *coarse"]:
        odd = [amount for n in reversed(x.shape[2:]) for amount in (0, n % 2)]
        halved: Tensor = self.convolution(self.pooling(F.pad(x, odd) if any(odd) else x))
        return halved


class Up(nn.Module):
    """Double the resolution, cropped to the shape of the finer level: by the transposed convolution over blocks of
    2 points, or by linear interpolation after a 1×1 convolution to the narrower level."""

    def __init__(self, way: str, dimension: int, inputs: int, outputs: int) -> None:
        super().__init__()
        transposed = _by_dimension(dimension, nn.ConvTranspose2d, nn.ConvTranspose3d)
        self.smooth = way == "linear"
        self.convolution = (
            pointwise(dimension, inputs, outputs)
            if self.smooth
            else transposed(inputs, outputs, 2, stride=2, bias=False)
        )

    def forward(
        self, x: Float[Tensor, "b c *coarse"], shape: torch.Size, periodic: Periodic
    ) -> Float[Tensor, "b o *grid"]:
        x = self.convolution(x)
        if self.smooth:
            return smooth_up(x, shape, periodic)
        for axis, n in enumerate(shape, start=2):
            x = x.narrow(axis, 0, n)
        return x


def smooth_up(
    x: Float[Tensor, "b c *coarse"], shape: torch.Size, periodic: Periodic, halo: Sequence[bool] = ()
) -> Float[Tensor, "b c *grid"]:
    """Linear interpolation from blocks of 2 points to the points of ``shape``; open ends are extended by zeros.

    halo: the axes on which ``x`` has a further block on both sides already.
    """
    x = pad(x, 1, periodic)
    for axis, has in enumerate(halo, start=2):
        x = x.narrow(axis, 1, x.shape[axis] - 2) if has else x
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
        raise DataError(f"U-Nets work on 2D and 3D grids, not on {dimension}D ones; choose another model for this data")
    return two if dimension == 2 else three
