"""Tiles against the whole grid, and the reach against what automatic differentiation says."""

import numpy as np
import pytest
import torch
from edframe_gaussian.plugin import SADConfig
from edframe_gaussian.sad import SADFeaturizer
from edframe_unet.model import UNet
from edframe_unet.plugin import ResUNetConfig, UNetConfig
from pymatgen.core import Lattice, Structure

from edframe.data.basis import in_reduced_basis, reduced
from edframe.grid import Grid
from edframe.interfaces import Contents
from edframe.predict.layers import predicted
from edframe.predict.tiles import halo, tiles

SMALL = {"widths": (4, 6, 8), "blocks": (0, 1, 1)}
MODELS = {
    "unet": UNetConfig(**SMALL),
    "field": UNetConfig(**SMALL, output="field", up="linear", down="max", skips="concatenated"),
    "resunet": ResUNetConfig(widths=(3, 4, 6), blocks=(1, 1, 1)),
}
GRIDS = {
    "periodic": ([11.0, 2.6, 2.4], (88, 16, 12), True),
    "odd": ([11.4, 2.6, 2.4], (91, 17, 13), True),
    "open": ([11.0, 2.6, 2.4], (88, 16, 12), False),
    "wire": ([11.3, 2.6, 2.4], (90, 16, 12), (True, False, False)),
    "sheared": ([[11.0, 0, 0], [11.0, 11.0, 0], [0, 0, 1.6]], (88, 88, 8), True),
}


def disturbed(config, spins=1, channels=2):
    torch.manual_seed(0)
    model = UNet(config, channels=channels, spins=spins, dimension=3).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


@pytest.mark.parametrize("name", MODELS)
def test_the_reach_is_how_far_a_gradient_goes(name):
    model = disturbed(MODELS[name]).double()
    side = 2 * halo(model) + 40
    grid = Grid.of([side * 0.2, 1.6, 1.6], (side, 8, 8), (False, True, True))
    channels = torch.rand(1, 2, *grid.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    channels.requires_grad_(True)
    first = halo(model) + 2 * model.stride  # a block of points: of how many others do they know?
    fields = model.fields(channels, channels[:, :1].detach(), grid, torch.ones(1))
    fields[:, 1:, first : first + model.stride].square().sum().backward()
    seen = channels.grad.abs().sum((0, 1, 3, 4)).nonzero()
    assert int(first - seen.min()) <= model.reach
    assert int(seen.max() - (first + model.stride - 1)) <= model.reach
    assert int(first - seen.min()) >= model.reach - model.stride  # nor does it say much more


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("name", MODELS)
def test_tiles_are_the_whole(name, kind):
    grid = Grid.of(*GRIDS[kind])
    model, spins = disturbed(MODELS[name], spins=2), 2
    fractions = np.random.default_rng(2).uniform(0.2, 0.8, (5, 3))
    structure = Structure(Lattice(grid.vectors), ["Li", "O", "Li", "O", "Li"], fractions)
    featurizer = SADFeaturizer(SADConfig(widths=()), Contents(("Li", "O"), 5, spins=spins))
    electrons = 15.5
    with torch.no_grad():
        features = featurizer([structure], grid, "cpu")
        whole = in_reduced_basis(model, features.channels, features.baseline, grid, torch.tensor([electrons]))[0]
        basis = reduced(grid)
        moved = Structure(
            Lattice(basis.grid.vectors), structure.species, structure.cart_coords, coords_are_cartesian=True
        )
        on = featurizer.tiled(moved, basis.grid, "cpu")
        parts = tiles(basis.grid, model, 64 * grid.points // 88)
        density = predicted(model, on, basis, electrons, parts, None, "cpu", points=5_000)
    assert len(parts) > 1
    assert basis.same == (kind != "sheared")
    np.testing.assert_allclose(density, whole.numpy(), atol=1e-6 * float(whole.max()))
    assert density[0].sum() * grid.voxel_volume == pytest.approx(electrons, rel=1e-6)
