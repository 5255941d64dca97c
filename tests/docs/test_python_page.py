"""The code of docs/python.md runs as it stands, on the model of a tiny run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import edframe
from edframe import io
from edframe.grid import Grid

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
TINY = {"training.steps": 2, "data.samples": 16, "data.grid": 12, "splits.validation": 2, "model.widths": [4],
        "model.blocks": [0], "featurizer.name": "sad"}  # fmt: skip


@pytest.fixture
def calculations(tmp_path):
    """Twelve densities of Li2O with 12 electrons, as CHGCARs."""
    from pymatgen.core.structure import Structure

    grid, rng = Grid.of(np.eye(3) * 6, 12), np.random.default_rng(0)
    for number in range(12):
        places = np.array([[1.4, 3, 3], [3, 3, 3], [4.6, 3, 3]]) + rng.normal(0, 0.1, (3, 3))
        values = sum(
            count * np.exp(-((grid.coordinates() - place) ** 2).sum(-1) / 0.5)
            for count, place in zip((3, 6, 3), places, strict=True)
        )
        values *= 12 / (values.sum() * grid.voxel_volume)
        (tmp_path / "calculations" / f"{number:02}").mkdir(parents=True)
        structure = Structure(grid.vectors, ["Li", "O", "Li"], places, coords_are_cartesian=True)
        io.write(tmp_path / "calculations" / f"{number:02}" / "CHGCAR", io.Volume(structure, grid, {"total": values}))


def test_the_page_runs(finished, calculations, environment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDFRAME_CACHE", environment["EDFRAME_CACHE"])
    monkeypatch.setattr("edframe.runs.execute.write_report", lambda path: path)
    assert len(BLOCKS) == 7
    names: dict[str, object] = {}
    for block in BLOCKS:
        code = block.replace("runs/<run>", str(finished)).replace('"configs/quick.yaml", ', "")
        code = code.replace('settings={"training.steps": 200}', f"settings={TINY!r}")
        own = {key: value for key, value in TINY.items() if not key.startswith(("data.", "featurizer."))}
        code = code.replace('fit(densities, loss="l1")', f'fit(densities, loss="l1", settings={own!r})')
        exec(code, names)  # the code of this repository's own page
    assert isinstance(names["density"], edframe.Density)
    assert len(names["done"].metrics) == 3


def test_the_table_has_every_name():
    listed = set(re.findall(r"edframe\.(\w+)", PAGE.partition("## Predict")[0]))
    assert listed | {"API_VERSION", "__version__", "Trained", "Finished"} == set(edframe.__all__)
