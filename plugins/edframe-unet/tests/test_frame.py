"""Grids that cannot be halved: what the U-Net gives is what it gives for a supercell that can be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from edframe_unet.layers import smooth_up
from edframe_unet.model import UNet
from edframe_unet.plugin import NetworkConfig, ResUNetConfig, UNetConfig
from torch import Tensor

from edframe.grid import Grid

CONFIGS = {
    "unet": UNetConfig(widths=(4, 6, 6, 8)),
    "linear": UNetConfig(widths=(4, 6, 6, 8), up="linear", down="max", skips="concatenated"),
    "resunet": ResUNetConfig(widths=(4, 6, 6, 8)),
    "wide kernels": UNetConfig(widths=(4, 8, 8), blocks=(1, 1, 2), kernel=5),
    "two levels": UNetConfig(widths=(4, 8), blocks=(0, 1)),
}


def model_of(config: NetworkConfig) -> UNet:
    torch.manual_seed(0)
    model = UNet(config, 2, 1, 3).eval().double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=1.3 * parameter[0].numel() ** -0.5)
    return model


def field(model: UNet, seen: Tensor, periodic: tuple[bool, ...] = (True, True, True)) -> Tensor:
    """The network's correction or gates on the grid, before they become a density."""
    x, axes = model.network(seen, periodic)
    x = model.head(model.activation(model.hidden(x)))
    if not model.network.top:
        return x
    return smooth_up(x, seen.shape[2:], tuple(axis.wraps for axis in axes), [axis.before is not None for axis in axes])


def supercell(shape: tuple[int, ...], blocks: int) -> tuple[int, ...]:
    """Repetitions along each axis after which it can be halved down to blocks of so many points."""
    return tuple(int(np.lcm(n, blocks)) // n for n in shape)


def pictures(*shape: int) -> Tensor:
    return torch.rand((1, 3, *shape), generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(20, 20, 20), (12, 10, 9), (20, 8, 16), (7, 6, 5)])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_grid_equals_its_supercell(name: str, shape: tuple[int, ...]) -> None:
    model, seen = model_of(CONFIGS[name]), pictures(*shape)
    times = supercell(shape, 2 ** (len(CONFIGS[name].widths) - 1))
    with torch.no_grad():
        alone, whole = field(model, seen), field(model, seen.repeat(1, 1, *times))
    expected = whole[..., : shape[0], : shape[1], : shape[2]]
    torch.testing.assert_close(alone, expected, rtol=1e-12, atol=1e-12 * float(expected.abs().max()))


def test_the_gradient_is_that_of_the_supercell() -> None:
    model, seen = model_of(CONFIGS["unet"]), pictures(20, 10, 8)
    weights = torch.randn((1, 4, 20, 10, 8), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    whole = field(model, seen.repeat(1, 1, 2, 4, 1))[..., :20, :10, :]
    expected = torch.autograd.grad((whole * weights).sum(), model.head.parameters())
    gradient = torch.autograd.grad((field(model, seen) * weights).sum(), model.head.parameters())
    torch.testing.assert_close(gradient, expected)


def test_open_axes_are_left_as_they_are() -> None:
    """The periodic axis is that of a supercell, while the two open ones have the same ends in both."""
    model, seen, open_twice = model_of(CONFIGS["unet"]), pictures(10, 9, 12), (True, False, False)
    with torch.no_grad():
        alone = field(model, seen, open_twice)
        expected = field(model, seen.repeat(1, 1, 4, 1, 1), open_twice)[..., :10, :, :]
    torch.testing.assert_close(alone, expected)


@pytest.mark.parametrize("name", ["unet", "linear", "resunet"])
def test_a_grid_that_can_be_halved_is_computed_without_any_of_this(name: str) -> None:
    """Bit for bit the plain U-Net: down through all levels, and up again with what was kept."""
    model, seen, periodic = model_of(CONFIGS[name]), pictures(16, 24, 8), (True, True, True)
    network = model.network

    def through(blocks: torch.nn.Module, x: Tensor) -> Tensor:
        for block in blocks.children():
            x = block(x, periodic)
        return x

    with torch.no_grad():
        x, kept = through(network.encoder[0], network.mixer(seen.contiguous(memory_format=network.layout))), []
        for down, blocks in zip(network.down, list(network.encoder)[1:], strict=True):
            kept.append(x)
            x = through(blocks, down(x))
        for place in reversed(range(len(network.up))):
            skip = kept[place + network.top]
            x = network.up[place](x, skip.shape[2:], periodic)
            x = network.join[place](torch.cat([skip, x], dim=1)) if network.join else skip + x
            x = through(network.decoder[place], x)
        assert torch.equal(network(seen, periodic)[0], x)


@pytest.mark.parametrize("n", [9, 10, 12, 20])
def test_the_density_holds_its_electrons_on_any_grid(n: int) -> None:
    grid = Grid.of([0.25 * n] * 3, n)
    model, seen = model_of(CONFIGS["unet"]), pictures(n, n, n)
    density = model(seen[:, :2], seen[:, 2:], grid, torch.tensor([8.0]))
    assert density.shape == (1, 1, n, n, n)
    assert density.min() >= 0
    assert float(density.sum()) * grid.voxel_volume == pytest.approx(8, rel=1e-6)
