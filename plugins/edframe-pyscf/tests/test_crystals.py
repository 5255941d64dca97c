"""Densities of crystals: against PySCF's own integration and orbitals, a supercell, space groups; what is refused."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from edframe_pyscf import crystals, scf
from edframe_pyscf.bloch import BlochNumInt
from edframe_pyscf.crystals import Crystals, label
from edframe_pyscf.levels import PBE_DZVP
from edframe_pyscf.options_clusters import CrystalsConfig
from edframe_pyscf.orbitals import Expansion
from edframe_pyscf.scf import Settings
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from pyscf.data.nist import BOHR
from pyscf.pbc import dft

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.testing import checks, component

CHAIN = Structure(Lattice.orthorhombic(1.9, 3.2, 3.6), ["H", "H"], [[0.1, 0.5, 0.5], [0.5, 0.5, 0.5]])
SKEWED = Structure(Lattice.from_parameters(2.6, 2.9, 3.1, 75, 80, 65), ["He"], [[0.1, 0.2, 0.3]])
HCP = Structure(Lattice.hexagonal(2.6, 4.2), ["He", "He"], [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]])


@pytest.fixture(autouse=True)
def level(monkeypatch):
    """A coarse mesh, to be quick."""
    coarse = replace(PBE_DZVP, spacing=0.12)
    monkeypatch.setitem(crystals.LEVELS, "pbe-dzvp", coarse)
    return coarse


@pytest.fixture
def job(tmp_path):
    """The job of one structure, or of the text of a file."""

    def make(content, name="some.cif", **options):
        path = tmp_path / name
        path.write_text(content.to(fmt="cif") if isinstance(content, Structure) else content, encoding="utf-8")
        settings = {"files": str(path), "level": "pbe-dzvp", "kspacing": 1.4, "voxel": 0.25, **options}
        (made,) = Crystals(CrystalsConfig(**settings)).jobs()
        return made

    return make


def solved(structure, level, mesh):
    return crystals.solve(crystals.build_cell(structure, level, "a crystal"), mesh, "a crystal")


def nmae(a, b):
    """∫|a − b| / ∫b."""
    return np.abs(a - b).sum() / b.sum()


def test_the_scf_is_that_of_pyscf_s_own_integration_in_a_skewed_cell():
    """Oracle: FFTDF, which evaluates orbitals point by point."""
    ours = solved(SKEWED, replace(PBE_DZVP, precision=1e-6), (2, 1, 1))
    reference = dft.KRKS(ours.cell, ours.kpoints)
    reference.xc = "pbe"
    reference.conv_tol, reference.conv_tol_grad = 1e-9, 1e-5
    energy = reference.kernel()
    grid = Grid.of(SKEWED.lattice.matrix, 16)
    expected = crystals.density_on_grid(replace(ours, density_matrices=np.asarray(reference.make_rdm1())), grid)
    assert ours.energy == pytest.approx(energy, abs=1e-5)
    assert nmae(crystals.density_on_grid(ours, grid), expected) < 5e-5


def test_orbitals_that_are_not_kept_give_the_same_potential(level, monkeypatch):
    cell = crystals.build_cell(SKEWED, level, "a crystal")
    kpoints = cell.make_kpts((2, 1, 1))
    matrices = dft.KRKS(cell, kpoints).get_init_guess()
    kept = BlochNumInt(cell).nr_rks(cell, None, "pbe", matrices, kpts=kpoints)
    monkeypatch.setattr("edframe_pyscf.bloch.KEPT", 0)
    anew = BlochNumInt(cell).nr_rks(cell, None, "pbe", matrices, kpts=kpoints)
    assert kept[:2] == anew[:2]
    np.testing.assert_array_equal(kept[2], anew[2])


def test_a_density_is_the_sum_over_k_points_of_pyscf_s_orbitals_at_fractions_of_the_cell(level):
    ours = solved(SKEWED, level, (2, 1, 1))
    grid = Grid.of(SKEWED.lattice.matrix, (6, 5, 7))
    orbitals = ours.cell.pbc_eval_gto("GTOval", grid.coordinates().reshape(-1, 3) / BOHR, kpts=ours.kpoints)
    terms = [np.einsum("go,op,gp->g", u, d, u.conj()) for u, d in zip(orbitals, ours.density_matrices, strict=True)]
    expected = np.mean(terms, axis=0).real.reshape(grid.shape) / BOHR**3
    np.testing.assert_allclose(crystals.density_on_grid(ours, grid), expected, rtol=0, atol=1e-6 * expected.max())


def test_two_k_points_are_a_supercell_of_two_cells_at_the_gamma_point():
    """Oracle: the SCF and the orbitals of ``li-o-li``, which know no k-points."""
    ours = solved(CHAIN, PBE_DZVP, (2, 1, 1))
    double = CHAIN * (2, 1, 1)
    mesh = [2 * ours.cell.mesh[0], *ours.cell.mesh[1:]]
    species = [site.specie.symbol for site in double]
    cell = scf.build_cell(species, double.cart_coords, double.lattice.matrix, PBE_DZVP, mesh=mesh)
    solution = scf.solve(cell, "two cells")
    grid = Grid.of(CHAIN.lattice.matrix, (8, 12, 12))
    whole = Grid.of(double.lattice.matrix, (16, 12, 12))
    expected = Expansion.of(cell).density(double.cart_coords, solution.density_matrix, whole)
    assert 2 * ours.energy == pytest.approx(solution.energy, abs=2e-5)
    assert nmae(np.tile(crystals.density_on_grid(ours, grid), (2, 1, 1)), expected) < 1e-4


def test_the_density_has_the_symmetry_of_the_space_group(job):
    """Oracle: spglib's operations of P6₃/mmc, on the indices of grid points."""
    sample = label(job(HCP))
    operations = SpacegroupAnalyzer(sample.structure).get_symmetry_operations()
    shape = np.array(sample.grid.shape)
    density, fractions = sample.density[0], sample.grid.fractions()
    compared = 0
    for operation in operations:
        images = (fractions @ operation.rotation_matrix.T + operation.translation_vector) * shape
        indices = np.rint(images).astype(int)
        if np.abs(images - indices).max() < 1e-6:
            assert nmae(density[tuple(np.moveaxis(indices % shape, -1, 0))], density) < 2e-5
            compared += 1
    assert compared == len(operations) == 24


