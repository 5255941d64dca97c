"""The product form against PySCF's own orbitals, point by point, and what it refuses."""

import numpy as np
import pytest
from edframe_pyscf.orbitals import Expansion, density_on_grid
from pyscf.data.nist import BOHR
from pyscf.pbc import gto

from edframe.errors import DataError
from edframe.grid import Grid


def make_cell(atom, lattice, **options):
    return gto.M(
        atom=atom, a=lattice, unit="A", basis="gth-dzvp", pseudo="gth-pbe", precision=1e-12, verbose=0, **options
    )


CELLS = {
    "bent Li-O-Li in a cube": (
        make_cell("Li 1.1 2.2 2.0; O 2.5 2.5 2.5; Li 4.0 2.1 2.6", np.eye(3) * 5.0),
        Grid.of([5.0] * 3, 10),
    ),
    "water across the faces of an orthorhombic cell": (
        make_cell("O 0.1 3.9 0.2; H 0.9 0.3 0.0; H 5.6 0.2 0.4", np.diag([5.8, 4.1, 6.3])),
        Grid.of([5.8, 4.1, 6.3], (9, 12, 7)),
    ),
    "HF in a cell shorter than its orbitals": (
        make_cell("F 0.3 0.4 1.0; H 0.3 0.4 1.92", np.diag([2.2, 3.0, 3.4])),
        Grid.of([2.2, 3.0, 3.4], (5, 6, 8)),
    ),
}


def symmetric(size, seed=0):
    values = np.random.default_rng(seed).normal(size=(size, size))
    return values + values.T


def by_pyscf(cell, matrix, grid):
    orbitals = cell.pbc_eval_gto("GTOval_sph", grid.coordinates().reshape(-1, 3) / BOHR)
    return np.einsum("go,op,gp->g", orbitals, matrix, orbitals, optimize=True).reshape(grid.shape) / BOHR**3


@pytest.mark.parametrize("name", CELLS)
def test_agrees_with_pyscf_for_any_symmetric_matrix(name):
    cell, grid = CELLS[name]
    assert max(cell.bas_angular(shell) for shell in range(cell.nbas)) == 2
    matrix = symmetric(cell.nao)
    expected = by_pyscf(cell, matrix, grid)
    np.testing.assert_allclose(
        density_on_grid(cell, matrix, grid), expected, rtol=0, atol=1e-8 * np.abs(expected).max()
    )


def test_one_expansion_serves_every_geometry_of_the_same_atoms():
    cell, grid = CELLS["bent Li-O-Li in a cube"]
    moved = make_cell("Li 0.2 1.4 2.0; O 2.3 2.5 2.9; Li 4.4 2.6 2.6", np.eye(3) * 5.0)
    matrix = symmetric(cell.nao)
    density = Expansion.of(cell).density(moved.atom_coords() * BOHR, matrix, grid)
    expected = by_pyscf(moved, matrix, grid)
    np.testing.assert_allclose(density, expected, rtol=0, atol=1e-8 * np.abs(expected).max())


def test_an_occupied_orbital_is_nowhere_negative():
    cell, grid = CELLS["bent Li-O-Li in a cube"]
    states = np.random.default_rng(1).normal(size=(cell.nao, 6))
    rounded = (states @ states.T).astype(np.float32).astype(float)
    assert density_on_grid(cell, rounded, grid).min() >= 0


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (Grid.of([[5, 0, 0], [1, 5, 0], [0, 0, 5]], 6), "not the cell of the orbitals"),
        (Grid.of([5.0, 5.0, 5.1], 6), "not the cell of the orbitals"),
        (Grid.of([5.0, 5.0, 5.0], 6, (True, True, False)), "periodic 3D grid"),
        (Grid.of([5.0, 5.0], 6), "periodic 3D grid"),
    ],
)
def test_other_cells_are_refused(grid, message):
    cell, _ = CELLS["bent Li-O-Li in a cube"]
    with pytest.raises(DataError, match=message):
        density_on_grid(cell, np.eye(cell.nao), grid)


def test_a_triclinic_cell_is_refused_even_when_the_grid_has_it_too():
    lattice = [[5.0, 0, 0], [1.0, 5, 0], [0, 0, 5]]
    cell = make_cell("Li 0 0 0; O 1.6 0 0; Li 3.2 0 0", lattice)
    with pytest.raises(DataError, match="box along x, y and z"):
        density_on_grid(cell, np.eye(cell.nao), Grid.of(lattice, 6))


def test_cartesian_orbitals_are_refused():
    cell = make_cell("Li 0 0 0; O 1.6 0 0; Li 3.2 0 0", np.eye(3) * 5.0, cart=True)
    with pytest.raises(DataError, match="spherical orbitals"):
        density_on_grid(cell, np.eye(cell.nao), Grid.of([5.0] * 3, 6))
