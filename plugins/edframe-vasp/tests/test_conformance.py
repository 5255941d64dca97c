import numpy as np
import pytest

from edframe.io import Volume, write
from edframe.testing import checks, component, examples


@pytest.mark.parametrize("check", checks("dataset"), ids=str)
def test_dataset(check, calculation, tmp_path):
    calculation("runs/a", species=("O", "H", "H"), electrons=8, spins=2)
    calculation("runs/b", electrons=2, spins=2, seed=1)
    check(component("dataset", "vasp", {"files": f"{tmp_path}/runs/*", "spins": 2}))


@pytest.fixture(scope="module")
def potentials(tmp_path_factory):
    """A LOCPOT for every molecule and box that the checks of featurizers use."""
    folder = tmp_path_factory.mktemp("potentials")
    for n in (12, 48, 96):
        grid = examples.box((n, 12, 12))
        for number, structure in enumerate(examples.molecules(grid)):
            depths = np.array([site.specie.Z for site in structure])
            values = -np.tensordot(depths, examples.bumps(grid, structure.cart_coords, 1.5), axes=1)
            run = folder / f"{n}-{number}"
            run.mkdir()
            write(run / "LOCPOT", Volume(structure, grid, {"total": values}, quantity="potential"))
    return folder


@pytest.mark.parametrize("check", checks("featurizer"), ids=str)
def test_featurizer(check, potentials):
    check(component("featurizer", "vasp-field", {"files": f"{potentials}/*", "scale": 10}))
