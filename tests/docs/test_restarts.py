"""The campaign of restarts: its page is that of its rows, and its inputs are what codes read."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from edframe.restart.espresso_input import PwInput


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
