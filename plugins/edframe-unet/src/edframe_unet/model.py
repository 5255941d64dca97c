"""From channels to a density: compressed features in, a network, and a correction or an amplitude out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edframe.data.sums import Summing, on_whole
from edframe.grid import Grid
from edframe_unet.density import corrected, normalised, saturated, scaled
from edframe_unet.layers import ACTIVATIONS, pointwise, smooth_up
from edframe_unet.network import Network
from edframe_unet.plugin import ResUNetConfig, UNetConfig

if TYPE_CHECKING:
    from jaxtyping import Float


class UNet(nn.Module):
    """A U-Net (Ronneberger et al. 2015) from channels to a density, 2D or 3D, any grid shape.

    The network works on compressed channels and, with the output ``gates``, ends one level above the grid: one gate per
    feature, interpolated to the grid, so they are smooth. Features are the channels, the baseline ρ₀ and √ρ₀, each
    compressed to c/(1+√c)², which keeps the steep cores of atoms, where superposed atoms are right, from amplifying the
    network's noise. Their sum weighted by the gates is the correction of the baseline (see ``corrected``), or, without
    a baseline, an amplitude whose square is the density. With the output ``field`` the network ends on the grid and
    gives that correction or amplitude voxel by voxel: on superposed atomic densities, ``resunet`` is the residual
    network of Li, Sharir, Yuan & Chan 2025 and of RHOAR-Net, but without any normalisation over space. Raises DataError
    for a dimension other than 2 or 3.
    """

    def __init__(self, config: UNetConfig | ResUNetConfig, channels: int, spins: int, dimension: int) -> None:
        super().__init__()
        self.spins = spins
        self.gated = config.output == "gates"
        self.activation = ACTIVATIONS[config.activation]
        self.network = Network(config, channels + 1, dimension, top=1 if self.gated else 0)
        outputs = (channels + 2) * spins if self.gated else spins
        width = self.network.outputs
        self.hidden = pointwise(dimension, width, 2 * width)
        self.head = _small(pointwise(dimension, 2 * width, outputs))

    def forward(
        self,
        channels: Float[Tensor, "b c *grid"],
        baseline: Float[Tensor, "b s *grid"] | None,
        grid: Grid,
        electrons: Float[Tensor, "b"],
    ) -> Float[Tensor, "b s *grid"]:
        """Density ``[b, s, x, y, z]`` in e/Å^d from ``channels`` ``[b, c, x, y, z]`` and ``electrons`` ``[b]``."""
        return on_whole(self.finished(self.fields(channels, baseline, grid, electrons), grid, electrons))

    @property
    def reach(self) -> int:
        """Points around a part of the grid that its correction depends on, see ``TiledModel``."""
        return self.network.reach.entered[0]

    @property
    def stride(self) -> int:
        """Points of a block of the coarsest level, along each axis."""
        return 1 << len(self.network.down)

    def fields(
        self,
        channels: Float[Tensor, "b c *part"],
        baseline: Float[Tensor, "b s *part"] | None,
        grid: Grid,
        electrons: Float[Tensor, "b"],
    ) -> Float[Tensor, "b k *part"]:
        """The correction, or amplitude, and the magnetisation's field, ``[b, s, …]``, and before them the start where
        there is a baseline. See ``TiledModel``."""
        start = _start(channels, baseline, grid, electrons)
        root = start.sqrt()
        seen = torch.cat([channels.sign() * channels.abs().sqrt(), root], dim=1)
        x, axes = self.network(seen / (1 + seen.abs()), grid.periodic)
        x = self.head(self.activation(self.hidden(x)))
        if self.network.top:
            halo = [axis.before is not None for axis in axes]
            x = smooth_up(x, channels.shape[2:], tuple(axis.wraps for axis in axes), halo)
        fields = x.to(channels.dtype)
        if self.gated:
            features = saturated(torch.cat([channels.abs(), start, root], dim=1))
            fields = (fields.unflatten(1, (-1, features.shape[1])) * features[:, None]).sum(dim=2)
        return fields if baseline is None else torch.cat([start, fields], dim=1)

    def finished(self, fields: Float[Tensor, "b k *part"], grid: Grid, electrons: Float[Tensor, "b"]) -> Summing:
        """The density ``[b, s, …]`` from ``fields`` ``[b, k, …]``. See ``TiledModel``."""
        if fields.shape[1] == self.spins:
            total = yield from scaled(fields[:, :1].square(), grid, electrons)
        else:
            start, fields = fields[:, :1], fields[:, 1:]
            total = yield from corrected(start, fields[:, :1], grid, electrons)
        return _with_magnetisation(total, fields)


def _start(channels: Tensor, baseline: Tensor | None, grid: Grid, electrons: Tensor) -> Tensor:
    """The total of the baseline ``[b, 1, x, y, z]``, holding ``electrons``; zeros without one."""
    if baseline is None:
        return torch.zeros_like(channels[:, :1])
    return normalised(baseline[:, :1].clamp_min(0), grid, electrons)


def _small(layer: nn.Module) -> nn.Module:
    """Small weights, not zero: there a correction, or an amplitude, has no gradient."""
    weight = layer.get_parameter("weight")
    nn.init.normal_(weight, std=1e-2 * weight.shape[1] ** -0.5)
    return layer


def _with_magnetisation(total: Tensor, fields: Tensor) -> Tensor:
    """The total, and with two spin channels a magnetisation with |m| ≤ ρ everywhere."""
    if fields.shape[1] == 1:
        return total
    return torch.cat([total, total * torch.tanh(fields[:, 1:])], dim=1)
