"""The models predict what was computed, and are refused where a file was changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from edframe_models.plugin import edframe_pretrained
from pymatgen.core import Lattice, Structure

import edframe
from edframe.contract.registry import Registry
from edframe.errors import RunError
from edframe.predict import pretrained

RECORDS = {record.name: record for record in edframe_pretrained()}


def test_every_record_is_found_and_whole():
    registry = Registry.discover()
    for name, record in RECORDS.items():
        folder = pretrained.folder_of(registry.model(name))
        assert sorted(record.files) == sorted(
            file.relative_to(folder).as_posix()
            for file in folder.rglob("*")
            if file.is_file() and file.name not in ("card.md", "record.json")
        )
        assert record.name in pretrained.card(record)


def test_a_density_of_the_dataset_is_predicted():
    """Whether it was trained on or tested, its error is below the largest of the card."""
    from edframe_pyscf.li_o_li import LiOLi
    from edframe_pyscf.plugin import LiOLiConfig

    sample = LiOLi(LiOLiConfig())[0]
    predicted = edframe.load("li-o-li")(sample.structure, grid=sample.grid.shape)
    assert predicted.electrons == pytest.approx(12, abs=1e-5)
    assert np.abs(predicted.values - sample.density).sum() / sample.density.sum() < 0.00175


@pytest.fixture(scope="module")
def water():
    """At the experimental geometry, in a box with 2 Å on each side; the oxygen atom is above the hydrogen atoms."""
    places = [[2.3, 3.0, 2.5933], [2.3, 3.7572, 2.0067], [2.3, 2.2428, 2.0067]]
    return Structure(Lattice.orthorhombic(4.6, 6.0, 4.6), ["O", "H", "H"], places, coords_are_cartesian=True)


def test_water_has_the_model_of_molecules_without_a_name(water):
    registry = Registry.discover()
    assert pretrained.covering(registry, {site.specie.symbol for site in water}).model.name == "molecules-hcnof"
    assert pretrained.covering(registry, {"Li", "O"}).model.name == "li-o-li"


def test_the_dipole_of_water_is_the_measured_one(water):
    """1.855 D (Clough et al., J. Chem. Phys. 59, 2254, 1973) within a quarter: water is among the worst molecules."""
    density = edframe.load("molecules-hcnof")(water, grid=(24, 32, 24))
    assert density.electrons == pytest.approx(8, abs=1e-5)
    debye = density.dipole / 0.2081943
    np.testing.assert_allclose(debye, [0, 0, -1.855], atol=0.46)


def test_a_changed_file_is_refused(tmp_path, monkeypatch):
    shipped = Registry.discover().model("li-o-li")
    copy = tmp_path / "edframe_copied"
    shutil.copytree(Path(pretrained.folder_of(shipped)).parent, copy)
    weights = copy / "li-o-li" / "checkpoints" / "featurizer.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    monkeypatch.setattr(pretrained, "files", lambda package: copy)
    with pytest.raises(RunError, match=r"featurizer.safetensors was changed, its SHA-256 is"):
        pretrained.folder_of(shipped)
