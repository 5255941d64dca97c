"""The campaign of restarts: its page is that of its rows, and its inputs are what codes read."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from edframe.restart.espresso_input import PwInput
from edframe.restart.outlook import MEASURED


@pytest.fixture
def page(script):
    return script("restart_page")


@pytest.fixture
def cases(script):
    return script("restart_cases")


def test_the_page_is_what_the_rows_say(page):
    text, table = page.PAGE.read_text(encoding="utf-8"), page.rows()
    for made in (page.starts(table), page.losses(table), page.bands(table)):
        assert made in text
    rows = [json.loads(line) for line in page.ROWS.read_text(encoding="utf-8").splitlines()]
    first = {(row["geometry"], row["start"]): row for row in reversed(rows) if row["case"] == "QE: Li2O, ultrasoft"}
    saved = [
        100 - 100 * (row["seconds"] + row["before"]) / first[geometry, "default"]["seconds"]
        for (geometry, start), row in first.items()
        if start == "krr"
    ]
    tabulated = {3: 4.302653, 5: 2.776445, 10: 2.262157}[len(saved)]  # Student's t at 97.5%
    half = tabulated * np.std(saved, ddof=1) / math.sqrt(len(saved))
    (line,) = [line for line in text.splitlines() if line.startswith("| QE: Li2O, ultrasoft | krr |")]
    assert line.endswith(f"| {np.mean(saved):.0f} ({np.mean(saved) - half:.0f} to {np.mean(saved) + half:.0f}) |")


KINDS = {
    "H2O": "molecule", "ethanol": "molecule", "Li2O": "ionic molecule", "NaCl": "ionic crystal",
    "Si8": "covalent crystal", "Al slab": "metal surface",
}  # fmt: skip


def test_the_outlook_says_what_the_rows_say(page):
    """By starts whose prediction costs next to nothing: no measured error is far from one of the outlook, and each of
    those is the mean of what lies near it."""
    measured = {}
    table = page.saved(page.rows())
    for (case, start), rows in table.groupby(["case", "start"], observed=True):
        code, name = case.split(": ")
        kind = KINDS[name.split(",")[0]]
        if start in ("0.5", "1", "3", "krr") and "local-TF" not in case and len(rows) > 1:
            at = rows[MEASURED[code.lower(), kind].measure].mean()
            measured.setdefault((code.lower(), kind), []).append((at, rows["saved"].mean() / 100))
    assert measured.keys() == MEASURED.keys()
    for key, points in measured.items():
        said = MEASURED[key].savings
        near = {error: [] for error in said}
        for at, saved in points:
            closest = min(said, key=lambda error: abs(math.log(error / at)))
            assert abs(math.log(closest / at)) < math.log(1.8), (key, at)
            near[closest].append(saved)
        assert {error: np.mean(each) for error, each in near.items()} == pytest.approx(dict(said), abs=0.015), key


def test_inputs_have_their_cell_and_atoms(cases, tmp_path):
    """As read by the parser of inputs, which is tested against pw.x."""
    for name in ("QE: Al slab", "QE: Si8", "QE: Li2O, ultrasoft"):
        case = cases.CASES[name]
        case.write(tmp_path / "a.in", case.system.symbols, case.system.positions)
        structure = PwInput.read(tmp_path / "a.in").structure
        np.testing.assert_allclose(structure.lattice.matrix, case.system.vectors, atol=1e-7)
        np.testing.assert_allclose(structure.cart_coords, case.system.positions, atol=1e-6)


def test_hgh_in_the_form_of_gth(cases):
    """Chlorine, whose second s projector is not zero: h12 by hand, −½√(3/5) · 5.065682."""
    text = (
        "Cl\n 17 7 010605 zatom\n 3 1 1 0 2001 0 pspcod\n 0.41 -6.864754 0.0 0.0 0.0 rloc\n"
        " 0.338208 9.062240 5.065682 0.0 rs\n 0.376137 4.465876 0.0 0.0 rp\n"
    )
    lines = [line.split() for line in cases.gth(text).splitlines()]
    assert lines[1:4] == [["17", "7", "010605"], ["10", "1", "1", "2", "2001", "0"], ["0.41", "1", "-6.864754"]]
    assert lines[5:7] == [["0.338208", "2", "9.06224", "-1.96193020"], ["5.065682"]]
    assert lines[7:] == [["0.376137", "1", "4.465876"], ["0.0"]]
