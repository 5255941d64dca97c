"""Names of PySCF that have no public counterpart: each is there, and does what edframe relies on."""

import numpy as np
import pytest
from edframe_pyscf.bloch import BlochNumInt
from pyscf import gto as molecular
from pyscf.pbc import dft, gto, tools
from pyscf.pbc.dft.multigrid import MultiGridNumInt2
from pyscf.pbc.dft.multigrid.multigrid_pair import _get_j_pass2


@pytest.fixture(scope="module")
def cell():
    return gto.M(
        a=3.0 * np.eye(3), atom="Li 0 0 0; H 0 0 1.5", basis="gth-szv", pseudo="gth-pbe", mesh=[25] * 3, verbose=0
    )


def test_the_integrator_of_a_mean_field_is_its_numint(cell):
    asked = []

    class Watched(BlochNumInt):
        def nr_rks(self, *arguments, **options):
            asked.append(arguments)
            return super().nr_rks(*arguments, **options)

    mean_field = dft.KRKS(cell, np.zeros((1, 3)))
    mean_field.xc = "pbe"
    mean_field._numint = Watched(cell)
    mean_field.get_veff(cell, mean_field.get_init_guess())
    assert len(asked) == 1


def test_finalize_is_the_hook_at_the_end_of_a_calculation(cell):
    ended = []
    mean_field = dft.RKS(cell, xc="pbe").multigrid_numint()
    mean_field.max_cycle = 1
    mean_field._finalize = lambda: ended.append(mean_field.mo_coeff)
    mean_field.kernel()
    assert len(ended) == 1
    assert ended[0] is not None


def test_the_matrix_of_a_constant_potential_is_the_overlap(cell):
    integrator = MultiGridNumInt2(cell)
    points = np.prod(integrator.mesh)
    waves = tools.fft(np.ones(points), integrator.mesh) * cell.vol / points
    matrix = np.reshape(_get_j_pass2(integrator, waves), (cell.nao, cell.nao))
    assert matrix == pytest.approx(cell.pbc_intor("int1e_ovlp", hermi=1), abs=1e-4)


def test_contraction_coefficients_have_the_radial_normalisation(cell):
    for shell in range(cell.nbas):
        norm = molecular.gto_norm(cell.bas_angular(shell), cell.bas_exp(shell))
        assert cell._libcint_ctr_coeff(shell) == pytest.approx(cell.bas_ctr_coeff(shell) * norm[:, None], rel=1e-12)
