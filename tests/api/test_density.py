"""A Density against closed forms: Gaussian atoms, whose electrons, dipole and values are known."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core.structure import Structure

import edframe
from edframe.errors import DataError, RunError
from edframe.grid import Grid

CELL = np.diag([9.0, 8.0, 8.5])
WIDTH = 0.6
FLUORINE, LITHIUM = np.array([4.4, 4.0, 4.2]), np.array([5.5, 4.1, 4.0])


def gaussian(grid, centre, electrons):
    away = grid.coordinates() - centre
    values = np.exp(-(away**2).sum(-1) / (2 * WIDTH**2)) / (2 * np.pi * WIDTH**2) ** 1.5
    return electrons * values


@pytest.fixture(scope="module")
def hydroxyl():
    """Li with 2.6 and F with 7.4 electrons, of 3 and 7: charges ±0.4 at known places."""
    grid = Grid.of(CELL, (60, 54, 56))
    values = gaussian(grid, FLUORINE, 7.4) + gaussian(grid, LITHIUM, 2.6)
    structure = Structure(CELL, ["F", "Li"], [FLUORINE, LITHIUM], coords_are_cartesian=True)
    return edframe.Density(values[None], grid, structure)


def test_electrons_are_the_integral(hydroxyl):
    assert hydroxyl.electrons == pytest.approx(10, rel=1e-6)
    assert "10 electrons on 60×54×56 points" in repr(hydroxyl)


def test_dipole_is_that_of_the_point_charges(hydroxyl):
    """Spherical clouds around the nuclei: the moment is Σ q R, with charges −0.4 and 0.4 and no net charge."""
    with pytest.raises(DataError, match="2 combinations of pseudopotentials"):
        _ = hydroxyl.dipole  # 3 + 7 and 1 + 9: the sum does not say which
    one = edframe.Density(hydroxyl.values * 0.8, hydroxyl.grid, hydroxyl.structure)  # 8 electrons: 1 + 7 alone
    assert one.valence.tolist() == [7, 1]
    charges = np.array([7 - 0.8 * 7.4, 1 - 0.8 * 2.6])
    np.testing.assert_allclose(one.dipole, charges @ np.array([FLUORINE, LITHIUM]), atol=1e-4)


def test_the_dipole_of_a_crystal_is_not_defined():
    grid = Grid.of(np.eye(3) * 4, 24)
    uniform = edframe.Density(
        np.full((1, *grid.shape), 8 / 64), grid, Structure(np.eye(3) * 4, ["Li", "F"], [[0, 0, 0], [0.5] * 3])
    )
    assert not uniform.isolated
    assert uniform.dipole is None


@pytest.mark.parametrize("method", ["voronoi", "hirshfeld", "bader"])
def test_electrons_of_atoms_sum_to_all_and_far_apart_are_those_of_each(method):
    grid = Grid.of(np.diag([14.0, 7.0, 7.0]), (84, 42, 42))
    places = np.array([[3.5, 3.5, 3.5], [10.5, 3.5, 3.5]])
    values = gaussian(grid, places[0], 6) + gaussian(grid, places[1], 1)
    structure = Structure(grid.vectors, ["O", "H"], places, coords_are_cartesian=True)
    density = edframe.Density(values[None], grid, structure)
    electrons = density.electrons_of_atoms(method)
    assert electrons.sum() == pytest.approx(density.electrons, rel=1e-9)
    np.testing.assert_allclose(electrons, [6, 1], atol=1e-4)
    np.testing.assert_allclose(density.charges(method), [0, 0], atol=1e-4)


def test_basins_are_those_of_another_implementation():
    """Three Gaussians in a skewed cell. The numbers are those of pybader 0.3.12 (near-grid, refined) from the same
    density in a CHGCAR; basins along the directions of the grid are off by 0.04 electrons."""
    cell = np.array([[6.0, 0, 0], [1.5, 5.5, 0], [0.8, -1.1, 6.4]])
    grid = Grid.of(cell, (20, 24, 22))
    atoms = np.array([[0.2, 0.3, 0.25], [0.47, 0.36, 0.31], [0.6, 0.75, 0.7]])
    values = np.zeros(grid.shape)
    for place, electrons, width in zip(atoms, (6.0, 1.0, 3.0), (0.6, 0.5, 0.9), strict=True):
        for image in np.ndindex(5, 5, 5):
            away = grid.coordinates() - (place + np.array(image) - 2) @ cell
            values += electrons * np.exp(-(away**2).sum(-1) / (2 * width**2)) / (2 * np.pi * width**2) ** 1.5
    density = edframe.Density(values[None], grid, Structure(cell, ["O", "H", "Li"], atoms))
    np.testing.assert_allclose(density.electrons_of_atoms("bader"), [6.2167, 0.8227, 2.9606], atol=1e-3)


def test_a_maximum_in_the_middle_of_a_bond_is_shared():
    grid = Grid.of(np.diag([8.0, 6.0, 6.0]), (48, 36, 36))
    middle = np.array([4.0, 3.0, 3.0])
    places = middle + np.array([[-0.7, 0, 0], [0.7, 0, 0]])
    values = gaussian(grid, middle, 2)
    density = edframe.Density(
        values[None], grid, Structure(grid.vectors, ["H", "H"], places, coords_are_cartesian=True)
    )
    np.testing.assert_allclose(density.electrons_of_atoms("bader"), [1, 1], atol=1e-5)


@pytest.fixture
def fitted(tmp_path):
    """A run whose featurizer ``atoms`` found Gaussians of 2.2 and 7.6 electrons for Li and O."""
    import json

    import torch

    from edframe.config.resolve import resolve
    from edframe.contract.registry import Registry
    from edframe.runs.directory import Run
    from edframe.train.checkpoint import BEST
    from edframe.train.featurizer import FITTED

    experiment, _ = resolve(Registry.discover(), None, {"featurizer": "atoms"})
    run = Run.create(tmp_path, "fitted", experiment.to_yaml())
    contents = {"species": ["Li", "O"], "max_atoms": 3, "spins": 1, "dimension": 3}
    run.save_tensors(BEST, {"none": torch.zeros(1)}, {"contents": json.dumps(contents)})
    radii = np.arange(501) * 0.01
    density = np.exp(-(radii**2) / (2 * WIDTH**2)) / (2 * np.pi * WIDTH**2) ** 1.5
    charges = torch.tensor([2.2, 7.6], dtype=torch.float64)
    state = {
        "densities": charges[:, None] * torch.from_numpy(density), "charges": charges,
        "electrons": torch.tensor([3.0, 6.0], dtype=torch.float64), "settled": torch.tensor(True),
        "span": torch.eye(2, dtype=torch.float64),
    }  # fmt: skip
    run.save_tensors(FITTED, state, {})
    return run.path


def test_a_superposition_of_fitted_atoms_is_divided_into_these(fitted):
    """Hirshfeld's shares of Σ ρ_s are the ρ_s themselves."""
    grid = Grid.of(np.diag([12.0, 10.0, 10.0]), (48, 40, 40))
    places = np.array([[5.4, 5, 5], [6.9, 5, 5]])
    values = gaussian(grid, places[0], 2.2) + gaussian(grid, places[1], 7.6)
    structure = Structure(grid.vectors, ["Li", "O"], places, coords_are_cartesian=True)
    density = edframe.Density(values[None], grid, structure)
    electrons = density.electrons_of_atoms("hirshfeld", atoms_of=fitted)
    np.testing.assert_allclose(electrons, [2.2, 7.6], atol=1e-3)
    assert np.abs(density.electrons_of_atoms("hirshfeld") - electrons).max() > 0.02
    with pytest.raises(DataError, match="the method 'bader' needs no atoms of a run"):
        density.electrons_of_atoms("bader", atoms_of=fitted)


