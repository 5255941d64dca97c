"""The models predict what was computed, and are refused where a file was changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from edframe_models.plugin import edframe_pretrained

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
            if file.is_file() and file.name != "card.md"
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
