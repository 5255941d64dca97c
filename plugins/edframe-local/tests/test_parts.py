"""Parts of a grid against the whole one, with and without points that are interpolated, and in tiles."""

import numpy as np
import pytest
import torch
from edframe_local import parts, subgrid
from edframe_local.baseline import Baseline
from edframe_local.local import LocalFeaturizer
from edframe_local.local_network import LocalNetworkFeaturizer
from edframe_local.plugin import BaselineConfig, LocalConfig, LocalNetworkConfig
from pymatgen.core import Lattice, Structure

from edframe.data.basis import Basis
from edframe.grid import Grid, Region
from edframe.predict.layers import predicted
from edframe.predict.tiles import tiles
from edframe.testing import examples

SMALL = {"cutoff": 3.0, "pairs": 6, "radial": 3, "angular": 2, "triples": 20, "products": 10, "points": 2000}
NETWORK = {**SMALL, "steps": 30, "width": 8, "inputs": 10, "table": 2000, "batch": 128}
KINDS = {
    "sad": lambda: LocalFeaturizer(LocalConfig(base="sad", **SMALL), examples.CONTENTS),
    "atoms": lambda: LocalFeaturizer(LocalConfig(base="atoms", **SMALL), examples.CONTENTS),
    "network": lambda: LocalNetworkFeaturizer(LocalNetworkConfig(base="sad", **NETWORK), examples.CONTENTS),
}
GRID = Grid.of([[5.5, 0, 0], [0.6, 4.1, 0], [0, -0.3, 3.9]], (36, 28, 26))


def nmae(ours, expected, everywhere=None):
    """Single points differ by more, near nuclei, because atoms are summed in another order in float32."""
    everywhere = expected if everywhere is None else everywhere
    return np.abs(ours - expected).sum(dtype=float) / np.abs(everywhere).sum(dtype=float)


@pytest.fixture(scope="module", params=KINDS)
def featurizer(request):
    made = KINDS[request.param]()
    made.fit(examples.labelled())
    return made


@pytest.fixture(scope="module")
def structure():
    return Structure(Lattice(GRID.vectors), ["Li", "O"], [[0.1, 0.5, 0.4], [0.3, 0.6, 0.9]])


@pytest.mark.parametrize("tolerance", [1.0, 0.0])
@pytest.mark.parametrize("start", [(-3, 5, 7), (30, 0, -4), (0, 1, 3)])
def test_a_part_is_cut_out_of_the_whole(featurizer, structure, start, tolerance, monkeypatch):
    # Interpolated, or evaluated everywhere.
    monkeypatch.setattr(featurizer, "config", featurizer.config.model_copy(update={"interpolation": tolerance}))
    monkeypatch.setattr(subgrid, "NEAR", 6.0)
    assert subgrid.halved(GRID)
    whole = featurizer([structure], GRID, "cpu")
    region = Region(start, (11, 14, 9) if start[0] else (*GRID.shape[:1], 5, 23))
    part = featurizer.tiled(structure, GRID, "cpu")(region)
    for everywhere, there in ((whole.channels, part.channels), (whole.baseline, part.baseline)):
        expected = everywhere[0].numpy()[(slice(None), *np.ix_(*region.indices(GRID)))]
        assert nmae(there[0].numpy(), expected, everywhere[0].numpy()) < 1e-6


@pytest.mark.parametrize("tolerance", [1e-4, 0.0])
def test_the_same_is_decided_about_interpolation(featurizer, structure, tolerance, monkeypatch):
    monkeypatch.setattr(featurizer, "config", featurizer.config.model_copy(update={"interpolation": tolerance}))
    near = subgrid.near_atoms(structure.frac_coords, GRID)
    probes, rest = subgrid.probed(near, GRID)
    second = np.zeros(GRID.shape, dtype=bool)
    second[::2, ::2, ::2] = True
    left = np.flatnonzero(~near & ~second)
    assert rest == len(left)
    np.testing.assert_array_equal(probes, left[:: max(1, len(left) // subgrid.PROBES)])
    whole = featurizer([structure], GRID, "cpu").baseline
    part = featurizer.tiled(structure, GRID, "cpu")(GRID.region()).baseline
    assert nmae(part.numpy(), whole.numpy()) < 1e-6


def test_points_need_no_halo(featurizer, structure):
    model = Baseline(BaselineConfig(), 1, 1, 3)
    features = featurizer([structure], GRID, "cpu")
    whole = model(features.channels, features.baseline, GRID, torch.tensor([8.5]))[0]
    pieces = tiles(GRID, model, GRID.points // 5)
    assert sum(np.prod(tile.seen.shape) for tile in pieces) == GRID.points
    on = featurizer.tiled(structure, GRID, "cpu")
    density = predicted(model, on, Basis(GRID, np.eye(3, dtype=np.int64)), 8.5, pieces, None, "cpu")
    assert nmae(density, whole.numpy()) < 1e-6


def test_where_all_points_are_near_atoms_every_one_is_evaluated(featurizer, structure, monkeypatch):
    grid = Grid.of(GRID.vectors * 0.5, (18, 14, 14))
    small = Structure(Lattice(grid.vectors), structure.species, structure.frac_coords)
    monkeypatch.setattr(subgrid, "NEAR", 40.0)
    assert subgrid.near_atoms(small.frac_coords, grid).all()
    whole = featurizer([small], grid, "cpu").baseline
    assert whole.isfinite().all()
    assert nmae(featurizer.tiled(small, grid, "cpu")(grid.region()).baseline.numpy(), whole.numpy()) < 1e-6


def test_memory_is_that_of_some_points_whatever_is_asked_for_at_once(featurizer, structure, monkeypatch):
    whole = featurizer.tiled(structure, GRID, "cpu")(GRID.region()).baseline
    monkeypatch.setattr(parts, "AT_ONCE", 3001)
    largest = []
    search = parts.surroundings

    def counting(points, *arguments, **options):
        largest.append(len(points))
        return search(points, *arguments, **options)

    monkeypatch.setattr(parts, "surroundings", counting)
    split = featurizer.tiled(structure, GRID, "cpu")(GRID.region()).baseline
    assert max(largest) == 3001
    assert nmae(split.numpy(), whole.numpy()) < 1e-6
