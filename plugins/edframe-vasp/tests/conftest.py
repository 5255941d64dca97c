from types import SimpleNamespace

import numpy as np
import pytest
from pymatgen.core.structure import Structure
from pymatgen.io.vasp.inputs import Poscar
from pymatgen.io.vasp.outputs import Chgcar


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Every test has a cache of its own; the user's is never touched."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("EDFRAME_CACHE", str(folder))
    return folder


@pytest.fixture
def potcar():
    """Writes what a POTCAR has of each of its data sets, without the potential: (title, ZVAL)."""

    def write(folder, *sets):
        lines = [
            f" {title}\n {zval:.14f}\n parameters from PSCTR are:\n   TITEL  = {title}\n   LULTRA =        F\n"
            f"   POMASS =    7.010; ZVAL   =  {zval:7.3f}    mass and valenz\n End of Dataset\n"
            for title, zval in sets
        ]
        (folder / "POTCAR").write_text("".join(lines))

    return write


@pytest.fixture
def calculation(tmp_path):
    """A made-up calculation: its density ``[x, y, z]`` in e/Å³, and a CHGCAR of it that pymatgen writes."""

    def make(name="run", species=("H",), electrons=2.0, spins=1, seed=0, file="CHGCAR"):
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        cell = np.array([[4.0, 0.0, 0.0], [1.0, 3.5, 0.0], [0.0, 0.5, 3.0]])
        structure = Structure(cell, species, rng.random((len(species), 3)))
        density = rng.random((8, 6, 10))
        density *= electrons * density.size / (density.sum() * structure.volume)
        magnetisation = density * rng.uniform(-0.5, 0.5, density.shape)
        data = {"total": density * structure.volume}
        if spins == 2:
            data["diff"] = magnetisation * structure.volume
        Chgcar(Poscar(structure), data).write_file(str(folder / file))
        fields = np.stack([density, magnetisation][:spins])
        return SimpleNamespace(folder=folder, file=folder / file, structure=structure, density=fields)

    return make
