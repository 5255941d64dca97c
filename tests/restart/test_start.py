"""A density on the grid of a calculation: waves whose values are known, electrons, levels."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe import io
from edframe.cli.restart import density_for
from edframe.data.conversion import sample_of, volume_of
from edframe.data.level import Level
from edframe.errors import ConfigError, DataError
from edframe.grid import Grid
from edframe.io.volume import Volume
from edframe.restart import CODES, code_of
from edframe.restart.code import Needs
from edframe.restart.outlook import MEASURED, Outlook, kind_of, outlook
from edframe.restart.start import Start, fitted, from_file, refusal

CELL = [4.0, 5.0, 6.0]
ATOMS = Structure(Lattice.orthorhombic(*CELL), ["Si", "Si"], [[0, 0, 0], [0.5, 0.4, 0.5]])


def wave(shape, electrons=8.0, spins=1):
    """A constant and one wave along x, with ``electrons`` electrons; half of them as magnetisation."""
    grid = Grid.of(CELL, shape)
    x = grid.fractions()[..., 0]
    values = electrons / grid.volume * (1 + 0.5 * np.cos(2 * np.pi * x - 0.3))
    return Volume(ATOMS, grid, {"total": values, "magnetisation": values / 2} if spins == 2 else {"total": values})


def needs(**changes):
    values = {"structure": ATOMS, "shape": (10, 12, 15), "spins": 1, "electrons": 8.0, "charge": 0.0, "level": Level()}
    return Needs(**{**values, **changes})


@pytest.mark.parametrize("name", CODES)
def test_each_code_is_found_by_its_name(name):
    assert code_of(name).name == name


@pytest.mark.parametrize("shape", [(9, 8, 8), (16, 16, 20), (10, 12, 15)])
def test_a_wave_is_the_same_wave_on_the_grid_of_the_calculation(shape):
    volume, notes = fitted(Start(wave(shape), Level()), needs(), "density.cube")
    np.testing.assert_allclose(volume.fields["total"], wave((10, 12, 15)).fields["total"], rtol=1e-12)
    assert any("interpolated" in note for note in notes) == (shape != (10, 12, 15))
    assert any("are zero" in note for note in notes) == (shape == (9, 8, 8))


def test_electrons_are_those_of_the_calculation():
    volume, notes = fitted(Start(wave((10, 12, 15), 7.95), Level()), needs(), "density.cube")
    assert volume.fields["total"].sum() * volume.grid.voxel_volume == pytest.approx(8, rel=1e-12)
    assert notes == ("the density is scaled from 7.9500 to 8 electrons",)
    with pytest.raises(DataError, match=r"holds 10\.0000 electrons and the calculation 8"):
        fitted(Start(wave((10, 12, 15), 10.0), Level()), needs(), "density.cube")


def test_magnetisation_goes_where_there_is_spin_alone():
    with_spin, _ = fitted(Start(wave((10, 12, 15), spins=2), Level()), needs(spins=2), "density.cube")
    assert list(with_spin.fields) == ["total", "magnetisation"]
    without, notes = fitted(Start(wave((10, 12, 15), spins=2), Level()), needs(), "density.cube")
    assert list(without.fields) == ["total"]
    assert "has no spin" in notes[0]


def test_other_atoms_are_refused():
    other = Structure(ATOMS.lattice, ["Si", "Si"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(DataError, match=r"other positions: .* give a density of the atoms and the cell of the input"):
        fitted(Start(wave((10, 12, 15)), Level()), needs(structure=other), "density.cube")


def sample(functional="PBE", pseudopotential="gth-pbe"):
    return SimpleNamespace(source={"functional": functional, "pseudopotential": pseudopotential})


def test_the_level_of_samples():
    assert Level.of([sample(), sample()]) == Level("pbe", {"*": "gth-pbe"})
    assert Level.of([sample(), sample("LDA")]) == Level(None, {"*": "gth-pbe"})
    assert Level.of([sample(pseudopotential={"Si": "a"}), sample(pseudopotential={"O": "b"})]) == (
        Level("pbe", {"Si": "a", "O": "b"})
    )
    assert Level.of([sample(pseudopotential={"Si": "a"}), sample(pseudopotential={"Si": "b"})]) == Level("pbe")
    assert not Level.of([sample(), SimpleNamespace(source={})]).known


@pytest.mark.parametrize(
    ("level", "said"),
    [
        (Level("pbe", {"*": "Si.UPF"}), None),
        (Level(), None),
        (Level("lda", {"Si": "Si.UPF"}), "the functional lda, not pbe"),
        (Level("pbe", {"*": "gth-pbe"}), "the pseudopotential gth-pbe for Si, not Si.UPF"),
    ],
)
def test_another_level_is_refused(level, said):
    sentence = refusal(Start(wave((8, 8, 8)), level), needs(level=Level("pbe", {"Si": "Si.UPF"})), "runs/a")
    assert (sentence is None) if said is None else (said in sentence and "--anyway" in sentence)


LEVELS = [
    Level("pbe", {"Si": "Si.UPF"}),
    Level("lda", {"Si": "Si 4a3b2c1d", "O": "O.pbe-kjpaw.UPF"}),
    Level("pbe"),
    Level(None, {"*": "gth-pbe"}),
]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["a.cube", "CHGCAR", "a.xsf"])
def test_a_level_travels_in_the_title_of_a_file(tmp_path, level, name):
    sample = sample_of(wave((8, 8, 8)), "a", **level.source)
    io.write(tmp_path / name, volume_of(sample))
    assert from_file(tmp_path / name).level == level
    again = sample_of(io.read(tmp_path / name), "a")
    assert Level.of([again]) == level
    io.write(tmp_path / name, volume_of(again))
    assert io.read(tmp_path / name).comment.count("edframe-level") == 1


def test_a_title_without_a_level_stays_as_it_is(tmp_path):
    volume = volume_of(sample_of(wave((8, 8, 8)), "a", title="mine"))
    assert volume.comment == "mine"
    io.write(tmp_path / "a.cube", volume)
    assert not from_file(tmp_path / "a.cube").level.known
    assert not Level.of_title('edframe-level {"functional": 3}}').known


def test_a_file_of_another_level_is_refused_and_the_difference_said_where_it_is_overridden(tmp_path):
    path, wanted = tmp_path / "a.cube", needs(level=Level("pbe", {"Si": "Si.UPF"}))
    io.write(path, volume_of(sample_of(wave((10, 12, 15)), "a", **Level("lda", {"Si": "Si.UPF"}).source)))
    with pytest.raises(DataError, match=r"a\.cube belongs to the functional lda, not pbe"):
        density_for(path, wanted, anyway=False)
    _, notes, _ = density_for(path, wanted, anyway=True)
    assert notes[0] == f"used anyway, although {path} belongs to the functional lda, not pbe"


def blob(structure, width=0.5):
    """Gaussians at the atoms, in the nearest image."""
    grid = Grid.of(structure.lattice.matrix, 24)
    places = grid.fractions()[..., None, :] - structure.frac_coords
    distances = np.linalg.norm((places - np.rint(places)) @ structure.lattice.matrix, axis=-1)
    return Volume(structure, grid, {"total": np.exp(-((distances / width) ** 2) / 2).sum(-1)})


@pytest.mark.parametrize(
    ("structure", "width", "kind"),
    [
        (Structure(Lattice.cubic(8), ["O", "H", "H"], [[0.5, 0.5, 0.5], [0.6, 0.55, 0.5], [0.4, 0.55, 0.5]]), 0.5,
         "molecule"),
        (Structure(Lattice.cubic(8), ["O", "Li"], [[0.5, 0.5, 0.5], [0.7, 0.5, 0.5]]), 0.5, "ionic molecule"),
        (Structure(Lattice.orthorhombic(2.8, 2.8, 14), ["Al", "Al"], [[0, 0, 0.4], [0.5, 0.5, 0.55]]), 0.9,
         "metal surface"),
        (Structure(Lattice.cubic(4.05), ["Al"], [[0, 0, 0]]), 1.5, "metal"),
        (Structure(Lattice.cubic(3.8), ["Si", "Si"], [[0, 0, 0], [0.25, 0.25, 0.25]]), 1.5, "covalent crystal"),
        (Structure(Lattice.cubic(2.5), ["Li", "F"], [[0, 0, 0], [0.5, 0.5, 0.5]]), 1.5, "ionic crystal"),
    ],
)  # fmt: skip
def test_kinds_of_systems(structure, width, kind):
    assert kind_of(structure, blob(structure, width)) == kind


def test_what_does_not_pay_is_not_recommended(monkeypatch):
    assert "not recommended" in outlook("qe", "metal surface", low_g=2e-3)
    assert "saves about 23%" in outlook("qe", "metal surface", coulomb=1.0, low_g=3e-5)
    assert "saves about 19%" in outlook("qe", "molecule", coulomb=1e-5, low_g=1.0)
    assert "saves about 56%" in outlook("qe", "ionic molecule", coulomb=1e-5, low_g=1.0)
    assert "costs about 39%" in outlook("qe", "metal", low_g=1.0)  # as a slab
    monkeypatch.setitem(MEASURED, ("pyscf", "ionic molecule"), Outlook("coulomb", {1e-3: 0.0}, "made up"))
    assert "not recommended for an ionic molecule: a density 1% off" in outlook("pyscf", "ionic molecule")
    assert "saves no time (made up)" in outlook("pyscf", "ionic molecule")
    assert "not known" in outlook("qe", "molecule")
    assert "not recommended" in outlook("abinit", "molecule")
    assert "not been measured" in outlook("another", "molecule")


def test_an_unknown_code_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="choices: qe"):
        code_of("espresso")
