"""The Harris–Foulkes energy against PySCF's total energy and matrices, and what a stationary functional obeys."""

import time

import numpy as np
import pytest
from edframe_pyscf import clusters, scf
from edframe_pyscf import clusters_geometry as shapes
from edframe_pyscf.harris import HarrisFunctional, energy_error, harris_energy
from edframe_pyscf.levels import PBE_DZVP, Level
from edframe_pyscf.li_o_li import LiOLi
from edframe_pyscf.matrices import unpack
from edframe_pyscf.orbitals import density_on_grid
from edframe_pyscf.plugin import LiOLiConfig
from pymatgen.core import Lattice, Structure
from pyscf.data.nist import BOHR
from pyscf.pbc import dft
from pyscf.pbc.dft.multigrid import MultiGridNumInt2
from scipy.linalg import eigh

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.units import HARTREE

COARSE = Level("coarse", "gth-dzvp", 0.16, "H O")
BOX = np.diag([4.8, 4.8, 4.8])
TRICLINIC = np.array([[5.0, 0.0, 0.0], [1.2, 4.6, 0.0], [-0.8, 1.0, 4.8]])


class Water:
    """Its SCF and a density that is not self-consistent, by PySCF alone. Densities ``[1, x, y, z]`` in e/Å³."""

    def __init__(self, lattice):
        positions = np.array([[2.4, 2.4, 2.2], [2.4, 3.157, 2.787], [2.4, 1.643, 2.787]])
        self.structure = Structure(Lattice(lattice), ["O", "H", "H"], positions, coords_are_cartesian=True)
        self.cell = scf.build_cell(["O", "H", "H"], positions, lattice, COARSE)
        self.grid = Grid.of(lattice, list(self.cell.mesh))
        self.mean_field = dft.RKS(self.cell, xc="pbe").multigrid_numint()
        self.solution = scf.solve(self.cell, "water")
        guess = np.asarray(self.mean_field.get_init_guess(key="minao"))
        self.guess = guess * 8 / np.sum(guess * self.mean_field.get_ovlp())

    def density(self, matrix):
        return MultiGridNumInt2(self.cell).get_rho(self.cell, matrix, None).reshape(1, *self.grid.shape) / BOHR**3

    @property
    def reference(self):
        return self.density(self.solution.density_matrix)


@pytest.fixture(scope="module", params=[BOX, TRICLINIC], ids=["box", "triclinic"])
def either(request):
    return Water(request.param)


@pytest.fixture(scope="module")
def water():
    return Water(BOX)


@pytest.fixture(scope="module")
def functional(water):
    return HarrisFunctional(water.structure, COARSE)


def test_at_the_self_consistent_density_it_is_the_total_energy(either):
    energy = harris_energy(either.structure, either.reference, either.grid, COARSE)
    assert energy == pytest.approx(HARTREE * either.solution.energy, abs=1e-6)


def test_of_any_density_it_is_what_pyscf_s_matrices_give(either):
    """Σ f ε − tr(D V) + E_H + E_xc + E_nuc, with V and the energies that PySCF makes of the density matrix D itself."""
    matrix, core = either.guess, either.mean_field.get_hcore()
    effective = either.mean_field.get_veff(dm=matrix)
    levels = eigh(core + effective, either.mean_field.get_ovlp(), eigvals_only=True)
    expected = 2 * levels[:4].sum() - np.sum(matrix * effective) + effective.ecoul + effective.exc
    expected += either.mean_field.energy_nuc()
    energy = harris_energy(either.structure, either.density(matrix), either.grid, COARSE)
    assert energy == pytest.approx(HARTREE * expected, abs=1e-6)
    assert abs(energy - HARTREE * either.solution.energy) > 0.1


def test_errors_are_of_second_order(water, functional):
    reference, difference = water.reference, water.density(water.guess) - water.reference
    whole, half, quarter = (
        functional.error(reference + scale * difference, reference, water.grid) for scale in (0.2, 0.1, 0.05)
    )
    assert abs(whole) > 1
    assert whole / half == pytest.approx(4, rel=0.03)
    assert half / quarter == pytest.approx(4, rel=0.02)
    assert functional.error(reference, reference, water.grid) == pytest.approx(0, abs=1e-4)


def test_an_error_is_in_mev_per_atom_of_the_difference_to_the_total_energy(water):
    predicted = 0.8 * water.reference + 0.2 * water.density(water.guess)
    energy = harris_energy(water.structure, predicted, water.grid, COARSE)
    expected = 1000 / 3 * (energy - HARTREE * water.solution.energy)
    assert energy_error(water.structure, predicted, water.reference, water.grid, COARSE) == pytest.approx(
        expected, abs=1e-3
    )


