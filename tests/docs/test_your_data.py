"""The commands of docs/your-data.md, one after the other, on small files that stand in for the reader's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core.structure import Structure
from pymatgen.io.common import VolumetricData
from pymatgen.io.vasp import Chgcar

from edframe import io

PAGE = (Path(__file__).parents[2] / "docs" / "your-data.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"^```bash\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
            for line in block.splitlines()]  # fmt: skip
TINY = ["--device", "cpu", "--set", "training.steps=2", "--set", "splits.validation=1", "--set", "model.widths=[4,8]",
        "--set", "model.blocks=[0,1]"]  # fmt: skip


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Folders Si-1 to Si-8 with a CHGCAR each, and cube files of the same densities, by pymatgen's writers."""
    monkeypatch.chdir(tmp_path)
    side, n = 3.0, 12
    x = np.arange(n) / n
    for number in range(1, 9):
        structure = Structure(np.eye(3) * side, ["Si"], [[number / 10, 0, 0]])
        wave = 1 + 0.5 * np.cos(2 * np.pi * (x - number / 10))
        total = 4 * wave[:, None, None] * np.ones((n, n, n))  # e/Å³ times the volume: 4 electrons
        folder = tmp_path / "silicon" / f"Si-{number}"
        folder.mkdir(parents=True)
        Chgcar(structure, {"total": total}).write_file(str(folder / "CHGCAR"))
        (tmp_path / "cubes").mkdir(exist_ok=True)
        bohr = total / side**3 * 0.529177210544**3
        VolumetricData(structure, {"total": bohr}).to_cube(str(tmp_path / "cubes" / f"{number}.cube"))


def test_the_commands_work_in_turn(edframe, files, monkeypatch):
    monkeypatch.setattr("edframe.runs.execute.write_report", lambda path: path)
    for line in COMMANDS:
        words = shlex.split(line)[1:]
        if words[:2] == ["data", "vasp-inputs"]:
            words += ["--set", "data.grid=12", "--set", "data.samples=8"]
        result = edframe(*words, *(TINY if words[0] == "run" else []))
        assert (result.code, result.err) == (0, ""), line
    assert len([line for line in COMMANDS if line.startswith("edframe run")]) == len(list(Path("runs").iterdir()))
    assert len(list(Path("inputs").glob("*/POSCAR"))) == 8
    # What came back from the store is the first density, to the digits of a cube file.
    x = np.arange(12) / 12
    wave = 4 / 27 * (1 + 0.5 * np.cos(2 * np.pi * (x - 0.1)))
    np.testing.assert_allclose(io.read("silicon.cube").fields["total"][:, 0, 0], wave, rtol=2e-5)
