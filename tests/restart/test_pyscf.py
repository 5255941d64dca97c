"""PySCF starts from what is made here: against the energy that its own cycles converge to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pyscf import dft as molecular
from pyscf import gto as molecules
from pyscf.pbc import dft, gto

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.units import BOHR, HARTREE
from edframe.io.volume import Volume
from edframe.restart.fock import _mixed, dm0, matrix, needs_of, sampled
from edframe.restart.pyscf import PySCF
from edframe.restart.pyscf_bands import bands, of_script

SIDE = 3.6
SCRIPT = f"""
from pyscf.pbc import dft, gto
cell = gto.M(atom="H 1.4 1.8 1.8; H 2.2 1.8 1.8", a=[[{SIDE}, 0, 0], [0, {SIDE}, 0], [0, 0, {SIDE}]], basis="gth-dzv",
             pseudo="gth-pbe", mesh=[24] * 3, verbose=0)
mf = dft.RKS(cell).multigrid_numint()
mf.xc = "pbe"
"""
RUN = 'if __name__ == "__main__":\n    mf.kernel()\n'


def cell(atoms="H 1.4 1.8 1.8; H 2.2 1.8 1.8", **more):
    given = {"basis": "gth-dzv", "pseudo": "gth-pbe", "mesh": [24] * 3, "verbose": 0, **more}
    return gto.M(atom=atoms, a=np.eye(3) * SIDE, **given)


def volume(mf, spins=1):
    """The density of a mean field that has converged, by PySCF."""
    matrices = np.asarray(mf.make_rdm1())
    kpts = np.reshape(mf.kpt if getattr(mf, "kpts", None) is None else mf.kpts, (-1, 3))
    shape = tuple(int(n) for n in mf.cell.mesh)

    def density(each):
        return np.reshape(mf._numint.get_rho(mf.cell, each, mf.grids, kpts), shape) / BOHR**3

    structure = needs_of(mf).structure
    fields = {"total": density(matrices)} if spins == 1 else dict(
        zip(("total", "magnetisation"), (density(matrices.sum(0)), density(matrices[0] - matrices[1])), strict=True)
    )  # fmt: skip
    return Volume(structure, Grid.of(structure.lattice.matrix, shape), fields)


def energies(mf, start=None):
    """After each cycle, hartree."""
    found = []
    mf.callback = lambda cycle: found.append(cycle["e_tot"])
    mf.kernel(dm0=start)
    assert mf.converged
    return found


def restricted():
    mf = dft.RKS(cell()).multigrid_numint()
    mf.xc = "pbe"
    return mf


def with_k_points():
    made = cell(mesh=[18] * 3, basis="gth-szv")
    mf = dft.KRKS(made, made.make_kpts([2, 1, 1]))
    mf.xc = "lda,vwn"
    return mf


def unrestricted():
    mf = dft.UKS(cell("He 1.8 1.8 1.8", charge=1, spin=1)).multigrid_numint()
    mf.xc = "pbe"
    return mf


@pytest.mark.parametrize("make", [restricted, with_k_points, unrestricted])
def test_the_own_density_leads_to_the_energy_at_once(make):
    mf = make()
    default = energies(mf)
    density = volume(mf, 2 if make is unrestricted else 1)
    again = make()
    found = energies(again, dm0(again, density))
    # PySCF's own integrator of k-points has gradients of orbitals, and the potential here those of waves; LDA has none.
    assert found[0] == pytest.approx(default[-1], abs=1e-6)
    assert len(found) <= (2 if make is restricted else len(default) - 1)


def test_a_coarse_grid_costs_little():
    mf = restricted()
    energy = energies(mf)[-1]
    fine = volume(mf)
    # What a grid of 12 points along each axis has of it.
    values = fine.fields["total"][::2, ::2, ::2]
    coarse = Volume(fine.structure, Grid.of(fine.structure.lattice.matrix, values.shape), {"total": values})
    np.testing.assert_allclose(sampled(fine.fields["total"], values.shape), values, atol=1e-12)
    again = restricted()
    assert mf.energy_tot(dm0(again, coarse)) == pytest.approx(energy, abs=1e-4)


def test_bands_are_those_of_get_bands_after_cycles():
    made = cell(basis="gth-szv")
    mf = dft.KRKS(made, made.make_kpts([2, 1, 1]), xc="lda,vwn").multigrid_numint()
    mf.kernel()
    points = made.get_abs_kpts([[0, 0, 0], [0.25, 0, 0], [0.5, 0.5, 0]])
    found = bands(dft.RKS(made, xc="lda,vwn"), volume(mf), points)
    np.testing.assert_allclose(found.energies, HARTREE * np.array(mf.get_bands(points)[0]), atol=2e-5)
    assert (found.occupied, found.electrons, found.unit) == (1, 2, "1/bohr")
    assert found.gap[0] == pytest.approx(HARTREE * max(each[0] for each in mf.get_bands(points)[0]), abs=2e-5)


def test_what_has_no_bands_is_said(tmp_path):
    density = Volume(
        needs_of(restricted()).structure, Grid.of(np.eye(3) * SIDE, (4, 4, 4)), {"total": np.ones((4, 4, 4))}
    )
    density = replace(density, fields={"total": density.fields["total"] * 2 / SIDE**3})
    points = np.zeros((1, 3))
    hybrid = restricted()
    hybrid.xc = "pbe0"
    with pytest.raises(DataError, match="bands of pbe0 need orbitals"):
        bands(hybrid, density, points)
    with pytest.raises(DataError, match="has the shape"):
        bands(restricted(), density, [0, 0, 0])
    with pytest.raises(DataError, match="bands with spin"):
        bands(dft.UKS(cell()), density, points)
    (tmp_path / "h2.py").write_text(SCRIPT)
    with pytest.raises(DataError, match="makes no `kpts_band`"):
        of_script(density, tmp_path / "h2.py", PySCF())


@pytest.mark.parametrize("response", [-2.4, 0.3])
def test_a_linear_response_is_undone(response):
    """With ρ₁ = ρ* + a (ρ − ρ*), the density that is its own response is ρ*."""
    exact, start = np.array([[1.0, 2.0, 0.5]]), np.array([[1.1, 1.8, 0.6]])
    np.testing.assert_allclose(_mixed(start, lambda now: exact + response * (now - exact)), exact, atol=1e-12)


@pytest.mark.slow
def test_a_molecule_is_computed_in_the_box_of_its_density():
    mol = molecules.M(atom="H 0 0 0; H 0.8 0 0", basis="gth-dzv", pseudo="gth-pbe", verbose=0)
    mf = molecular.RKS(mol, xc="pbe")
    energy = energies(mf)[-1]
    structure = needs_of(mf).structure
    shape = (48, 40, 40)
    grid = Grid.of(structure.lattice.matrix, shape)
    points = (grid.fractions() @ structure.lattice.matrix - structure.cart_coords[0]) / BOHR
    orbitals = mol.eval_gto("GTOval", points.reshape(-1, 3))
    density = np.einsum("ro,op,rp->r", orbitals, mf.make_rdm1(), orbitals).reshape(shape) / BOHR**3
    start = dm0(molecular.RKS(mol, xc="pbe"), Volume(structure, grid, {"total": density}))
    assert mf.energy_tot(start) == pytest.approx(energy, abs=2e-4)  # of a box with images, and one without


def test_what_cannot_be_started_is_said(tmp_path):
    with pytest.raises(DataError, match="no molecule with all its electrons"):
        needs_of(molecular.RKS(molecules.M(atom="He", verbose=0)))
    with pytest.raises(DataError, match="not started from a density"):
        needs_of(dft.ROKS(cell()))
    with pytest.raises(DataError, match="not a Cell"):
        needs_of(cell())
    path = tmp_path / "h2.py"
    for text, reason in {
        "x = 1": "makes no mean field `mf`",
        "1 / 0": "ZeroDivisionError",
        SCRIPT + "mf.kernel()": "has run its calculation",
    }.items():
        path.write_text(text)
        with pytest.raises(DataError, match=reason):
            PySCF().needs(path)
    with pytest.raises(DataError, match="no Python script"):
        PySCF().needs(tmp_path / "h2.inp")


def test_a_script_is_written(tmp_path):
    path = tmp_path / "h2.py"
    path.write_text(SCRIPT + RUN)
    code = PySCF()
    needs = code.needs(path)
    assert (needs.electrons, needs.spins, needs.level.functional) == (2, 1, "pbe")
    assert needs.level.pseudopotentials == {"*": "gth-pbe"}
    mf = restricted()
    energies(mf)
    written = code.write(volume(mf), path, tmp_path / "out", may_run=False, force=False)
    np.testing.assert_allclose(np.load(written.files[0]), matrix(restricted(), volume(mf)), atol=1e-9)
    with pytest.raises(DataError, match="exists already"):
        code.write(volume(mf), path, tmp_path / "out", may_run=False, force=False)


@pytest.mark.slow
def test_the_script_runs(tmp_path):
    path = tmp_path / "h2.py"
    path.write_text(SCRIPT + RUN)
    mf = restricted()
    expected = energies(mf)
    code = PySCF()
    outcome = code.run(code.write(volume(mf), path, None, may_run=True, force=False))
    assert outcome.energies[-1] == pytest.approx(27.211386 * expected[-1], abs=1e-6)
    assert outcome.iterations < len(expected)