def test_an_error_on_a_coarser_grid_is_that_on_the_mesh_though_energies_are_not(water, functional):
    """Every second point of the same densities, 0.32 Å apart: the energy of the reference is off by 48 meV per atom."""
    coarse = Grid.of(BOX, [n // 2 for n in water.grid.shape])
    reference = density_on_grid(water.cell, water.solution.density_matrix, coarse)[None]
    difference = density_on_grid(water.cell, water.guess - water.solution.density_matrix, coarse)[None]
    predicted = 0.9 * water.reference + 0.1 * water.density(water.guess)
    exact = functional.error(predicted, water.reference, water.grid)
    assert functional.error(reference + 0.1 * difference, reference, coarse) == pytest.approx(exact, rel=0.03)
    assert 1000 / 3 * (functional.energy(reference, coarse) - HARTREE * water.solution.energy) > 5 * abs(exact)


def test_negative_values_and_a_noisy_vacuum_cost_little(water, functional):
    """Noise of 1e-5 e/Å³, ten times what is left of the density between the molecules: below 1 meV per atom."""
    noise = np.random.default_rng(0).normal(0, 1e-5, water.reference.shape)
    predicted = water.reference + noise - noise.mean()
    error = functional.error(predicted, water.reference, water.grid)
    assert 0 < abs(error) < 1
    raised = functional.error(np.maximum(predicted, 0), water.reference, water.grid)
    assert error == pytest.approx(raised, abs=0.1)


def test_what_is_no_density_of_the_structure_is_refused(water, functional):
    reference, grid = water.reference, water.grid
    with pytest.raises(DataError, match=r"H2 O1: the density integrates to 15\.99\d\d e, .* leave 8 e; give a valence"):
        functional.energy(2 * reference, grid)
    with pytest.raises(DataError, match=r"shape \(2, 30, 30, 30\) .* give one of shape \(1, 30, 30, 30\)"):
        functional.energy(np.concatenate([reference, reference]), grid)
    with pytest.raises(DataError, match=r"the grid's cell .* is not the structure's"):
        functional.energy(reference, Grid.of(BOX * 1.01, 24))
    with pytest.raises(DataError, match="make the cell periodic"):
        functional.energy(reference, Grid.of(BOX, 30, periodic=False))
    with pytest.raises(DataError, match=r"^H1 O1: 7 electrons, .* needs an even number"):
        HarrisFunctional(Structure(Lattice(BOX), ["O", "H"], [[0, 0, 0], [0, 0, 0.2]]), COARSE)
    with pytest.raises(DataError, match="no basis or no pseudopotential for Br; use pbe-dzvp-molopt"):
        HarrisFunctional(Structure(Lattice(BOX), ["Br"], [[0, 0, 0]]), PBE_DZVP)


def test_an_ion_has_the_electrons_of_its_charge(water):
    hydroxide = Structure(Lattice(BOX), ["O", "H"], [[0.5, 0.5, 0.4], [0.5, 0.5, 0.6]], charge=-1)
    functional = HarrisFunctional(hydroxide, COARSE)
    assert functional.energy(water.reference, water.grid) < 0  # 8 electrons, of another molecule
    with pytest.raises(DataError, match="leave 8 e"):
        functional.energy(water.reference * 7 / 8, water.grid)


def test_a_shipped_label_has_the_energy_that_it_states():
    """Li–O–Li on the mesh of its SCF; the label is scaled, and in single precision."""
    sample = LiOLi(LiOLiConfig(grid=80))[100]
    energy = harris_energy(sample.structure, sample.density, sample.grid, PBE_DZVP)
    assert energy == pytest.approx(HARTREE * sample.source["energy_hartree"], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3])
def test_a_larger_cluster_has_the_energy_that_it_states(n):
    _, records, matrices = clusters.shipped()
    cluster = shapes.clusters()[n]
    grid = Grid.of(cluster.sides, PBE_DZVP.mesh(cluster.sides.tolist()))
    positions = cluster.positions[1] + cluster.sides / 2
    cell = scf.build_cell(cluster.species, positions, grid.vectors, PBE_DZVP)
    density = density_on_grid(cell, unpack(matrices[n][1]), grid)[None]
    structure = Structure(Lattice(grid.vectors), cluster.species, positions, coords_are_cartesian=True)
    energy = harris_energy(structure, density, grid, PBE_DZVP)
    # Not closer: here the density that PySCF integrates differs from that of its orbitals by 1e-4 of all electrons.
    assert energy == pytest.approx(HARTREE * records[n][1]["energy_hartree"], abs=3e-4)


@pytest.mark.slow
def test_what_sampling_and_noise_cost_li_o_li():
    """The figures of the README: printed with -s."""
    sample = LiOLi(LiOLiConfig(grid=48))[312]
    start = time.perf_counter()
    functional = HarrisFunctional(sample.structure, PBE_DZVP)
    nothing = functional.error(sample.density, sample.density, sample.grid)
    converged = time.perf_counter()
    costs = {}
    for grid in (48, 64, 96):
        label = LiOLi(LiOLiConfig(grid=grid))[312]
        stated = HARTREE * label.source["energy_hartree"]
        costs[grid] = 1000 / 3 * (functional.energy(label.density, label.grid) - stated)
        print(f"the label on {grid}³ points: {costs[grid]:.2f} meV per atom")
    for amplitude in (1e-5, 1e-4, 1e-3):
        noise = np.random.default_rng(0).normal(0, amplitude, sample.density.shape)
        begun = time.perf_counter()
        costs[amplitude] = functional.error(sample.density + noise - noise.mean(), sample.density, sample.grid)
        print(f"noise of {amplitude:g} e/Å³: {costs[amplitude]:.3f} meV per atom")
    print(f"SCF {converged - start:.1f} s, evaluation {time.perf_counter() - begun:.2f} s")
    assert nothing == pytest.approx(0, abs=1e-4)
    assert costs[48] > 100 > 20 > costs[64] > 1 > costs[96] > 0
    assert 50 > costs[1e-3] > 10 * costs[1e-4] > 100 * costs[1e-5] > 0
