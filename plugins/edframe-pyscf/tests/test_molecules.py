"""Labels of molecules: their boxes, and their densities against PySCF's own integration of an SCF without multigrid."""

from dataclasses import replace

import numpy as np
import pytest
from edframe_pyscf import molecules, scf
from edframe_pyscf.molecules import Molecules, label
from edframe_pyscf.plugin import MoleculesConfig
from pyscf.data.nist import BOHR
from pyscf.pbc import dft, gto
from pyscf.pbc.dft import gen_grid, numint

from edframe.errors import DataError

H2 = "2\n\nH 5 0.3 0.1\nH 5.74 0.3 0.1\n"
COARSE = {"voxel": 0.25, "margin": 1.5}


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """The dataset ``molecules`` of a file with the given text; its SCF meshes are coarse, to be quick."""
    level = replace(molecules.LEVELS["pbe-dzvp"], spacing=0.12)
    monkeypatch.setitem(molecules.LEVELS, "pbe-dzvp", level)

    def make(text, **options):
        path = tmp_path / "some.xyz"
        path.write_text(text, encoding="utf-8")
        return Molecules(MoleculesConfig(file=str(path), **{**COARSE, **options}))

    return make


def test_a_box_has_its_margin_voxels_of_the_size_asked_for_and_multiples_of_8_points(dataset):
    (job,) = dataset(H2, voxel=0.2, margin=2).jobs()
    assert job.inputs["shape"] == [24, 24, 24]  # 4.74 and 4.0 Å fit into 24 × 0.2 = 4.8, and not into 16 × 0.2
    np.testing.assert_allclose(job.inputs["sides"], 4.8)
    np.testing.assert_allclose(job.inputs["positions"], [[2.4 - 0.37, 2.4, 2.4], [2.4 + 0.37, 2.4, 2.4]], atol=1e-8)
    (job,) = dataset(H2, voxel=0.2, margin=2.1).jobs()
    assert job.inputs["shape"] == [32, 24, 24]


def test_the_cell_of_the_file_is_kept(dataset):
    text = H2.replace("\n\n", '\nLattice="6 0 0 0 4 0 0 0 3.9" Properties=species:S:1:pos:R:3\n')
    (job,) = dataset(text, voxel=0.24).jobs()
    assert job.inputs["sides"] == [6, 4, 3.9]
    assert job.inputs["shape"] == [32, 24, 24]
    np.testing.assert_array_equal(job.inputs["positions"], [[5, 0.3, 0.1], [5.74, 0.3, 0.1]])


def test_a_lattice_that_is_no_box_is_refused_by_its_line(dataset):
    text = H2.replace("\n\n", '\nLattice="6 0 0 1 4 0 0 0 4" Properties=species:S:1:pos:R:3\n')
    with pytest.raises(DataError, match=r"some\.xyz:5: its Lattice is not a box"):
        dataset(f"{H2.replace('5.74', '5.75')}{text}").jobs()


@pytest.mark.parametrize("text", [H2, "3\ncharge=1\nH 0 0 0\nH 0.9 0 0\nH 0.45 0.78 0\n"], ids=["H2", "H3+"])
def test_a_label_is_the_density_that_pyscf_finds_without_multigrid(dataset, text):
    (job,) = dataset(text).jobs()
    sample = label(job)
    assert sample.electrons == 2
    inputs = job.inputs
    cell = gto.M(
        atom=list(zip(inputs["species"], inputs["positions"], strict=True)),
        a=np.diag(inputs["sides"]),
        basis="gth-dzvp",
        pseudo="gth-pbe",
        charge=inputs["charge"],
        mesh=[32, 32, 32],
        verbose=0,
    )
    mean_field = dft.RKS(cell, xc="pbe").run()
    points = gen_grid.UniformGrids(cell)
    points.mesh = np.array(sample.grid.shape)
    density = numint.NumInt().get_rho(cell, mean_field.make_rdm1(), points).reshape(sample.grid.shape) / BOHR**3
    density *= 2 / (density.sum() * sample.grid.voxel_volume)
    assert np.abs(sample.density[0] - density).sum() * sample.grid.voxel_volume < 2 * 3e-4
    assert sample.source["energy_hartree"] == pytest.approx(mean_field.e_tot, abs=1e-4)
    assert sample.source["integral_before_normalisation"] == pytest.approx(2, abs=1e-3)
    np.testing.assert_allclose(sample.structure.cart_coords, inputs["positions"])


def test_a_grid_that_is_too_coarse_is_an_error_that_says_so(dataset):
    """Helium's peak is narrow: 0.3 Å miss it."""
    (job,) = dataset("1\n\nHe 0 0 0\n", voxel=0.3, margin=1.2).jobs()
    with pytest.raises(DataError, match=r"instead of 2 e on a grid of 0\.30 Å; give a smaller voxel"):
        label(job)


def test_an_scf_that_does_not_converge_is_left_out_and_listed(dataset, monkeypatch):
    stretched = "1\n\nHe 0 0 0\n"
    built = dataset(H2 + stretched)
    solve = scf.solve

    def solve_but_helium(cell, label, ladder):
        if cell.natm == 1:
            ladder = [replace(rung, max_cycle=1) for rung in ladder]
        return solve(cell, label, ladder)

    monkeypatch.setattr(scf, "solve", solve_but_helium)
    built.build(lambda done, total: None)
    assert list(built.ids) == ["some-0"]
    assert list(built.failures) == ["some-1"]
    assert "did not converge" in built.failures["some-1"]
    assert built[0].source["conv_tol"] == 1e-9
