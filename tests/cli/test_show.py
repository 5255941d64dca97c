"""``edframe show``, ``charges`` and ``runs``: what they write and print."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core.structure import Structure

from edframe import io
from edframe.grid import Grid


@pytest.fixture
def oxygen(tmp_path):
    """An O atom of six electrons, as a Gaussian in a box, in a cube."""
    grid = Grid.of(np.eye(3) * 8, 32)
    away = grid.coordinates() - 4
    values = 6 * np.exp(-(away**2).sum(-1) / (2 * 0.5**2)) / (2 * np.pi * 0.5**2) ** 1.5
    structure = Structure(grid.vectors, ["O"], [[0.5] * 3])
    io.write(tmp_path / "o.cube", io.Volume(structure, grid, {"total": values}))
    io.write(tmp_path / "more.cube", io.Volume(structure, grid, {"total": values * 1.0 + 0}))
    return tmp_path / "o.cube"


def test_a_picture_is_made_and_never_in_place_of_another(edframe, oxygen):
    result = edframe("show", oxygen)
    assert (result.code, result.err) == (0, "")
    picture = oxygen.with_name("o.cube.png")
    assert result.out.splitlines() == [f"{oxygen}: 6.00002 electrons in O1", str(picture)]
    assert picture.read_bytes().startswith(b"\x89PNG")
    result = edframe("show", oxygen)
    assert result.code == 2
    assert result.err == f"Error: {picture} exists already; give another name, or --force to write over it\n"
    assert edframe("show", oxygen, "--force").code == 0


def test_two_densities_are_compared(edframe, oxygen, tmp_path):
    result = edframe("show", oxygen, tmp_path / "more.cube", "--out", tmp_path / "both.png")
    assert result.code == 0
    assert [line.split()[:2] for line in result.out.splitlines() if line.startswith("nmae")] == [["nmae", "0"]]
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")


def test_a_page_holds_all_that_it_needs(edframe, oxygen, tmp_path):
    assert edframe("show", oxygen, "--out", tmp_path / "o.html").code == 0
    page = (tmp_path / "o.html").read_text()
    assert "isosurface" in page
    assert 'src="http' not in page


def test_electrons_of_atoms_are_printed(edframe, oxygen):
    result = edframe("charges", oxygen)
    assert result.code == 0
    assert result.out.splitlines()[1:] == [
        "  atom       electrons  charge (e)", "     1  O       6.0000     +0.0000", "dipole: 0.0000 0.0000 0.0000 e·Å",
    ]  # fmt: skip


def test_a_crystal_has_no_dipole(edframe, tmp_path):
    grid = Grid.of(np.eye(3) * 4.2, 24)
    structure = Structure(grid.vectors, ["Mg", "O"], [[0, 0, 0], [0.5] * 3])
    io.write(tmp_path / "mgo.cube", io.Volume(structure, grid, {"total": np.full(grid.shape, 8 / grid.volume)}))
    result = edframe("charges", tmp_path / "mgo.cube")
    assert (result.code, result.out.splitlines()[-1]) == (0, "dipole: –")


def test_runs_are_listed_sorted_and_chosen(edframe, finished):
    result = edframe("runs", finished.parent, "--sort", "nmae", "--only", "data=li-o-li")
    assert result.code == 0
    head, row = result.out.splitlines()
    assert head.split()[:4] == ["nmae", "data", "featurizer", "model"]
    assert row.endswith(finished.name)
    assert "no runs" in edframe("runs", finished.parent, "--only", "loss=none").out
    result = edframe("runs", finished.parent, "--sort", "nmea")
    assert (result.code, "did you mean 'nmae'?" in result.err) == (2, True)
