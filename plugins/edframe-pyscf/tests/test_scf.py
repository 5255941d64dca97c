"""Convergence, escalation and refusal of the SCF, on a coarse mesh to be quick."""

import numpy as np
import pytest
from edframe_pyscf import li_o_li_geometry as geometry
from edframe_pyscf import scf
from pyscf.pbc import dft

from edframe.errors import DataError

HOPELESS = scf.Settings(max_cycle=1)


@pytest.fixture
def cell():
    lattice = np.eye(3) * geometry.CELL_LENGTH
    return scf.build_cell(geometry.SPECIES, geometry.positions(12, 12), lattice, geometry.LEVEL, mesh=[32, 32, 32])


def test_an_scf_that_converges_on_no_rung_is_an_error_that_names_the_sample(cell):
    with pytest.raises(DataError, match=r"li-o-li-12-12: .*not converge.*max_cycle=1,.*; level_shift=0\.3") as error:
        scf.solve(cell, "li-o-li-12-12", [HOPELESS, scf.Settings(level_shift=0.3, max_cycle=2)])
    assert "not a label" in str(error.value)


def test_escalates_records_the_settings_that_converged_and_goes_on_from_a_matrix(cell):
    solution = scf.solve(cell, "x", [HOPELESS, scf.Settings(level_shift=0.1)])
    record = solution.record()
    assert record["level_shift"] == 0.1
    assert record["max_cycle"] == scf.Settings().max_cycle
    assert 1 < record["cycles"] < record["max_cycle"]
    assert record["energy_hartree"] == solution.energy
    again, cycles = scf.drive(dft.RKS(cell).multigrid_numint(), scf.Settings(), solution.density_matrix)
    assert again.converged
    assert cycles < record["cycles"] / 2
    assert again.e_tot == pytest.approx(solution.energy, abs=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("settings", scf.LADDER, ids=str)
def test_every_rung_converges_to_one_state_of_12_electrons(cell, settings):
    """Smearing moves a few 1e-4 electrons across the gap of 2 eV: millihartrees."""
    reference = scf.solve(cell, "reference")
    solution = scf.solve(cell, "rung", [settings])
    assert solution.settings == settings
    assert solution.energy == pytest.approx(reference.energy, abs=3e-3 if settings.smearing else 1e-7)
    electrons = np.sum(solution.density_matrix * cell.pbc_intor("int1e_ovlp"))
    assert electrons == pytest.approx(12, abs=1e-6)
