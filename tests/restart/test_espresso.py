"""pw.x starts from what is written here: against its own files, and against the energies of its own restart."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from edframe import io
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.espresso import _read_dat, _read_hdf5
from edframe.restart.espresso import RYDBERG, Espresso
from edframe.restart.espresso_input import PwInput
from edframe.restart.process import run
from edframe.restart.start import Start, fitted

from .conftest import SHIPPED

installed = pytest.mark.skipif(
    not shutil.which("pw.x") or not SHIPPED.is_dir(), reason="quantum-espresso(-data) is not installed"
)
CELLS = [
    ("ibrav=1, celldm(1)=10.2", ""),
    ("ibrav=2, A=5.43", ""),
    ("ibrav=3, celldm(1)=8.1", ""),
    ("ibrav=4, celldm(1)=7.0, celldm(3)=1.63299", ""),
    ("ibrav=8, A=4.0, B=4.5, C=5.1", ""),
    ("ibrav=0", "CELL_PARAMETERS angstrom\n0.1 2.7 2.8\n2.6 0.2 2.75\n2.9 2.6 -0.1\n"),
    ("ibrav=0", "CELL_PARAMETERS angstrom\n3.8 0 0\n-1.9 3.2908965 0\n0 0 6.1\n"),
]


def pw_x(path, **changes):
    """Runs an input with changed variables of &electrons; returns its log."""
    given = PwInput.read(path)
    path.write_text(given.changed({f"electrons.{name}": value for name, value in changes.items()}))
    run(["pw.x", "-in", path.name], path.parent, path.with_suffix(".log"))
    return path.with_suffix(".log").read_text()


def kept(folder):
    """The density that pw.x left: with HDF5 or without, as it was built."""
    (file,) = (folder / "tmp" / "x.save").glob("charge-density.*")
    return file


def flat(given, spins=1):
    """A constant density and a wave along the second axis, with a magnetisation of half of it."""
    grid = Grid.of(given.structure.lattice.matrix, given.shape)
    values = given.electrons / grid.volume * (1 + 0.2 * np.sin(2 * np.pi * grid.fractions()[..., 1]))
    fields = {"total": values, "magnetisation": values / 2}
    return io.Volume(given.structure, grid, dict(list(fields.items())[:spins]))


@pytest.mark.parametrize("points", ["gamma", "automatic\n1 1 1 0 0 0"], ids=["gamma", "k points"])
def test_the_waves_are_those_of_the_density(pw, tmp_path, points):
    """1 + 0.2 sin(2πy) has the waves 1 and ∓0.1i at ±b₂; in units of the mean density."""
    path = pw(points=points, more=", nspin=2")
    given = PwInput.read(path)
    written = Espresso().write(flat(given, 2), path, tmp_path / "out", may_run=False, force=False)
    assert [file.name for file in written.files] == ["charge-density.dat", "charge-density.hdf5"]
    waves = _read_dat(written.files[0])
    mean = given.electrons / (given.structure.lattice.volume / io.espresso.BOHR**3)
    expected = {(0, 0, 0): 1, (0, 1, 0): -0.1j} | ({} if points == "gamma" else {(0, -1, 0): 0.1j})
    for components, factor in zip(waves.components, (1, 0.5), strict=True):
        stored = {
            tuple(at): value / mean / factor
            for at, value in zip(waves.miller.tolist(), components, strict=True)
            if abs(value) > 1e-9
        }
        assert stored == pytest.approx(expected, abs=1e-9)
    again = PwInput.read(written.input)
    assert again.variables["electrons"]["startingpot"] == "file"
    assert again.save == written.files[0].parent
    assert again.pseudopotentials == given.pseudopotentials


def test_nothing_is_written_over(pw, tmp_path):
    path = pw()
    density = flat(PwInput.read(path))
    first = Espresso().write(density, path, None, may_run=False, force=False)
    assert first.files[0] == tmp_path / "tmp" / "x.save" / "charge-density.dat"
    with pytest.raises(DataError, match="exists already"):
        Espresso().write(density, path, None, may_run=False, force=False)
    Espresso().write(density, path, None, may_run=False, force=True)


def test_paw_needs_a_run_of_no_steps(pw, tmp_path):
    path = pw(kind="PAW")
    with pytest.raises(DataError, match="whose occupancies a run of no steps writes"):
        Espresso().write(flat(PwInput.read(path)), path, tmp_path / "out", may_run=False, force=False)
    zero = PwInput.read(tmp_path / "out" / "si.zero.in")
    assert zero.variables["electrons"]["electron_maxstep"] == 0
    (tmp_path / "out" / "x.save" / "paw.txt").write_text("occupancies")
    written = Espresso().write(flat(PwInput.read(path)), path, tmp_path / "out", may_run=False, force=False)
    assert "paw.txt" in [file.name for file in written.files]


def test_a_log_says_whether_the_density_was_read():
    """Lines of pw.x 6.7."""
    assert Espresso().check("     The initial density is read from file :\n     ./out2/x.save/") is None
    missing = "     Cannot read rho : file not found\n\n     Initial potential from superposition of free atoms\n"
    assert "started from free atoms" in Espresso().check(missing)
    assert "does not say" in Espresso().check("")


SPIN = ", nspin=2, starting_magnetization(1)=0.4, occupations='smearing', degauss=0.02"


@installed
@pytest.mark.parametrize("more", ["", pytest.param(SPIN, marks=pytest.mark.slow)], ids=["closed shell", "spin"])
def test_pw_x_starts_from_our_file_as_from_its_own(pw, tmp_path, more):
    """The density of a converged run, read and written here, gives the energies that pw.x gets from its own file."""
    path = pw("ibrav=1, celldm(1)=12" if more else "ibrav=2, A=5.43", real=True, more=more)
    scratch = pw_x(path).count("ethr =")
    own = kept(tmp_path)
    volume = io.read(own)
    code = Espresso()
    needs = code.needs(path, None, may_run=False)
    written = code.write(
        fitted(Start(volume, needs.level), needs, "own")[0], path, tmp_path / "a", may_run=True, force=False
    )
    ours = code.run(written)
    read = next(file for file in written.files if file.suffix == own.suffix)
    shutil.copy(own, read)
    theirs = code.run(written)
    assert ours.iterations == theirs.iterations < scratch
    np.testing.assert_allclose(ours.energies, theirs.energies, atol=1e-6 * RYDBERG)
    read.unlink()
    with pytest.raises(DataError, match="started from free atoms"):
        code.run(written)


@installed
@pytest.mark.slow
@pytest.mark.parametrize("points", ["gamma", "automatic\n1 1 1 1 1 1"], ids=["gamma", "k points"])
@pytest.mark.parametrize(("cell", "card"), CELLS)
def test_the_order_of_the_waves_is_that_of_pw_x(pw, tmp_path, cell, card, points):
    path = pw(cell, card, points=points, real=True, cutoff=20.3)
    pw_x(path, electron_maxstep="0")
    own = kept(tmp_path)
    files = Espresso().write(io.read(own), path, tmp_path / "out", may_run=False, force=False).files
    reader = {".dat": _read_dat, ".hdf5": _read_hdf5}[own.suffix]
    expected, written = reader(own), reader(next(file for file in files if file.suffix == own.suffix))
    np.testing.assert_array_equal(written.miller, expected.miller)
    np.testing.assert_allclose(written.components, expected.components, atol=1e-14)