def test_an_odd_electron_is_a_metal_on_an_even_mesh_and_none_is_added(job):
    hydrogen = Structure(Lattice.cubic(1.8), ["H"], [[0, 0, 0]])
    sample = label(job(hydrogen, kspacing=3.5))
    assert sample.source["kpoints"] == [2, 2, 2]
    assert sample.source["smearing"] > 0
    assert sample.source["gap_hartree"] is None
    assert sample.source["integral_before_normalisation"] == pytest.approx(1, abs=1e-3)


def test_a_label_says_how_it_was_made_and_holds_its_electrons(job):
    sample = label(job(SKEWED))
    assert sample.grid.shape == (16, 16, 16)
    assert sample.density[0].sum(dtype=float) * sample.grid.voxel_volume == pytest.approx(2, rel=1e-6)
    assert sample.source["integral_before_normalisation"] == pytest.approx(2, abs=1e-3)
    assert sample.source["smearing"] == 0
    assert {"kpoints", "mesh", "basis", "cycles", "energy_hartree", "file"} <= set(sample.source)
    np.testing.assert_allclose(sample.structure.lattice.abc, SKEWED.lattice.abc, atol=1e-5)


def test_k_points_are_those_of_vasp_s_kspacing():
    """2π/a = 1.571 Å⁻¹ of a cube of 4 Å; |b| = 2π√3/a = 2.004 Å⁻¹ of silicon."""
    cube = np.eye(3) * 4.0
    silicon = (np.ones((3, 3)) - np.eye(3)) * 5.43 / 2
    assert crystals.kpoint_mesh(cube, 0.5, 8) == (4, 4, 4)
    assert crystals.kpoint_mesh(cube, np.pi / 4, 8) == (2, 2, 2)
    assert crystals.kpoint_mesh(cube * [[1], [2], [8]], 0.6, 8) == (3, 2, 1)
    assert crystals.kpoint_mesh(silicon, 0.5, 8) == (5, 5, 5)
    assert crystals.kpoint_mesh(silicon, 0.5, 7) == (6, 6, 6)
    assert crystals.kpoint_mesh(cube * [[1], [2], [8]], 0.6, 7) == (3, 2, 1)