def test_a_run_without_fitted_atoms_is_refused(hydroxyl, fitted):
    config = fitted / "config.yaml"
    config.write_text(config.read_text().replace("name: atoms", "name: sad"))
    with pytest.raises(RunError, match="has no fitted atoms: its featurizer is 'sad'"):
        hydroxyl.electrons_of_atoms("hirshfeld", atoms_of=fitted)


def test_another_method_is_refused(hydroxyl):
    with pytest.raises(DataError, match="there is no method 'mulliken'; choose voronoi, hirshfeld, bader"):
        hydroxyl.electrons_of_atoms("mulliken")


def test_a_line_and_a_plane_have_the_values_of_the_gaussians(hydroxyl):
    away, values = hydroxyl.line(0, FLUORINE + np.array([0, 0, 2.0]), points=41)
    exact = 7.4 * np.exp(-(away**2) / (2 * WIDTH**2)) / (2 * np.pi * WIDTH**2) ** 1.5
    exact += (
        2.6
        * np.exp(-(((FLUORINE - LITHIUM) + np.outer(away, [0, 0, 1.0])) ** 2).sum(-1) / (2 * WIDTH**2))
        / (2 * np.pi * WIDTH**2) ** 1.5
    )
    np.testing.assert_allclose(values, exact, atol=0.02 * exact.max())  # linear between points of 0.15 Å
    places, in_plane = hydroxyl.plane(points=30)
    assert in_plane.shape == (30, 30)
    np.testing.assert_allclose(hydroxyl.at(places[3, 7]), in_plane[3, 7])


