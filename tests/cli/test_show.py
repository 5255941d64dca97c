"""``edframe show``, ``charges`` and ``runs``: what they write and print."""

from __future__ import annotations

import base64
import html.parser
import json
import re
import shutil

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
    attributes = []
    parser = html.parser.HTMLParser()  # of tags alone: scripts hold addresses of maps, which no scene loads
    parser.handle_starttag = lambda tag, pairs: attributes.extend(pairs)
    parser.feed(page)
    assert [value for name, value in attributes if name in ("src", "href") and value.startswith(("http", "//"))] == []
    assert any(name == "content" and "default-src 'none'" in value for name, value in attributes)


@pytest.fixture
def pair(tmp_path):
    """Li and F as Gaussians, and with another width, in two cubes."""
    grid = Grid.of(np.diag([9.0, 8.0, 8.0]), (36, 32, 32))
    places = np.array([[3.7, 4, 4], [5.3, 4, 4]])
    structure = Structure(grid.vectors, ["Li", "F"], places, coords_are_cartesian=True)
    files = []
    for name, width in (("predicted.cube", 0.55), ("reference.cube", 0.5)):
        values = np.zeros(grid.shape)
        for place, electrons in zip(places, (1, 7), strict=True):
            away = ((grid.coordinates() - place) ** 2).sum(-1)
            values += electrons * np.exp(-away / (2 * width**2)) / (2 * np.pi * width**2) ** 1.5
        io.write(tmp_path / name, io.Volume(structure, grid, {"total": values}))
        files.append(tmp_path / name)
    return files


def test_two_densities_and_their_difference_are_a_page(edframe, pair, tmp_path):
    result = edframe("show", *pair, "--out", tmp_path / "both.html")
    assert (result.code, result.err) == (0, "")
    text = (tmp_path / "both.html").read_text()
    scene = json.loads(re.search(r'id="isosurface-data">(.*?)</script>', text)[1])[0]
    assert scene["variants"] == ["density", "reference", "density − reference"]
    assert (scene["species"], scene["bonds"]) == (["Li", "F"], [[0, 1]])
    nmae = next(line.split()[1] for line in result.out.splitlines() if line.startswith("nmae"))
    assert re.search(rf"NMAE</th><td class=\"u\">%</td><td class=\"n\">{nmae}</td>", text)
    # Each level encloses the electrons that it promises: summed at the points of the page.
    code = np.frombuffer(base64.b64decode(scene["fields"][1]["bdata"]), "<i2")
    heights = [height for (height,) in scene["heights"][1]]
    inside = [(10 ** (code[code >= height] / 2500)).sum() * np.prod(scene["step"]) / 8 for height in heights]
    np.testing.assert_allclose(inside, [0.9, 0.5, 0.75, 0.95, 0.99], atol=0.03)


def test_a_profile_and_a_plane_of_chosen_atoms(edframe, pair, tmp_path):
    from matplotlib.image import imread

    assert edframe("show", *pair, "--line", 1, 2, "--out", tmp_path / "line.png").code == 0
    assert imread(tmp_path / "line.png").shape[1] > 1.5 * imread(tmp_path / "line.png").shape[0]
    for words, sentence in [
        (["--line", 1, 3], "--line: there is no atom 3; the atoms are 1 to 2"),
        (["--plane", 1, 2, 0], "--plane: there is no atom 0; the atoms are 1 to 2"),
        (["--plane", 1, 2, 1, "--line", 1, 2], "--plane and --line draw different pictures; give one of them"),
    ]:
        result = edframe("show", pair[0], *words, "--out", tmp_path / "other.png")
        assert (result.code, result.err) == (2, f"Error: {sentence}\n")


def test_a_run_is_shown_by_a_test_sample(edframe, finished, tmp_path):
    from edframe.runs.directory import Run
    from edframe.runs.events import Evaluated

    result = edframe("show", finished, "--sample", "worst", "--out", tmp_path / "worst.png")
    assert (result.code, result.err) == (0, "")
    largest = max(event.metrics["nmae"] for event in Run(finished).events() if isinstance(event, Evaluated))
    assert f"nmae                   {largest:.3g} %" in result.out
    result = edframe("show", finished, tmp_path / "worst.png")
    assert (result.code, "is a run, which has its own reference" in result.err) == (2, True)


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
    assert "Note: there is no dipole moment, because the density does not vanish" in result.err.replace("\n", " ")


def test_runs_are_listed_sorted_and_chosen(edframe, finished):
    result = edframe("runs", finished.parent, "--sort", "nmae", "--only", "data=li-o-li")
    assert result.code == 0
    head, row = result.out.splitlines()
    assert head.split()[:4] == ["nmae", "data", "featurizer", "model"]
    assert row.endswith(finished.name)
    assert "no runs" in edframe("runs", finished.parent, "--only", "loss=none").out
    result = edframe("runs", finished.parent, "--sort", "nmea")
    assert (result.code, "did you mean 'nmae'?" in result.err) == (2, True)
    result = edframe("runs", finished / "absent")
    assert (result.code, result.err.count("is no folder")) == (2, 1)


def test_comparisons_and_their_runs_are_listed(edframe, finished, tmp_path):
    """Laid out as `edframe compare` leaves them; the lowest is by the mean over all samples: 2 against 2.5."""
    shutil.copytree(finished, tmp_path / "runs" / "compared" / "0355bb00" / "one")
    folder = tmp_path / "comparisons" / "losses"
    folder.mkdir(parents=True)
    section = (
        "compare:\n  loss: {l1: {name: l1}, l2: {name: l2}}\n  training.size: {'25': 25, '100': 100}\n  seeds: 3\n"
    )
    (folder / "compare.yaml").write_text(f"{section}  folds: 2\n  seconds: null\n")
    (folder / "compare.csv").write_text("variant,id,nmae\nl1,a,2\nl1,b,3\nl2,a,3\nl2,b,1\n")
    (tmp_path / "comparisons" / "damaged").mkdir()
    (tmp_path / "comparisons" / "damaged" / "compare.yaml").write_text("{")
    result = edframe("runs", tmp_path)
    assert (result.code, result.err) == (0, "")
    rows = result.out.splitlines()
    assert rows[1].endswith("runs/compared/0355bb00/one")
    assert re.split("  +", rows[-1]) == [
        "comparisons/losses", "loss", "l1, l2", "training.size", "24", "l2", "2.00", "–",
    ]  # fmt: skip


def test_a_page_has_the_curves_and_leads_to_the_reports(edframe, finished, tmp_path):
    result = edframe("runs", finished.parent, "--html", tmp_path / "runs.html")
    assert (result.code, result.err) == (0, "")
    text = (tmp_path / "runs.html").read_text()
    (link,) = re.findall('href="(.*?)"', text)
    assert (tmp_path / link).resolve() == (finished / "report.html").resolve()
    assert "data:image/png;base64," in text
    assert edframe("runs", finished.parent, "--html", tmp_path / "runs.html").code == 2
