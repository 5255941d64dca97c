import numpy as np
import pytest
from pymatgen.core.structure import Structure

from edframe.data.store import StoreWriter
from edframe.grid import Grid
from edframe.sample import Sample


@pytest.fixture(scope="session")
def samples():
    """Four samples on two grids: their ids, and what they hold."""
    made = []
    for number, shape in enumerate([(4, 6, 5), (8, 6, 5), (4, 6, 5), (4, 6, 5)]):
        grid = Grid.of([4.0, 3.0, 3.5], shape)
        density = np.random.default_rng(number).random((1, *shape))
        density *= 8 / (density.sum() * grid.voxel_volume)
        structure = Structure(grid.vectors, ["O", "H"], [[0.1 * number, 0, 0], [0.5, 0.5, 0.5]])
        made.append(Sample(f"s{number}", structure, grid, density.astype(np.float32), 8.0, {"number": number}))
    return made


@pytest.fixture(scope="session")
def url(samples, tmp_path_factory):
    """A store of ``samples``, of which the first and the last are one group."""
    path = tmp_path_factory.mktemp("store") / "samples.zarr"
    with StoreWriter(path, {"made": "up"}) as writer:
        for number, sample in enumerate(samples):
            writer.add(sample, position=number, group=7 if number in (0, 3) else None)
    return path
