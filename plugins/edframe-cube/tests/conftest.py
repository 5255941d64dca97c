from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.io.cube import write_cube
from ase.units import Bohr


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Every test has a cache of its own; the user's is never touched."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("EDFRAME_CACHE", str(folder))
    return folder


@pytest.fixture
def cube(tmp_path):
    """A made-up density ``[x, y, z]`` in e/Å³ of oxygen, 6 e an atom, and a cube of it that ASE writes."""

    def make(name="a.cube", positions=((1.0, 1.0, 1.0),), electrons=None, seed=0):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        atoms = Atoms(f"O{len(positions)}", positions, cell=[[4.0, 0.0, 0.0], [1.0, 3.5, 0.0], [0.0, 0.5, 3.0]])
        density = np.random.default_rng(seed).random((8, 6, 10))
        density *= (electrons or 6 * len(positions)) * density.size / (density.sum() * atoms.get_volume())
        with path.open("w") as file:
            write_cube(file, atoms, density * Bohr**3)
        return SimpleNamespace(path=path, atoms=atoms, density=density)

    return make
