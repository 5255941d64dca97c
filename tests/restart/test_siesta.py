"""What SIESTA starts from: its mesh, and a file that sisl reads as SIESTA's own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import sisl

from edframe import io
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.volume import Volume
from edframe.restart.espresso import RYDBERG
from edframe.restart.process import run
from edframe.restart.siesta import Siesta
from edframe.restart.start import Start, fitted

FDF = """SystemLabel w
NumberOfAtoms 3
NumberOfSpecies 2
%block ChemicalSpeciesLabel
 1 8 O.pbe
 2 1 H
%endblock ChemicalSpeciesLabel
LatticeConstant 1.0 Ang
%block LatticeVectors
 5.0 0 0
 0 5.5 0
 0 0.4 4.0
%endblock LatticeVectors
AtomicCoordinatesFormat Ang
%block AtomicCoordinatesAndAtomicSpecies
 0.1 0.2 0.1 1
 0.857 0.787 0.1 2
 -0.657 0.787 0.1 2
%endblock AtomicCoordinatesAndAtomicSpecies
XC.functional GGA
XC.authors PBE
{more}
"""
PSML = '<psml><valence-configuration total-valence-charge="  6.000000"></valence-configuration></psml>'
PSF = " H  ca nrl nc\n ATM3\n 1s 1.00\n    2 0 1015 0.247875E-03 0.125E-01 {}\n Radial grid\n"


@pytest.fixture
def fdf(tmp_path):
    def write(more="Mesh.Cutoff 60 Ry"):
        (tmp_path / "w.fdf").write_text(FDF.format(more=more))
        (tmp_path / "O.pbe.psml").write_text(PSML)
        (tmp_path / "H.psf").write_text(PSF.format("1.00000000000"))
        return tmp_path / "w.fdf"

    return write


def waves(needs, spins):
    grid = Grid.of(needs.structure.lattice.matrix, needs.shape)
    values = 8 / grid.volume * (1 + 0.3 * np.sin(2 * np.pi * grid.fractions()[..., 1]))
    fields = {"total": values, "magnetisation": 0.1 * values}
    return Volume(needs.structure, grid, dict(list(fields.items())[:spins]))


@pytest.mark.parametrize("spins", [1, 2])
def test_sisl_reads_what_is_written(fdf, spins):
    path = fdf("Mesh.Cutoff 60 Ry\nmesh-sizes [10 10 10]" + ("\nSpin polarized" if spins == 2 else ""))
    needs = Siesta().needs(path)
    assert (needs.shape, needs.electrons, needs.spins, needs.level.functional) == ((10, 10, 10), 8, spins, "pbe")
    written = Siesta().write(waves(needs, spins), path, None, may_run=False, force=False)
    total, *magnetisation = waves(needs, spins).fields.values()
    expected = [(total + m) / 2 for m in (magnetisation[0], -magnetisation[0])] if magnetisation else [total]
    for index, values in enumerate(expected):
        found = sisl.get_sile(written.files[0]).read_grid(index)
        np.testing.assert_allclose(found.grid / sisl.unit.siesta.unit_convert("Bohr", "Ang") ** 3, values, rtol=1e-6)
        np.testing.assert_allclose(found.lattice.cell, needs.structure.lattice.matrix, rtol=1e-6)
    again = sisl.io.siesta.fdfSileSiesta(written.input)
    assert list(again.get("Mesh.Sizes")) == list(needs.shape)
    assert str(again.get("SCF.Read.Charge.NetCDF")).lower() in ("true", "t")
    with pytest.raises(DataError, match="exists already"):
        Siesta().write(waves(needs, spins), path, None, may_run=False, force=False)


def test_the_mesh_holds_the_waves_up_to_the_cutoff(fdf):
    """SIESTA's cutoff is (π n / |a|)² in Ry, of the coarsest axis."""
    needs = Siesta().needs(fdf())
    for n, side in zip(needs.shape, needs.structure.lattice.abc, strict=True):
        assert n % 2 == 0
        assert (np.pi * n / (side / 0.529177210903)) ** 2 >= 60


def test_a_log_says_whether_the_density_was_read():
    """Lines of SIESTA 4.1. Without MPI it converged to no moment from a density of one electron, whose moment is 1."""
    read = "Reading Rho from file: Rho.IN.grid.nc\n"
    spins = "redata: Number of spin components                   = {}\n"
    assert Siesta().check(read + "* Running in serial mode\n" + spins.format(1)) is None
    assert Siesta().check(read + "* Running on    2 nodes in parallel\n" + spins.format(2)) is None
    assert "reads the second spin of a density into the first" in Siesta().check(
        read + "* Running in serial mode\n" + spins.format(2)
    )
    assert "does not say" in Siesta().check("scf:    1     -456.445707")


def test_the_pseudopotentials_go_with_the_input(fdf, tmp_path):
    path = fdf()
    written = Siesta().write(waves(Siesta().needs(path), 1), path, tmp_path / "out", may_run=False, force=False)
    assert written.folder == tmp_path / "out"
    assert {"O.pbe.psml", "H.psf"} < {file.name for file in (tmp_path / "out").iterdir()}


HYDROGEN = """SystemLabel w
NumberOfAtoms 2
NumberOfSpecies 1
%block ChemicalSpeciesLabel
 1 1 H
%endblock ChemicalSpeciesLabel
LatticeConstant 1.0 Ang
%block LatticeVectors
 4.0 0 0
 0 4.5 0
 0 0.4 4.2
%endblock LatticeVectors
AtomicCoordinatesFormat Ang
%block AtomicCoordinatesAndAtomicSpecies
 0.1 0.2 0.1 1
 0.7 0.5 0.2 1
%endblock AtomicCoordinatesAndAtomicSpecies
Mesh.Cutoff 80 Ry
SCF.DM.Tolerance 1e-6
SaveRho true
"""
POTENTIALS = [Path(os.environ.get("SIESTA_PS_PATH", ".")) / f"H.{ending}" for ending in ("psml", "psf")]


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("siesta") or not any(path.is_file() for path in POTENTIALS),
    reason="siesta is not installed, or SIESTA_PS_PATH has no pseudopotential H.psml or H.psf",
)
def test_siesta_starts_from_our_file_as_from_its_own(tmp_path):
    """The density of a converged run, read and written here, gives the energies that SIESTA gets from its own file."""
    path = tmp_path / "w.fdf"
    path.write_text(HYDROGEN)
    for potential in POTENTIALS:
        if potential.is_file():
            shutil.copy(potential, tmp_path)
    run(["siesta", path.name], tmp_path, tmp_path / "own.out")
    scratch = (tmp_path / "own.out").read_text().count(" scf: ")
    own, code = io.read(tmp_path / "Rho.grid.nc"), Siesta()
    needs = code.needs(path)
    assert own.grid.shape == needs.shape
    written = code.write(
        fitted(Start(own, needs.level), needs, "own")[0], path, tmp_path / "out", may_run=True, force=False
    )
    ours = code.run(written)
    shutil.copy(tmp_path / "Rho.grid.nc", written.files[0])
    theirs = code.run(written)
    assert ours.iterations == theirs.iterations < scratch
    np.testing.assert_allclose(ours.energies, theirs.energies, atol=1e-6 * RYDBERG)


def test_what_cannot_be_started_is_said(fdf):
    with pytest.raises(DataError, match="noncollinear"):
        Siesta().needs(fdf("Spin non-collinear"))
    path = fdf()
    (path.parent / "H.psf").unlink()
    assert Siesta().needs(path).electrons is None
    with pytest.raises(DataError, match="no such file"):
        Siesta().needs(path.with_name("x.fdf"))
