"""Densities, gradients and Laplacians against integrals and differences; molecules in cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from edframe_orbitals.hamiltonian import Hamiltonian
from edframe_orbitals.ingredients import Prepared, count, ingredients, quantities
from edframe_orbitals.molecule import Molecule
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe.errors import DataError
from edframe.grid import Grid

SPECIES = ("H", "O")
WATER = np.array([[0.0, 0.0, 0.12], [0.0, 0.76, -0.47], [0.0, -0.76, -0.47]])


@pytest.fixture(scope="module")
def water() -> Prepared:
    hamiltonian = Hamiltonian(SPECIES)
    hamiltonian.valence[:] = torch.tensor([1.0, 6.0])
    with torch.no_grad():
        found, _ = hamiltonian(torch.tensor([1, 0, 0]), torch.from_numpy(WATER) / 0.529177210903, 8.0)
    return Prepared.of(found, hamiltonian.valence)


def test_the_density_integrates_to_its_electrons(water) -> None:
    line = torch.arange(-12, 12, 0.3)
    points = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3)
    near = points[torch.cdist(points, water.orbitals.positions.float()).amin(1) < 9]
    total = quantities(water, near).double().sum(0) * 0.3**3
    assert float(total[0]) == pytest.approx(8, abs=0.01)
    parts = total[18 + 6 : 18 + 6 + 2]  # of H and of O: Mulliken's electrons
    charges = water.orbitals.charges
    assert parts.tolist() == pytest.approx([2 - float(charges[1:].sum()), 6 - float(charges[0])], abs=0.01)


def test_gradient_and_laplacian_are_those_of_differences(water) -> None:
    points = torch.tensor([[0.5, 0.3, 0.9], [0.2, 1.5, -0.9], [-1.0, 0.4, -1.5]])
    step = 0.02
    density = lambda at: quantities(water, at)[:, 0].double()  # noqa: E731
    moves = [step * torch.eye(3)[axis] for axis in range(3)]
    gradient = torch.stack([(density(points + m) - density(points - m)) / (2 * step) for m in moves], 1)
    laplacian = sum((density(points + m) + density(points - m) - 2 * density(points)) / step**2 for m in moves)
    found = quantities(water, points).double()
    torch.testing.assert_close(found[:, 21:24], gradient, rtol=5e-3, atol=1e-3)
    torch.testing.assert_close(found[:, 19] + 2 * found[:, 18], laplacian, rtol=2e-2, atol=5e-3)


def test_ingredients_are_as_many_as_said_and_finite_in_a_vacuum(water) -> None:
    far = torch.tensor([[0.0, 0.0, 0.0], [8.0, 0.0, 0.0], [60.0, 0.0, 0.0]])
    seen = ingredients(quantities(water, far), len(SPECIES))
    assert seen.shape == (3, count(len(SPECIES)))
    assert seen.isfinite().all()


def test_ingredients_do_not_change_when_the_molecule_is_turned(water) -> None:
    turn = torch.from_numpy(np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0])
    hamiltonian = Hamiltonian(SPECIES)
    hamiltonian.valence[:] = torch.tensor([1.0, 6.0])
    with torch.no_grad():
        found, _ = hamiltonian(torch.tensor([1, 0, 0]), water.orbitals.positions @ turn, 8.0)
    points = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    ours = ingredients(quantities(water, points), 2)
    theirs = ingredients(quantities(Prepared.of(found, hamiltonian.valence), points @ turn.float()), 2)
    torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=2e-3)


def in_cell(shift: float, side: float = 9.0, wrapped: bool = True) -> tuple[Structure, Grid]:
    lattice = Lattice.cubic(side)
    atoms = Structure(lattice, ["O", "H", "H"], WATER + shift, coords_are_cartesian=True, to_unit_cell=wrapped)
    return atoms, Grid.of(lattice.matrix, 12)


def test_a_molecule_across_the_faces_of_its_cell_is_put_together() -> None:
    distances = [
        np.linalg.norm(m.positions[:, None] - m.positions, axis=-1)
        for m in (Molecule.of(*in_cell(shift), SPECIES) for shift in (4.5, 0.0))
    ]
    np.testing.assert_allclose(distances[1], distances[0], atol=1e-9)


def test_points_near_an_image_are_seen_from_the_molecule() -> None:
    molecule = Molecule.of(*in_cell(0.5), SPECIES)
    which, seen = molecule.near(torch.tensor([[8.5, 0.5, 0.5], [4.5, 4.5, 4.5]]))
    assert which.tolist() == [0]
    atoms = torch.from_numpy(molecule.positions).float()
    assert float(torch.cdist(seen, atoms).amin()) < 1.2


def test_what_is_bonded_to_its_images_is_refused() -> None:
    ice = Structure(Lattice.cubic(3.0), ["O", "H"], [[0, 0, 0], [0.5, 0, 0]])
    with pytest.raises(DataError, match=r"an atom is 1.50 Å from a periodic image"):
        Molecule.of(ice, Grid.of(ice.lattice.matrix, 8), SPECIES)
