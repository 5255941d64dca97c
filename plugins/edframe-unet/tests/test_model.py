"""The U-Net against analytic cases and against symmetries that it must have by construction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from edframe_unet.density import corrected, normalised, saturated
from edframe_unet.layers import Block, Down, pad, smooth_up
from edframe_unet.model import UNet
from edframe_unet.plugin import NetworkConfig, UNetConfig
from torch.nn import functional as F

from edframe.data.sums import on_whole
from edframe.errors import DataError
from edframe.grid import Grid


def unet(**options: object) -> UNet:
    torch.manual_seed(0)
    return UNet(UNetConfig(**{"widths": (4, 8, 8), "blocks": (1, 1, 1), **options}), 2, 1, 3).eval()


def fields(grid: Grid, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    channels = torch.rand((batch, 2, *grid.shape), generator=generator)
    return channels, channels.sum(1, keepdim=True), torch.full((batch,), 7.0)


def test_starts_as_the_baseline_when_the_gates_are_zero() -> None:
    grid = Grid.of([4.0, 4.0, 4.0], (8, 8, 8))
    model = unet()
    torch.nn.init.zeros_(model.head.weight)
    channels, baseline, electrons = fields(grid)
    expected = baseline * (7.0 / (float(baseline.double().sum()) * grid.voxel_volume))
    np.testing.assert_allclose(model(channels, baseline, grid, electrons).detach(), expected, rtol=1e-5)


@pytest.mark.parametrize("shift", [(4, 0, 0), (0, 8, 4)])
def test_moves_with_its_input_by_multiples_of_the_coarsest_voxel(shift: tuple[int, int, int]) -> None:
    grid = Grid.of([6.0, 6.0, 6.0], (12, 12, 12))
    model = unet()
    torch.nn.init.normal_(model.head.weight)
    channels, baseline, electrons = fields(grid)

    def moved(x: torch.Tensor) -> torch.Tensor:
        return x.roll(shift, (2, 3, 4))

    expected = moved(model(channels, baseline, grid, electrons))
    predicted = model(moved(channels), moved(baseline), grid, electrons)
    torch.testing.assert_close(predicted, expected, rtol=1e-4, atol=1e-5)


def test_open_and_periodic_grids_differ_only_near_the_boundary() -> None:
    model = unet(widths=(4, 8), blocks=(0, 1))
    torch.nn.init.normal_(model.head.weight)
    channels = torch.zeros((1, 2, 24, 24, 24))
    channels[:, :, 10:14, 10:14, 10:14] = 1.0
    outputs = [
        model(channels, channels[:, :1], Grid.of([6.0] * 3, 24, periodic), torch.tensor([3.0]))
        for periodic in (True, False)
    ]
    torch.testing.assert_close(outputs[0], outputs[1])


def test_two_spin_channels_bound_the_magnetisation() -> None:
    grid = Grid.of([4.0] * 3, 8)
    model = UNet(UNetConfig(widths=(4, 8), blocks=(0, 1)), 2, 2, 3)
    torch.nn.init.normal_(model.head.weight, std=5.0)
    density = model(*fields(grid)[:1], fields(grid)[1].repeat(1, 2, 1, 1, 1), grid, fields(grid)[2])
    assert density.shape == (1, 2, 8, 8, 8)
    assert (density[:, 1].abs() <= density[:, 0]).all()
    assert density[:, 1].abs().max() > 0


def test_dropout_acts_in_training_only() -> None:
    grid = Grid.of([4.0] * 3, 8)
    model = unet(dropout=0.5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    inputs = fields(grid)
    assert torch.equal(model(inputs[0], inputs[1], grid, inputs[2]), model(inputs[0], inputs[1], grid, inputs[2]))
    model.train()
    assert not torch.equal(model(inputs[0], inputs[1], grid, inputs[2]), model(inputs[0], inputs[1], grid, inputs[2]))


@pytest.mark.parametrize("option", ["channels_last", "checkpointing", pytest.param("compile", marks=pytest.mark.slow)])
def test_ways_of_computing_agree(option: str) -> None:
    grid, small = Grid.of([4.0] * 3, 8), {"widths": (4, 8), "blocks": (1, 1)}
    weights = {name: 0.2 * torch.randn_like(value) for name, value in unet(**small).state_dict().items()}
    results = []
    for way in (False, True):
        model = unet(**small, **{option: way}).train()
        model.load_state_dict(weights)
        channels, baseline, electrons = fields(grid)
        density = model(channels, baseline, grid, electrons)
        density.square().sum().backward()
        results.append([density.detach(), *(parameter.grad for parameter in model.parameters())])
    for plain, other in zip(*results, strict=True):
        torch.testing.assert_close(other, plain, rtol=1e-3, atol=1e-5)
        assert other.abs().max() > 0


def test_a_kernel_wider_than_the_coarsest_level_is_refused() -> None:
    grid = Grid.of([4.0] * 3, 8)
    channels, baseline, electrons = fields(grid)
    with pytest.raises(DataError, match=r"kernel of 7 points does not fit .* 2×2×2 points; use fewer levels"):
        unet(kernel=7)(channels, baseline, grid, electrons)


def test_a_plain_block_is_two_convolutions_with_their_activations() -> None:
    block = Block(NetworkConfig(block="plain", activation="relu"), 2, 3)
    x = torch.randn((1, 3, 6, 5), generator=torch.Generator().manual_seed(3))
    expected = x
    for layer in (block.first, block.second):
        expected = F.conv2d(F.pad(expected, (1, 1, 1, 1)), layer.convolution.weight).relu()
    torch.testing.assert_close(block(x, (False, False)), expected)


@pytest.mark.parametrize(("way", "reduce"), [("average", np.mean), ("max", np.max)])
def test_down_reduces_blocks_of_two(way: str, reduce: Callable[..., np.ndarray]) -> None:
    layer = Down(way, 2, 1, 1)
    torch.nn.init.ones_(layer.convolution.weight)
    x = torch.rand((1, 1, 6, 4), generator=torch.Generator().manual_seed(3))
    expected = reduce(x.numpy().reshape(1, 1, 3, 2, 2, 2), axis=(3, 5))
    np.testing.assert_allclose(layer(x).detach(), expected, rtol=1e-6)


def test_one_dimension_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="not on 1D"):
        UNet(UNetConfig(), 2, 1, 1)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_corrected_keeps_electrons_and_sign_for_any_correction(scale: float) -> None:
    grid = Grid.of([3.0, 4.0, 5.0], (6, 7, 8))
    generator = torch.Generator().manual_seed(2)
    start = normalised(torch.rand((3, 1, 6, 7, 8), generator=generator), grid, torch.tensor([1.0, 12.0, 100.0]))
    correction = scale * torch.randn(start.shape, generator=generator)
    result = on_whole(corrected(start, correction, grid, torch.tensor([1.0, 12.0, 100.0])))
    assert result.min() >= 0
    sums = result.double().sum((1, 2, 3, 4)).numpy() * grid.voxel_volume
    np.testing.assert_allclose(sums, [1.0, 12.0, 100.0], rtol=1e-6)


def test_a_small_neutral_correction_is_simply_added() -> None:
    grid = Grid.of([4.0] * 3, 8)
    start = torch.ones((1, 1, 8, 8, 8), dtype=torch.float64)
    correction = 1e-5 * torch.cos(2 * torch.pi * torch.arange(8) / 8).double().reshape(8, 1, 1).expand(1, 1, 8, 8, 8)
    result = on_whole(corrected(start, correction, grid, torch.tensor([64.0])))
    torch.testing.assert_close(result, start + correction, rtol=0, atol=1e-9)


def test_a_correction_leaves_the_rest_alone() -> None:
    """Charge moved between two places changes no third one, however much is asked for."""
    grid = Grid.of([4.0] * 3, 8)
    start = torch.zeros((1, 1, 8, 8, 8))
    start[..., 0], start[..., 4] = 1.0, 50.0
    correction = torch.zeros_like(start)
    correction[..., 0, 0, 0], correction[..., 7, 7, 0] = 3.0, -3.0
    electrons = start.sum((1, 2, 3, 4)) * grid.voxel_volume
    result = on_whole(corrected(start, correction, grid, electrons))
    torch.testing.assert_close(result[..., 4], start[..., 4], rtol=1e-5, atol=0)


def test_saturated_values() -> None:
    np.testing.assert_allclose(saturated(torch.tensor([0.0, 1.0, 4.0, 1e8])), [0, 0.25, 4 / 9, 1], atol=1e-3)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_pad_and_its_gradient_are_those_of_torch(layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn((2, 3, 4, 5), generator=generator).contiguous(memory_format=layout).requires_grad_()
    weights = torch.randn((2, 3, 8, 9), generator=generator).contiguous(memory_format=layout)
    padded = pad(x, 2, (True, False))
    expected = F.pad(F.pad(x, (0, 0, 2, 2), mode="circular"), (2, 2, 0, 0))
    torch.testing.assert_close(padded, expected, rtol=0, atol=0)
    (gradient,) = torch.autograd.grad((padded * weights).sum(), x)
    torch.testing.assert_close(gradient, torch.autograd.grad((expected * weights).sum(), x)[0])
    assert padded.is_contiguous(memory_format=layout)
    assert gradient.is_contiguous(memory_format=layout)


def test_smooth_up_keeps_linear_fields_and_constants() -> None:
    coarse = (2 * torch.arange(6.0) + 0.5).reshape(1, 1, 6, 1).expand(1, 1, 6, 6)
    fine = smooth_up(coarse, torch.Size((12, 12)), (True, True))[0, 0]
    np.testing.assert_allclose(fine[1:-1, 3], np.arange(12.0)[1:-1], atol=1e-5)
    constant = smooth_up(torch.ones((1, 1, 3, 3, 3)), torch.Size((5, 6, 5)), (True, True, True))
    torch.testing.assert_close(constant, torch.ones((1, 1, 5, 6, 5)))


def test_down_covers_odd_axes() -> None:
    layer = Down("strided", 3, 1, 1)
    torch.nn.init.ones_(layer.convolution.weight)
    x = torch.rand((1, 1, 5, 6, 3))
    halved = layer(x)
    padded = F.pad(x, (0, 1, 0, 0, 0, 1))
    expected = padded.reshape(1, 1, 3, 2, 3, 2, 2, 2).sum((3, 5, 7))
    torch.testing.assert_close(halved, expected)
