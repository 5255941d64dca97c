"""GPAW starts from a density: against the energy that its own start ends at, and scripts that cannot be started."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from edframe.errors import DataError
from edframe.restart.gpaw import Gpaw, _set, pseudo_densities
from edframe.restart.start import Start, fitted

SCRIPT = """
from ase.build import molecule
from gpaw import GPAW, PW

atoms = molecule("{formula}")
atoms.set_cell([4.6, 4.8, 5.0])
atoms.center()
atoms.pbc = {periodic}
atoms.calc = GPAW(mode={mode}, xc="PBE", txt=None, spinpol={spin})
"""


def script(folder, formula="H2O", *, spin=False, mode="PW(250)", periodic=True, more=""):
    path = folder / "run.py"
    path.write_text(SCRIPT.format(formula=formula, spin=spin, mode=mode, periodic=periodic) + more)
    return path


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "makes no `atoms` with a calculator of GPAW; name it so"),
        ("atoms = 1", "of GPAW 26.7 or later"),
        ("atoms = SimpleNamespace(calc=Calculator({'energy': 1}), pbc=[1, 1, 1])", "has run its calculation"),
        ("atoms = SimpleNamespace(calc=Calculator({}), pbc=[1, 1, 0])", "periodic along all vectors"),
    ],
)
def test_a_script_that_cannot_be_started_is_refused(tmp_path, monkeypatch, line, why):
    """Whether GPAW is installed or not."""
    monkeypatch.setitem(sys.modules, "gpaw", ModuleType("gpaw"))
    path = tmp_path / "run.py"
    path.write_text(
        "from types import SimpleNamespace\nclass Calculator:\n    def __init__(self, results):\n"
        f"        self.results = results\n    def create_new_calculation(self, atoms):\n        pass\n{line}\n"
    )
    with pytest.raises(DataError, match=why):
        Gpaw().needs(path)


@pytest.mark.parametrize("spins", [1, 2])
def test_total_and_magnetisation_are_added_to_the_spins(spins):
    """One electron in bohr⁻³ is 6.748 in Å⁻³."""
    start = np.random.default_rng(0).random((spins, 2, 3, 4))
    density = SimpleNamespace(nt_sR=SimpleNamespace(data=start.copy()))
    change = np.random.default_rng(1).random((spins, 2, 3, 4))
    _set(density, change)
    moved = (density.nt_sR.data - start) * 6.748334
    np.testing.assert_allclose(moved.sum(0), change[0], rtol=1e-6)
    if spins == 2:
        np.testing.assert_allclose(moved[0] - moved[1], change[1], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("gpaw"), reason="gpaw is not installed")
@pytest.mark.filterwarnings("ignore")
class TestGpaw:
    @pytest.mark.parametrize(("formula", "electrons", "moment"), [("H2O", 8, None), ("OH", 7, 1)])
    def test_it_ends_at_its_own_energy_in_fewer_iterations(self, tmp_path, formula, electrons, moment):
        path, code = script(tmp_path, formula, spin=moment is not None), Gpaw()
        exact = code.converged(path, tmp_path)
        integrals = {
            name: values.sum() * exact.density.grid.voxel_volume for name, values in exact.density.fields.items()
        }
        assert integrals["total"] == pytest.approx(electrons, abs=1e-4)
        assert integrals.get("magnetisation") == (None if moment is None else pytest.approx(moment, abs=1e-4))
        density, _ = fitted(Start(exact.density, exact.needs.level), exact.needs, "own")
        written = code.write(density, path, tmp_path / "out", may_run=True, force=False)
        outcome = code.run(written)
        assert code.check(written.input.with_suffix(".out").read_text()) is None
        assert outcome.energies[-1] == pytest.approx(exact.outcome.energies[-1], abs=1e-5)
        assert abs(outcome.energies[0] - outcome.energies[-1]) < 0.02
        assert outcome.iterations < exact.outcome.iterations

    def test_the_density_is_the_one_that_was_set(self, tmp_path):
        code = Gpaw()
        dft = code._dft(script(tmp_path))
        own = pseudo_densities(dft)
        wanted = own * (1 + 0.1 * np.random.default_rng(0).random(own.shape))
        _set(dft.density, wanted - own)
        np.testing.assert_allclose(pseudo_densities(dft), wanted, rtol=1e-9)

    @pytest.mark.parametrize("more", [{"mode": '"lcao"'}, {"periodic": False}])
    def test_another_kind_of_calculation_is_refused(self, tmp_path, more):
        with pytest.raises(DataError, match=r"started here with plane waves|periodic along all vectors"):
            Gpaw().needs(script(tmp_path, **more))
