"""Samples computed by a made-up code, whose densities are known, and by pw.x."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from edframe_labels import dataset as module
from edframe_labels.plugin import QeConfig
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe.data.level import Level
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.volume import Volume
from edframe.restart.code import Converged, Needs, Outcome
from edframe.testing import checks, component

SHIPPED = Path("/usr/share/espresso/pseudo")
SI = """&control
 prefix='x', pseudo_dir='{pseudo}' /
&system
 ibrav=2, A={side}, nat=2, ntyp=1, ecutwfc=8 /
&electrons
/
ATOMIC_SPECIES
Si 28.085 Si.pz-vbc.UPF
ATOMIC_POSITIONS crystal
Si 0 0 0
Si 0.25 0.25 0.25
K_POINTS gamma
"""


class MadeUp:
    """Two electrons on one helium atom in a box as long as the input says; an input 'fails' does not converge."""

    title = "a made-up code"

    def converged(self, input, folder):
        assert folder.is_dir()
        text = input.read_text()
        if text == "fails":
            raise DataError(f"{input} does not converge")
        grid = Grid.of([float(text)] * 3, 8)
        values = 2 / grid.volume * (1 + 0.5 * np.cos(2 * np.pi * grid.fractions()[..., 0]))
        structure = Structure(Lattice(grid.vectors), ["He"], [[0, 0, 0]])
        needs = Needs(structure, grid.shape, 1, 2.0, 0.0, Level("pbe", {"He": "He.UPF"}))
        return Converged(Volume(structure, grid, {"total": values}), needs, Outcome(7, 1.234, (-1.0,)))


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "code_of", lambda name: MadeUp())
    for name, text in (("a", "4.0"), ("b", "5.0"), ("c", "fails")):
        (tmp_path / f"{name}.in").write_text(text)
    return f"{tmp_path}/*.in"


@pytest.mark.parametrize("check", checks("dataset"), ids=str)
def test_conformance(check, inputs):
    check(component("dataset", "qe", {"inputs": [inputs]}))


def test_a_sample_is_what_the_code_found_and_knows_its_level(inputs):
    dataset = module.Qe(QeConfig(inputs=(inputs,)))
    dataset.build(lambda done, total: None)
    assert list(dataset.ids) == ["a.in", "b.in"]
    assert "does not converge" in dataset.failures["c.in"]
    sample = dataset[1]
    x = np.arange(8) / 8
    np.testing.assert_allclose(sample.density[0, :, 0, 0], 2 / 125 * (1 + 0.5 * np.cos(2 * np.pi * x)), rtol=1e-6)
    assert Level.of([dataset[0], sample]) == Level("pbe", {"He": "He.UPF"})
    assert (sample.source["iterations"], sample.source["seconds"]) == (7, 1.23)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pw.x") or not SHIPPED.is_dir(), reason="quantum-espresso(-data) is not installed")
def test_by_pw_x(tmp_path):
    for side in (5.43, 5.5):
        (tmp_path / f"{side}.in").write_text(SI.format(pseudo=SHIPPED, side=side))
    dataset = module.Qe(QeConfig(inputs=(f"{tmp_path}/*.in",)))
    dataset.build(lambda done, total: None)
    assert [sample.electrons for sample in dataset] == [8.0, 8.0]
    assert dataset[0].source["pseudopotential"] == {"Si": "Si.pz-vbc.UPF"}
    assert dataset[0].source["functional"] == "lda"
