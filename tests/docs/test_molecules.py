"""The page of the model of molecules and its card have the numbers that were measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
ROWS = [json.loads(line) for line in (ROOT / "docs/results/molecules.jsonl").read_text(encoding="utf-8").splitlines()]
CARD = ROOT / "plugins/edframe-models/src/edframe_models/molecules-hcnof/card.md"
OF = {"QM9, the first 100": "qm9", "ethanol, frames of a trajectory": "ethanol", "the list, its test part": "list"}


PAGES = pytest.mark.parametrize("page", [CARD, ROOT / "docs/results/molecules.md"], ids=["card", "page"])


def lines_of(page, name):
    """The cells of each line of a table."""
    _, _, text = page.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    table, _, _ = text.partition(f"<!-- /{name} -->")
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()[2:]]


@PAGES
def test_errors_are_the_means_medians_and_largest_of_what_was_measured(page):
    lines = lines_of(page, "errors")
    assert {line[0] for line in lines} == set(OF)
    for name, count, *numbers in lines:
        errors = [row["nmae"] for row in ROWS if row["of"] == OF[name]]
        base = [row["orbitals"] for row in ROWS if row["of"] == OF[name]]
        assert int(count) == len(errors)
        expected = [np.mean(errors), np.median(errors), np.max(errors), np.mean(base)]
        assert [float(x) for x in numbers] == pytest.approx(expected, abs=0.051)


@PAGES
def test_errors_above_twice_the_expected_one_are_counted(page):
    (line,) = (line for line in lines_of(page, "trust") if line[0] == "expected NMAE, %: all")
    above = sum(row["nmae"] > 2 * row["expected"] for row in ROWS)
    assert line[-1] == f"{above} of {len(ROWS)}"


def test_a_goal_is_met_where_what_was_measured_is_within_it():
    lines = lines_of(ROOT / "docs/results/molecules.md", "goals")
    assert {line[3] for line in lines} <= {"met", "missed"}
    for goal, measured, _, said in lines:
        limit = float(goal.replace("within", "≤").partition("≤")[2])
        assert (said == "met") == (float(measured) <= limit), goal
    worst = max(row["nmae"] for row in ROWS if row["of"] == "qm9")
    assert float(lines[1][1]) == pytest.approx(worst, abs=0.0051)


def test_no_molecule_was_measured_twice():
    assert len({row["id"] for row in ROWS}) == len(ROWS)
