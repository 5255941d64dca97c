"""Vacuum around a cluster changes no voxel of its predicted density: real pictures of atoms, every trained model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from edframe_pyscf.clusters_geometry import clusters
from pymatgen.core import Lattice, Structure
from torch import nn

from edframe.contract.registry import Registry
from edframe.grid import Grid
from edframe.interfaces import Contents

VOXEL = 0.3
GAP = 96
"""Voxels between the cluster and its images along the axis that grows: beyond the reach of the atoms' densities (7.3 Å)
on one side and of a U-Net of four levels on the other. Across, images may be near, for they stay where they are."""

REGISTRY = Registry.discover()
FACTORIES = {name: REGISTRY.get("model", name).load() for name in REGISTRY.names("model")}
TRAINED = [
    name for name, factory in FACTORIES.items() if issubclass(factory, nn.Module) and not hasattr(factory, "fit")
]


def component(kind, name):
    chosen = REGISTRY.get(kind, name)
    return lambda *known, **needed: chosen.load()(chosen.config(), *known, **needed)


@pytest.fixture(params=TRAINED)
def model(request):
    """A model for ``channels``, each of its weights random."""

    def make(channels):
        torch.manual_seed(0)
        made = component("model", request.param)(channels=channels, spins=1, dimension=3).eval()
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        return made

    return make


@pytest.mark.parametrize(("axis", "added"), [(0, 16), (1, 8), (2, 11)])
@pytest.mark.parametrize("featurizer", ["sad", "gaussian"])
@torch.no_grad()
def test_vacuum_changes_no_voxel(model, featurizer, axis, added):
    cluster = clusters()[2]
    near = np.ceil(np.ptp(cluster.positions[1], axis=0) / VOXEL).astype(int) + 8
    near[axis] += GAP
    positions = cluster.positions[1] + near // 2 * VOXEL
    pictures = component("featurizer", featurizer)(Contents(("Li", "O"), 6))
    network = model(len(pictures.channels))

    def density(shape):
        grid = Grid.of(shape * VOXEL, shape.tolist())
        structure = Structure(Lattice(grid.vectors), cluster.species, positions, coords_are_cartesian=True)
        features = pictures([structure], grid, "cpu")
        electrons = torch.tensor([float(cluster.electrons)])
        return network(features.channels, features.baseline, grid, electrons)[0, 0], features.baseline

    one, baseline = density(near)
    other, _ = density(near + added * np.eye(3, dtype=int)[axis])
    change = (one - other.narrow(axis, 0, one.shape[axis])).abs().max()
    assert change <= 1e-5 * one.max()
    if baseline is not None:
        assert (one - baseline[0, 0]).abs().max() > 1e-4 * one.max()  # the weights matter