def test_grids_meet_the_voxel_by_multiples_of_8():
    assert crystals.grid_shape(np.diag([4.8, 4.81, 1.0]), 0.15) == (32, 40, 8)
    assert crystals.grid_shape(np.diag([8.0, 8.1, 8.2]), 0.15) == (64, 64, 64)  # 56 has a factor of 7


DISORDERED = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (DISORDERED, {}, r"some\.cif: site 1 .*Na.* has partial occupancy"),
        (Structure(Lattice.cubic(4), ["Fe"], [[0, 0, 0]]), {}, r"some\.cif: .*Fe; use pbe-dzvp-molopt"),
        (Structure(Lattice.cubic(4), ["U"], [[0, 0, 0]]), {}, r"some\.cif: .*no level has U"),
        (HCP, {"max_atoms": 1}, r"some\.cif: it has 2 atoms, and only small cells, of at most 1,"),
        ("data_nothing\n", {}, r"some\.cif: it cannot be read as a CIF"),
        ("comment\n1.0\n", {"name": "POSCAR"}, r"POSCAR: it cannot be read as a POSCAR"),
    ],
)
def test_what_cannot_be_labelled_is_refused_with_its_file(job, content, options, message):
    with pytest.raises(DataError, match=message):
        label(job(content, **options))


def test_an_scf_that_does_not_converge_is_no_label(level):
    cell = crystals.build_cell(SKEWED, level, "some.cif")
    with pytest.raises(DataError, match=r"some\.cif: the SCF converged neither"):
        crystals.solve(cell, (1, 1, 1), "some.cif", [Settings(max_cycle=1)])


def test_the_options_name_all_levels():
    assert get_args(CrystalsConfig.model_fields["level"].annotation) == tuple(crystals.LEVELS)


def test_files_folders_and_names(tmp_path):
    (tmp_path / "he").mkdir()
    HCP.to(filename=str(tmp_path / "he" / "POSCAR"))
    HCP.to(filename=str(tmp_path / "hcp.cif"))
    (tmp_path / "notes.txt").write_text("nothing")
    config = CrystalsConfig(files=str(tmp_path / "*"))
    jobs = Crystals(config).jobs()
    assert [job.id for job in jobs] == ["hcp.cif", "POSCAR"]
    assert len(crystals.read_structure("POSCAR", jobs[1].inputs["text"])) == 2
    (tmp_path / "hcp.cif").touch()
    assert [job.key for job in Crystals(config).jobs()] == [job.key for job in jobs]
    with pytest.raises(DataError, match="no CIF or POSCAR"):
        Crystals(CrystalsConfig(files=str(tmp_path / "*.tx*"))).jobs()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two crystals, and a cache in which they are labelled once."""
    folder = tmp_path_factory.mktemp("crystals")
    for name, structure in {"chain": CHAIN, "skewed": SKEWED}.items():
        structure.to(filename=str(folder / f"{name}.cif"))
    return folder


@pytest.mark.parametrize("check", checks("dataset"), ids=str)
def test_conformance(check, files, monkeypatch):
    monkeypatch.setenv("EDFRAME_CACHE", str(files / "cache"))
    options = {"files": str(files / "*.cif"), "level": "pbe-dzvp", "kspacing": 2.5, "voxel": 0.3}
    check(component("dataset", "crystals", options))