def test_a_plane_of_atoms_on_a_line_is_refused(hydroxyl):
    with pytest.raises(DataError, match="needs three of the atoms"):
        hydroxyl.plane(atoms=[0, 1])


def test_pymatgen_ase_and_files_hold_the_same(hydroxyl, tmp_path):
    chgcar = hydroxyl.to_pymatgen()
    assert chgcar.data["total"].mean() == pytest.approx(hydroxyl.electrons, rel=1e-12)
    atoms, values = hydroxyl.to_ase()
    assert atoms.get_chemical_formula() == "FLi"
    assert values.sum() * atoms.get_volume() / values.size == pytest.approx(hydroxyl.electrons, rel=1e-12)
    hydroxyl.write(tmp_path / "CHGCAR")
    with pytest.raises(DataError, match="exists; give another name, or force=True"):
        hydroxyl.write(tmp_path / "CHGCAR")
    again = edframe.read(tmp_path / "CHGCAR")
    np.testing.assert_allclose(again.total, hydroxyl.total, atol=1e-8)
    assert edframe.compare(again, hydroxyl)["nmae"] < 1e-6


def test_comparing_has_the_nmae_of_its_definition(hydroxyl):
    other = edframe.Density(hydroxyl.values * 1.01, hydroxyl.grid, hydroxyl.structure)
    errors = edframe.compare(other, hydroxyl)
    assert errors["nmae"] == pytest.approx(1.0, rel=1e-6)
    assert errors["electron_count_error"] == pytest.approx(0.1, rel=1e-5)
    coarse = edframe.Density(hydroxyl.values[:, ::2, ::2, ::2], Grid.of(CELL, (30, 27, 28)), hydroxyl.structure)
    with pytest.raises(DataError, match="lie on 30×27×28 and 60×54×56 points"):
        edframe.compare(coarse, hydroxyl)


def test_comparing_a_path_says_to_read_it_first(hydroxyl):
    with pytest.raises(DataError, match=r"str is not a Density; read a file by edframe\.read"):
        edframe.compare(hydroxyl, "density.cube")


@pytest.mark.parametrize("name", ["density", "density.cube", "CHGCAR"])
def test_a_missing_file_and_a_folder_are_said_to_be_so(tmp_path, name):
    with pytest.raises(DataError, match=f"{name}: there is no such file"):
        edframe.read(tmp_path / name)
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=f"{name} is a folder; give a file in it"):
        edframe.read(tmp_path / name)


def test_a_notebook_shows_a_picture_and_a_surface_encloses_nine_tenths(hydroxyl):
    from edframe.api.isosurface import enclosing

    assert hydroxyl._repr_png_().startswith(b"\x89PNG")
    level = enclosing(hydroxyl.total, 0.9)
    inside = hydroxyl.total[hydroxyl.total > level].sum() * hydroxyl.grid.voxel_volume
    assert inside == pytest.approx(9, rel=1e-3)
    surface = hydroxyl.isosurface()
    assert f"surface at {level:.3g} e/Å³" in surface.layout.title.text
