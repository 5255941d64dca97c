"""A trained model from Python: every form of atoms gives what the command line writes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.io import write as write_ase
from pymatgen.core.structure import Molecule, Structure

import edframe
from edframe.errors import DataError

PLACES = np.array([[0.0, 0, 0], [1.62, 0, 0], [3.24, 0.2, 0]])
SYMBOLS = ["Li", "O", "Li"]


@pytest.fixture(scope="module")
def trained(finished):
    return edframe.load(finished)


def test_importing_edframe_is_free_of_torch_and_pymatgen():
    code = (
        "import sys, edframe; dir(edframe); sys.exit(any(name in sys.modules for name in ('torch', 'pymatgen', 'ase')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_is_answered_with_those_that_are_there():
    with pytest.raises(AttributeError, match=r"has no attribute 'laod'; it has .*load"):
        _ = edframe.laod


def test_pymatgen_ase_and_files_give_one_density(trained, tmp_path):
    cell = np.diag([11.0, 8.0, 8.0])
    places = PLACES + np.array([3.5, 4, 4])
    atoms = Atoms(SYMBOLS, places, cell=cell, pbc=True)
    structure = Structure(cell, SYMBOLS, places, coords_are_cartesian=True)
    structure.to(str(tmp_path / "POSCAR"), fmt="poscar")
    first = trained(structure)
    assert first.electrons == pytest.approx(12, rel=1e-6)
    for same in (trained(atoms), *trained([structure, str(tmp_path / "POSCAR")])):
        np.testing.assert_allclose(same.values, first.values, rtol=1e-4, atol=1e-6)


def test_the_error_that_a_featurizer_expects_comes_with_the_density(trained, monkeypatch):
    structure = Structure(np.eye(3) * 8, SYMBOLS, PLACES + 2, coords_are_cartesian=True)
    assert trained(structure, grid=(16, 16, 16)).expected_nmae is None
    featurizer = trained._predictor.featurizer
    judging = type("Judging", (type(featurizer),), {"expected_error": lambda *_: 0.03})
    monkeypatch.setattr(featurizer, "__class__", judging)
    monkeypatch.setattr(trained._predictor, "judged", 2.0)
    assert trained(structure, grid=(16, 16, 16)).expected_nmae == pytest.approx(100 * 2 * 0.03 / 12)


def test_a_molecule_without_a_cell_gets_the_vacuum_that_is_asked_for(trained, tmp_path):
    molecule = Molecule(SYMBOLS, PLACES)
    write_ase(tmp_path / "m.xyz", Atoms(SYMBOLS, PLACES))
    for form in (molecule, Atoms(SYMBOLS, PLACES), tmp_path / "m.xyz"):
        density = trained(form, vacuum=3.0)
        np.testing.assert_allclose(density.structure.lattice.abc, [9.24, 6.2, 6.0], atol=1e-6)
        assert density.electrons == pytest.approx(12, rel=1e-6)
    own = trained(molecule)
    assert own.structure.lattice.c == pytest.approx(2 * trained._predictor.vacuum, rel=1e-6)


def test_grid_and_charge_are_options(trained):
    density = trained(Molecule(SYMBOLS, PLACES, charge=1), grid=(16, 18, 20))
    assert density.grid.shape == (16, 18, 20)
    assert density.electrons == pytest.approx(11, rel=1e-6)
    assert trained(Molecule(SYMBOLS, PLACES), charge=-1).electrons == pytest.approx(13, rel=1e-6)


@pytest.mark.parametrize(
    ("atoms", "sentence"),
    [
        ([], "the list of structures is empty"),
        (42, "int is not a structure; give a pymatgen Structure"),
        ([Atoms("Fe", [[0, 0, 0]])], "structure 0: .*Fe"),
        (Atoms("Li", [[0, 0, 0]], cell=[3, 3, 0]), "has 2 vectors"),
        (Atoms("LiO", [[0, 0, 0], [float("nan"), 0, 0]]), r"atom 2 \(O\) has no place"),
        (
            Atoms("LiO", [[0, 0, 0], [7.1, 0, 0]], cell=[7.2, 7.2, 7.2], pbc=True),
            r"\(Li\) and 2 \(O\) .* are 0.1 Å apart",
        ),
    ],
)
def test_what_is_no_structure_is_refused(trained, atoms, sentence):
    with pytest.raises(DataError, match=sentence):
        trained(atoms)


def test_an_unknown_option_is_refused(trained):
    with pytest.raises(DataError, match="there is no option gird; options: grid, spacing"):
        trained(Molecule(SYMBOLS, PLACES), gird=(8, 8, 8))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"spacing": 0}, "a spacing of 0 Å makes no grid"),
        ({"spacing": -0.2}, "a spacing of -0.2 Å makes no grid"),
        ({"electrons": 11, "charge": 1}, "give one of the two"),
    ],
)
def test_an_option_that_cannot_be_met_is_refused(trained, options, sentence):
    with pytest.raises(DataError, match=sentence):
        trained(Molecule(SYMBOLS, PLACES), **options)


def test_the_calculator_of_ase_has_charges_and_dipole(trained):
    atoms = Atoms(SYMBOLS, PLACES)
    atoms.calc = trained.calculator(vacuum=7.0)
    density = trained(Atoms(SYMBOLS, PLACES), vacuum=7.0)
    np.testing.assert_allclose(atoms.get_charges(), density.charges(), atol=1e-5)
    np.testing.assert_allclose(atoms.get_dipole_moment(), density.dipole, atol=1e-5)
    before = atoms.calc.get_density()
    atoms.positions[2, 1] += 0.3
    assert np.abs(atoms.get_charges() - before.charges()).max() > 1e-4


def in_basis(matrix, shape, trained):
    """The density of a crystal of ten atoms in the basis U A, and its points in fractions of A."""
    cell = np.array([[7.2, 0, 0], [0.5, 7.2, 0], [0, 0.8, 7.2]])
    places = np.vstack([PLACES, PLACES + np.array([1, 3, 2]), PLACES + np.array([3, 2, 5]), [[6, 6, 3.0]]])
    crystal = Structure(np.array(matrix) @ cell, [*SYMBOLS * 3, "O"], places, coords_are_cartesian=True)
    density = trained(crystal, grid=shape)
    fractions = (density.grid.coordinates() @ np.linalg.inv(cell)).reshape(-1, 3)
    return density, np.rint(fractions * 16).astype(int) % 16


def test_a_crystal_in_another_basis_has_the_same_density(trained):
    """With a skewed U-Net alone it is 1 to 2% apart. Points are matched by their places."""
    expected, _ = in_basis(np.eye(3), (16, 16, 16), trained)
    for matrix in ([[1, 0, 0], [0, 1, 0], [1, 0, 1]], [[1, 0, 0], [2, 1, 0], [-1, 1, 1]]):
        density, points = in_basis(matrix, (16, 16, 16), trained)
        there = expected.values[0][tuple(points.T)].reshape(16, 16, 16)
        assert density.notes == expected.notes
        assert np.abs(density.values[0] - there).sum() < 1e-4 * there.sum()


def test_a_grid_that_does_not_allow_the_shortest_basis_is_named(trained):
    density, _ = in_basis([[1, 0, 0], [0, 1, 0], [1, 0, 1]], (16, 16, 24), trained)
    assert (
        "lattice vector c of 10.21 Å could be one of 7.244 Å, but not on a grid of 16×16×24 points" in density.notes[0]
    )
    assert density.notes[0].endswith("a grid of 24×24×24 allows it")
